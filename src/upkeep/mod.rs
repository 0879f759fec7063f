//! Work that nobody waits for at a socket: filling the cache ahead, ending uploads that nobody finishes, letting old tags go,
//! removing what nobody needs, and what commands ask for, with the control socket by which they reach a running server.

mod accounts;
mod collect;
pub mod control;
mod history;
mod images;
mod prefetch;
pub mod prune;
mod request;
mod roles;
mod tags;
pub mod uploads;

pub use accounts::{TokenEvent, TokenOrder, UserOrder};
pub use collect::{Gathering, Tempo, keep_collecting};
pub use history::HistoryEvent;
pub use images::{Copy, Names, Outcome, Room};
pub use prefetch::{Event, Order};
pub use prune::{PruneEvent, PruneOrder};
pub use request::{Reply, Request, carry_out};
pub use roles::{Can, Judged, RoleEvent, RoleOrder, Rule};
pub use tags::TagEvent;
