//! Placeholder of the room `registry`.
