//! The mirror: three shapes of a name, whose name it is, and what a pusher sees.

#[path = "support/app/mod.rs"]
mod app;

#[path = "mirror/group.rs"]
mod group;
#[path = "mirror/push_back.rs"]
mod push_back;
#[path = "mirror/shapes.rs"]
mod shapes;
