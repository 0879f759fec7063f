//! Who may do what: users and their passwords, tokens, challenges, and the one function that judges.
//!
//! No word of HTTP beyond the two header values that are texts here. No password, token or hash is ever logged or printed.

mod admin;
mod challenge;
mod claims;
mod credentials;
mod failures;
mod file;
mod grant;
mod htpasswd;
mod judge;
mod ledger;
mod policy;
mod remembered;
mod roles;
mod rules;
mod tokens;
mod users;
mod watched;

pub use admin::MadeUp;
pub use challenge::{Fault, SERVICE, challenge};
pub use claims::Claims;
pub use credentials::Credentials;
pub use failures::NotVerified;
pub use file::FileError;
pub use grant::{Granted, Refused, TokenRequest, grant};
pub use judge::{ADMIN, Action, Verdict, Who, explain, judge, judge_admin, judge_any, judge_listing, judged_name};
pub use ledger::{Change, Entries, KeptAllow, KeptRole, KeptToken, Ledger, NotChanged};
pub use policy::Policy;
pub use rules::{Members, Role, Rules, Source, said};
pub use tokens::{InvalidToken, LIFETIME, MAX_TOKEN, Tokens};
pub use users::{OpenError, Pace, Users};
