//! Work that nobody waits for at a socket: filling the cache ahead, ending uploads that nobody finishes, and the control socket by which commands reach a running server.

pub mod control;
mod prefetch;
pub mod uploads;

pub use prefetch::{Event, Order, prefetch};
