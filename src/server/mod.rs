//! The registry over HTTP.

pub mod listen;
