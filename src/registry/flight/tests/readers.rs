//! Readers of all kinds: ranged, slow, gone.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::registry::flight::HELD_BACK;

#[tokio::test]
async fn a_reader_that_never_reads_holds_nobody_up() {
    let (harbour, bytes) = (Harbour::new().await, blob(8 * MIB));
    let source = Arc::new(Scripted::new("a", &bytes));
    let mut idle = harbour.join(&source).await.unwrap().body(None);
    let begun = take(&mut idle, 1).await;
    assert!(harbour.pull(&source).await.unwrap() == bytes);
    harbour.quiet().await;
    let rest = drain(idle).await.unwrap();
    assert!([begun, rest].concat() == bytes, "and gets its bytes when it reads at last");
}

#[tokio::test]
async fn ranges_before_within_and_past_the_head_are_right() {
    let (harbour, bytes) = (Harbour::new().await, blob(4 * MIB));
    let source = Arc::new(Scripted::new("a", &bytes).gated(2 * MIB));
    let mut head = harbour.join(&source).await.unwrap().body(None);
    take(&mut head, 2 * MIB).await;

    let before = harbour.join(&source).await.unwrap().body(Some(10..500_000));
    assert!(drain(before).await.unwrap() == bytes[10..500_000], "from the draft");
    let near = harbour.join(&source).await.unwrap().body(Some(2 * MIB as u64 - 70_000..2 * MIB as u64 - 5));
    assert!(drain(near).await.unwrap() == bytes[2 * MIB - 70_000..2 * MIB - 5], "from memory");

    let mut across = harbour.join(&source).await.unwrap().body(Some(2 * MIB as u64 - 5..2 * MIB as u64 + 5));
    assert!(take(&mut across, 5).await == bytes[2 * MIB - 5..2 * MIB]);
    assert!(starved(&mut across).await);
    let mut past = harbour.join(&source).await.unwrap().body(Some(3 * MIB as u64..4 * MIB as u64));
    assert!(starved(&mut past).await);

    source.gate.send_replace(usize::MAX);
    assert!(drain(across).await.unwrap() == bytes[2 * MIB..2 * MIB + 5]);
    assert!(drain(past).await.unwrap() == bytes[3 * MIB..]);
    assert!(drain(head).await.unwrap() == bytes[2 * MIB..]);
    assert_eq!(source.opens(), 1);
}

#[tokio::test]
async fn the_end_is_held_back_until_the_proof() {
    let (harbour, bytes) = (Harbour::new().await, blob(MIB));
    let held = MIB - HELD_BACK as usize;
    let source = Arc::new(Scripted::new("a", &bytes).gated(MIB - 1));
    let mut body = harbour.join(&source).await.unwrap().body(None);
    assert!(take(&mut body, held).await == bytes[..held]);
    assert!(starved(&mut body).await);
    let inner = harbour.join(&source).await.unwrap().body(Some(0..held as u64));
    assert!(drain(inner).await.unwrap() == bytes[..held], "a range before the end finishes before the proof");
    let mut end = harbour.join(&source).await.unwrap().body(Some(held as u64..held as u64 + 1));
    assert!(starved(&mut end).await);
    source.gate.send_replace(usize::MAX);
    assert!(drain(body).await.unwrap() == bytes[held..]);
    assert!(drain(end).await.unwrap() == bytes[held..=held]);
}

#[tokio::test]
async fn the_first_bytes_are_told_at_once_and_a_trickle_soon() {
    let (harbour, bytes) = (Harbour::new().await, blob(MIB));
    let source = Arc::new(Scripted::new("a", &bytes).gated(1));
    let mut body = harbour.join(&source).await.unwrap().body(None);
    assert_eq!(take(&mut body, 1).await.len(), 1);
    for count in 2..20 {
        source.gate.send_replace(count);
        assert_eq!(take(&mut body, 1).await.len(), 1);
    }
}

#[tokio::test]
async fn a_flight_goes_on_when_all_have_left() {
    let (harbour, bytes) = (Harbour::new().await, blob(MIB));
    let source = Arc::new(Scripted::new("a", &bytes).gated(MIB / 8));
    drop(harbour.join(&source).await.unwrap());
    tokio::time::sleep(Duration::from_millis(120)).await;
    source.gate.send_replace(usize::MAX);
    harbour.quiet().await;
    assert!(harbour.has(&source.digest).await);
}

#[tokio::test]
async fn a_large_one_stops_and_its_draft_waits_for_the_next() {
    let (harbour, bytes) = (Harbour::tuned(Tuning { small: 1, ..tuning() }).await, blob(MIB));
    let source = Arc::new(Scripted::new("a", &bytes).gated(MIB / 8));
    let mut reader = harbour.join(&source).await.unwrap().body(None);
    take(&mut reader, MIB / 8).await;
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert_eq!(harbour.board.under_way(), 1, "somebody follows");
    drop(reader);
    harbour.quiet().await;
    assert!(!harbour.has(&source.digest).await);
    source.gate.send_replace(usize::MAX);
    assert!(harbour.pull(&source).await.unwrap() == bytes);
    assert_eq!(source.opens.lock().unwrap()[..], [0, MIB as u64 / 8]);
}

#[tokio::test]
async fn a_kept_draft_goes_after_its_time() {
    let shelf = Duration::from_millis(20);
    let (harbour, bytes) = (Harbour::tuned(Tuning { small: 1, shelf, ..tuning() }).await, blob(MIB));
    let source = Arc::new(Scripted::new("a", &bytes).gated(MIB / 8));
    drop(harbour.join(&source).await.unwrap());
    harbour.quiet().await;
    tokio::time::sleep(2 * shelf).await;
    source.gate.send_replace(usize::MAX);
    assert!(harbour.pull(&source).await.unwrap() == bytes);
    assert_eq!(source.opens.lock().unwrap()[..], [0, 0]);
}

#[tokio::test]
async fn past_a_quarter_or_for_a_prefetch_a_large_one_goes_on() {
    for (wish, gate) in [(Wish::Client, MIB / 2), (Wish::Prefetch, MIB / 8)] {
        let (harbour, bytes) = (Harbour::tuned(Tuning { small: 1, ..tuning() }).await, blob(MIB));
        let source = Arc::new(Scripted::new("a", &bytes).gated(gate));
        let mut reader = harbour.wish(&source, wish).await.unwrap().body(None);
        take(&mut reader, gate).await;
        drop(reader);
        tokio::time::sleep(Duration::from_millis(120)).await;
        source.gate.send_replace(usize::MAX);
        harbour.quiet().await;
        assert!(harbour.has(&source.digest).await);
    }
}
