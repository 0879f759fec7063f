//! The suite on each engine, and what a local index keeps to when processes, disks and sled fail.

mod disk;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::super::*;
use super::serving::State;
use super::suite::{self, digest, here, link, live, manifest, tag, tagged, untagged};
use super::*;
use crate::index::table::TableError;

macro_rules! suite {
    ($($promise:ident)*) => { $(
        mod $promise {
            #[tokio::test]
            async fn in_memory() {
                let data = tempfile::tempdir().unwrap();
                let index = super::open(super::options(data.path(), super::Engine::Memory)).await;
                super::suite::$promise(std::sync::Arc::new(index)).await;
            }

            #[tokio::test]
            async fn in_sled() {
                let data = tempfile::tempdir().unwrap();
                let index = super::open(super::options(data.path(), super::Engine::Sled)).await;
                super::until_sled_serves(&index).await;
                super::suite::$promise(std::sync::Arc::new(index)).await;
            }
        }
    )* };
}

suite! {
    facts_can_be_read_once_the_commit_returned
    only_tags_and_manifests_make_a_repository
    two_pushes_cannot_both_find_a_tag_free
    a_refused_commit_changes_nothing
    a_doom_is_refused_while_anybody_needs_the_blob
    a_writer_waits_until_the_doomed_blob_is_buried
    a_removed_manifest_takes_its_tags_edges_and_referrer_rows_along
    a_removed_repository_leaves_nothing_and_harms_no_neighbour
    a_moved_tag_goes_with_its_new_manifest_only
    a_tag_remembers_who_moved_it_from_what_to_what
    a_history_is_bounded_and_goes_only_when_its_tag_is_gone
    a_tags_row_can_be_expected_to_the_letter
    lists_come_in_order_and_in_pages
    uploads_and_bindings_come_and_go
    a_blob_is_listed_with_all_who_hold_it
    a_link_goes_only_while_nobody_needs_it
    a_manifest_that_something_leads_to_is_not_alone
}

fn options(data: &Path, engine: Engine) -> Options {
    Options { engine, segment_size: 64 << 10, merge_size: 1 << 30, ..Options::new(data) }
}

async fn open(options: Options) -> Local {
    Local::open(options).await.unwrap()
}

async fn until(mut what: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not come about within 10 s");
}

async fn until_sled_serves(index: &Local) {
    until(|| matches!(index.serving.now(), State::Sled(_))).await;
}

fn sled_serves(index: &Local) -> bool {
    matches!(index.serving.now(), State::Sled(_))
}

/// Ends the index without closing it, as a kill does.
async fn kill(index: Local) {
    let serving = Arc::clone(&index.serving);
    drop(index);
    until(|| Arc::strong_count(&serving) == 1).await;
}

async fn push(index: &Local, n: usize) -> Result<(), CommitError> {
    let (image, layer) = (format!("m{n}"), format!("l{n}"));
    index.commit(vec![], vec![live(&layer, 3), link("app", &layer)], Promise::Appended).await?;
    let changes = vec![live(&image, 7), manifest("app", &image, None, &[&layer]), tagged("app", &format!("v{n}"), &image)];
    index.commit(vec![Expect::Linked(here("app"), digest(&layer))], changes, Promise::Durable).await
}

