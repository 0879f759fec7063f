//! Upstreams that break, lie, refuse and vanish.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use futures_util::future::join_all;

use super::source::{absent, outage};
use super::*;
use crate::registry::flight::HELD_BACK;

#[tokio::test]
async fn a_cut_at_every_sixteenth_is_resumed_from_the_byte_reached() {
    let (harbour, bytes) = (Harbour::new().await, blob(2 * MIB + 5));
    let cuts = vec![bytes.len() / 16; 16];
    let source = Arc::new(Scripted::new("a", &bytes).with(|script| script.cuts = cuts));
    assert!(harbour.pull(&source).await.unwrap() == bytes);
    assert_eq!(source.opens(), 17);
    assert!(source.sent.load(SeqCst) * 100 <= bytes.len() * 105);
    harbour.quiet().await;
    assert!(harbour.has(&source.digest).await);
}

#[tokio::test]
async fn no_byte_comes_twice_where_ranges_are_refused() {
    for total in [true, false] {
        let (harbour, bytes) = (Harbour::new().await, blob(MIB));
        let source = Scripted::new("a", &bytes).unlisted().with(|script| {
            (script.ranges, script.cuts) = (false, vec![MIB / 2, MIB / 4, 3 * MIB / 4]);
            script.total = script.total.filter(|_| total);
        });
        assert!(harbour.pull(&Arc::new(source)).await.unwrap() == bytes);
    }
}

#[tokio::test]
async fn a_source_is_given_up_after_five_attempts_without_a_byte() {
    let (harbour, bytes) = (Harbour::new().await, blob(MIB));
    let source = Scripted::new("a", &bytes).with(|script| script.cuts = vec![MIB / 2, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0]);
    let source = Arc::new(source);
    assert!(harbour.pull(&source).await.unwrap_err().contains("the connection broke"));
    assert_eq!(source.opens(), 9, "a byte in between resets the count");
    assert!(!harbour.has(&source.digest).await);
}

#[tokio::test]
async fn wrong_bytes_are_never_completed_and_never_stored() {
    for offset in [0, MIB / 2, MIB - 1] {
        let (harbour, bytes) = (Harbour::new().await, blob(MIB));
        let source = Arc::new(Scripted::new("a", &bytes).lying(offset).gated(MIB - 1));
        let followers = join_all((0..20).map(|_| harbour.join(&source))).await;
        let bodies = followers.into_iter().map(|follower| drain(follower.unwrap().body(None)));
        let release = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            source.gate.send_replace(usize::MAX);
        };
        for cut in tokio::join!(join_all(bodies), release).0 {
            let (got, error) = cut.unwrap_err();
            assert!(got.len() as u64 <= MIB as u64 - HELD_BACK, "{} bytes", got.len());
            assert_eq!(error, format!("registry.test: sent bytes that do not match the digest {}", source.digest));
        }
        harbour.quiet().await;
        assert!(!harbour.has(&source.digest).await);
        assert_eq!((harbour.links(&bytes).await, source.opens()), (0, 1));
        let healed = Arc::new(Scripted::new("a", &bytes));
        assert!(harbour.pull(&healed).await.unwrap() == bytes, "it can be retried at once, from the first byte");
        assert_eq!(healed.opens.lock().unwrap()[..], [0]);
    }
}

#[tokio::test]
async fn a_small_wrong_blob_gets_no_headers() {
    let (harbour, bytes) = (Harbour::new().await, blob(40_000));
    let source = Arc::new(Scripted::new("a", &bytes).lying(3));
    let follower = harbour.join(&source).await.unwrap();
    assert!(follower.head(soon()).await.is_err());
}

#[tokio::test]
async fn a_size_that_differs_from_the_edge_fails_before_any_byte() {
    let (harbour, bytes) = (Harbour::new().await, blob(MIB));
    let mut source = Scripted::new("a", &bytes);
    source.edge = Some(MIB as u64 + 1);
    let source = Arc::new(source);
    let follower = harbour.join(&source).await.unwrap();
    let error = follower.head(soon()).await.unwrap_err();
    assert!(error.to_string().contains("1048576 bytes, not 1048577"), "{error}");
    assert!(drain(follower.body(None)).await.unwrap_err().0.is_empty());
}

#[tokio::test]
async fn more_bytes_than_announced_are_not_the_blob() {
    let (harbour, bytes) = (Harbour::new().await, blob(MIB));
    let mut source = Scripted::new("a", &bytes).with(|script| script.total = None);
    source.edge = Some(MIB as u64 - 1);
    assert!(harbour.pull(&Arc::new(source)).await.is_err());
}

