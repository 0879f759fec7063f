//! What a token says, and its form on the wire: Docker's `access`, and beside it what was asked for.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::judge::{Action, Who};
use crate::oci::{Actions, Resource, Scope};

/// A verified token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    pub who: Who,
    pub granted: Vec<Scope>,
    pub asked: Vec<Scope>,
    /// Seconds since 1970.
    pub expires: u64,
    /// What the user logged in with: that very password, or personal token.
    pub(super) stamp: Option<Arc<str>>,
}

impl Claims {
    /// Whether the token covers `action` with the repository of this name. [`Action::Shadow`] needs push in the token, the right
    /// itself is the account's; [`Action::Admin`] is in no token.
    pub fn grants(&self, name: &str, action: Action) -> bool {
        holds(&self.granted, name, |actions| match action {
            Action::Pull => actions.pull,
            Action::Push | Action::Shadow => actions.push,
            Action::Delete => actions.delete,
            Action::Admin => false,
        })
    }

    /// Whether the client wants to push to the repository of this name, granted or not.
    pub fn asked_push(&self, name: &str) -> bool {
        holds(&self.asked, name, |actions| actions.push || actions.all)
    }

    /// About how many bytes it takes in memory.
    pub(super) fn weight(&self) -> u32 {
        let scopes = self.granted.iter().chain(&self.asked);
        let bytes: usize = scopes.map(|scope| size_of::<Scope>() + scope.name().len()).sum();
        u32::try_from(256 + bytes).unwrap_or(u32::MAX)
    }

    /// Whether the token covers lists of repositories; one that was asked for nothing does.
    pub fn grants_listing(&self) -> bool {
        self.asked.is_empty() || self.granted.iter().any(|scope| scope.resource == Resource::Catalog)
    }
}

fn holds(scopes: &[Scope], name: &str, what: impl Fn(Actions) -> bool) -> bool {
    scopes.iter().any(|scope| match &scope.resource {
        Resource::Repository(other) => short(other) == short(name) && what(scope.actions),
        Resource::Catalog => false,
    })
}

/// Clients write `nginx` and `library/nginx`, alone and behind `docker.io/`, for one repository.
fn short(name: &str) -> (bool, &str) {
    let (prefixed, rest) = match name.strip_prefix("docker.io/") {
        Some(rest) => (true, rest),
        None => (false, name),
    };
    let rest = match rest.strip_prefix("library/") {
        Some(one_part) if !one_part.contains('/') => one_part,
        _ => rest,
    };
    (prefixed, rest)
}

/// The claims of the token itself.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wire {
    pub iss: String,
    pub aud: String,
    pub exp: u64,
    pub nbf: u64,
    pub iat: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stamp: Option<String>,
    pub access: Vec<Access>,
    /// Scopes with spaces between them.
    pub asked: String,
}

/// The claims of a refresh token. There is nothing in it that could be done with it here.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RefreshWire {
    pub iss: String,
    pub aud: String,
    pub exp: u64,
    pub nbf: u64,
    pub iat: u64,
    pub sub: String,
    pub stamp: String,
}

/// One granted scope in Docker's form.
#[derive(Serialize, Deserialize)]
pub(super) struct Access {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    actions: Vec<String>,
}

impl Access {
    pub fn of(scope: &Scope) -> Access {
        let actions = scope.actions.words().into_iter().map(str::to_owned).collect();
        Access { kind: scope.kind().to_owned(), name: scope.name().to_owned(), actions }
    }

    fn scope(&self) -> Option<Scope> {
        Scope::from_parts(&self.kind, &self.name, Actions::from_words(self.actions.iter().map(String::as_str)))
    }
}

impl Claims {
    /// What a token said of `who`, whose log-in was looked up.
    pub(super) fn of(wire: Wire, who: Who) -> Claims {
        Claims {
            who,
            granted: wire.access.iter().filter_map(Access::scope).collect(),
            asked: Scope::parse_all(&wire.asked),
            expires: wire.exp,
            stamp: wire.stamp.map(Arc::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(granted: &str, asked: &str) -> Claims {
        let (granted, asked) = (Scope::parse_all(granted), Scope::parse_all(asked));
        Claims { who: Who::Anonymous, granted, asked, expires: 0, stamp: None }
    }

    #[test]
    fn a_token_covers_what_it_was_granted_and_no_more() {
        let claims = claims("repository:team/app:pull", "repository:team/app:pull,push");
        assert!(claims.grants("team/app", Action::Pull));
        for action in [Action::Push, Action::Delete, Action::Shadow, Action::Admin] {
            assert!(!claims.grants("team/app", action), "{action:?}");
        }
        assert!(!claims.grants("team/app2", Action::Pull) && !claims.grants("team", Action::Pull));
        assert!(claims.asked_push("team/app") && !claims.asked_push("team/other"));
        assert!(self::claims("", "repository:a:*").asked_push("a"));
    }

    #[test]
    fn library_may_be_there_or_not() {
        for (granted, asked) in [("nginx", "library/nginx"), ("library/nginx", "nginx"), ("docker.io/nginx", "docker.io/library/nginx")] {
            let claims = claims(&format!("repository:{granted}:push"), &format!("repository:{granted}:push"));
            assert!(claims.grants(asked, Action::Push) && claims.asked_push(asked), "{granted}");
            assert!(claims.grants(granted, Action::Shadow), "{granted}");
        }
        let claims = claims("repository:library/a/b:pull repository:docker.io/x:pull", "");
        assert!(!claims.grants("a/b", Action::Pull) && !claims.grants("x", Action::Pull));
    }

    #[test]
    fn a_token_without_a_scope_may_list() {
        assert!(claims("", "").grants_listing());
        assert!(claims("registry:catalog:*", "registry:catalog:*").grants_listing());
        assert!(!claims("", "registry:catalog:*").grants_listing());
        assert!(!claims("repository:a:pull", "repository:a:pull").grants_listing());
    }
}
