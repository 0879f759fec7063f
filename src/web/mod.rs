//! Placeholder of the room `web`.
