//! The server behind proxies, and among those who speak as if they were one.

#[path = "support/app/mod.rs"]
mod app;
#[path = "support/captured.rs"]
mod captured;

#[path = "proxies/forwarded.rs"]
mod forwarded;
#[path = "proxies/raw.rs"]
mod raw;
#[path = "proxies/smuggling.rs"]
mod smuggling;