#[tokio::test]
async fn an_unknown_length_ends_with_the_proof_or_with_an_error() {
    let (harbour, bytes) = (Harbour::new().await, blob(MIB));
    let source = || Scripted::new("a", &bytes).unlisted().with(|script| script.total = None).gated(MIB / 2);
    let lying = Arc::new(source().lying(MIB - 1));
    let follower = harbour.join(&lying).await.unwrap();
    assert_eq!(follower.head(soon()).await.unwrap().total, None);
    lying.gate.send_replace(usize::MAX);
    assert!(drain(follower.body(None)).await.unwrap_err().0.len() as u64 <= MIB as u64 - HELD_BACK);

    let honest = Arc::new(source());
    let follower = harbour.join(&honest).await.unwrap();
    assert_eq!(follower.head(soon()).await.unwrap().total, None);
    honest.gate.send_replace(usize::MAX);
    assert!(drain(follower.body(None)).await.unwrap() == bytes);
}

#[tokio::test]
async fn every_follower_of_a_failed_flight_hears_the_same_and_may_try_again_at_once() {
    for refusal in [absent(), outage(500)] {
        let (harbour, bytes) = (Arc::new(Harbour::new().await), blob(MIB));
        let source = Scripted::new("a", &bytes).with(|script| {
            script.latency = Duration::from_millis(10);
            script.answer = Some(refusal.clone());
        });
        let source = Arc::new(source);
        for error in join_all((0..20).map(|_| harbour.pull(&source))).await {
            assert_eq!(error.unwrap_err(), refusal.to_string());
        }
        assert_eq!((source.opens(), harbour.board.under_way()), (1, 0));
        source.script.lock().unwrap().answer = None;
        assert!(harbour.pull(&source).await.unwrap() == bytes);
    }
}

#[tokio::test]
async fn what_an_outage_left_is_not_fetched_again() {
    let (harbour, bytes) = (Harbour::new().await, blob(MIB));
    let source = Arc::new(Scripted::new("a", &bytes).with(|script| script.cuts = vec![MIB / 2, 0, 0, 0, 0, 0]));
    assert!(harbour.pull(&source).await.is_err());
    source.script.lock().unwrap().cuts.clear();
    assert!(harbour.pull(&source).await.unwrap() == bytes);
    assert_eq!(source.opens.lock().unwrap().last(), Some(&(MIB as u64 / 2)));
}

#[tokio::test]
async fn a_pilot_that_panics_is_failure_for_every_follower() {
    let (harbour, bytes) = (Harbour::new().await, blob(MIB));
    let source = Arc::new(Scripted::new("a", &bytes).with(|script| script.panics = true));
    for error in join_all((0..3).map(|_| harbour.pull(&source))).await {
        assert!(error.unwrap_err().ends_with("broke off"));
    }
    source.script.lock().unwrap().panics = false;
    assert!(harbour.pull(&source).await.unwrap() == bytes);
}

#[tokio::test]
async fn headers_are_waited_for_no_longer_than_the_budget() {
    let (harbour, bytes) = (Harbour::new().await, blob(MIB));
    let source = Arc::new(Scripted::new("a", &bytes).with(|script| script.latency = Duration::from_secs(60)));
    let follower = harbour.join(&source).await.unwrap();
    let budget = Budget::lasting(Duration::from_millis(20));
    assert!(follower.head(budget).await.unwrap_err().to_string().starts_with("registry.test: no answer within"));
}

#[tokio::test]
async fn proved_bytes_are_served_even_if_they_cannot_be_recorded() {
    let (harbour, bytes) = (Harbour::new().await, blob(MIB));
    harbour.facts.fail(true);
    let source = Arc::new(Scripted::new("a", &bytes).gated(MIB / 2));
    let (reader, waiter) = (harbour.join(&source).await.unwrap(), harbour.wish(&source, Wish::Prefetch).await.unwrap());
    source.gate.send_replace(usize::MAX);
    assert!(matches!(waiter.landed().await, Err(FetchError::Commit(_))));
    assert!(drain(reader.body(None)).await.unwrap() == bytes);
    harbour.facts.fail(false);
    assert!(harbour.pull(&source).await.unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flight_that_fails_before_its_starter_is_in_fails_for_him_and_is_not_started_again() {
    let (harbour, bytes) = (Arc::new(Harbour::new().await), blob(MIB));
    let source = Arc::new(Scripted::new("a", &bytes).with(|script| script.answer = Some(outage(503))));
    for _ in 0..100 {
        let (harbour, source) = (harbour.clone(), source.clone());
        // A task of its own, lest an endless one takes the clock with it.
        let pulled = tokio::spawn(async move { harbour.pull(&source).await });
        let pulled = tokio::time::timeout(Duration::from_secs(10), pulled).await.expect("it ends");
        assert!(pulled.unwrap().unwrap_err().contains("503"));
    }
    assert_eq!(source.opens(), 100);
}
