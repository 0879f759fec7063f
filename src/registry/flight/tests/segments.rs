//! Large blobs by several bodies at once: each byte once, each in its place.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use super::*;
use crate::registry::flight::{HELD_BACK, Places};

/// Everything from 256 KiB on is large.
fn small() -> Tuning {
    let measure = Duration::from_millis(2);
    Tuning { large: 256 << 10, stretch: 256 << 10, half: 32 << 10, far: 512 << 10, measure, ..tuning() }
}

/// A source that sends at a steady pace, by up to four bodies.
fn steady(bytes: &Bytes) -> Scripted {
    Scripted::new("a", bytes).with(|script| (script.segments, script.pause) = (4, Duration::from_millis(1)))
}

fn sent_once(source: &Scripted) -> bool {
    source.sent.load(SeqCst) * 100 <= source.bytes.len() * 105
}

#[tokio::test]
async fn a_slow_source_is_asked_by_several_bodies_for_each_byte_once() {
    for segments in [1, 2, 3, 4] {
        let (harbour, bytes) = (Harbour::tuned(small()).await, blob(4 * MIB + 77));
        let source = Arc::new(steady(&bytes).with(|script| script.segments = segments));
        assert!(harbour.pull(&source).await.unwrap() == bytes);
        harbour.quiet().await;
        assert!(harbour.has(&source.digest).await);
        assert_eq!(source.opens() > 1, segments > 1);
        assert!(sent_once(&source), "{} bytes", source.sent.load(SeqCst));
        assert!(source.most_at_once() <= segments);
    }
}

#[tokio::test]
async fn a_small_blob_and_one_of_unknown_length_come_by_one_body() {
    let (harbour, bytes) = (Harbour::tuned(small()).await, blob(255 << 10));
    let source = Arc::new(steady(&bytes));
    assert!(harbour.pull(&source).await.unwrap() == bytes);
    assert_eq!(source.opens(), 1);
    let (harbour, bytes) = (Harbour::tuned(small()).await, blob(MIB));
    let source = Arc::new(steady(&bytes).unlisted().with(|script| script.total = None));
    assert!(harbour.pull(&source).await.unwrap() == bytes);
    assert_eq!(source.opens(), 1);
}

#[tokio::test]
async fn whichever_body_is_cut_the_others_go_on_and_no_byte_comes_twice() {
    for nth in 0..8 {
        let (harbour, bytes) = (Harbour::tuned(small()).await, blob(4 * MIB));
        let mut cuts = vec![1 << 40; nth];
        cuts.push(100_000);
        let source = Arc::new(steady(&bytes).with(|script| script.cuts = cuts));
        assert!(harbour.pull(&source).await.unwrap() == bytes, "cut of body {nth}");
        assert!(sent_once(&source), "cut of body {nth}: {} bytes", source.sent.load(SeqCst));
    }
}

#[tokio::test]
async fn what_an_outage_left_in_pieces_is_not_fetched_again() {
    let (harbour, bytes) = (Harbour::tuned(small()).await, blob(4 * MIB));
    // The first breaks while others go on; then nothing comes any more.
    let mut cuts = vec![400_000, 1 << 40, 1 << 40];
    cuts.extend([0; 40]);
    let source = Arc::new(steady(&bytes).with(|script| script.cuts = cuts));
    assert!(harbour.pull(&source).await.is_err());
    let left = source.sent.load(SeqCst);
    assert!(left > 400_000, "others brought something");
    source.script.lock().unwrap().cuts.clear();
    assert!(harbour.pull(&source).await.unwrap() == bytes);
    assert!(sent_once(&source), "{left} bytes, then {}", source.sent.load(SeqCst));
}

#[tokio::test]
async fn bytes_of_another_tag_are_not_mixed_in() {
    let (harbour, bytes) = (Harbour::tuned(small()).await, blob(2 * MIB));
    let source = Arc::new(steady(&bytes).with(|script| script.tags = vec!["one".into(), "two".into()]));
    assert!(harbour.pull(&source).await.unwrap() == bytes);
    assert_eq!(source.opens.lock().unwrap().len(), 2, "the second was refused, and no third was asked for");
}

