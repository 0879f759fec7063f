//! Search: names here that contain a term, then what Docker Hub finds where the group has it. Docker Hub's answer is a courtesy:
//! when it fails, what is here is found all the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

use super::questions::Questions;
use super::{Error, Reader, Registry};
use crate::oci::{Origin, Repository, RepositoryName};
use crate::upstream::{Budget, Hit};

const HUB: &str = "docker.io";

/// The most that are found here, and that Docker Hub is asked for.
const MOST_HERE: usize = 1000;
const MOST_UPSTREAM: usize = 100;

/// Names read at once.
const PAGE: usize = 1000;

/// What Docker Hub found lately, so that the pages of one search agree.
pub(super) struct Searches {
    found: Cache<String, Arc<[Hit]>>,
    questions: Questions<String, Arc<[Hit]>>,
}

impl Default for Searches {
    fn default() -> Searches {
        let found = Cache::builder().max_capacity(1000).time_to_live(Duration::from_secs(60)).build();
        Searches { found, questions: Questions::default() }
    }
}

impl Registry {
    /// The repositories whose names contain `term`, of what the reader may see; then Docker Hub's own.
    pub async fn search(&self, term: &str, reader: &Reader) -> Result<Vec<Hit>, Error> {
        let term = term.trim().to_lowercase();
        let term = term.strip_prefix("library/").unwrap_or(&term);
        let here = self.names_with(term, reader).await?;
        let mut theirs = Vec::new();
        for hit in self.search_upstream(term, reader).await.iter() {
            if self.may_show(hit, reader).await? {
                theirs.push(hit.clone());
            }
        }
        let mut hits: Vec<_> = here.into_iter().map(|(name, origin)| described(name, &origin, &mut theirs)).collect();
        hits.sort_by_key(|hit| hit.name.rsplit('/').next() != Some(term));
        hits.extend(theirs);
        Ok(hits)
    }

    async fn names_with(&self, term: &str, reader: &Reader) -> Result<BTreeMap<String, Origin>, Error> {
        let readable = |repository: &Repository| self.shown(repository, &reader.who);
        let mut found = BTreeMap::new();
        for shelf in self.shelves(false) {
            let mut after = None;
            loop {
                let names = self.names_on(&shelf, after.as_deref(), None, PAGE, &readable).await?;
                let whole = names.len() == PAGE;
                after = names.last().cloned();
                for name in names.into_iter().filter(|name| name.contains(term)) {
                    found.entry(name).or_insert_with(|| shelf.origin.clone());
                }
                if !whole || found.len() >= MOST_HERE {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Docker Hub's answer; nothing where it has none, or must not be asked.
    async fn search_upstream(&self, term: &str, reader: &Reader) -> Arc<[Hit]> {
        let hub = Origin::named(HUB);
        let Some(member) = self.members.get(HUB).filter(|member| self.group.contains(&hub) && !member.is_offline()) else {
            return Arc::new([]);
        };
        let forbidden = |name: RepositoryName| self.forbids(&Repository::upstream(HUB, &name)).is_some();
        if term.is_empty() || term.parse().is_ok_and(forbidden) {
            return Arc::new([]);
        }
        if let Some(found) = self.searches.found.get(term) {
            return found;
        }
        let (member, this, budget) = (member.clone(), self.this(), Budget::lasting(self.deadlines.hop));
        let asked = self.searches.questions.ask(term.to_owned(), || {
            let term = term.to_owned();
            async move {
                match member.upstream().search(&term, MOST_UPSTREAM, budget).await {
                    Ok(hits) => {
                        let hits: Arc<[Hit]> = hits.into();
                        this.searches.found.insert(term, hits.clone());
                        hits
                    }
                    Err(cause) => {
                        tracing::info!(source = HUB, %cause, "its search could not be asked: what is here is found without it");
                        Arc::new([])
                    }
                }
            }
        });
        let answer = tokio::time::timeout_at(self.budget_of(reader).until.into(), asked).await;
        answer.ok().flatten().unwrap_or_else(|| Arc::new([]))
    }

    /// Whether a pull of that name at the root may come from Docker Hub, and the reader may have it.
    async fn may_show(&self, hit: &Hit, reader: &Reader) -> Result<bool, Error> {
        let Ok(name) = hit.name.parse::<RepositoryName>() else { return Ok(false) };
        let there = Repository::upstream(HUB, &name);
        if self.forbids(&there).is_some() || !self.may_read(&there, &reader.who) {
            return Ok(false);
        }
        let standing = self.standing(&name).await?;
        let hidden = standing.hosted.is_some_and(|hosted| !self.may_read(&hosted, &reader.who));
        Ok(standing.closed.is_none() && !hidden)
    }
}

/// A name that is here, with Docker Hub's words about it where it is Docker Hub's.
fn described(name: String, origin: &Origin, theirs: &mut Vec<Hit>) -> Hit {
    let known = theirs.iter().position(|hit| hit.name == name).map(|at| theirs.remove(at));
    match (origin, known) {
        (Origin::Hosted, _) => Hit { name, description: "pushed here".to_owned(), ..Hit::default() },
        (Origin::Upstream(_), Some(hit)) => hit,
        (Origin::Upstream(registry), None) => Hit { name, description: format!("cached from {registry}"), ..Hit::default() },
    }
}
