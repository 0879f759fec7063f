//! Telling a command what became of a tag, and how it stands.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::request::Teller;
use crate::oci::{Digest, ImageName};
use crate::registry::{HeldBack, Registry};

/// What a command tells of a tag, in one repository that its name may mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum HistoryEvent {
    Moved {
        repository: String,
        /// Unix milliseconds.
        at: u64,
        /// Who did it: a user, or the upstream that said so; empty for nobody in particular.
        by: String,
        /// `None`: the tag was not there.
        from: Option<Digest>,
        /// `None`: the tag was removed.
        to: Option<Digest>,
    },
    /// It stays at the digest, whatever its upstream says.
    Pinned {
        repository: String,
        /// Unix milliseconds.
        since: u64,
        digest: Digest,
    },
    /// Its upstream names what is too new to be served.
    Held {
        repository: String,
        #[serde(flatten)]
        held: HeldBack,
    },
}

/// Tells the moves of an image's tag, oldest first, then how it stands.
pub(super) async fn history(registry: Arc<Registry>, image: String, teller: Teller) -> Result<(), String> {
    let name: ImageName = image.parse().map_err(|why| format!("{image:?} is no image name: {why}"))?;
    for past in registry.history(&name).await.map_err(|error| error.message)? {
        let repository = past.repository.to_string();
        for step in past.moves {
            let (repository, by) = (repository.clone(), step.by);
            teller.tell(HistoryEvent::Moved { repository, at: step.at, by, from: step.from, to: step.to }).await;
        }
        if let Some((digest, since)) = past.pinned {
            teller.tell(HistoryEvent::Pinned { repository: repository.clone(), since, digest }).await;
        }
        if let Some(held) = past.held {
            teller.tell(HistoryEvent::Held { repository, held }).await;
        }
    }
    Ok(())
}
