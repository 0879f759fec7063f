//! Wires every room together.
