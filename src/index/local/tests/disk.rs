//! Syncs: what waits for them, and what happens when they fail.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::super::super::*;
use super::super::suite::{digest, live, make};
use super::super::*;
use super::{kill, open, options, until, until_sled_serves};

/// A sync that does what `act` says for its n-th call.
fn sync_that(act: impl Fn(usize) -> io::Result<()> + Send + Sync + 'static) -> journal::Sync {
    let calls = AtomicUsize::new(0);
    Arc::new(move |file: &File| act(calls.fetch_add(1, Ordering::SeqCst)).and_then(|()| file.sync_data()))
}

#[tokio::test]
async fn nothing_durable_is_acknowledged_or_visible_before_its_sync() {
    let data = tempfile::tempdir().unwrap();
    let (open_gate, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    // The first sync is that of the segment's beginning.
    let sync = sync_that(move |call| {
        if call == 1 {
            gate.lock().unwrap().recv().unwrap();
        }
        Ok(())
    });
    let index = Arc::new(open(Options { sync, ..options(data.path(), Engine::Memory) }).await);
    let commit = |text: &'static str| {
        let index = Arc::clone(&index);
        tokio::spawn(async move { index.commit(vec![], vec![live(text, 1)], Promise::Durable).await })
    };
    let first = commit("a");
    let others: Vec<_> = ["b", "c", "d"].into_iter().map(commit).collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!first.is_finished() && others.iter().all(|other| !other.is_finished()));
    assert_eq!(index.totals().await.unwrap(), Totals::default());
    open_gate.send(()).unwrap();
    first.await.unwrap().unwrap();
    for other in others {
        other.await.unwrap().unwrap();
    }
    assert_eq!(index.totals().await.unwrap().blobs, 4);
}

#[tokio::test]
async fn many_commits_share_one_sync_and_appended_ones_wait_for_none() {
    let data = tempfile::tempdir().unwrap();
    let syncs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&syncs);
    let sync = sync_that(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(10));
        Ok(())
    });
    let index: Arc<dyn Index> = Arc::new(open(Options { sync, ..options(data.path(), Engine::Memory) }).await);
    make(&index, vec![live("first", 1)]).await;
    let before = syncs.load(Ordering::SeqCst);
    index.commit(vec![], vec![live("appended", 1)], Promise::Appended).await.unwrap();
    assert_eq!(syncs.load(Ordering::SeqCst), before);
    let commits = (0..100).map(|n| {
        let index = Arc::clone(&index);
        tokio::spawn(async move { index.commit(vec![], vec![live(&n.to_string(), 1)], Promise::Durable).await })
    });
    for commit in commits.collect::<Vec<_>>() {
        commit.await.unwrap().unwrap();
    }
    assert!(syncs.load(Ordering::SeqCst) - before < 50, "{}", syncs.load(Ordering::SeqCst) - before);
    index.commit(vec![], vec![live("late", 1)], Promise::Appended).await.unwrap();
    let before = syncs.load(Ordering::SeqCst);
    until(|| syncs.load(Ordering::SeqCst) == before + 1).await;
}

#[tokio::test]
async fn a_failed_sync_fails_its_commits_and_no_others() {
    let data = tempfile::tempdir().unwrap();
    // Calls: the segment's beginning, a durable commit, the failing one, then the new segment.
    let sync = sync_that(|call| if call == 2 { Err(io::Error::other("EIO")) } else { Ok(()) });
    let index = open(Options { sync, ..options(data.path(), Engine::Memory) }).await;
    let commit = |text: &str, promise| index.commit(vec![], vec![live(text, 1)], promise);
    commit("kept", Promise::Durable).await.unwrap();
    commit("appended", Promise::Appended).await.unwrap();
    assert!(matches!(commit("lost", Promise::Durable).await, Err(CommitError::NotWritten(_))));
    assert_eq!(index.blob(&digest("lost")).await.unwrap(), None);
    commit("after", Promise::Durable).await.unwrap();
    assert_eq!(index.health(), Health::Ready);
    kill(index).await;
    let index = open(options(data.path(), Engine::Memory)).await;
    for (text, there) in [("kept", true), ("appended", true), ("lost", false), ("after", true)] {
        assert_eq!(index.blob(&digest(text)).await.unwrap().is_some(), there, "{text}");
    }
}

#[tokio::test]
async fn a_second_failure_makes_the_index_read_only_and_readable() {
    let data = tempfile::tempdir().unwrap();
    let sync = sync_that(|call| if call >= 2 { Err(io::Error::other("EIO")) } else { Ok(()) });
    let index = open(Options { sync, ..options(data.path(), Engine::Sled) }).await;
    until_sled_serves(&index).await;
    let commit = |text: &str, promise| index.commit(vec![], vec![live(text, 1)], promise);
    commit("kept", Promise::Durable).await.unwrap();
    for text in ["lost", "lost too"] {
        for promise in [Promise::Durable, Promise::Appended] {
            assert!(matches!(commit(text, promise).await, Err(CommitError::NotWritten(_))));
        }
    }
    until(|| matches!(index.health(), Health::ReadOnly(_))).await;
    assert!(index.blob(&digest("kept")).await.unwrap().is_some());
    index.close().await;
    let index = open(options(data.path(), Engine::Sled)).await;
    assert!(index.blob(&digest("kept")).await.unwrap().is_some());
    assert_eq!(index.health(), Health::Ready);
}

#[tokio::test]
async fn a_disk_that_was_full_is_used_again_when_it_has_room() {
    let data = tempfile::tempdir().unwrap();
    let full = || io::Error::from(io::ErrorKind::StorageFull);
    let sync = sync_that(move |call| if (2..5).contains(&call) { Err(full()) } else { Ok(()) });
    let index = open(Options { sync, ..options(data.path(), Engine::Memory) }).await;
    let commit = |text: &str| index.commit(vec![], vec![live(text, 1)], Promise::Durable);
    commit("kept").await.unwrap();
    assert!(commit("lost").await.is_err());
    assert!(commit("lost too").await.is_err());
    while commit("after").await.is_err() {}
    assert_eq!(index.health(), Health::Ready);
    kill(index).await;
    let index = open(options(data.path(), Engine::Memory)).await;
    assert_eq!(index.totals().await.unwrap().blobs, 2);
    assert!(index.blob(&digest("after")).await.unwrap().is_some());
}
