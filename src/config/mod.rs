//! Plain settings: where they come from, what they may be, and what they are when nobody says.

mod builtin;
mod credentials;
mod environment;
mod faults;
mod freshness;
mod grammar;
mod hosted;
mod hosts;
mod load;
mod networks;
mod pattern;
mod reader;
mod roles;
mod sections;
mod settings;
mod show;
mod tls;
mod tree;
mod upstreams;
mod values;

#[cfg(test)]
mod tests;

pub use credentials::{Credentials, Keeper, Login};
pub use faults::{Fault, Faults, Place};
pub use freshness::{FreshnessRule, TagTimes};
pub use load::{Loaded, Overrides, Sources, load};
pub use networks::Networks;
pub use pattern::Patterns;
pub use roles::{ADMIN, ANONYMOUS, USERS, role_name};
pub use settings::*;
pub use tls::certificate_hosts;

/// The annotated default: every key with its default, explained for a person.
pub const ANNOTATED: &str = include_str!("../../config.toml");
