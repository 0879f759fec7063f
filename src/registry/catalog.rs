//! The catalog: every repository that can be pulled here, under the name it is pulled by, in lexical order of those names.
//!
//! A page costs as much as its names do, however many there are: each shelf is read in order from where the page begins.

use std::collections::BTreeSet;

use super::{Error, Page, Reader, Registry};
use crate::oci::{Origin, Repository, RepositoryName};

const LIBRARY: &str = "library/";

/// Repositories of one origin that are called here in the order of their names there.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    pub origin: Origin,
    called: Called,
}

/// How a repository is called here.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Called {
    /// By its name, which has no shorter form.
    Same,
    /// By its short name: Docker Hub's official images.
    Short,
    /// With the registry's name and a slash before its own.
    Behind(String),
}

impl Shelf {
    /// Where to begin reading for names here that come after `after`: `None` when there are none.
    fn start(&self, after: Option<&str>) -> Option<Option<String>> {
        match &self.called {
            Called::Same => Some(after.map(str::to_owned)),
            Called::Short => Some(Some(format!("{LIBRARY}{}", after.unwrap_or("")))),
            Called::Behind(prefix) => match after {
                Some(after) if after >= prefix.as_str() => after.strip_prefix(prefix.as_str()).map(|rest| Some(rest.to_owned())),
                _ => Some(None),
            },
        }
    }

    /// What the repository is called here, in the order of the names there; `None` from where the shelf ends.
    fn call(&self, name: &RepositoryName) -> Option<String> {
        match &self.called {
            Called::Same => Some(name.to_string()),
            Called::Short => name.as_str().strip_prefix(LIBRARY).map(str::to_owned),
            Called::Behind(prefix) => Some(format!("{prefix}{name}")),
        }
    }

    /// Whether the repository stands here, not on another shelf of its origin.
    fn holds(&self, name: &RepositoryName) -> bool {
        match &self.called {
            Called::Same => name.short() == *name,
            Called::Short => name.short() != *name,
            Called::Behind(_) => true,
        }
    }
}

impl Registry {
    /// At most `limit` names after `after` of what the reader may see: hosted ones and, unless `hosted_only`, those that are cached.
    pub async fn catalog(&self, after: Option<&str>, limit: usize, hosted_only: bool, reader: &Reader) -> Result<Page<String>, Error> {
        let mut names = BTreeSet::new();
        let readable = |repository: &Repository| self.shown(repository, &reader.who);
        for shelf in self.shelves(hosted_only) {
            // What comes after a page's worth of names cannot be on the page.
            let until = names.iter().nth(limit).cloned();
            names.extend(self.names_on(&shelf, after, until.as_deref(), limit + 1, &readable).await?);
        }
        let more = limit > 0 && names.len() > limit;
        Ok(Page { entries: names.into_iter().take(limit).collect(), more, stale: false })
    }

    /// All that is pulled here, or what was pushed alone.
    pub(super) fn shelves(&self, hosted_only: bool) -> Vec<Shelf> {
        let mut shelves = vec![Shelf { origin: Origin::Hosted, called: Called::Same }];
        let registries = self.members.keys().filter(|_| !hosted_only);
        for registry in registries {
            let origin = Origin::Upstream(registry.as_str().into());
            let at_root = registry == "docker.io" && self.group.contains(&origin);
            let called = if at_root { vec![Called::Short, Called::Same] } else { vec![Called::Behind(format!("{registry}/"))] };
            shelves.extend(called.into_iter().map(|called| Shelf { origin: origin.clone(), called }));
        }
        shelves
    }

    /// The first `most` names on the shelf after `after` and not after `until`, as they are called here.
    pub(super) async fn names_on(
        &self,
        shelf: &Shelf,
        after: Option<&str>,
        until: Option<&str>,
        most: usize,
        readable: &(dyn Fn(&Repository) -> bool + Sync),
    ) -> Result<Vec<String>, Error> {
        let (mut names, Some(mut start)) = (Vec::new(), shelf.start(after)) else { return Ok(Vec::new()) };
        loop {
            let page = self.index.repositories(&shelf.origin, start.as_deref(), most).await?;
            for name in &page {
                let called = shelf.call(name).filter(|called| until.is_none_or(|until| called.as_str() <= until));
                let Some(called) = called.filter(|_| names.len() < most) else { return Ok(names) };
                if shelf.holds(name) && readable(&Repository { origin: shelf.origin.clone(), name: name.clone() }) {
                    names.push(called);
                }
            }
            let Some(last) = page.last().filter(|_| page.len() == most) else { return Ok(names) };
            start = Some(last.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shelf_is_read_from_where_the_page_begins() {
        let shelf = |called| Shelf { origin: Origin::Hosted, called };
        let behind = shelf(Called::Behind("quay.io/".into()));
        for (after, want) in [
            (None, Some(None)),
            (Some("alpine"), Some(None)),
            (Some("quay.io"), Some(None)),
            (Some("quay.io/"), Some(Some("".to_owned()))),
            (Some("quay.io/org/a"), Some(Some("org/a".to_owned()))),
            (Some("quay.io0"), None),
            (Some("z"), None),
        ] {
            assert_eq!(behind.start(after), want, "{after:?}");
        }
        assert_eq!(shelf(Called::Short).start(Some("nginx")), Some(Some("library/nginx".to_owned())));
        assert_eq!(shelf(Called::Short).start(None), Some(Some("library/".to_owned())));
        assert_eq!(shelf(Called::Same).start(Some("nginx")), Some(Some("nginx".to_owned())));
    }

    #[test]
    fn each_repository_stands_on_one_shelf() {
        let shelf = |called| Shelf { origin: Origin::Hosted, called };
        let called = |name: &str| {
            let name = name.parse().unwrap();
            let on = |called| Some(shelf(called)).filter(|shelf| shelf.holds(&name)).and_then(|shelf| shelf.call(&name));
            (on(Called::Same), on(Called::Short))
        };
        assert_eq!(called("library/nginx"), (None, Some("nginx".to_owned())));
        assert_eq!(called("library/a/b"), (Some("library/a/b".to_owned()), None));
        assert_eq!(called("team/app"), (Some("team/app".to_owned()), None));
    }
}
