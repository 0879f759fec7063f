//! What upstreams said of their lists, remembered in memory: believed as long as a tag is, asked for once at a time, and
//! given old when it cannot be asked for.

use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;

use super::group::Standing;
use super::manifests::Miss;
use super::questions::Questions;
use super::{Error, Kind, Reader, Registry, Target};
use crate::config;
use crate::oci::{Digest, Repository};
use crate::upstream::{Budget, Purpose, Refusal};

/// Bytes of lists that are remembered, of each kind.
const CAPACITY: u64 = 64 << 20;

/// How long an upstream that failed is not asked again for a list of which something is known here.
const FAILURE_REST: Duration = Duration::from_secs(30);

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub entries: Vec<T>,
    /// Whether more follow.
    pub more: bool,
    /// Whether an upstream could not be asked, so that entries may be missing.
    pub stale: bool,
}

/// The lists of one kind, by what they are lists of.
pub(super) struct Lists<K, T> {
    told: Cache<K, Arc<Told<T>>>,
    failed: Cache<K, Refusal>,
    questions: Questions<K, Result<Arc<[T]>, Refusal>>,
}

struct Told<T> {
    answer: Result<Arc<[T]>, Refusal>,
    at: Instant,
    weight: u32,
}

/// A list as far as it is known.
pub(super) struct Known<T> {
    pub entries: Arc<[T]>,
    pub stale: bool,
}

impl<T> Known<T> {
    /// Nothing but what is stored here.
    pub fn nothing(stale: bool) -> Known<T> {
        Known { entries: Arc::new([]), stale }
    }
}

impl<K, T> Lists<K, T>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    pub fn new() -> Lists<K, T> {
        Lists {
            told: Cache::builder().max_capacity(CAPACITY).weigher(|_, told: &Arc<Told<T>>| told.weight).build(),
            failed: Cache::builder().max_capacity(10_000).time_to_live(FAILURE_REST).build(),
            questions: Questions::default(),
        }
    }

    fn note(&self, key: K, answer: Result<Arc<[T]>, Refusal>, weigh: impl Fn(&T) -> usize) -> Result<Arc<[T]>, Refusal> {
        match &answer {
            Err(refusal @ Refusal::Failed { .. }) => self.failed.insert(key, refusal.clone()),
            Ok(_) | Err(_) => {
                let bytes: usize = answer.iter().flat_map(|list| list.iter()).map(weigh).sum();
                self.failed.invalidate(&key);
                let weight = u32::try_from(1024 + bytes).unwrap_or(u32::MAX);
                self.told.insert(key, Arc::new(Told { answer: answer.clone(), at: Instant::now(), weight }));
            }
        }
        answer
    }
}

impl<T> Told<T> {
    fn holds(&self, settings: &config::Upstream) -> bool {
        let ttl = if self.answer.is_ok() { settings.tag_ttl } else { settings.negative_ttl };
        self.at.elapsed() < ttl
    }
}

/// What is asked of an upstream, and what is here if it does not answer.
pub(super) struct Asked<'a, T> {
    pub repository: &'a Repository,
    pub reader: &'a Reader,
    /// Whether entries of the list are stored here.
    pub some_here: bool,
    /// About how many bytes one entry takes.
    pub weigh: fn(&T) -> usize,
}

impl Registry {
    /// The repositories whose lists answer a reader for a name; for the lists of one manifest, of the members the one that has it.
    pub(super) async fn owners(&self, target: &Target, of: Option<&Digest>, reader: &Reader) -> Result<Standing, Error> {
        let mut standing = match target {
            Target::Upstream(repository) => return Ok(Standing { hosted: None, members: vec![repository.clone()], closed: None }),
            Target::Group(name) => self.standing_for(name, reader).await?,
        };
        if standing.closed.is_some() {
            standing.members.clear();
        }
        // After a list that answers, what he may not read ends the search in silence; before it, as it ends a pull.
        if standing.hosted.is_some() {
            let readable = standing.members.iter().take_while(|member| self.may_read(member, &reader.who)).count();
            standing.members.truncate(readable);
        }
        if let Some(digest) = of {
            for member in &standing.members {
                if self.index.manifest(member, digest).await?.is_some() || self.index.edge(member, digest).await?.is_some() {
                    standing.members = vec![member.clone()];
                    break;
                }
            }
        }
        Ok(standing)
    }

    /// The upstream's own list: remembered, else asked for, else old.
    pub(super) async fn told<K, T, F>(
        &self,
        lists: &Arc<Lists<K, T>>,
        key: K,
        asked: Asked<'_, T>,
        question: impl FnOnce(Budget) -> F,
    ) -> Result<Known<T>, Miss>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        T: Send + Sync + 'static,
        F: Future<Output = Result<Vec<T>, Refusal>> + Send + 'static,
    {
        let Asked { repository, reader, some_here, weigh } = asked;
        let settings = self.member(repository).ok_or(Miss::Unknown)?.settings();
        let told = lists.told.get(&key);
        if let Some(told) = told.as_ref().filter(|told| told.holds(settings)) {
            return told.answer.clone().map(|entries| Known { entries, stale: false }).map_err(Miss::Refused);
        }
        let age = told.as_ref().map(|told| told.at.elapsed()).unwrap_or_default();
        let old = told.and_then(|told| told.answer.clone().ok()).map(|entries| Known { entries, stale: true });
        if let Some(why) = self.forbids(repository) {
            return old.map(|old| Known { stale: false, ..old }).ok_or(Miss::Policy(why));
        }
        let old = old.filter(|_| settings.stale_if_error.is_none_or(|limit| age < limit));
        if (old.is_some() || some_here)
            && let Some(refusal) = lists.failed.get(&key)
        {
            return old.ok_or(Miss::Refused(refusal));
        }
        // A list may have many pages: whoever asks leaves after his own time, and the next one finds it.
        let purpose = if old.is_some() { Purpose::Revalidate } else { Purpose::Miss };
        let budget = Budget::lasting(self.deadlines.budget * 6).of(purpose);
        let answer = lists.questions.ask(key.clone(), || {
            let (lists, asked) = (lists.clone(), question(budget));
            async move { lists.note(key, asked.await.map(Arc::from), weigh) }
        });
        let wait = if old.is_some() { self.deadlines.stale_wait } else { self.deadlines.budget };
        match tokio::time::timeout(wait, self.within(reader, repository, answer)).await {
            Ok(Ok(Some(Ok(entries)))) => Ok(Known { entries, stale: false }),
            Ok(Ok(Some(Err(refusal @ Refusal::Failed { .. })))) => old.ok_or(Miss::Refused(refusal)),
            Ok(Ok(Some(Err(refusal)))) => Err(Miss::Refused(refusal)),
            Ok(Ok(None)) => Err(Miss::Ours(Error::new(Kind::Internal, "asking the upstream broke off here; the registry's log says why"))),
            Ok(Err(late)) => old.ok_or(late),
            Err(_) => old.ok_or_else(|| self.late(repository)),
        }
    }
}
