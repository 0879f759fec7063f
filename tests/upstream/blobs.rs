//! Blobs on their way: ranges, redirects, and connections that end, lie or fall asleep.

use entrepot::upstream::BlobAnswer;
use futures_util::StreamExt as _;

use super::fault_upstream::{Fault, FaultUpstream};
use super::*;

const SIZE: usize = 1 << 20;

fn bytes() -> Vec<u8> {
    (0..SIZE).map(|i| (i * 7 + i / 253) as u8).collect()
}

async fn hub() -> (FaultUpstream, Digest) {
    let hub = FaultUpstream::start().await;
    let digest = hub.blob("a/b", bytes());
    (hub, digest)
}

async fn ask(upstream: &Upstream, digest: &Digest, from: u64) -> Result<BlobAnswer, Refusal> {
    upstream.blob(&name("a/b"), digest, from, None, budget()).await
}

/// All bytes, and how it ended. Nothing comes after an error.
async fn read(mut answer: BlobAnswer) -> (Vec<u8>, Option<Cause>) {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.body.next().await {
        match chunk {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(cause) => {
                assert!(answer.body.next().await.is_none());
                (answer.blame)(&cause);
                return (bytes, Some(cause));
            }
        }
    }
    (bytes, None)
}

#[tokio::test]
async fn a_blob_comes_whole_or_from_any_offset() {
    let (hub, digest) = hub().await;
    let upstream = upstream(&hub);
    assert_eq!(upstream.head_blob(&name("a/b"), &digest, budget()).await.unwrap(), Some(SIZE as u64));
    for from in [0, 1, SIZE as u64 - 1] {
        let answer = ask(&upstream, &digest, from).await.unwrap();
        assert_eq!((answer.start, answer.total), (from, Some(SIZE as u64)));
        let (got, end) = read(answer).await;
        assert!(end.is_none() && got == bytes()[from as usize..]);
    }
    hub.on("/v2/", Fault::RefuseRanges);
    let answer = ask(&upstream, &digest, 1000).await.unwrap();
    assert_eq!((answer.start, answer.total), (0, Some(SIZE as u64)));
    assert!(read(answer).await.0 == bytes());
}

#[tokio::test]
async fn a_part_of_a_blob_is_that_part_or_everything() {
    let (hub, digest) = hub().await;
    let upstream = upstream(&hub);
    for part in [0..10, 0..SIZE as u64, 1000..1001, 5000..SIZE as u64 - 1] {
        let answer = upstream.blob_part(&name("a/b"), &digest, part.clone(), None, budget()).await.unwrap();
        assert_eq!((answer.start, answer.total), (part.start, Some(SIZE as u64)));
        let (got, end) = read(answer).await;
        assert!(end.is_none() && got == bytes()[part.start as usize..part.end as usize]);
    }
    hub.on("/v2/", Fault::RefuseRanges).on("/v2/", Fault::Header("ETag".into(), "\"x\"".into()));
    let answer = upstream.blob_part(&name("a/b"), &digest, 10..20, None, budget()).await.unwrap();
    assert_eq!((answer.start, answer.tag.as_deref()), (0, Some("\"x\"")));
    hub.heal().on("/v2/", Fault::Truncate(5));
    let shorter = upstream.blob_part(&name("a/b"), &digest, 10..20, None, budget()).await.map(|answer| answer.start);
    assert!(matches!(cause(shorter), Cause::Malformed { what: "blob", .. }));
}

#[tokio::test]
async fn a_range_that_was_not_asked_for_is_refused() {
    let (hub, digest) = hub().await;
    hub.on("/v2/", Fault::WrongRange);
    let outcome = ask(&upstream(&hub), &digest, 1000).await.map(|answer| answer.start);
    assert!(matches!(cause(outcome), Cause::Malformed { what: "blob", .. }));
    hub.heal().on("/v2/", Fault::Coded);
    cause(ask(&upstream(&hub), &digest, 0).await.map(|answer| answer.start));
}

#[tokio::test]
async fn a_redirect_gets_the_range_but_no_authorization() {
    let (hub, digest) = hub().await;
    hub.behave(|b| (b.tokens, b.redirect) = (true, true));
    let upstream = upstream(&hub);
    for from in [0, 4096] {
        let (got, end) = read(ask(&upstream, &digest, from).await.unwrap()).await;
        assert!(end.is_none() && got == bytes()[from as usize..]);
    }
    let cdn: Vec<Seen> = hub.seen().into_iter().filter(|seen| seen.cdn).collect();
    assert_eq!(cdn.len(), 2);
    assert!(cdn.iter().all(|seen| seen.request.header("authorization").is_none()));
    assert_eq!(cdn[1].request.header("range"), Some("bytes=4096-"));
    assert_eq!((hub.blob_gets(&digest), hub.count("GET", "/token")), (3, 1));
}

