//! The mirror: three shapes of a name, whose name it is, and what a pusher sees.

mod group;
mod push_back;
mod shapes;
