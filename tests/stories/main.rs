//! What people do with the whole server, told as stories over HTTP and by its commands. One program, because each costs a minute to build.

#[path = "../support/app/mod.rs"]
mod app;
#[path = "../support/forward_proxy.rs"]
mod forward_proxy;
#[path = "../support/secured.rs"]
#[expect(dead_code, reason = "here all certificates are good")]
mod secured;

mod care;
mod freshness;
mod hosted;
mod lists;
mod log_in;
mod mirror;
mod offline;
mod outages;
mod prefetch;
mod replays;
mod restarts;
mod roles;
mod secrets;
mod visibility;
