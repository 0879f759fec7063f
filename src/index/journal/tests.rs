//! What the journal keeps to, on its files alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::index::Totals;
use crate::index::keys::TOTALS;
use crate::index::table::{Memory, Table};
use crate::oci::Digest;

fn sync() -> Sync {
    Arc::new(File::sync_data)
}

fn open(folder: &Path) -> Journal {
    Journal::open(folder, 4 << 10, sync()).unwrap()
}

fn live(n: u64) -> Vec<Change> {
    vec![Change::Live { digest: Digest::of(&n.to_le_bytes()), size: n }]
}

fn append(journal: &mut Journal, n: u64) {
    journal.stage(1, &live(n));
    journal.write(true).unwrap();
}

fn totals(memory: &Memory) -> Totals {
    memory.get(TOTALS).unwrap().map_or(Totals::default(), |value| postcard::from_bytes(&value).unwrap())
}

fn read(folder: &Path) -> Totals {
    let journal = open(folder);
    totals(&fill(folder, journal.position()).unwrap())
}

fn last_segment(folder: &Path) -> PathBuf {
    files::segment(folder, *files::list(folder).unwrap().0.last().unwrap())
}

#[test]
fn a_tail_torn_at_any_byte_loses_the_last_record_alone() {
    let data = tempfile::tempdir().unwrap();
    let mut journal = open(data.path());
    append(&mut journal, 1);
    let before = journal.active.as_ref().unwrap().end as usize;
    append(&mut journal, 2);
    let end = journal.active.as_ref().unwrap().end as usize;
    let whole = std::fs::read(last_segment(data.path())).unwrap();
    for cut in before..end {
        for rest in [0, 64] {
            // Cut off, or followed by the zeros of the preallocation.
            let torn = tempfile::tempdir().unwrap();
            let mut bytes = whole[..cut].to_vec();
            bytes.resize(cut + rest, 0);
            std::fs::write(files::segment(torn.path(), 1), bytes).unwrap();
            assert_eq!(read(torn.path()), Totals { blobs: 1, bytes: 1 }, "cut at {cut}");
            let mut journal = open(torn.path());
            append(&mut journal, 3);
            assert_eq!(read(torn.path()), Totals { blobs: 2, bytes: 4 }, "cut at {cut}");
        }
    }
    for flipped in before..end {
        let torn = tempfile::tempdir().unwrap();
        let mut bytes = whole.clone();
        bytes[flipped] ^= 0x10;
        std::fs::write(files::segment(torn.path(), 1), bytes).unwrap();
        assert_eq!(read(torn.path()), Totals { blobs: 1, bytes: 1 }, "flipped at {flipped}");
    }
}

#[test]
fn a_segment_that_was_being_made_when_the_power_went_is_no_segment() {
    for length in [0, 5, 4096] {
        let data = tempfile::tempdir().unwrap();
        append(&mut open(data.path()), 1);
        std::fs::write(files::segment(data.path(), 2), vec![0; length]).unwrap();
        append(&mut open(data.path()), 2);
        assert_eq!(read(data.path()), Totals { blobs: 2, bytes: 3 });
    }
}

#[test]
fn what_a_failed_sync_left_behind_is_void_even_where_it_is_whole() {
    let data = tempfile::tempdir().unwrap();
    let failing = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&failing);
    let once: Sync = Arc::new(move |file| match seen.swap(false, Ordering::SeqCst) {
        true => Err(io::Error::other("EIO")),
        false => file.sync_data(),
    });
    let mut journal = Journal::open(data.path(), 4 << 10, once).unwrap();
    append(&mut journal, 1);
    journal.stage(1, &live(10));
    journal.write(false).unwrap();
    failing.store(true, Ordering::SeqCst);
    journal.stage(1, &live(100));
    journal.stage(1, &live(1_000));
    assert!(journal.write(true).is_err());
    assert_eq!(totals(&fill(data.path(), journal.position()).unwrap()), Totals { blobs: 2, bytes: 11 });
    append(&mut journal, 10_000);
    assert!(journal.is_sound());
    assert_eq!(totals(&fill(data.path(), journal.position()).unwrap()), Totals { blobs: 3, bytes: 10_011 });
    assert_eq!(read(data.path()), Totals { blobs: 3, bytes: 10_011 });
}

