//! Reading the journal back: the newest whole snapshot, then every commit behind it that counts.
//!
//! A gap is an error: what is missing in the middle was acknowledged once.

use std::io;
use std::path::Path;

use super::files;
use super::record::{self, Begin, Kind, Records, unreadable};
use super::snapshot;
use crate::index::Change;
use crate::index::rows::{Overlay, View};
use crate::index::table::Memory;

/// The rows as of `position`, from the journal in `folder` alone.
///
/// # Errors
/// The journal cannot be read, or something is missing in its middle.
pub fn fill(folder: &Path, position: u64) -> io::Result<Memory> {
    let memory = Memory::default();
    let (segments, snapshots) = files::list(folder)?;
    let mut reached = snapshot::load_newest(folder, &snapshots, &memory)?;
    for segment in counted(folder, &segments)? {
        reached = read(folder, &segment, reached, position, &memory)?;
    }
    match reached < position {
        true => Err(unreadable(format!("the journal ends at {reached}, not at {position}"))),
        false => Ok(memory),
    }
}

struct Counted {
    first: u64,
    begin: Begin,
    /// Later segments void the positions from here on.
    end: u64,
}

/// The segments and which of their positions count.
fn counted(folder: &Path, segments: &[u64]) -> io::Result<Vec<Counted>> {
    let (mut found, mut end) = (Vec::new(), u64::MAX);
    for first in segments.iter().rev() {
        let begin = Records::open(&files::segment(folder, *first))?.begin()?;
        let (position, begin) = begin.ok_or_else(|| unreadable(format!("the segment {first} has no beginning")))?;
        if position != *first {
            return Err(unreadable(format!("the segment {first} begins with {position}")));
        }
        if end > begin.from {
            found.push(Counted { first: *first, begin, end });
        }
        end = end.min(begin.from);
    }
    found.reverse();
    Ok(found)
}

/// Applies the segment's commits after `reached` and up to `last`; returns the position reached.
fn read(folder: &Path, segment: &Counted, reached: u64, last: u64, memory: &Memory) -> io::Result<u64> {
    if reached + 1 < segment.begin.from {
        return Err(unreadable(format!("commits {} to {} are missing", reached + 1, segment.begin.from - 1)));
    }
    let mut records = Records::open(&files::segment(folder, segment.first))?;
    records.begin()?;
    let mut next = segment.first;
    while let Some(record) = records.next()? {
        if record.position != next || next >= segment.end || next > last {
            break;
        }
        if record.kind != Kind::Commit {
            return Err(unreadable(format!("the record {next} is no commit")));
        }
        if next > reached {
            let (at, changes): (u64, Vec<Change>) = record::decode(record.payload)?;
            apply(memory, at, changes, next)?;
        }
        next += 1;
    }
    Ok(reached.max(next - 1))
}

fn apply(memory: &Memory, at: u64, changes: Vec<Change>, position: u64) -> io::Result<()> {
    let mut overlay = Overlay::default();
    let mut view = View::new(memory, &mut overlay);
    for change in &changes {
        view.make(at, change).map_err(io::Error::other)?;
    }
    memory.take(overlay.into_batch(), position);
    Ok(())
}
