//! Placeholder of the room `registry`.

pub mod flight;
