//! What is remembered, in memory alone, of what upstreams said: tags seen by HEAD, what they do not have, when they failed.

use std::time::{Duration, Instant};

use moka::Expiry;
use moka::sync::Cache;

use super::questions::Questions;
use super::{manifests::Outcome, now};
use crate::oci::{Digest, Reference, Repository, Tag};
use crate::upstream::{HeadAnswer, ManifestAnswer, Refusal};

/// How long a failed upstream is not asked again for a tag that can be served from the cache.
const FAILURE_REST: Duration = Duration::from_secs(30);

/// How long after its manifest an image's first blob starts the others.
const SERVED: Duration = Duration::from_secs(300);

/// Bounded; the oldest go first.
const REMEMBERED: u64 = 10_000;

pub struct Fetched {
    /// Tags whose manifest is not stored, as a HEAD told them, and when (Unix milliseconds).
    heads: Cache<(Repository, Tag), (HeadAnswer, u64)>,
    /// What was fetched by a tag, with its ETag: an upstream's HEAD may tell no more than that.
    etags: Cache<(Repository, Tag), (String, Digest)>,
    /// Absent and denied answers until their `negative_ttl` ends.
    refusals: Cache<(Repository, Reference), (Refusal, Duration)>,
    /// Tags whose upstream could not be asked just now.
    failures: Cache<(Repository, Tag), ()>,
    /// Manifests whose bytes were served lately and whose layers were not started yet.
    served: Cache<(Repository, Digest), ()>,
    pub questions: Questions<(Repository, Reference), Outcome>,
}

struct NegativeTtl;

impl Expiry<(Repository, Reference), (Refusal, Duration)> for NegativeTtl {
    fn expire_after_create(&self, _: &(Repository, Reference), value: &(Refusal, Duration), _: Instant) -> Option<Duration> {
        Some(value.1)
    }
}

impl Default for Fetched {
    fn default() -> Fetched {
        Fetched {
            heads: Cache::builder().max_capacity(REMEMBERED).time_to_live(Duration::from_secs(3600)).build(),
            etags: Cache::builder().max_capacity(REMEMBERED).build(),
            refusals: Cache::builder().max_capacity(REMEMBERED).expire_after(NegativeTtl).build(),
            failures: Cache::builder().max_capacity(REMEMBERED).time_to_live(FAILURE_REST).build(),
            served: Cache::builder().max_capacity(REMEMBERED).time_to_live(SERVED).build(),
            questions: Questions::default(),
        }
    }
}

impl Fetched {
    /// What a HEAD told of the tag, if that is not older than `ttl`.
    pub fn head(&self, repository: &Repository, tag: &Tag, ttl: Duration) -> Option<HeadAnswer> {
        let (head, at) = self.heads.get(&(repository.clone(), tag.clone()))?;
        (Duration::from_millis(now().saturating_sub(at)) < ttl).then_some(head)
    }

    pub fn saw_head(&self, repository: &Repository, tag: &Tag, head: &HeadAnswer) {
        self.heads.insert((repository.clone(), tag.clone()), (head.clone(), now()));
    }

    /// The tag is known better by now.
    pub fn forget_head(&self, repository: &Repository, tag: &Tag) {
        self.heads.invalidate(&(repository.clone(), tag.clone()));
    }

    /// The tags that a HEAD said to be `digest`, and when it did: their manifest is about to be stored.
    pub fn tags_of(&self, repository: &Repository, digest: &Digest) -> Vec<(Tag, u64)> {
        let named = |key: &(Repository, Tag), head: &HeadAnswer| key.0 == *repository && head.digest == Some(*digest);
        let found: Vec<_> = self.heads.iter().filter(|(key, (head, _))| named(key, head)).map(|(key, (_, at))| (key, at)).collect();
        found.iter().for_each(|(key, _)| self.heads.invalidate(&**key));
        found.into_iter().map(|(key, at)| (key.1.clone(), at)).collect()
    }

    pub fn saw_etag(&self, repository: &Repository, tag: &Tag, answer: &ManifestAnswer) {
        let key = (repository.clone(), tag.clone());
        match &answer.etag {
            Some(etag) => self.etags.insert(key, (etag.clone(), answer.digest)),
            None => self.etags.invalidate(&key),
        }
    }

    /// The digest of what the tag named when it had that ETag.
    pub fn by_etag(&self, repository: &Repository, tag: &Tag, etag: &str) -> Option<Digest> {
        let (known, digest) = self.etags.get(&(repository.clone(), tag.clone()))?;
        (known == etag).then_some(digest)
    }

    pub fn refusal(&self, repository: &Repository, reference: &Reference) -> Option<Refusal> {
        self.refusals.get(&(repository.clone(), reference.clone())).map(|(refusal, _)| refusal)
    }

    pub fn refused(&self, repository: &Repository, reference: &Reference, refusal: &Refusal, ttl: Duration) {
        if !matches!(refusal, Refusal::Failed { .. }) && !ttl.is_zero() {
            self.refusals.insert((repository.clone(), reference.clone()), (refusal.clone(), ttl));
        }
    }

    /// What the upstream refused before, and that it failed, is forgotten.
    pub fn forgive(&self, repository: &Repository, reference: &Reference) {
        self.refusals.invalidate(&(repository.clone(), reference.clone()));
        if let Reference::Tag(tag) = reference {
            self.failures.invalidate(&(repository.clone(), tag.clone()));
        }
    }

    pub fn failed(&self, repository: &Repository, tag: &Tag) {
        self.failures.insert((repository.clone(), tag.clone()), ());
    }

    pub fn recently_failed(&self, repository: &Repository, tag: &Tag) -> bool {
        self.failures.contains_key(&(repository.clone(), tag.clone()))
    }

    pub fn served(&self, repository: &Repository, digest: &Digest) {
        self.served.insert((repository.clone(), *digest), ());
    }

    /// Whether the manifest was served lately; once for each time.
    pub fn take_served(&self, repository: &Repository, digest: &Digest) -> bool {
        self.served.remove(&(repository.clone(), *digest)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_that_a_head_told_does_not_overtake_what_is_known_since() {
        let (fetched, repository) = (Fetched::default(), Repository::upstream("one.test", &"team/app".parse().unwrap()));
        let tag = |text: &str| text.parse::<Tag>().unwrap();
        let head = HeadAnswer { digest: Some(Digest::of(b"old")), etag: None, media_type: String::new(), size: None };
        let before = now();
        for text in ["moved", "kept"] {
            fetched.saw_head(&repository, &tag(text), &head);
        }
        fetched.forget_head(&repository, &tag("moved"));
        let told = fetched.tags_of(&repository, &Digest::of(b"old"));
        assert!(matches!(told.as_slice(), [(name, at)] if *name == tag("kept") && (before..=now()).contains(at)), "{told:?}");
        assert!(fetched.tags_of(&repository, &Digest::of(b"old")).is_empty(), "each is stored once");
    }
}