async fn assert_pushed(index: &Local, count: usize) {
    let tags = index.tags(&here("app"), None, 10_000).await.unwrap();
    assert_eq!(tags.len(), count);
    for (name, row) in tags {
        let layer = digest(&format!("l{}", &name.as_str()[1..]));
        assert!(index.manifest(&here("app"), &row.digest).await.unwrap().is_some(), "{name}");
        assert!(index.edge(&here("app"), &layer).await.unwrap().is_some(), "{name}");
        assert!(index.linked(&here("app"), &layer).await.unwrap(), "{name}");
        assert!(index.blob(&layer).await.unwrap().is_some(), "{name}");
    }
    assert_eq!(index.totals().await.unwrap(), Totals { blobs: 2 * count as u64, bytes: 10 * count as u64 });
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_every_kill() {
    for engine in [Engine::Memory, Engine::Sled] {
        let data = tempfile::tempdir().unwrap();
        for round in 0..6 {
            let index = open(options(data.path(), engine)).await;
            assert_pushed(&index, round * 20).await;
            for n in 0..20 {
                push(&index, round * 20 + n).await.unwrap();
            }
            kill(index).await;
        }
    }
}

#[tokio::test]
async fn after_a_clean_close_sled_serves_at_once_and_its_mark_is_gone() {
    let data = tempfile::tempdir().unwrap();
    let mark = data.path().join("index/clean");
    let index = open(options(data.path(), Engine::Sled)).await;
    until_sled_serves(&index).await;
    push(&index, 0).await.unwrap();
    index.close().await;
    assert!(mark.exists());
    assert!(push(&index, 1).await.is_err(), "it is closed");
    for _ in 0..2 {
        let index = open(options(data.path(), Engine::Sled)).await;
        index.ready().await.unwrap();
        assert!(sled_serves(&index) && !mark.exists());
        assert_pushed(&index, 1).await;
        index.close().await;
    }
}

#[tokio::test]
async fn without_a_mark_the_journal_is_read_and_sled_is_filled_in_a_new_folder() {
    let data = tempfile::tempdir().unwrap();
    let index = open(options(data.path(), Engine::Sled)).await;
    until_sled_serves(&index).await;
    push(&index, 0).await.unwrap();
    kill(index).await;
    let index = open(options(data.path(), Engine::Sled)).await;
    assert_pushed(&index, 1).await;
    push(&index, 1).await.unwrap();
    until_sled_serves(&index).await;
    assert_pushed(&index, 2).await;
    assert!(data.path().join("index/000002").is_dir() && !data.path().join("index/000001").exists());
}

#[tokio::test]
async fn commits_during_a_refill_are_in_sled_when_it_takes_over() {
    let data = tempfile::tempdir().unwrap();
    let index = open(options(data.path(), Engine::Memory)).await;
    for n in 0..1_000 {
        index.commit(vec![], vec![tagged("many", &format!("t{n}"), "m")], Promise::Appended).await.unwrap();
    }
    kill(index).await;
    let index = open(options(data.path(), Engine::Sled)).await;
    let mut pushed = 0;
    while !sled_serves(&index) {
        push(&index, pushed).await.unwrap();
        index.commit(vec![], vec![untagged("many", &format!("t{pushed}"))], Promise::Appended).await.unwrap();
        pushed += 1;
    }
    assert_pushed(&index, pushed).await;
    assert_eq!(index.tags(&here("many"), None, 10_000).await.unwrap().len(), 1_000usize.saturating_sub(pushed));
}

#[tokio::test]
async fn a_sled_that_is_not_where_the_journal_is_is_not_trusted() {
    let data = tempfile::tempdir().unwrap();
    let index = open(options(data.path(), Engine::Sled)).await;
    until_sled_serves(&index).await;
    push(&index, 0).await.unwrap();
    index.close().await;
    let index = open(options(data.path(), Engine::Memory)).await;
    push(&index, 1).await.unwrap();
    index.close().await;
    let index = open(options(data.path(), Engine::Sled)).await;
    assert_pushed(&index, 2).await;
}

#[tokio::test]
async fn deleting_the_index_folder_loses_nothing() {
    let data = tempfile::tempdir().unwrap();
    let index = open(options(data.path(), Engine::Sled)).await;
    until_sled_serves(&index).await;
    push(&index, 0).await.unwrap();
    index.close().await;
    std::fs::remove_dir_all(data.path().join("index")).unwrap();
    let index = open(options(data.path(), Engine::Sled)).await;
    assert_pushed(&index, 1).await;
}

#[tokio::test]
async fn a_sled_that_does_not_open_is_replaced() {
    let data = tempfile::tempdir().unwrap();
    let index = open(options(data.path(), Engine::Sled)).await;
    until_sled_serves(&index).await;
    push(&index, 0).await.unwrap();
    index.close().await;
    for file in ["db", "conf"] {
        std::fs::write(data.path().join("index/000001").join(file), vec![0xa5; 4096]).unwrap();
    }
    let index = open(options(data.path(), Engine::Sled)).await;
    assert_pushed(&index, 1).await;
    until_sled_serves(&index).await;
    assert_pushed(&index, 1).await;
}

#[tokio::test]
async fn a_failing_sled_is_given_up_once_and_memory_serves_every_fact() {
    let data = tempfile::tempdir().unwrap();
    let given_up = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&given_up);
    let abandoned: Arc<dyn Fn(&str) + Send + Sync> = Arc::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let index = open(Options { abandoned, ..options(data.path(), Engine::Sled) }).await;
    until_sled_serves(&index).await;
    push(&index, 0).await.unwrap();
    let State::Sled(held) = index.serving.now() else { panic!("sled serves") };
    for _ in 0..2 {
        index.give_up(Arc::clone(&held), TableError("it failed".into())).await.unwrap();
    }
    assert!(held.read(|_| Ok(())).await.is_err(), "nothing reaches it any more");
    push(&index, 1).await.unwrap();
    assert_pushed(&index, 2).await;
    assert!(!sled_serves(&index));
    assert_eq!(given_up.load(Ordering::SeqCst), 1);
    index.close().await;
    assert_pushed(&open(options(data.path(), Engine::Sled)).await, 2).await;
}

