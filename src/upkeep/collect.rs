//! Collecting what nobody needs, in small steps with pauses in proportion, so that requests always find room between them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::request::Teller;
use crate::registry::{Collected, Error, Registry, Sweep};
use crate::telemetry::audit;

/// After a failure: the index may still be being read.
const AGAIN: Duration = Duration::from_secs(10);

/// How a running server collects by itself.
#[derive(Clone, Copy, Debug)]
pub struct Tempo {
    /// From the start until the first time: as long as what a pusher is told holds, for a start forgets it.
    pub rest: Duration,
    /// From one time to the next.
    pub every: Duration,
    /// How much longer a pause is than the step before it.
    pub idle: u32,
}

impl Default for Tempo {
    fn default() -> Tempo {
        Tempo { rest: Duration::from_secs(3600), every: Duration::from_secs(3600), idle: 9 }
    }
}

/// Of a collection that somebody waits for.
const ASKED: u32 = 1;

/// How often who waits hears how far it is.
const TOLD: Duration = Duration::from_millis(200);

/// How far a collection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gathering {
    Progress(Collected),
    Done(Collected),
}

/// Removes what a kill left half removed, rests, then collects again and again; until it is dropped.
pub async fn keep_collecting(registry: Arc<Registry>, tempo: Tempo) {
    while let Err(error) = registry.bury_doomed().await {
        tracing::debug!(%error, "what was half removed is looked at again soon");
        tokio::time::sleep(AGAIN).await;
    }
    tokio::time::sleep(tempo.rest).await;
    loop {
        match gather(&registry, Sweep::default(), tempo.idle, |_| ()).await {
            Ok(Collected { blobs: 0, .. }) => {}
            Ok(collected) => tracing::info!(blobs = collected.blobs, bytes = collected.bytes, "removed what nobody needs"),
            Err(error) => tracing::warn!(%error, "what nobody needs could not be removed; it is tried again later"),
        }
        tokio::time::sleep(tempo.every).await;
    }
}

/// Collects because somebody asked.
pub(super) async fn gc(registry: Arc<Registry>, sweep: Sweep, teller: Teller) -> Result<(), String> {
    let mut told = Instant::now();
    let progress = |collected| {
        if told.elapsed() > TOLD {
            told = Instant::now();
            teller.mention(Gathering::Progress(collected));
        }
    };
    let collected = gather(&registry, sweep, ASKED, progress).await.map_err(|error| error.message)?;
    if !sweep.dry_run {
        audit::collected(collected.manifests, collected.blobs, collected.bytes);
    }
    teller.tell(Gathering::Done(collected)).await;
    Ok(())
}

async fn gather(registry: &Registry, sweep: Sweep, idle: u32, mut progress: impl FnMut(Collected)) -> Result<Collected, Error> {
    let mut collection = registry.collect(sweep).await?;
    loop {
        let began = Instant::now();
        let more = collection.step().await?;
        progress(collection.collected);
        if !more {
            return Ok(collection.collected);
        }
        // A busy machine makes steps longer, and so the pauses.
        tokio::time::sleep(began.elapsed() * idle).await;
    }
}