#[tokio::test]
async fn a_cut_body_ends_in_an_error_and_goes_on_through_the_registry() {
    let (hub, digest) = hub().await;
    hub.behave(|b| b.redirect = true).on_nth("/cdn/", 1, Fault::CutAfter(300_000)).on_nth("/cdn/", 3, Fault::BareForbidden);
    let upstream = upstream(&hub);
    let (first, end) = read(ask(&upstream, &digest, 0).await.unwrap()).await;
    assert!(matches!(end, Some(Cause::Broken(_))), "{end:?}");
    let (rest, end) = read(ask(&upstream, &digest, first.len() as u64).await.unwrap()).await;
    assert!(end.is_none());
    assert!([first, rest].concat() == bytes());
    assert_eq!(hub.bytes_sent(), SIZE as u64);
    let refused = ask(&upstream, &digest, 5).await.map(|answer| answer.start);
    assert!(matches!(cause(refused), Cause::Status { status: 403, .. }), "an expired URL is a failure, not a denial");
    assert_eq!(ask(&upstream, &digest, 5).await.unwrap().start, 5);
    assert_eq!(hub.blob_gets(&digest), 4, "each time the registry was asked for a new URL");
}

#[tokio::test]
async fn a_body_is_as_long_as_was_declared_or_ends_in_an_error() {
    let (hub, digest) = hub().await;
    let upstream = upstream(&hub);
    hub.on("/v2/", Fault::LengthLie(10));
    let answer = ask(&upstream, &digest, 0).await.unwrap();
    assert_eq!(answer.total, Some(SIZE as u64 + 10));
    assert!(matches!(read(answer).await.1, Some(Cause::Broken(_))));
    hub.heal().on("/v2/", Fault::LengthLie(-10));
    let answer = ask(&upstream, &digest, 0).await.unwrap();
    assert_eq!((answer.total, read(answer).await.0.len()), (Some(SIZE as u64 - 10), SIZE - 10));
    hub.heal().on("/v2/", Fault::Chunked);
    let answer = ask(&upstream, &digest, 0).await.unwrap();
    assert_eq!(answer.total, None);
    assert!(read(answer).await.0 == bytes());
    let answer = ask(&upstream, &digest, 10).await.unwrap();
    assert_eq!(answer.total, Some(SIZE as u64));
    assert!(read(answer).await.0 == bytes()[10..]);
    for fault in [Fault::Truncate(1), Fault::Append(1)] {
        hub.heal().on("/v2/", Fault::Chunked).on("/v2/", fault.clone());
        let (_, end) = read(ask(&upstream, &digest, 10).await.unwrap()).await;
        assert!(matches!(end, Some(Cause::Broken(_))), "{fault:?}: the Content-Range declared another length");
    }
}

fn impatient(hub: &FaultUpstream) -> Upstream {
    let hundredth = Deadlines::default().scaled(100);
    let deadlines = Deadlines { stall: hundredth.stall, window: hundredth.window, rate: 100_000, ..deadlines() };
    Upstream::new(&hub.upstream_settings(REGISTRY), deadlines).unwrap()
}

#[tokio::test]
async fn a_body_that_falls_asleep_is_given_up() {
    let (hub, digest) = hub().await;
    hub.on("/v2/", Fault::StallAfter(1000));
    let (got, end) = read(ask(&impatient(&hub), &digest, 0).await.unwrap()).await;
    assert_eq!(got.len(), 1000);
    assert!(matches!(end, Some(Cause::Broken(_))));
}

#[tokio::test]
async fn a_body_that_drips_is_given_up() {
    let (hub, digest) = hub().await;
    hub.on("/v2/", Fault::Drip { bytes: 10, every_ms: 10 });
    let (got, end) = read(ask(&impatient(&hub), &digest, 0).await.unwrap()).await;
    assert!(got.len() < SIZE);
    assert!(matches!(end, Some(Cause::Broken(_))));
}

#[tokio::test]
async fn a_reader_that_takes_its_time_is_not_held_against_the_upstream() {
    let (hub, digest) = hub().await;
    let mut answer = ask(&impatient(&hub), &digest, 0).await.unwrap();
    let mut got = 0;
    while let Some(chunk) = answer.body.next().await {
        got += chunk.unwrap().len();
        if got < 300_000 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    assert_eq!(got, SIZE);
}

#[tokio::test]
async fn an_endpoint_whose_bodies_break_is_asked_after_the_others() {
    let ((one, digest), (two, _)) = (hub().await, hub().await);
    one.on("/v2/", Fault::CutAfter(1000));
    let upstream = in_front_of(&[&one, &two]);
    let (got, _) = read(ask(&upstream, &digest, 0).await.unwrap()).await;
    let (rest, end) = read(ask(&upstream, &digest, got.len() as u64).await.unwrap()).await;
    assert!(end.is_none());
    assert!([got, rest].concat() == bytes());
    assert_eq!((one.blob_gets(&digest), two.blob_gets(&digest)), (1, 1));
}
