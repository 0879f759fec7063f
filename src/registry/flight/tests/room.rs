//! A store without room: bytes pass through, and a wrong whole blob does not.

use std::sync::Arc;

use futures_util::future::join_all;

use super::*;
use crate::registry::flight::HELD_BACK;

#[tokio::test]
async fn a_full_store_passes_every_byte_through() {
    let (harbour, bytes) = (Harbour::new().await, blob(MIB));
    harbour.cellar.fills_after(0);
    let source = Arc::new(Scripted::new("a", &bytes).with(|script| script.cuts = vec![0, MIB / 2, MIB / 8]));
    for body in join_all((0..3).map(|_| harbour.pull(&source))).await {
        assert!(body.unwrap() == bytes);
    }
    let ranged = harbour.join(&source).await.unwrap().body(Some(100..200_000));
    assert!(drain(ranged).await.unwrap() == bytes[100..200_000]);
    assert!(matches!(harbour.wish(&source, Wish::Prefetch).await.unwrap().landed().await, Err(FetchError::Store(_))));
    assert!(!harbour.has(&source.digest).await);
    assert_eq!((harbour.links(&bytes).await, harbour.board.under_way()), (0, 0));
}

#[tokio::test]
async fn a_store_that_fills_up_hands_each_follower_over_at_its_own_offset() {
    for total in [true, false] {
        let (harbour, bytes) = (Harbour::new().await, blob(2 * MIB));
        harbour.cellar.fills_after(MIB);
        let source = Scripted::new("a", &bytes).unlisted().gated(MIB / 2).with(|script| script.total = script.total.filter(|_| total));
        let source = Arc::new(source);
        let mut near = harbour.join(&source).await.unwrap().body(None);
        let far = harbour.join(&source).await.unwrap().body(None);
        let ranged = harbour.join(&source).await.unwrap().body(Some(5..2 * MIB as u64 - 5));
        let begun = take(&mut near, MIB / 4).await;
        source.gate.send_replace(usize::MAX);
        assert!([begun, drain(near).await.unwrap()].concat() == bytes);
        assert!(drain(far).await.unwrap() == bytes);
        assert!(drain(ranged).await.unwrap() == bytes[5..2 * MIB - 5]);
        assert!(source.opens.lock().unwrap()[1..].iter().all(|from| *from > 0), "what was stored is not fetched again");
        assert!(!harbour.has(&source.digest).await);
    }
}

#[tokio::test]
async fn wrong_bytes_do_not_pass_through_whole() {
    for (room, offset) in [(0, 3), (MIB / 2, 3), (MIB / 2, MIB - 1)] {
        let (harbour, bytes) = (Harbour::new().await, blob(MIB));
        harbour.cellar.fills_after(room);
        let source = Arc::new(Scripted::new("a", &bytes).lying(offset));
        let (got, error) = drain(harbour.join(&source).await.unwrap().body(None)).await.unwrap_err();
        assert!(got.len() as u64 <= MIB as u64 - HELD_BACK);
        assert!(error.contains("do not match the digest"), "{error}");
    }
}
