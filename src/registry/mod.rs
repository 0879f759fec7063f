//! What a registry does, with no word of HTTP: resolving names, serving and taking manifests and blobs.
//!
//! Reads go to the hosted store first and then to the upstreams; writes go to the hosted store alone.

mod ahead;
mod blobs;
mod catalog;
mod collect;
mod copy;
mod epochs;
mod error;
mod fallback;
mod fetched;
pub mod flight;
mod freshness;
mod group;
mod history;
mod keep;
mod keeping;
mod listing;
mod lists;
mod manifests;
mod member;
mod mount;
mod pins;
mod prefetch;
mod publish;
mod purge;
mod questions;
mod referrers;
mod refresh;
mod search;
mod stock;
mod tag_list;
mod tags;
mod target;
#[cfg(test)]
mod tests;
mod untagged;
mod uploads;
mod visibility;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use blobs::{Blob, BlobBytes};
pub use collect::{Collected, Collection, Sweep};
pub use epochs::Ticket;
pub use error::{Error, Kind};
pub use freshness::HeldBack;
pub use history::Past;
pub use keeping::Surplus;
pub use lists::Page;
pub use manifests::Found;
pub use member::Member;
pub use pins::Pinned;
pub use prefetch::{Fetched, Platforms};
pub use publish::Published;
pub use referrers::Wanted;
pub use refresh::Refreshed;
pub use stock::{Listed, Share, Usage};
pub use tags::Moved;
pub use target::{NoTarget, Shapes, Target};
pub use uploads::{Body, Progress};

use crate::auth::{Policy, Who};
use crate::config::{Patterns, Settings};
use crate::index::{Change, CommitError, Expect, Index, Promise, Unavailable};
use crate::oci::{Digest, Origin, Referrer, Repository, RepositoryName, Tag};
use crate::store::BlobStore;
use crate::upstream::{Budget, Deadlines, Purpose, UpstreamState};

/// Everything a request can be answered from.
pub struct Registry {
    index: Arc<dyn Index>,
    store: Arc<dyn BlobStore>,
    board: Arc<flight::Board>,
    members: HashMap<String, Arc<Member>>,
    /// The group, in order.
    group: Vec<Origin>,
    overlay: Patterns,
    hosted: crate::config::Hosted,
    shapes: Shapes,
    deadlines: Deadlines,
    epochs: epochs::Epochs,
    uploads: uploads::Sessions,
    fetched: fetched::Fetched,
    asked: ahead::Asked,
    tag_lists: Arc<lists::Lists<Repository, Tag>>,
    referrer_lists: Arc<lists::Lists<(Repository, Digest), Referrer>>,
    made_up: fallback::MadeUp,
    searches: search::Searches,
    verdicts: visibility::Verdicts,
    /// How long what a pusher was told is here stays here.
    lease: Duration,
    policy: Arc<Policy>,
    /// Whose turn it is to remove bytes.
    removing: tokio::sync::Mutex<()>,
    this: Weak<Registry>,
}

/// Who reads, and how much of the group he sees.
#[derive(Clone, Debug)]
pub struct Reader {
    pub who: Who,
    pub sight: Sight,
    /// What upstreams are asked for.
    purpose: Purpose,
    /// When he asked: whatever he waits for, he waits one budget from then.
    since: Instant,
}

impl Reader {
    /// Somebody who asks now.
    pub fn new(who: Who, sight: Sight) -> Reader {
        Reader { who, sight, purpose: Purpose::Miss, since: Instant::now() }
    }

    /// The same, for whom upstreams are asked with less need.
    fn asking(&self, purpose: Purpose) -> Reader {
        Reader { purpose: self.purpose.max(purpose), ..self.clone() }
    }
}

/// A push sees the hosted store alone; a pull sees everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    Everything,
    Hosted,
}

/// Whether only the headers are wanted, or the bytes too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Want {
    Head,
    Bytes,
}

impl Registry {
    /// Puts the parts together; nothing is read or asked yet.
    pub fn new(
        settings: &Settings,
        index: Arc<dyn Index>,
        store: Arc<dyn BlobStore>,
        members: Vec<Member>,
        deadlines: Deadlines,
        tuning: flight::Tuning,
        policy: Arc<Policy>,
    ) -> Arc<Registry> {
        let shapes = Shapes::new(members.iter().map(|m| m.registry().to_owned()));
        Arc::new_cyclic(|this| Registry {
            this: this.clone(),
            board: flight::Board::new(store.clone(), index.clone(), tuning),
            members: members.into_iter().map(|m| (m.registry().to_owned(), Arc::new(m))).collect(),
            group: settings.group.members.clone(),
            overlay: settings.group.overlay.clone(),
            hosted: settings.hosted.clone(),
            shapes,
            deadlines,
            epochs: epochs::Epochs::default(),
            uploads: uploads::Sessions::default(),
            fetched: fetched::Fetched::default(),
            asked: ahead::Asked::default(),
            tag_lists: Arc::new(lists::Lists::new()),
            referrer_lists: Arc::new(lists::Lists::new()),
            made_up: fallback::MadeUp::default(),
            searches: search::Searches::default(),
            verdicts: visibility::Verdicts::lasting(tuning.verdict),
            lease: tuning.lease,
            removing: tokio::sync::Mutex::default(),
            policy,
            index,
            store,
        })
    }