#[tokio::test]
async fn the_writer_gives_up_a_sled_that_fails_under_it() {
    let data = tempfile::tempdir().unwrap();
    let index = open(options(data.path(), Engine::Sled)).await;
    until_sled_serves(&index).await;
    push(&index, 0).await.unwrap();
    let State::Sled(held) = index.serving.now() else { panic!("sled serves") };
    held.abandon();
    push(&index, 1).await.unwrap();
    assert_pushed(&index, 2).await;
}

#[tokio::test]
async fn below_the_reserve_nothing_is_written_to_sled_and_commits_go_on() {
    let data = tempfile::tempdir().unwrap();
    let room = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let seen = Arc::clone(&room);
    let tight = Options { roomy: Arc::new(move || seen.load(Ordering::SeqCst)), ..options(data.path(), Engine::Sled) };
    let index = open(tight.clone()).await;
    until_sled_serves(&index).await;
    push(&index, 0).await.unwrap();
    room.store(false, Ordering::SeqCst);
    push(&index, 1).await.unwrap();
    assert!(!sled_serves(&index));
    index.close().await;
    assert!(!data.path().join("index/clean").exists());
    let index = open(tight).await;
    assert_pushed(&index, 2).await;
    assert!(!sled_serves(&index));
}

#[tokio::test]
async fn closed_segments_are_merged_into_snapshots_and_nothing_is_lost() {
    let data = tempfile::tempdir().unwrap();
    let small = || Options { segment_size: 2 << 10, merge_size: 8 << 10, ..options(data.path(), Engine::Memory) };
    let files = |end: &str| {
        let names = std::fs::read_dir(data.path().join("journal")).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().ends_with(end)).count()
    };
    for round in 0..3 {
        let index = open(small()).await;
        assert_pushed(&index, round * 50).await;
        for n in 0..50 {
            push(&index, round * 50 + n).await.unwrap();
        }
        kill(index).await;
    }
    let index = open(small()).await;
    assert_pushed(&index, 150).await;
    assert_eq!(files("snapshot"), 1);
    assert!(files("segment") < 60, "{} segments are left", files("segment"));
}

#[tokio::test]
async fn a_tags_history_outlives_kills_snapshots_and_the_index_folder() {
    let data = tempfile::tempdir().unwrap();
    let small = |engine| Options { segment_size: 2 << 10, merge_size: 8 << 10, ..options(data.path(), engine) };
    let index = open(small(Engine::Sled)).await;
    for n in 0..150 {
        push(&index, n).await.unwrap();
        index.commit(vec![], vec![tagged("app", "latest", &format!("m{n}"))], Promise::Durable).await.unwrap();
    }
    index.commit(vec![], vec![untagged("app", "latest")], Promise::Durable).await.unwrap();
    let told = index.history(&here("app"), &tag("latest")).await.unwrap();
    assert_eq!((told.len(), told[HISTORY - 1].to), (HISTORY, None));
    kill(index).await;
    let index = open(small(Engine::Memory)).await;
    assert_eq!(index.history(&here("app"), &tag("latest")).await.unwrap(), told);
    kill(index).await;
    assert!(std::fs::read_dir(data.path().join("journal")).unwrap().any(|file| file.unwrap().path().extension().unwrap() == "snapshot"));
    let index = open(small(Engine::Sled)).await;
    until_sled_serves(&index).await;
    assert_eq!(index.history(&here("app"), &tag("latest")).await.unwrap(), told);
    index.close().await;
    std::fs::remove_dir_all(data.path().join("index")).unwrap();
    let index = open(small(Engine::Sled)).await;
    assert_eq!(index.history(&here("app"), &tag("latest")).await.unwrap(), told);
}
