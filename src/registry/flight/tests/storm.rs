//! Everybody at once: joins, ranges, hang-ups, cuts, few places, flights that stop and go on.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::*;
use crate::registry::flight::Places;
use crate::registry::flight::demand::Demand;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_storm_every_byte_is_right_and_everything_lands() {
    let pieces = Tuning { large: 300_000, stretch: 90_000, half: 8_000, far: 120_000, measure: Duration::ZERO, ..tuning() };
    let small = Tuning { small: 1, linger: Duration::from_millis(2), ring: 64 << 10, tell_bytes: 32 << 10, batch: 64 << 10, ..pieces };
    let (harbour, places) = (Arc::new(Harbour::tuned(small).await), Places::new(3));
    let mut clients = Vec::new();
    let blobs: Vec<Bytes> = (0..12).map(|at| blob(200_000 + at * 70_001)).collect();
    for (number, bytes) in blobs.iter().enumerate() {
        let sources = ["a", "b", "c"].map(|name| {
            Arc::new(Scripted::new(name, bytes).at(&places).with(|script| {
                script.cuts = vec![100_000, 0, 50_001, 1];
                (script.segments, script.pause) = (1 + number % 4, Duration::from_micros(number as u64 % 3 * 50));
                (script.chunk, script.latency) = (5_000 + number * 2_000, Duration::from_micros(number as u64 * 300));
            }))
        });
        clients.extend((0..15).map(|at| {
            let (harbour, source, bytes) = (harbour.clone(), sources[at % 3].clone(), bytes.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_micros((at * at * 100 + number * 500) as u64)).await;
                behave(&harbour, &source, &bytes, at + number).await;
            })
        }));
    }
    for client in join_all(clients).await {
        client.unwrap();
    }
    for bytes in &blobs {
        let source = Arc::new(Scripted::new("a", bytes));
        harbour.wish(&source, Wish::Prefetch).await.unwrap().landed().await.unwrap();
        assert!(harbour.compare(&source, bytes).await.unwrap());
    }
    harbour.quiet().await;
    drop(tokio::time::timeout(Duration::from_secs(5), places.take(&Arc::new(Demand::new()))).await.expect("every place was given back"));
}

async fn behave(harbour: &Harbour, source: &Arc<Scripted>, bytes: &Bytes, kind: usize) {
    let length = bytes.len();
    match kind % 5 {
        0 => drop(harbour.wish(source, Wish::Ahead).await.unwrap()),
        1 => {
            let mut body = harbour.join(source).await.unwrap().body(None);
            assert!(bytes.starts_with(&take(&mut body, length / 3).await));
        }
        2 => {
            let (start, end) = (length / 4, length - kind);
            let body = harbour.join(source).await.unwrap().body(Some(start as u64..end as u64));
            assert!(reads(body, &bytes[start..end]).await.unwrap());
        }
        3 => drop(tokio::time::timeout(Duration::from_millis(3), harbour.pull(source)).await),
        _ => assert!(harbour.compare(source, bytes).await.unwrap()),
    }
}
