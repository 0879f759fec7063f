//! Fetching a list of images, several at once. One that fails is named and the others go on.

use std::sync::Arc;

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use super::request::Teller;
use crate::oci::ImageName;
use crate::registry::{Platforms, Registry};

/// What is to be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub images: Vec<String>,
    /// Each as `os/architecture[/variant]`; `all` alone for every platform.
    pub platforms: Vec<String>,
    /// Images at once.
    pub jobs: usize,
}

/// What happens to an image, as it happens. Sizes are bytes of its blobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    Progress { image: String, here: u64, total: u64 },
    Done { image: String, total: u64 },
    Failed { image: String, why: String },
}

/// Carries the order out.
pub async fn prefetch(registry: Arc<Registry>, order: Order, teller: Teller) -> Result<(), String> {
    let platforms = match order.platforms.as_slice() {
        [all] if all == "all" => Platforms::All,
        list => Platforms::These(list.to_vec()),
    };
    let images = futures_util::stream::iter(order.images);
    images
        .for_each_concurrent(order.jobs.max(1), |image| {
            let (registry, platforms, teller) = (registry.clone(), platforms.clone(), teller.clone());
            async move {
                let last = one(&registry, &image, &platforms, &teller).await.unwrap_or_else(|why| Event::Failed { image, why });
                teller.tell(last).await;
            }
        })
        .await;
    Ok(())
}

async fn one(registry: &Registry, image: &str, platforms: &Platforms, teller: &Teller) -> Result<Event, String> {
    let name: ImageName = image.parse().map_err(|why| format!("{image:?} is no image name: {why}"))?;
    let told = teller.clone();
    let text = image.to_owned();
    let progress = move |fetched: crate::registry::Fetched| {
        // Whoever watches may miss a step; the last word is sent in full.
        told.mention(Event::Progress { image: text.clone(), here: fetched.here, total: fetched.total });
    };
    let fetched = registry.prefetch(&name, platforms, progress).await.map_err(|error| error.message)?;
    Ok(Event::Done { image: image.to_owned(), total: fetched.total })
}
