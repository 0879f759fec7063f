//! Byte ranges of HTTP: what a download asks for, what an upload says it sends.
//!
//! No arithmetic here can overflow, and a resolved range lies inside the size and is never empty.

use std::fmt;
use std::ops::Range;

/// What a `Range` header asks for, while the size may not be known yet (RFC 9110, section 14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// `a-`
    From(u64),
    /// `a-b`, both included. With `a > b` no byte is in it.
    Between(u64, u64),
    /// `-n`
    Last(u64),
}

/// No byte of the representation is in the range: 416, with this size in `Content-Range`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the range lies outside of the {size} bytes that there are")]
pub struct Unsatisfiable {
    pub size: u64,
}

impl Unsatisfiable {
    /// The `Content-Range` of a 416.
    pub fn content_range(&self) -> String {
        format!("bytes */{}", self.size)
    }
}

impl ByteRange {
    /// Reads a `Range` header of one range. `None`: several ranges, another unit or nonsense, which all mean the whole.
    pub fn parse(header: &str) -> Option<ByteRange> {
        let (unit, set) = header.trim().split_once('=')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        match set.trim().split_once('-')? {
            ("", last) => Some(ByteRange::Last(number(last)?)),
            (first, "") => Some(ByteRange::From(number(first)?)),
            (first, last) => Some(ByteRange::Between(number(first)?, number(last)?)),
        }
    }

    /// The bytes of a representation of `size` bytes that are asked for.
    /// `None`: answer the whole, because no range can be written of nothing.
    pub fn resolve(self, size: u64) -> Result<Option<Range<u64>>, Unsatisfiable> {
        let range = match self {
            ByteRange::From(first) => first..size,
            ByteRange::Between(first, last) => first..last.saturating_add(1).min(size),
            ByteRange::Last(0) => return Err(Unsatisfiable { size }),
            ByteRange::Last(_) if size == 0 => return Ok(None),
            ByteRange::Last(count) => size.saturating_sub(count)..size,
        };
        if range.is_empty() { Err(Unsatisfiable { size }) } else { Ok(Some(range)) }
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ByteRange::From(first) => write!(f, "bytes={first}-"),
            ByteRange::Between(first, last) => write!(f, "bytes={first}-{last}"),
            ByteRange::Last(count) => write!(f, "bytes=-{count}"),
        }
    }
}

/// The bytes that a `Range` header asks for of `size` bytes; `None` is the whole.
pub fn parse_range(header: &str, size: u64) -> Result<Option<Range<u64>>, Unsatisfiable> {
    ByteRange::parse(header).map_or(Ok(None), |range| range.resolve(size))
}

/// The `Content-Range` of a 206; `range` is not empty.
pub fn content_range(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1))
}

/// Reads the `Content-Range` of a 206: the bytes that it carries, and of how many where that is told. `None` for anything else.
pub fn parse_content_range(header: &str) -> Option<(Range<u64>, Option<u64>)> {
    let (range, size) = header.trim().strip_prefix("bytes ")?.split_once('/')?;
    part(range, size)
}

/// The upload's `Content-Range` is no range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Content-Range of an upload is FIRST-LAST, counted in bytes from 0, both included")]
pub struct InvalidContentRange;

/// Reads the `Content-Range` of an upload's chunk: `a-b`, as the distribution specification has it, or HTTP's `bytes a-b/size`.
pub fn parse_upload_range(header: &str) -> Result<Range<u64>, InvalidContentRange> {
    let text = header.trim();
    let text = text.strip_prefix("bytes ").unwrap_or(text);
    let (range, size) = text.split_once('/').unwrap_or((text, "*"));
    part(range, size).map(|(range, _)| range).ok_or(InvalidContentRange)
}

/// The `Range` header of an upload that has received so many bytes. Of none it is `0-0`, as every registry writes it.
pub fn upload_range(received: u64) -> String {
    format!("0-{}", received.saturating_sub(1))
}

/// `FIRST-LAST`, both included, and a size that holds them or `*`.
fn part(range: &str, size: &str) -> Option<(Range<u64>, Option<u64>)> {
    let exact = |text: &str| text.parse::<u64>().ok().filter(|_| are_digits(text));
    let (first, last) = range.split_once('-')?;
    let (first, end) = (exact(first)?, exact(last)?.checked_add(1)?);
    let size = if size == "*" { None } else { Some(exact(size)?) };
    (first < end && size.is_none_or(|size| size >= end)).then_some((first..end, size))
}

/// Digits alone. What is beyond 64 bits is beyond every size too.
fn number(text: &str) -> Option<u64> {
    are_digits(text).then(|| text.parse().unwrap_or(u64::MAX))
}

