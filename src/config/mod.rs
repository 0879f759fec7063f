//! Plain settings: where they come from, what they may be, and what they are when nobody says.

mod pattern;
mod settings;

pub use pattern::Patterns;
pub use settings::*;
