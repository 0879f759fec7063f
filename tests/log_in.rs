//! Log-in: who is who, and that nobody gets what is not for him.

#[path = "support/app/mod.rs"]
mod app;

#[path = "log_in/audit.rs"]
mod audit;
#[path = "log_in/closed.rs"]
mod closed;
#[path = "log_in/requests.rs"]
mod requests;
#[path = "log_in/tokens.rs"]
mod tokens;
