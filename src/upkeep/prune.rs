//! Letting tags go that the rules do not keep: every hour, and when a command asks.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::request::Teller;
use crate::oci::RepositoryName;
use crate::registry::{Error, Registry};
use crate::telemetry::audit::{self, By};

/// Before the first run after a start, so that a rule written by mistake can be taken back.
const REST: Duration = Duration::from_secs(300);

/// From one run to the next.
const HOUR: Duration = Duration::from_secs(3600);

/// What is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PruneOrder {
    /// Hosted repositories; all where none is named.
    pub repositories: Vec<String>,
    /// Only tell what would go.
    pub dry_run: bool,
}

/// What happens to a tag or a repository, as it happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PruneEvent {
    /// The tag went, or would go; `why` ends a sentence that begins with it.
    Tag {
        repository: String,
        tag: String,
        why: String,
    },
    Failed {
        repository: String,
        why: String,
    },
}

/// Carries the order out. A repository that fails is named, and the others go on.
pub(super) async fn prune(registry: Arc<Registry>, order: PruneOrder, teller: Teller) -> Result<(), String> {
    let mut names = order.repositories;
    if names.is_empty() {
        let all = registry.hosted_names().await.map_err(|error| error.message)?;
        names = all.iter().map(RepositoryName::to_string).collect();
    }
    for repository in names {
        let name = repository.parse::<RepositoryName>().map_err(|why| why.to_string());
        let pruned = match name {
            Ok(name) => one(&registry, &name, order.dry_run, Some(&teller)).await.map_err(|error| error.message),
            Err(why) => Err(why),
        };
        if let Err(why) = pruned {
            teller.tell(PruneEvent::Failed { repository, why }).await;
        }
    }
    Ok(())
}

async fn one(registry: &Registry, name: &RepositoryName, dry_run: bool, teller: Option<&Teller>) -> Result<(), Error> {
    for surplus in registry.surplus(name).await? {
        if !dry_run && !registry.let_go(name, &surplus).await? {
            continue;
        }
        if !dry_run {
            let by = if teller.is_some() { By::LOCAL } else { By::SERVER };
            audit::pruned(by, name, &surplus.tag, surplus.digest(), &surplus.why);
        }
        if let Some(teller) = teller {
            let (tag, why) = (surplus.tag.to_string(), surplus.why);
            teller.tell(PruneEvent::Tag { repository: name.to_string(), tag, why }).await;
        }
    }
    Ok(())
}

/// Prunes every hosted repository each hour, and forgets the history of tags that are long gone; until it is dropped.
pub async fn every_hour(registry: Arc<Registry>) {
    tokio::time::sleep(REST).await;
    loop {
        if let Err(error) = all(&registry).await {
            tracing::warn!(%error, "tags could not be pruned; it is tried again in an hour");
        }
        tokio::time::sleep(HOUR).await;
    }
}

async fn all(registry: &Registry) -> Result<(), Error> {
    for name in registry.hosted_names().await? {
        one(registry, &name, false, None).await?;
    }
    registry.forget_gone_tags().await
}
