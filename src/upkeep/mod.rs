//! Placeholder of the room `upkeep`.
