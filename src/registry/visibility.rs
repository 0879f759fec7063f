//! Who may read a repository: whom the rules let, and of those without a log-in whom its upstream itself shows it to.
//!
//! It is asked for the very repository that is about to answer, however it was found. Credentials that were given for an upstream
//! must not publish what only they reach.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;

use super::manifests::Miss;
use super::member::Member;
use super::questions::Questions;
use super::{Error, Kind, Reader, Registry};
use crate::auth::{Action, Verdict, Who, judge};
use crate::config::Visibility;
use crate::oci::{Digest, Reference, Repository};
use crate::upstream::Refusal;

/// So many times in the life of a verdict an upstream that told nothing is asked again.
const AGAIN: u32 = 60;

/// What is known of who may see what.
pub struct Verdicts {
    /// How long a verdict holds without asking again.
    life: Duration,
    /// Public or not, and until when that holds.
    known: Cache<Repository, (bool, Instant)>,
    /// One at a time for each repository. The answer says what was asked about: a manifest, or the list of tags.
    questions: Questions<Repository, (Option<Reference>, Result<bool, Refusal>)>,
}

impl Verdicts {
    pub fn lasting(life: Duration) -> Verdicts {
        Verdicts { life, known: Cache::builder().max_capacity(100_000).build(), questions: Questions::default() }
    }
}

impl Registry {
    /// Whether the rules let him read the repository.
    pub(super) fn may_read(&self, repository: &Repository, who: &Who) -> bool {
        judge(&self.policy.rules(), who, Action::Pull, repository) == Verdict::Allowed
    }

    /// The same for a repository whose turn it is to answer: where he may not read it, nobody answers in its place.
    pub(super) fn require_read(&self, repository: &Repository, who: &Who) -> Result<(), Error> {
        match judge(&self.policy.rules(), who, Action::Pull, repository) {
            Verdict::Allowed => Ok(()),
            Verdict::LogIn => {
                Err(Error::new(Kind::LogIn, format!("pulling {repository} needs a log-in: docker login HOST, then try again")))
            }
            Verdict::Denied => {
                let text = format!("this account may not pull {repository}: ask the registry's administrator for a role that may");
                Err(Error::new(Kind::Denied, text))
            }
        }
    }

    /// Whether anonymous clients may see it, as far as that is known without asking.
    pub(super) fn known_public(&self, repository: &Repository) -> bool {
        match self.member(repository) {
            None => true,
            Some(member) => match member.settings().visibility {
                Visibility::Public => true,
                Visibility::SignedIn => false,
                Visibility::Auto => is_open(member, repository) || self.verdicts.known.get(repository).is_some_and(|(public, _)| public),
            },
        }
    }

    /// The same, where a verdict counts only as long as it holds.
    fn holds_public(&self, repository: &Repository) -> bool {
        let ended = self.verdicts.known.get(repository).is_some_and(|(_, until)| until <= Instant::now());
        self.known_public(repository) && (!ended || self.forbids(repository).is_some())
    }

    /// Until when everybody may see what was found, as far as is known: so long it may be kept in memory. `None`: always.
    pub(super) fn seen_until(&self, repository: &Repository) -> Option<Instant> {
        let member = self.member(repository)?;
        match member.settings().visibility {
            Visibility::Public => None,
            Visibility::Auto if is_open(member, repository) => None,
            Visibility::Auto | Visibility::SignedIn => match self.verdicts.known.get(repository) {
                Some((true, until)) => Some(until),
                _ => Some(Instant::now()),
            },
        }
    }

    /// Whether a list may name the repository, as far as is known without asking anybody.
    pub(super) fn shown(&self, repository: &Repository, who: &Who) -> bool {
        self.may_read(repository, who) && (who.is_signed_in() || self.known_public(repository))
    }

    /// Whether the reader may see the repository; `reference` is what the upstream is asked with when there is no verdict.
    pub(super) async fn may_see(&self, repository: &Repository, reference: &Reference, reader: &Reader) -> Result<bool, Miss> {
        self.may(repository, Some(reference), reader).await
    }

    /// The same for its list of tags, which the upstream is then asked for.
    pub(super) async fn may_list(&self, repository: &Repository, reader: &Reader) -> Result<bool, Miss> {
        self.may(repository, None, reader).await
    }

