//! Upstreams that misbehave in every way that is known, at every place where they are asked.
//!
//! No wrong byte comes whole, nothing hangs, and no outage is told as "not found".

#[path = "support/app/mod.rs"]
mod app;
#[path = "support/captured.rs"]
mod captured;

#[path = "misbehaviour/case.rs"]
mod case;
#[path = "misbehaviour/credentials.rs"]
mod credentials;
#[path = "misbehaviour/failover.rs"]
mod failover;
#[path = "misbehaviour/log.rs"]
mod log;
#[path = "misbehaviour/matrix.rs"]
mod matrix;
#[path = "misbehaviour/policy.rs"]
mod policy;
#[path = "misbehaviour/random.rs"]
mod random;
#[path = "misbehaviour/resuming.rs"]
mod resuming;
#[path = "misbehaviour/table.rs"]
mod table;
