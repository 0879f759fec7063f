//! Ending uploads that nobody finishes, so that their drafts do not fill the disk.

use std::sync::Arc;
use std::time::Duration;

use crate::registry::Registry;

const HOUR: Duration = Duration::from_secs(3600);

/// After a failure: the index may still be being read.
const AGAIN: Duration = Duration::from_secs(10);

/// Ends what a kill left in halves, then every hour what is too old; until it is dropped. `drafts` are those found at the start.
pub async fn sweep(registry: Arc<Registry>, drafts: Vec<String>) {
    while let Err(error) = registry.mend_uploads(&drafts).await {
        tracing::debug!(%error, "unfinished uploads are looked at again soon");
        tokio::time::sleep(AGAIN).await;
    }
    loop {
        if let Err(error) = registry.end_old_uploads().await {
            tracing::warn!(%error, "old uploads could not be ended");
        }
        tokio::time::sleep(HOUR).await;
    }
}
