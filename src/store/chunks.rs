//! Reading bytes out: positional reads whose size follows the reader.

/// A stream of the bytes of a range.
pub struct Chunks;
