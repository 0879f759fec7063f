//! Work that nobody waits for at a socket: filling the cache ahead, ending uploads that nobody finishes, and what commands ask for,
//! with the control socket by which they reach a running server.

pub mod control;
mod prefetch;
mod request;
pub mod uploads;

pub use prefetch::{Event, Order};
pub use request::{Reply, Request, carry_out};