#[test]
fn a_gap_is_an_error_and_never_a_shorter_journal() {
    let data = tempfile::tempdir().unwrap();
    let mut journal = open(data.path());
    (0..200).for_each(|n| append(&mut journal, n));
    let position = journal.position();
    let (segments, _) = files::list(data.path()).unwrap();
    assert!(segments.len() > 2);
    let middle = files::segment(data.path(), segments[1]);
    let whole = std::fs::read(&middle).unwrap();

    let mut bytes = whole.clone();
    bytes[100] ^= 1;
    std::fs::write(&middle, bytes).unwrap();
    assert!(fill(data.path(), position).is_err());
    std::fs::remove_file(&middle).unwrap();
    assert!(fill(data.path(), position).is_err());
    std::fs::write(&middle, whole).unwrap();
    assert_eq!(totals(&fill(data.path(), position).unwrap()).blobs, 200);
}

#[test]
fn a_snapshot_replaces_what_it_merged_and_the_journal_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let mut journal = open(data.path());
    for round in 0..3 {
        (0..100).for_each(|n| append(&mut journal, round * 100 + n));
        assert!(journal.rotated() && !journal.rotated());
        let active = journal.active().unwrap();
        assert!(is_due(data.path(), active, 1).unwrap() && !is_due(data.path(), active, 1 << 40).unwrap());
        merge(data.path(), active).unwrap();
        assert_eq!(files::list(data.path()).unwrap(), (vec![active], vec![active - 1]));
        assert_eq!(totals(&fill(data.path(), journal.position()).unwrap()).blobs, round * 100 + 100);
    }
    assert_eq!(read(data.path()).blobs, 300);
}

#[test]
fn a_merge_cut_short_leaves_what_it_would_have_replaced() {
    let data = tempfile::tempdir().unwrap();
    let mut journal = open(data.path());
    (0..100).for_each(|n| append(&mut journal, n));
    merge(data.path(), journal.active().unwrap()).unwrap();
    (100..200).for_each(|n| append(&mut journal, n));
    // A snapshot that is not whole beside everything that it was to replace, and a part of the next.
    let (_, snapshots) = files::list(data.path()).unwrap();
    let older = std::fs::read(files::snapshot(data.path(), snapshots[0])).unwrap();
    let newer = journal.active().unwrap() - 1;
    std::fs::write(files::snapshot(data.path(), newer), &older[..older.len() / 2]).unwrap();
    std::fs::write(files::part(data.path()), b"half").unwrap();
    assert_eq!(totals(&fill(data.path(), journal.position()).unwrap()).blobs, 200);
    merge(data.path(), journal.active().unwrap()).unwrap();
    assert_eq!(files::list(data.path()).unwrap().1, [newer]);
    assert_eq!(totals(&fill(data.path(), journal.position()).unwrap()).blobs, 200);
}

#[test]
fn a_damaged_snapshot_is_an_error_and_never_an_emptier_index() {
    let data = tempfile::tempdir().unwrap();
    let mut journal = open(data.path());
    (0..100).for_each(|n| append(&mut journal, n));
    merge(data.path(), journal.active().unwrap()).unwrap();
    let path = files::snapshot(data.path(), files::list(data.path()).unwrap().1[0]);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(fill(data.path(), journal.position()).is_err());
}

#[test]
fn a_journal_of_a_newer_version_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let mut bytes = Vec::new();
    record::write(&mut bytes, 1, Kind::Begin, &Begin { format: FORMAT + 1, from: 1 });
    std::fs::write(files::segment(data.path(), 1), bytes).unwrap();
    let error = Journal::open(data.path(), 4 << 10, sync()).err().unwrap();
    assert!(error.to_string().contains("not known to this version"), "{error}");
}

#[test]
fn a_commit_larger_than_a_segment_gets_one_of_its_own() {
    let data = tempfile::tempdir().unwrap();
    let mut journal = open(data.path());
    append(&mut journal, 1);
    let many: Vec<Change> = (2..500).flat_map(live).collect();
    journal.stage(1, &many);
    journal.write(true).unwrap();
    append(&mut journal, 500);
    assert_eq!(read(data.path()).blobs, 500);
}
