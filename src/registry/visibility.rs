//! Whether anonymous clients may see an upstream's repository: they get what the upstream itself shows to anonymous.
//!
//! Credentials that were given for an upstream must not publish what only they reach.

use std::time::{Duration, Instant};

use moka::sync::Cache;

use super::manifests::Miss;
use super::member::Member;
use super::{Reader, Registry};
use crate::auth::Who;
use crate::config::Visibility;
use crate::oci::{Digest, Reference, Repository};

/// How long a verdict holds without asking again.
const HOLDS: Duration = Duration::from_secs(3600);

/// Verdicts by repository: public or not, and since when that is known.
pub struct Verdicts(Cache<Repository, (bool, Instant)>);

impl Default for Verdicts {
    fn default() -> Verdicts {
        Verdicts(Cache::builder().max_capacity(100_000).build())
    }
}

impl Registry {
    /// Whether anonymous clients may see it, as far as that is known without asking.
    pub(super) fn known_public(&self, repository: &Repository) -> bool {
        match self.member(repository) {
            None => true,
            Some(member) => match member.settings().visibility {
                Visibility::Public => true,
                Visibility::SignedIn => false,
                Visibility::Auto => is_open(member, repository) || self.verdicts.0.get(repository).is_some_and(|(public, _)| public),
            },
        }
    }

    /// Whether the reader may see the repository; `reference` is what the upstream is asked with when there is no verdict.
    pub(super) async fn may_see(&self, repository: &Repository, reference: &Reference, reader: &Reader) -> Result<bool, Miss> {
        let Some(member) = self.member(repository) else { return Ok(true) };
        match (&reader.who, member.settings().visibility) {
            (Who::User(_), _) | (_, Visibility::Public) => return Ok(true),
            (_, Visibility::SignedIn) => return Ok(false),
            (_, Visibility::Auto) => {}
        }
        if is_open(member, repository) {
            return Ok(true);
        }
        let remembered = self.verdicts.0.get(repository);
        if let Some((public, since)) = remembered
            && (since.elapsed() < HOLDS || self.forbids(member, repository).is_some())
        {
            return Ok(public);
        }
        if self.forbids(member, repository).is_some() {
            return Ok(false);
        }
        match member.upstream().anonymous_may_read(&repository.name, reference, self.budget()).await {
            Ok(public) => {
                self.verdicts.0.insert(repository.clone(), (public, Instant::now()));
                Ok(public)
            }
            Err(refusal) => {
                tracing::warn!(%repository, %refusal, "whether anonymous clients may see the repository cannot be asked");
                Ok(remembered.is_some_and(|(public, _)| public))
            }
        }
    }

    /// The same for a blob, of which an upstream tells nothing without a manifest: a manifest that reaches it is asked for.
    pub(super) async fn may_see_blob(&self, repository: &Repository, digest: &Digest, reader: &Reader) -> Result<bool, Miss> {
        let parent = self.index.parents(repository, digest, 1).await?.first().copied();
        self.may_see(repository, &Reference::Digest(parent.unwrap_or(*digest)), reader).await
    }
}

/// What everybody may read without any question: no credentials reach more, or it is one of Docker Hub's official images.
fn is_open(member: &Member, repository: &Repository) -> bool {
    let official = member.registry() == "docker.io" && repository.name.as_str().starts_with("library/");
    official || !member.has_credentials()
}
