//! Records: the framing that segments and snapshots share. A record is whole or it is the end of its file.
//!
//! ```text
//! length u32 | crc32 u32 | position u64 | kind u8 | payload        little-endian; length and crc are those of what follows them
//! ```

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Bytes before the payload.
pub const HEAD: usize = 17;
/// No record is longer. A manifest of 4 MiB with its edges is far below.
const LONGEST: usize = 64 << 20;

/// What a payload is. A new form of a payload is a new kind, so that old journals stay readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`Begin`]: the first record of each file.
    Begin = 1,
    /// `(Unix milliseconds, Vec<Change>)`: one commit.
    Commit = 2,
    /// `Vec<(key, value)>`: rows of a snapshot.
    Rows = 3,
    /// Empty: the snapshot is whole.
    End = 4,
}

/// What a file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// [`FORMAT`] when it was written.
    pub format: u16,
    /// Of a segment: positions from here up to the record's own are void, whatever earlier segments have there.
    /// Of a snapshot: the same as the record's own.
    pub from: u64,
}

/// The format of files that are written now.
pub const FORMAT: u16 = 3;

/// Appends a record to `buffer`.
pub fn write(buffer: &mut Vec<u8>, position: u64, kind: Kind, payload: &impl Serialize) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 8]);
    buffer.extend_from_slice(&position.to_le_bytes());
    buffer.push(kind as u8);
    // The only errors of writing to a Vec are those of types that postcard cannot hold, and ours it can.
    let mut written = postcard::to_extend(payload, std::mem::take(buffer)).expect("rows and changes have a postcard form");
    seal(&mut written[start..]);
    *buffer = written;
}

/// Gives framed records other positions, from `first` on; returns the position after the last.
pub fn renumber(records: &mut [u8], first: u64) -> u64 {
    let (mut rest, mut position) = (records, first);
    while !rest.is_empty() {
        let length = 8 + u32::from_le_bytes(rest[..4].try_into().expect("4 bytes")) as usize;
        let (record, others) = rest.split_at_mut(length);
        record[8..16].copy_from_slice(&position.to_le_bytes());
        seal(record);
        (rest, position) = (others, position + 1);
    }
    position
}

fn seal(record: &mut [u8]) {
    let length = u32::try_from(record.len() - 8).expect("a record is far below 4 GiB");
    let crc = crc32fast::hash(&record[8..]);
    record[..4].copy_from_slice(&length.to_le_bytes());
    record[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// Reads the records of one file in order.
pub struct Records {
    file: BufReader<File>,
    record: Vec<u8>,
    /// Where the next record begins.
    pub offset: u64,
}

/// A record that was read.
pub struct Record<'a> {
    pub position: u64,
    pub kind: Kind,
    pub payload: &'a [u8],
}

impl Records {
    pub fn open(path: &Path) -> io::Result<Records> {
        Ok(Records { file: BufReader::with_capacity(256 << 10, File::open(path)?), record: Vec::new(), offset: 0 })
    }

    /// The next whole record; `None` at the end of the file, at a torn record, and at the zeros of a preallocated rest.
    pub fn next(&mut self) -> io::Result<Option<Record<'_>>> {
        let mut head = [0; 8];
        if !fill(&mut self.file, &mut head)? {
            return Ok(None);
        }
        let length = u32::from_le_bytes(head[..4].try_into().expect("4 bytes")) as usize;
        let crc = u32::from_le_bytes(head[4..].try_into().expect("4 bytes"));
        if !(HEAD - 8..=LONGEST).contains(&length) {
            return Ok(None);
        }
        self.record.resize(length, 0);
        if !fill(&mut self.file, &mut self.record)? || crc32fast::hash(&self.record) != crc {
            return Ok(None);
        }
        let kind = match self.record[8] {
            1 => Kind::Begin,
            2 => Kind::Commit,
            3 => Kind::Rows,
            4 => Kind::End,
            newer => return Err(unreadable(format!("a record of the unknown kind {newer}: it was written by a newer entrepot"))),
        };
        self.offset += (length + 8) as u64;
        let position = u64::from_le_bytes(self.record[..8].try_into().expect("8 bytes"));
        Ok(Some(Record { position, kind, payload: &self.record[9..] }))
    }

    /// The first record's position and content; `None` when it is torn or something else.
    pub fn begin(&mut self) -> io::Result<Option<(u64, Begin)>> {
        let Some(record) = self.next()? else { return Ok(None) };
        if record.kind != Kind::Begin {
            return Ok(None);
        }
        let begin: Begin = decode(record.payload)?;
        match begin.format {
            FORMAT => Ok(Some((record.position, begin))),
            other => Err(unreadable(format!("the format {other} of the journal is not known to this version"))),
        }
    }
}

/// Reads a payload.
pub fn decode<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> io::Result<T> {
    postcard::from_bytes(payload).map_err(|error| unreadable(format!("a whole record does not read: {error}")))
}

/// The journal is not what it should be.
pub fn unreadable(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Whether `buffer` could be filled before the end of the file.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
