//! What `/token` decides: who gets which token. A token never holds more than was asked, nor more than its holder may do.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::credentials::Credentials;
use super::failures::NotVerified;
use super::judge::{Action, Verdict, Who, judge, judge_any, judge_listing};
use super::rules::Rules;
use super::tokens::{LIFETIME, Tokens};
use super::users::{Known, Users};
use crate::oci::{Actions, Repository, Resource, Scope};

/// A parsed question to `/token`.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    pub credentials: Credentials,
    pub scopes: Vec<Scope>,
    pub from: IpAddr,
}

/// The answer. There are no refresh tokens.
#[derive(Clone, Debug)]
pub struct Granted {
    pub token: String,
    pub expires_in: Duration,
    pub issued_at: SystemTime,
}

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The credentials are wrong, and something was asked that needs right ones (or nothing was: a log-in).
    #[error("the user name or the password is wrong")]
    LogIn,
    #[error("too many wrong passwords at once for this user; wait a minute and try again")]
    TooMany,
    #[error("too many scopes at once: ask for fewer repositories")]
    TooLong,
}

/// The repositories that a name may stand for: first the one that a push or a delete would change, then what else a pull may be answered
/// from. None where it is no name.
pub type Names<'a> = &'a (dyn Fn(&str) -> Vec<Repository> + Sync);

/// Answers a question to `/token`.
pub async fn grant(users: &Users, rules: &Rules, tokens: &Tokens, request: TokenRequest, names: Names<'_>) -> Result<Granted, Refused> {
    let holder = holder(users, rules, &request, names).await?;
    let who = holder.as_ref().map_or(Who::Anonymous, |known| Who::User(known.name.clone()));
    let granted: Vec<Scope> = request.scopes.iter().filter_map(|scope| narrowed(rules, &who, scope, names)).collect();
    let issued = tokens.issue(holder.as_ref(), &granted, &request.scopes).map_err(|_| Refused::TooLong)?;
    Ok(Granted { token: issued.token, expires_in: LIFETIME, issued_at: issued.at })
}

/// For whom the token is: a user, or nobody in particular.
async fn holder(users: &Users, rules: &Rules, request: &TokenRequest, names: Names<'_>) -> Result<Option<Known>, Refused> {
    match &request.credentials {
        Credentials::None => Ok(None),
        Credentials::Certificate(name) => Ok(Some(Known::by_certificate(name))),
        Credentials::Basic { user, password } => match users.known(user, password).await {
            Some(known) => Ok(Some(known)),
            // Docker sends Docker Hub's credentials to a mirror: that is no failed log-in.
            None if only_open_pulls(rules, &request.scopes, names) => Ok(None),
            None => Err(match users.failed(user, request.from).await {
                NotVerified::Wrong => Refused::LogIn,
                NotVerified::TooMany => Refused::TooMany,
            }),
        },
        Credentials::Bearer(_) | Credentials::Unknown if only_open_pulls(rules, &request.scopes, names) => Ok(None),
        Credentials::Bearer(_) | Credentials::Unknown => Err(Refused::LogIn),
    }
}

/// Whether pulls were asked for, nothing else, and anybody may have them.
fn only_open_pulls(rules: &Rules, scopes: &[Scope], names: Names<'_>) -> bool {
    let open = |scope: &Scope| match &scope.resource {
        Resource::Repository(_) => scope.actions == Actions::PULL && narrowed(rules, &Who::Anonymous, scope, names).is_some(),
        Resource::Catalog => false,
    };
    !scopes.is_empty() && scopes.iter().all(open)
}

/// The part of a scope that `who` may have.
fn narrowed(rules: &Rules, who: &Who, scope: &Scope, names: Names<'_>) -> Option<Scope> {
    let asked = scope.actions;
    let actions = match &scope.resource {
        Resource::Catalog => match judge_listing(rules, who) {
            Verdict::Allowed => asked,
            Verdict::LogIn | Verdict::Denied => Actions::NONE,
        },
        Resource::Repository(name) => {
            let repositories = names(name);
            let changed = repositories.first()?;
            let may = |asked_for: bool, action| (asked_for || asked.all) && judge(rules, who, action, changed) == Verdict::Allowed;
            Actions {
                pull: (asked.pull || asked.all) && judge_any(rules, who, Action::Pull, &repositories) == Verdict::Allowed,
                push: may(asked.push, Action::Push),
                delete: may(asked.delete, Action::Delete),
                all: false,
            }
        }
    };
    (!actions.is_empty()).then(|| Scope { resource: scope.resource.clone(), actions })
}

#[cfg(test)]
mod tests;
