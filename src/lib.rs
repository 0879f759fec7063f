//! entrepot: a private image registry, a pull-through cache of every public registry, and the one address for both.
//!
//! Rooms lie on floors; a room imports only from lower floors (`tests/tidy.rs` checks it, ARCHITECTURE.md draws it).

pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod index;
pub mod oci;
pub mod registry;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod upkeep;
pub mod upstream;
