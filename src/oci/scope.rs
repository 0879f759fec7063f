//! Scopes: what a token is asked for and holds, in the grammar of Docker's token specification.
//!
//! A parsed scope has a name of visible ASCII without quotes, so it can stand in a header as it is.

use std::fmt;

/// The longest name in a scope, in bytes: a registry's address and a repository's name.
const MAX_SCOPE_NAME: usize = 512;

/// One resource and what is to be done with it: `repository:team/app:pull,push`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    pub resource: Resource,
    pub actions: Actions,
}

/// What a scope is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// The name as the client writes it, which may begin with a registry's `host:port/`.
    Repository(String),
    /// `registry:catalog`: the list of repositories.
    Catalog,
}

/// A set of actions, as scopes name them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Actions {
    pub pull: bool,
    pub push: bool,
    pub delete: bool,
    /// `*`: asked for, it is everything that the account has.
    pub all: bool,
}

impl Actions {
    pub const NONE: Actions = Actions { pull: false, push: false, delete: false, all: false };
    pub const PULL: Actions = Actions { pull: true, ..Actions::NONE };
    pub const PULL_PUSH: Actions = Actions { push: true, ..Actions::PULL };
    pub const PULL_DELETE: Actions = Actions { delete: true, ..Actions::PULL };
    pub const ALL: Actions = Actions { all: true, ..Actions::NONE };

    pub fn is_empty(&self) -> bool {
        *self == Actions::NONE
    }

    /// The set of the words that are known; others are left out.
    pub fn from_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Actions {
        let mut actions = Actions::NONE;
        for word in words {
            match word {
                "pull" => actions.pull = true,
                "push" => actions.push = true,
                "delete" => actions.delete = true,
                "*" => actions.all = true,
                _ => {}
            }
        }
        actions
    }

    /// The set as words, always in the same order.
    pub fn words(&self) -> Vec<&'static str> {
        let named = [(self.pull, "pull"), (self.push, "push"), (self.delete, "delete"), (self.all, "*")];
        named.into_iter().filter_map(|(held, word)| held.then_some(word)).collect()
    }
}

impl Scope {
    pub fn repository(name: impl Into<String>, actions: Actions) -> Scope {
        Scope { resource: Resource::Repository(name.into()), actions }
    }

    pub fn catalog() -> Scope {
        Scope { resource: Resource::Catalog, actions: Actions::ALL }
    }

    /// The scopes of a text with spaces between them; what is unknown or malformed is left out.
    pub fn parse_all(text: &str) -> Vec<Scope> {
        text.split_ascii_whitespace().filter_map(Scope::parse).collect()
    }

    /// One scope; `None` for an unknown type, a name that cannot be one, or no known action.
    pub fn parse(text: &str) -> Option<Scope> {
        let (kind, rest) = text.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        Scope::from_parts(kind, name, Actions::from_words(actions.split(',')))
    }

    /// The inverse of [`Scope::kind`], [`Scope::name`] and the actions.
    pub fn from_parts(kind: &str, name: &str, actions: Actions) -> Option<Scope> {
        let resource = match (kind, name) {
            ("repository", name) if is_name(name) => Resource::Repository(name.to_owned()),
            ("registry", "catalog") => Resource::Catalog,
            _ => return None,
        };
        (!actions.is_empty()).then_some(Scope { resource, actions })
    }

    /// The resource's type, as written.
    pub fn kind(&self) -> &'static str {
        match self.resource {
            Resource::Repository(_) => "repository",
            Resource::Catalog => "registry",
        }
    }

    /// The resource's name, as written.
    pub fn name(&self) -> &str {
        match &self.resource {
            Resource::Repository(name) => name,
            Resource::Catalog => "catalog",
        }
    }
}

fn is_name(text: &str) -> bool {
    let visible = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b',');
    !text.is_empty() && text.len() <= MAX_SCOPE_NAME && text.bytes().all(visible)
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.kind(), self.name(), self.actions.words().join(","))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scopes_are_read_as_clients_write_them() {
        for (text, printed) in [
            ("repository:nginx:pull", "repository:nginx:pull"),
            ("repository:team/app:push,pull", "repository:team/app:pull,push"),
            ("repository:127.0.0.1:5000/team/app:delete,pull", "repository:127.0.0.1:5000/team/app:pull,delete"),
            ("repository:a:*", "repository:a:*"),
            ("repository:a:pull,dance", "repository:a:pull"),
            ("registry:catalog:*", "registry:catalog:*"),
        ] {
            assert_eq!(Scope::parse(text).map(|s| s.to_string()).as_deref(), Some(printed), "{text}");
        }
        let port = Scope::parse("repository:host:5000/a:pull").unwrap();
        assert_eq!(port.resource, Resource::Repository("host:5000/a".to_owned()));
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        for text in ["", ":", "::", "repository:a", "repository::pull", "repository:a:", "repository:a:dance", "plugin:a:pull"] {
            assert_eq!(Scope::parse(text), None, "{text}");
        }
        assert_eq!(Scope::parse("registry:other:*"), None);
        assert_eq!(Scope::parse("repository:a\"b:pull"), None);
        assert_eq!(Scope::parse(&format!("repository:{}:pull", "a".repeat(MAX_SCOPE_NAME + 1))), None);
        let several = Scope::parse_all("repository:a:pull  x:y:z\tregistry:catalog:*");
        assert_eq!(several, [Scope::repository("a", Actions::PULL), Scope::catalog()]);
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser_and_what_it_reads_it_prints(text in ".*") {
            for scope in Scope::parse_all(&text) {
                prop_assert_eq!(Scope::parse(&scope.to_string()), Some(scope));
            }
        }

        #[test]
        fn what_looks_like_a_scope_keeps_its_meaning(text in "(repository|registry|x)(:[a-z:/.]{0,6}){1,4}:(pull|push|\\*|,){0,5}") {
            for scope in Scope::parse_all(&text) {
                prop_assert_eq!(Scope::parse(&scope.to_string()), Some(scope));
            }
        }
    }
}