    /// The target of a name as the client writes it.
    pub fn target(&self, path_name: &str, ns: Option<&str>) -> Result<Target, Error> {
        self.shapes.target(path_name, ns).map_err(|none| match none {
            NoTarget::Registry(registry) => Error::new(
                Kind::NameUnknown,
                format!("{registry} is no upstream of this registry; its administrator can add [[upstream]] registry = \"{registry}\""),
            ),
            NoTarget::Name => Error::new(Kind::NameInvalid, crate::oci::InvalidName.to_string()),
        })
    }

    pub fn index(&self) -> &Arc<dyn Index> {
        &self.index
    }

    /// Who may do what.
    pub fn access(&self) -> &Arc<Policy> {
        &self.policy
    }

    pub fn store(&self) -> &Arc<dyn BlobStore> {
        &self.store
    }

    /// How each upstream stands, by name. Nothing is asked.
    pub fn upstreams(&self) -> Vec<UpstreamState> {
        let mut states: Vec<_> = self.members.values().map(|member| member.upstream().state()).collect();
        states.sort_by(|one, other| one.registry.cmp(&other.registry));
        states
    }

    /// Fetches under way.
    pub fn flights(&self) -> usize {
        self.board.under_way()
    }

    /// For tasks that outlive the request.
    fn this(&self) -> Arc<Registry> {
        self.this.upgrade().expect("a registry is borrowed only while somebody holds it")
    }

    /// Of a question that is asked for whoever comes, and of work that nobody waits for.
    fn budget(&self) -> Budget {
        Budget::lasting(self.deadlines.budget)
    }

    /// What is left of the reader's.
    fn budget_of(&self, reader: &Reader) -> Budget {
        Budget::until(reader.since + self.deadlines.budget).of(reader.purpose)
    }

    fn member(&self, repository: &Repository) -> Option<&Arc<Member>> {
        match &repository.origin {
            Origin::Hosted => None,
            Origin::Upstream(registry) => self.members.get(&**registry),
        }
    }

    /// The group's upstream repositories for a name, in order.
    fn upstream_members(&self, name: &RepositoryName) -> impl Iterator<Item = Repository> {
        self.group.iter().filter_map(move |origin| match origin {
            Origin::Hosted => None,
            Origin::Upstream(registry) => Some(Repository::upstream(registry, name)),
        })
    }

    /// The repositories that a name points at: first the one that a push or a delete would change, then the group's upstreams in order.
    pub fn candidates(&self, target: &Target) -> Vec<Repository> {
        match target {
            Target::Upstream(repository) => vec![repository.clone()],
            Target::Group(name) => std::iter::once(Repository::hosted(name)).chain(self.upstream_members(name)).collect(),
        }
    }

    fn groups_hosted(&self) -> bool {
        self.group.contains(&Origin::Hosted)
    }

    /// Commits, and ends what was remembered of the repositories that changed before it returns. Both happen, or neither,
    /// even when whoever waits for it leaves.
    async fn commit(&self, expects: Vec<Expect>, changes: Vec<Change>, promise: Promise) -> Result<(), CommitError> {
        let this = self.this();
        let committing = tokio::spawn(async move {
            let changed: Vec<_> = changes.iter().filter_map(Change::repository).map(|r| this.epochs.slot(r)).collect();
            let committed = this.index.commit(expects, changes, promise).await;
            changed.into_iter().for_each(|slot| this.epochs.bump(slot));
            committed
        });
        committing.await.unwrap_or_else(|broken| Err(Unavailable::Broken(format!("a commit broke off: {broken}")).into()))
    }

    /// Commits what was learned while reading; whether it was written. Whoever reads gets his answer also when it cannot be.
    async fn note(&self, changes: Vec<Change>) -> Result<bool, Error> {
        noted(self.commit(Vec::new(), changes, Promise::Appended).await)
    }
}

/// What cannot be written down is forgotten; whether it was written.
fn noted(committed: Result<(), CommitError>) -> Result<bool, Error> {
    match committed {
        Err(CommitError::NotWritten(why)) => {
            tracing::warn!(%why, "what was fetched is served and forgotten: it cannot be recorded");
            Ok(false)
        }
        noted => Ok(noted.map(|()| true)?),
    }
}

/// Runs the work to its end, also when whoever waits for it leaves: a client that goes takes the future of its request with it.
async fn to_the_end<T: Send + 'static>(work: impl Future<Output = Result<T, Error>> + Send + 'static) -> Result<T, Error> {
    let broken = |_| Err(Error::new(Kind::Internal, "this broke off here; the registry's log says why"));
    tokio::spawn(work).await.unwrap_or_else(broken)
}

/// Unix milliseconds.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis() as u64)
}
