//! Log-in: who is who, and that nobody gets what is not for him.

mod accounts;
mod audit;
mod closed;
mod requests;
mod tokens;