#[tokio::test]
async fn a_wrong_byte_in_any_stretch_is_never_completed_and_never_stored() {
    for offset in [0, MIB + 5, 2 * MIB - 1] {
        let (harbour, bytes) = (Harbour::tuned(small()).await, blob(2 * MIB));
        let source = Arc::new(steady(&bytes).lying(offset));
        let (got, error) = drain(harbour.join(&source).await.unwrap().body(None)).await.unwrap_err();
        assert!(got.len() as u64 <= 2 * MIB as u64 - HELD_BACK);
        assert!(error.contains("do not match the digest"), "{error}");
        harbour.quiet().await;
        assert!(!harbour.has(&source.digest).await && harbour.links(&bytes).await == 0);
        assert!(harbour.pull(&Arc::new(steady(&bytes))).await.unwrap() == bytes);
    }
}

#[tokio::test]
async fn a_store_that_fills_up_passes_the_rest_through() {
    let (harbour, bytes) = (Harbour::tuned(small()).await, blob(4 * MIB));
    harbour.cellar.fills_after(2 * MIB);
    let source = Arc::new(steady(&bytes));
    let ranged = harbour.join(&source).await.unwrap().body(Some(3 * MIB as u64..3 * MIB as u64 + 500_000));
    let (whole, part) = tokio::join!(harbour.pull(&source), drain(ranged));
    assert!(whole.unwrap() == bytes && part.unwrap() == bytes[3 * MIB..3 * MIB + 500_000]);
    assert!(!harbour.has(&source.digest).await);
}

#[tokio::test]
async fn a_wanted_flight_takes_the_place_of_a_further_body() {
    let (harbour, places) = (Harbour::tuned(Tuning { stretch: 8 << 20, ..small() }).await, Places::new(2));
    let (one, two) = (blob(4 * MIB), blob(300_000));
    let large = Arc::new(steady(&one).at(&places));
    let reader = harbour.join(&large).await.unwrap();
    until(|| large.opens() > 1).await;
    let other = Arc::new(steady(&two).at(&places));
    assert!(harbour.pull(&other).await.unwrap() == two);
    assert!(large.sent.load(SeqCst) < 3 * MIB, "it did not wait for the further body's end");
    assert!(drain(reader.body(None)).await.unwrap() == one);
    assert!(sent_once(&large));
}

#[tokio::test]
async fn a_reader_far_ahead_is_served_before_what_lies_between() {
    let (harbour, bytes) = (Harbour::tuned(small()).await, blob(8 * MIB));
    let source = Arc::new(steady(&bytes).with(|script| script.pause = Duration::from_millis(10)));
    let whole = harbour.join(&source).await.unwrap();
    let (from, to) = (6 * MIB, 6 * MIB + 100_000);
    let part = drain(harbour.join(&source).await.unwrap().body(Some(from as u64..to as u64))).await.unwrap();
    assert!(part == bytes[from..to]);
    assert!(source.sent.load(SeqCst) < bytes.len() / 2, "{} bytes were fetched first", source.sent.load(SeqCst));
    source.script.lock().unwrap().pause = Duration::ZERO;
    assert!(drain(whole.body(None)).await.unwrap() == bytes);
    assert!(sent_once(&source));
}

#[tokio::test]
async fn the_first_goes_on_after_a_cut_while_another_serves_a_reader_far_ahead() {
    let never = Duration::from_secs(3600);
    let (harbour, bytes) = (Harbour::tuned(Tuning { measure: never, ..small() }).await, blob(8 * MIB));
    let source = Arc::new(steady(&bytes).with(|script| (script.pause, script.cuts) = (Duration::from_millis(5), vec![400_000])));
    let mut whole = harbour.join(&source).await.unwrap().body(None);
    let mut ahead = harbour.join(&source).await.unwrap().body(Some(6 * MIB as u64..8 * MIB as u64));
    take(&mut ahead, 1).await;
    take(&mut whole, MIB).await;
    assert!(source.sent.load(SeqCst) < 5 * MIB / 2, "{} bytes were fetched first", source.sent.load(SeqCst));
}
