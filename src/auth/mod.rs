//! Who may do what: users and their passwords, tokens, challenges, and the one function that judges.
//!
//! No word of HTTP beyond the two header values that are texts here. No password, token or hash is ever logged or printed.

mod accounts;
mod admin;
mod challenge;
mod claims;
mod credentials;
mod failures;
mod file;
mod grant;
mod htpasswd;
mod judge;
mod keys;
mod ledger;
mod personal;
mod policy;
mod remembered;
mod roles;
mod roster;
mod rules;
mod tokens;
mod users;
mod watched;

pub use accounts::{Account, AccountKind, hashed, user_name};
pub use admin::MadeUp;
pub use challenge::{Fault, SERVICE, challenge};
pub use claims::Claims;
pub use credentials::Credentials;
pub use failures::NotVerified;
pub use file::{FileError, replace};
pub use grant::{Granted, Refused, TokenRequest, grant};
pub use judge::{ADMIN, Action, Verdict, Who, explain, judge, judge_admin, judge_any, judge_listing, judged_name};
pub use ledger::{Change, Entries, KeptAllow, KeptRole, KeptToken, Ledger, NotChanged};
pub use personal::{PersonalToken, token_id};
pub use policy::Policy;
pub use rules::{Members, Role, Rules, Source, said};
pub use tokens::{InvalidToken, LIFETIME, MAX_TOKEN, REFRESH_LIFETIME, Tokens};
pub use users::{OpenError, Pace, Users};
