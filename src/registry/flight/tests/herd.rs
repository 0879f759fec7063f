//! Many at once, and at the worst moment.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_followers_are_one_fetch() {
    let (harbour, bytes) = (Harbour::new().await, blob(4 * MIB + 17));
    let source = Arc::new(Scripted::new("a", &bytes).with(|script| script.latency = Duration::from_millis(20)));
    for right in join_all((0..200).map(|_| harbour.compare(&source, &bytes))).await {
        assert!(right.unwrap(), "every body is right");
    }
    assert_eq!((source.opens(), source.confirms()), (1, 0));
    harbour.quiet().await;
    assert!(harbour.has(&source.digest).await);
    assert_eq!(harbour.links(&bytes).await, 1);
}

#[tokio::test]
async fn a_leader_that_leaves_stops_nothing() {
    let (harbour, bytes) = (Harbour::new().await, blob(MIB));
    let source = Arc::new(Scripted::new("a", &bytes).gated(MIB / 2));
    let mut leader = harbour.join(&source).await.unwrap().body(None);
    take(&mut leader, 1).await;
    let second = harbour.join(&source).await.unwrap();
    drop(leader);
    source.gate.send_replace(usize::MAX);
    assert!(drain(second.body(None)).await.unwrap() == bytes);
    assert_eq!(source.opens(), 1);
}

#[tokio::test]
async fn who_hangs_up_while_it_joins_leaves_a_flight_that_works() {
    let (harbour, bytes) = (Harbour::new().await, blob(MIB));
    let source = Arc::new(Scripted::new("a", &bytes).with(|script| script.latency = Duration::from_millis(5)));
    for _ in 0..20 {
        drop(tokio::time::timeout(Duration::from_micros(1), harbour.pull(&source)).await);
    }
    assert!(harbour.pull(&source).await.unwrap() == bytes);
    assert_eq!(source.opens(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_joins_at_the_moment_of_landing_meet_the_flight_or_the_blob() {
    let (harbour, bytes) = (Arc::new(Harbour::new().await), blob(300 << 10));
    let source = Arc::new(Scripted::new("a", &bytes).gated(bytes.len() - 1));
    let first = harbour.join(&source).await.unwrap();
    let joins = (0..300).map(|at| {
        let (harbour, source) = (harbour.clone(), source.clone());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_micros(at * 20)).await;
            if at == 100 {
                source.gate.send_replace(usize::MAX);
            }
            harbour.pull(&source).await
        })
    });
    for body in join_all(joins.collect::<Vec<_>>()).await {
        assert!(body.unwrap().unwrap() == bytes);
    }
    assert!(drain(first.body(None)).await.unwrap() == bytes);
    assert_eq!((source.opens(), source.confirms()), (1, 0));
    harbour.quiet().await;
    assert_eq!(harbour.links(&bytes).await, 1);
}

#[tokio::test]
async fn what_has_landed_is_read_from_the_store() {
    let (harbour, bytes) = (Harbour::new().await, blob(MIB));
    let source = Arc::new(Scripted::new("a", &bytes));
    let size = harbour.wish(&source, Wish::Prefetch).await.unwrap().landed().await.unwrap();
    assert_eq!((size, harbour.board.under_way()), (MIB as u64, 0), "off the board by then");
    let follower = harbour.join(&source).await.unwrap();
    assert_eq!(follower.head(soon()).await.unwrap().total, Some(size));
    assert!(drain(follower.body(Some(5..70_000))).await.unwrap() == bytes[5..70_000]);
    assert_eq!(source.opens(), 1);
}

#[tokio::test]
async fn an_empty_blob_lands() {
    let (harbour, bytes) = (Harbour::new().await, blob(0));
    for source in [Scripted::new("a", &bytes), Scripted::new("b", &bytes).unlisted().with(|script| script.total = None)] {
        assert!(harbour.pull(&Arc::new(source)).await.unwrap().is_empty());
    }
}
