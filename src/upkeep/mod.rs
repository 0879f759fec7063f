//! Work that nobody waits for at a socket: filling the cache ahead, ending uploads that nobody finishes, letting old tags go,
//! and what commands ask for, with the control socket by which they reach a running server.

pub mod control;
mod history;
mod prefetch;
pub mod prune;
mod request;
pub mod uploads;

pub use history::MoveEvent;
pub use prefetch::{Event, Order};
pub use prune::{PruneEvent, PruneOrder};
pub use request::{Reply, Request, carry_out};
