//! One upstream as the registry uses it: the client, its policy, and places for its blob bodies.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::flight::Places;
use crate::config;
use crate::oci::{Repository, RepositoryName};
use crate::upstream::{Deadlines, Scarcity, Upstream};

pub struct Member {
    upstream: Upstream,
    places: Arc<Places>,
    offline: bool,
    /// Until when nobody needs to be told again that it is spared, by purpose.
    told_until: Mutex<[Option<Instant>; 3]>,
}

impl Member {
    /// # Errors
    /// Says what of the settings cannot be used.
    pub fn new(settings: &config::Upstream, offline: bool, deadlines: Deadlines) -> Result<Member, String> {
        let places = Places::new(settings.connections);
        Ok(Member {
            upstream: Upstream::new(settings, deadlines)?,
            places,
            offline: offline || settings.offline,
            told_until: Mutex::default(),
        })
    }

    pub fn registry(&self) -> &str {
        self.upstream.registry()
    }

    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    pub fn settings(&self) -> &config::Upstream {
        self.upstream.settings()
    }

    pub fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// Why the upstream must not be asked for the repository, as a sentence.
    pub fn forbids(&self, name: &RepositoryName) -> Option<String> {
        let settings = self.settings();
        let registry = self.registry();
        if self.offline {
            return Some(format!("{registry} is offline here, and this is not in the cache; prefetch it while there is a network"));
        }
        let allowed = settings.allow.matches(name.as_str()) && !settings.deny.matches(name.as_str());
        (!allowed).then(|| format!("this registry's configuration does not allow {name} to be fetched from {registry}"))
    }

    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// Whether it was not told yet in this window that so little is left.
    pub fn is_news(&self, scarcity: &Scarcity) -> bool {
        let mut told = self.told_until.lock().unwrap_or_else(PoisonError::into_inner);
        let until = &mut told[scarcity.purpose as usize];
        let news = until.is_none_or(|until| until <= Instant::now());
        if news {
            *until = Some(scarcity.resets);
        }
        news
    }

    /// Whether some endpoint is asked for the repository with credentials.
    pub fn has_credentials(&self, name: &RepositoryName) -> bool {
        let logins = self.settings().endpoints.iter().filter_map(|endpoint| endpoint.credentials.as_ref()?.login(name.as_str()));
        logins.count() > 0
    }

    /// The canonical repository of a name here.
    pub fn repository(&self, name: &RepositoryName) -> Repository {
        Repository::upstream(self.registry(), name)
    }
}