    async fn may(&self, repository: &Repository, reference: Option<&Reference>, reader: &Reader) -> Result<bool, Miss> {
        self.require_read(repository, &reader.who)?;
        let Some(member) = self.member(repository) else { return Ok(true) };
        match (&reader.who, member.settings().visibility) {
            (who, _) if who.is_signed_in() => Ok(true),
            (_, Visibility::Public) => Ok(true),
            (_, Visibility::SignedIn) => Ok(false),
            (_, Visibility::Auto) if is_open(member, repository) => Ok(true),
            (_, Visibility::Auto) => self.verdict(repository, reference, reader).await,
        }
    }

    /// The same for a blob, of which an upstream tells nothing without a manifest: a manifest that reaches it is asked for.
    pub(super) async fn may_see_blob(&self, repository: &Repository, digest: &Digest, reader: &Reader) -> Result<bool, Miss> {
        self.require_read(repository, &reader.who)?;
        match self.index.parents(repository, digest, 1).await?.first() {
            Some(parent) => self.may_see(repository, &Reference::Digest(*parent), reader).await,
            None => Ok(reader.who.is_signed_in() || self.holds_public(repository)),
        }
    }

    async fn verdict(&self, repository: &Repository, reference: Option<&Reference>, reader: &Reader) -> Result<bool, Miss> {
        let known = self.verdicts.known.get(repository);
        if let Some((public, until)) = known
            && (Instant::now() < until || self.forbids(repository).is_some())
        {
            return Ok(public);
        }
        if self.forbids(repository).is_some() {
            return Ok(false);
        }
        match (self.ask_verdict(repository, reference, reader).await, known) {
            (Some(Ok(public)), _) => Ok(public),
            (_, Some((public, _))) => Ok(public),
            // Who sees nothing of this reference there sees nothing of it here; it tells nothing of the others.
            (Some(Err(absent @ Refusal::Absent { .. })), None) => Err(Miss::Refused(absent)),
            (Some(Err(_)) | None, None) => {
                let text = format!(
                    "{} cannot be asked now whether everybody may see {repository}: docker login here, then pull again, or try later",
                    repository.origin
                );
                Err(Miss::Ours(Error::new(Kind::LogIn, text)))
            }
        }
    }

    async fn ask_verdict(&self, repository: &Repository, reference: Option<&Reference>, reader: &Reader) -> Option<Result<bool, Refusal>> {
        loop {
            let asked =
                self.verdicts.questions.ask(repository.clone(), || self.this().find_verdict(repository.clone(), reference.cloned()));
            match self.within(reader, repository, asked).await.ok()?? {
                // It may be that only the other's is not there.
                (about, Err(Refusal::Absent { .. })) if about.as_ref() != reference => {}
                (_, answer) => return Some(answer),
            }
        }
    }

    /// Asks the upstream and remembers what it said. An old verdict holds a while longer when it said nothing.
    async fn find_verdict(
        self: Arc<Self>,
        repository: Repository,
        reference: Option<Reference>,
    ) -> (Option<Reference>, Result<bool, Refusal>) {
        let Some(member) = self.member(&repository).cloned() else { return (reference, Ok(true)) };
        let (name, budget) = (&repository.name, self.budget());
        let answer = match &reference {
            None => member.upstream().anonymous_may_list(name, budget).await,
            Some(reference) => match member.upstream().anonymous_may_read(name, reference, budget).await {
                // Some registries hide what is private: then it is there for those who log in.
                Err(Refusal::Absent { .. }) => member.upstream().head_manifest(name, reference, budget).await.map(|_| false),
                answer => answer,
            },
        };
        let Verdicts { life, known, .. } = &self.verdicts;
        match (&answer, known.get(&repository)) {
            (Ok(public), _) => known.insert(repository, (*public, Instant::now() + *life)),
            (Err(_), Some((public, _))) => known.insert(repository, (public, Instant::now() + *life / AGAIN)),
            (Err(_), None) => {}
        }
        (reference, answer)
    }
}

/// What everybody may read without any question: no credentials reach more, or it is one of Docker Hub's official images.
fn is_open(member: &Member, repository: &Repository) -> bool {
    let official = member.registry() == "docker.io" && repository.name.as_str().starts_with("library/");
    official || !member.has_credentials(&repository.name)
}
