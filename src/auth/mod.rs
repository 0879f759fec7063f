//! Placeholder of the room `auth`.
