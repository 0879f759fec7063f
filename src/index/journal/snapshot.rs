//! Snapshots: the rows as of one position. Made of the journal alone; what a snapshot replaces stays until it was read back.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::files::{self, sync_folder};
use super::record::{self, Begin, FORMAT, Kind, Records, unreadable};
use super::replay::fill;
use crate::index::table::{Memory, Row, Table};

/// Rows in one record.
const ROWS: usize = 500;

/// Merges the newest snapshot and the segments before the position `end` into the next snapshot, and removes what it
/// replaces. `end` must be the first position of the active segment.
pub fn merge(folder: &Path, end: u64) -> io::Result<()> {
    let position = end - 1;
    let rows = fill(folder, position)?;
    let part = files::part(folder);
    write(&part, position, &rows)?;
    let read_back = Memory::default();
    if load(&part, position, &read_back)? && same(&rows, &read_back)? {
        fs::rename(&part, files::snapshot(folder, position))?;
        sync_folder(folder)?;
        return remove_older(folder, end);
    }
    fs::remove_file(&part)?;
    Err(unreadable(format!("the snapshot at {position} did not read back as it was written")))
}

/// Whether the segments before the position `end` hold at least `least` bytes, and as many as the newest snapshot.
pub fn is_due(folder: &Path, end: u64, least: u64) -> io::Result<bool> {
    let (segments, snapshots) = files::list(folder)?;
    let mut closed = 0;
    for first in segments.into_iter().filter(|first| *first < end) {
        closed += fs::metadata(files::segment(folder, first))?.len();
    }
    let last = snapshots.last().map(|position| fs::metadata(files::snapshot(folder, *position))).transpose()?;
    Ok(closed >= last.map_or(0, |file| file.len()).max(least))
}

/// Puts the rows of the newest whole snapshot into `memory`; returns its position, 0 where there is none.
pub fn load_newest(folder: &Path, snapshots: &[u64], memory: &Memory) -> io::Result<u64> {
    for position in snapshots.iter().rev() {
        let path = files::snapshot(folder, *position);
        // The one before is still there only when a merge was cut short: then the newer may be anything.
        if snapshots.len() > 1 && !load(&path, *position, &Memory::default())? {
            continue;
        }
        return match load(&path, *position, memory)? {
            true => Ok(*position),
            false => Err(unreadable(format!("the snapshot {} is damaged", path.display()))),
        };
    }
    Ok(0)
}

fn write(path: &Path, position: u64, rows: &Memory) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(256 << 10, File::create(path)?);
    let mut buffer = Vec::new();
    record::write(&mut buffer, position, Kind::Begin, &Begin { format: FORMAT, from: position });
    let mut chunks = Chunks { rows, after: None };
    while let Some(chunk) = chunks.next()? {
        record::write(&mut buffer, position, Kind::Rows, &chunk);
        file.write_all(&buffer)?;
        buffer.clear();
    }
    record::write(&mut buffer, position, Kind::End, &());
    file.write_all(&buffer)?;
    file.into_inner()?.sync_all()
}

/// Puts the rows of one snapshot into `memory`; whether it is whole.
fn load(path: &Path, position: u64, memory: &Memory) -> io::Result<bool> {
    let mut records = Records::open(path)?;
    if records.begin()?.is_none_or(|(begins, _)| begins != position) {
        return Ok(false);
    }
    while let Some(record) = records.next()? {
        match record.kind {
            Kind::Rows => {
                let rows: Vec<(&[u8], &[u8])> = record::decode(record.payload)?;
                rows.into_iter().for_each(|(key, value)| memory.put(key, value));
            }
            kind => return Ok(kind == Kind::End),
        }
    }
    Ok(false)
}

fn same(one: &Memory, other: &Memory) -> io::Result<bool> {
    let (mut one, mut other) = (Chunks { rows: one, after: None }, Chunks { rows: other, after: None });
    loop {
        match (one.next()?, other.next()?) {
            (None, None) => return Ok(true),
            (a, b) if a != b => return Ok(false),
            _ => {}
        }
    }
}

fn remove_older(folder: &Path, end: u64) -> io::Result<()> {
    let (segments, snapshots) = files::list(folder)?;
    for first in segments.into_iter().filter(|first| *first < end) {
        fs::remove_file(files::segment(folder, first))?;
    }
    for position in snapshots.into_iter().filter(|position| *position + 1 < end) {
        fs::remove_file(files::snapshot(folder, position))?;
    }
    sync_folder(folder)
}

/// All rows, some at a time.
struct Chunks<'a> {
    rows: &'a Memory,
    after: Option<Vec<u8>>,
}

impl Chunks<'_> {
    fn next(&mut self) -> io::Result<Option<Vec<Row>>> {
        let chunk = self.rows.scan(&[], self.after.as_deref(), ROWS).map_err(io::Error::other)?;
        self.after = chunk.last().map(|(key, _)| key.clone()).or(self.after.take());
        Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
    }
}