fn are_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HUGE: &str = "99999999999999999999999999";

    #[test]
    fn one_range_is_resolved_against_the_size() {
        let top = u64::MAX;
        for (header, size, range) in [
            ("bytes=0-0", 10, 0..1),
            ("bytes=0-9", 10, 0..10),
            ("bytes=0-10", 10, 0..10),
            ("bytes=9-", 10, 9..10),
            ("bytes=-1", 10, 9..10),
            ("bytes=-10", 10, 0..10),
            ("bytes=-11", 10, 0..10),
            ("BYTES=2-3", 10, 2..4),
            (" bytes= 2-3 ", 10, 2..4),
            ("bytes=00002-3", 10, 2..4),
            ("bytes=0-9223372036854775808", 10, 0..10),
            ("bytes=0-18446744073709551615", 10, 0..10),
            ("bytes=0-18446744073709551616", 10, 0..10),
            (&format!("bytes=1-{HUGE}"), 10, 1..10),
            (&format!("bytes=-{HUGE}"), 10, 0..10),
            ("bytes=9223372036854775808-9223372036854775808", top, 1 << 63..(1 << 63) + 1),
            ("bytes=-9223372036854775808", top, top - (1 << 63)..top),
            ("bytes=0-18446744073709551615", top, 0..top),
        ] {
            assert_eq!(parse_range(header, size), Ok(Some(range)), "{header} of {size}");
        }
    }

    #[test]
    fn a_range_outside_of_the_bytes_is_unsatisfiable() {
        for (header, size) in [
            ("bytes=10-", 10),
            ("bytes=10-20", 10),
            ("bytes=3-2", 10),
            ("bytes=-0", 10),
            ("bytes=-0", 0),
            ("bytes=0-", 0),
            ("bytes=0-0", 0),
            ("bytes=9223372036854775808-", 10),
            ("bytes=18446744073709551615-", u64::MAX),
            ("bytes=18446744073709551616-", u64::MAX),
            (&format!("bytes={HUGE}-{HUGE}"), 10),
        ] {
            assert_eq!(parse_range(header, size), Err(Unsatisfiable { size }), "{header} of {size}");
        }
        assert_eq!(Unsatisfiable { size: 10 }.content_range(), "bytes */10");
    }

    #[test]
    fn what_is_not_one_range_of_bytes_means_the_whole() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes=0-1,3-4",
            "bytes=0-1,",
            "bytes=--1",
            "bytes=1--2",
            "bytes=+1-2",
            "bytes=1-2-3",
            "bytes=0x1-2",
            "items=0-1",
            "bytes 0-1",
            "bytes=0 - 1",
            "bytes=-1,-2",
            "bytes=１-2",
        ] {
            assert_eq!(parse_range(header, 10), Ok(None), "{header}");
        }
        assert_eq!(parse_range("bytes=-5", 0), Ok(None));
    }

    #[test]
    fn an_upload_says_which_bytes_it_sends() {
        for (header, range) in
            [("0-0", 0..1), ("bytes 0-99", 0..100), ("bytes 5-9/10", 5..10), ("5-9/*", 5..10), ("0-18446744073709551614", 0..u64::MAX)]
        {
            assert_eq!(parse_upload_range(header), Ok(range), "{header}");
        }
        for header in
            ["", "-", "5", "5-", "-5", "9-5", "a-b", "0-18446744073709551615", HUGE, "0-9/9", "0-9/x", "bytes=0-9", "0-1,2-3", "+0-1"]
        {
            assert_eq!(parse_upload_range(header), Err(InvalidContentRange), "{header}");
        }
        assert_eq!([upload_range(0), upload_range(1), upload_range(100)], ["0-0", "0-0", "0-99"]);
    }

    #[test]
    fn an_answer_says_which_bytes_it_carries() {
        assert_eq!(content_range(&(5..10), 20), "bytes 5-9/20");
        assert_eq!(parse_content_range("bytes 5-9/20"), Some((5..10, Some(20))));
        assert_eq!(parse_content_range(" bytes 0-0/* "), Some((0..1, None)));
        for header in
            ["", "5-9/20", "bytes 5-9", "bytes */20", "bytes 9-5/20", "bytes 5-9/9", "bytes +5-9/20", "bytes 5-9/", "items 5-9/20"]
        {
            assert_eq!(parse_content_range(header), None, "{header}");
        }
        assert_eq!(parse_content_range("bytes 0-18446744073709551615/*"), None);
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(first: u64, length: u64) {
            for range in [ByteRange::From(first), ByteRange::Between(first, first.saturating_add(length)), ByteRange::Last(length)] {
                prop_assert_eq!(ByteRange::parse(&range.to_string()), Some(range));
            }
        }
    }
}
