//! Telling a command what became of a tag.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::request::Teller;
use crate::oci::{Digest, ImageName};
use crate::registry::Registry;

/// One move of a tag, as a command tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveEvent {
    pub repository: String,
    /// Unix milliseconds.
    pub at: u64,
    /// Who did it; empty for what was fetched or done by nobody in particular.
    pub by: String,
    /// `None`: the tag was not there.
    pub from: Option<String>,
    /// `None`: the tag was removed.
    pub to: Option<String>,
}

/// Tells the moves of an image's tag, oldest first.
pub(super) async fn history(registry: Arc<Registry>, image: String, teller: Teller) -> Result<(), String> {
    let name: ImageName = image.parse().map_err(|why| format!("{image:?} is no image name: {why}"))?;
    let text = |digest: Option<Digest>| digest.as_ref().map(Digest::to_string);
    for (repository, moves) in registry.history(&name).await.map_err(|error| error.message)? {
        for step in moves {
            let (from, to) = (text(step.from), text(step.to));
            teller.tell(MoveEvent { repository: repository.to_string(), at: step.at, by: step.by, from, to }).await;
        }
    }
    Ok(())
}
