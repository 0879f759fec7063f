//! Places: a bound on bodies, and who goes first.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::*;
use crate::registry::flight::Places;
use crate::registry::flight::demand::Demand;

#[tokio::test]
async fn no_more_bodies_run_than_there_are_places() {
    let (harbour, places) = (Harbour::new().await, Places::new(2));
    let blobs = [1, 2, 3, 4, 5].map(|at| blob(MIB / 2 + at));
    let sources = blobs.each_ref().map(|bytes| Arc::new(Scripted::new("a", bytes).at(&places).gated(MIB / 4)));
    let pulls = join_all(sources.iter().map(|source| harbour.pull(source)));
    let watch = async {
        until(|| sources.iter().filter(|source| source.opens() == 1).count() == 2).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(sources.iter().filter(|source| source.opens() == 1).count(), 2);
        for source in &sources {
            source.gate.send_replace(usize::MAX);
        }
    };
    let (bodies, ()) = tokio::join!(pulls, watch);
    assert!(bodies.into_iter().all(|body| body.is_ok()));
    assert!(sources.iter().all(|source| source.opens() == 1), "nobody who is wanted is called back");
}

#[tokio::test]
async fn a_wanted_flight_takes_the_place_of_an_unwanted_one_which_resumes_later() {
    let (harbour, places) = (Harbour::new().await, Places::new(1));
    let (one, two) = (blob(MIB), blob(MIB + 1));
    let ahead = Arc::new(Scripted::new("a", &one).at(&places).gated(MIB / 4));
    drop(harbour.wish(&ahead, Wish::Ahead).await.unwrap());
    until(|| ahead.sent.load(std::sync::atomic::Ordering::SeqCst) == MIB / 4).await;
    let wanted = Arc::new(Scripted::new("a", &two).at(&places));
    assert!(harbour.pull(&wanted).await.unwrap() == two);
    ahead.gate.send_replace(usize::MAX);
    harbour.quiet().await;
    assert!(harbour.has(&ahead.digest).await);
    assert_eq!(ahead.opens.lock().unwrap()[..], [0, MIB as u64 / 4]);
}

#[tokio::test]
async fn an_unwanted_flight_that_waits_for_headers_gives_its_place_too() {
    let (harbour, places) = (Harbour::new().await, Places::new(1));
    let (one, two) = (blob(MIB), blob(MIB + 1));
    let ahead = Arc::new(Scripted::new("a", &one).at(&places).with(|script| script.latency = Duration::from_secs(60)));
    drop(harbour.wish(&ahead, Wish::Ahead).await.unwrap());
    until(|| ahead.opens() == 1).await;
    assert!(harbour.pull(&Arc::new(Scripted::new("a", &two).at(&places))).await.unwrap() == two);
}

#[tokio::test]
async fn who_becomes_wanted_in_the_queue_goes_first() {
    let (harbour, places) = (Harbour::new().await, Places::new(1));
    let blobs = [1, 2, 3].map(|at| blob(MIB / 2 + at));
    let [running, early, late] = blobs.each_ref().map(|bytes| Arc::new(Scripted::new("a", bytes).at(&places).gated(MIB / 4)));
    let reader = harbour.join(&running).await.unwrap();
    until(|| running.opens() == 1).await;
    drop(harbour.wish(&early, Wish::Ahead).await.unwrap());
    drop(harbour.wish(&late, Wish::Ahead).await.unwrap());
    let client = harbour.join(&late).await.unwrap();
    running.gate.send_replace(usize::MAX);
    drain(reader.body(None)).await.unwrap();
    until(|| late.opens() == 1).await;
    assert_eq!(early.opens(), 0);
    late.gate.send_replace(usize::MAX);
    drain(client.body(None)).await.unwrap();
    early.gate.send_replace(usize::MAX);
    harbour.quiet().await;
}

#[tokio::test]
async fn who_leaves_the_queue_takes_no_place_along() {
    let places = Places::new(1);
    let demand = Arc::new(Demand::new());
    let held = places.take(&demand).await;
    for _ in 0..3 {
        assert!(tokio::time::timeout(Duration::from_millis(1), places.take(&demand)).await.is_err());
    }
    drop(held);
    for _ in 0..3 {
        drop(places.take(&demand).await);
    }
}
