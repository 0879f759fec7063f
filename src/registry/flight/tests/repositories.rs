//! Whose bytes they are: links and refusals belong to one repository.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::source::{absent, outage};
use super::*;

#[tokio::test]
async fn one_digest_under_five_repositories_is_one_fetch_and_five_links() {
    let (harbour, bytes) = (Harbour::new().await, blob(MIB));
    let scripted = |name| Arc::new(Scripted::new(name, &bytes).with(|script| script.latency = Duration::from_millis(5)));
    let sources = ["a", "b", "c", "d", "e"].map(scripted);
    let twice = sources.iter().chain(&sources);
    for body in join_all(twice.map(|source| harbour.pull(source))).await {
        assert!(body.unwrap() == bytes);
    }
    harbour.quiet().await;
    assert_eq!(sources.iter().map(|source| source.opens()).sum::<usize>(), 1);
    assert_eq!(sources.each_ref().map(|source| source.confirms()), [0, 1, 1, 1, 1]);
    assert_eq!(harbour.links(&bytes).await, 5);
}

#[tokio::test]
async fn bytes_that_are_here_need_a_right_of_their_own() {
    let (harbour, bytes) = (Harbour::new().await, blob(MIB));
    harbour.pull(&Arc::new(Scripted::new("a", &bytes))).await.unwrap();
    harbour.quiet().await;
    let stranger = Arc::new(Scripted::new("b", &bytes).with(|script| script.answer = Some(absent())));
    assert_eq!(harbour.pull(&stranger).await.unwrap_err(), "registry.test does not have it");
    assert_eq!(harbour.links(&bytes).await, 1);
    let entitled = Arc::new(Scripted::new("c", &bytes));
    for _ in 0..2 {
        assert!(harbour.pull(&entitled).await.unwrap() == bytes);
    }
    assert_eq!((entitled.opens(), entitled.confirms(), harbour.links(&bytes).await), (0, 1, 2));
}

#[tokio::test]
async fn a_flight_of_another_repository_is_closed_to_who_has_no_right() {
    let (harbour, bytes) = (Harbour::new().await, blob(MIB));
    let source = Arc::new(Scripted::new("a", &bytes).gated(MIB / 2));
    let first = harbour.join(&source).await.unwrap();
    let stranger = Arc::new(Scripted::new("b", &bytes).with(|script| script.head = Some(absent())));
    assert!(matches!(harbour.join(&stranger).await, Err(FetchError::Refused(crate::upstream::Refusal::Absent { .. }))));
    source.gate.send_replace(usize::MAX);
    assert!(drain(first.body(None)).await.unwrap() == bytes);
    harbour.quiet().await;
    assert_eq!((stranger.opens(), harbour.links(&bytes).await), (0, 1));
}

#[tokio::test]
async fn absent_is_told_only_to_those_who_came_by_that_source() {
    for refusal in [absent(), outage(503)] {
        let (harbour, bytes) = (Harbour::new().await, blob(MIB));
        let refused = Scripted::new("a", &bytes).with(|script| {
            script.latency = Duration::from_millis(30);
            script.answer = Some(refusal.clone());
        });
        let (refused, good) = (Arc::new(refused), Arc::new(Scripted::new("b", &bytes)));
        let (lost, twin, won) = tokio::join!(harbour.pull(&refused), harbour.pull(&refused), harbour.pull(&good));
        assert_eq!((lost.unwrap_err(), twin.unwrap_err()), (refusal.to_string(), refusal.to_string()));
        assert!(won.unwrap() == bytes, "the flight goes on with the next source");
        harbour.quiet().await;
        assert_eq!((refused.opens(), harbour.links(&bytes).await), (1, 1), "no link without a right");
    }
}

#[tokio::test]
async fn the_flight_fails_over_to_another_source_where_the_first_breaks() {
    let (harbour, bytes) = (Harbour::new().await, blob(MIB));
    let broken = Arc::new(Scripted::new("a", &bytes).gated(MIB / 2).with(|script| script.cuts = vec![MIB / 2, 0, 0, 0, 0, 0, 0]));
    let mut first = harbour.join(&broken).await.unwrap().body(None);
    let mut got = take(&mut first, 1).await;
    let other = Arc::new(Scripted::new("b", &bytes));
    let second = harbour.join(&other).await.unwrap();
    broken.gate.send_replace(usize::MAX);
    assert!(drain(second.body(None)).await.unwrap() == bytes);
    got.extend(drain(first).await.unwrap());
    assert!(got == bytes, "who came by a source that had opened stays");
    harbour.quiet().await;
    assert_eq!(other.opens.lock().unwrap()[..], [MIB as u64 / 2]);
    assert_eq!(harbour.links(&bytes).await, 2);
}

#[tokio::test]
async fn what_an_earlier_flight_left_is_shown_to_nobody_who_has_no_right() {
    let (harbour, bytes) = (Harbour::new().await, blob(MIB));
    let broken = Scripted::new("a", &bytes).with(|script| script.cuts = vec![MIB / 2, 0, 0, 0, 0, 0]);
    assert!(harbour.pull(&Arc::new(broken)).await.is_err());
    let stranger = Scripted::new("b", &bytes).with(|script| {
        script.latency = Duration::from_millis(30);
        script.answer = Some(absent());
    });
    let stranger = Arc::new(stranger);
    let body = harbour.join(&stranger).await.unwrap().body(None);
    let (got, error) = drain(body).await.unwrap_err();
    assert_eq!((got.len(), error.as_str()), (0, "registry.test does not have it"));
    assert_eq!(stranger.opens.lock().unwrap()[..], [MIB as u64 / 2]);
}
