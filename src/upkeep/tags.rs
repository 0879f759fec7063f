//! What commands ask about cached tags and do with them: refreshing, pinning. Of a list, one that fails is named and the others go on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::images::told;
use super::request::Teller;
use crate::oci::{Digest, ImageName, Reference};
use crate::registry::{HeldBack, Registry};
use crate::telemetry::audit::{self, Named};

/// What became of one image. `image` is as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TagEvent {
    /// Its upstream was asked.
    Refreshed {
        image: String,
        repository: String,
        from: Digest,
        /// What it is from now on.
        to: Digest,
        /// What the upstream names instead and is too new to be served.
        held: Option<HeldBack>,
    },
    Pinned {
        image: String,
        repository: String,
        /// `None`: it was not here.
        from: Option<Digest>,
        to: Digest,
    },
    Unpinned {
        image: String,
        repository: String,
        digest: Digest,
    },
    Failed {
        image: String,
        why: String,
    },
}

/// Asks the upstreams of cached tags now.
pub(super) async fn refresh(registry: Arc<Registry>, images: Vec<String>, teller: Teller) -> Result<(), String> {
    for image in images {
        let refreshed = match name(&image) {
            Ok(name) => registry.refresh(&name).await.map_err(|error| error.message),
            Err(why) => Err(why),
        };
        match refreshed {
            Ok(all) => {
                for one in all {
                    let (image, repository) = (image.clone(), one.repository.to_string());
                    teller.tell(TagEvent::Refreshed { image, repository, from: one.from, to: one.to, held: one.held }).await;
                }
            }
            Err(why) => teller.tell(TagEvent::Failed { image, why }).await,
        }
    }
    Ok(())
}

/// Has cached tags stay what they are, or at the digest that follows them.
pub(super) async fn pin(registry: Arc<Registry>, images: Vec<String>, teller: Teller) -> Result<(), String> {
    for image in images {
        let pinned = match tag_and_digest(&image) {
            Ok((name, digest)) => registry.pin(&name, digest).await.map_err(|error| error.message),
            Err(why) => Err(why),
        };
        let (from, to) = pinned.as_ref().map_or((None, None), |pinned| (pinned.from, Some(pinned.to)));
        audit::commanded("pin", Named::Image(&image), from, to, told(&pinned, ""));
        let event = match pinned {
            Ok(pinned) => TagEvent::Pinned { image, repository: pinned.repository.to_string(), from: pinned.from, to: pinned.to },
            Err(why) => TagEvent::Failed { image, why },
        };
        teller.tell(event).await;
    }
    Ok(())
}

/// Has cached tags follow their upstreams again.
pub(super) async fn unpin(registry: Arc<Registry>, images: Vec<String>, teller: Teller) -> Result<(), String> {
    for image in images {
        let unpinned = match tag_and_digest(&image) {
            Ok((name, _)) => registry.unpin(&name).await.map_err(|error| error.message),
            Err(why) => Err(why),
        };
        let digest = unpinned.as_ref().ok().map(|pinned| pinned.to);
        audit::commanded("unpin", Named::Image(&image), digest, digest, told(&unpinned, ""));
        let event = match unpinned {
            Ok(pinned) => TagEvent::Unpinned { image, repository: pinned.repository.to_string(), digest: pinned.to },
            Err(why) => TagEvent::Failed { image, why },
        };
        teller.tell(event).await;
    }
    Ok(())
}

fn name(text: &str) -> Result<ImageName, String> {
    text.parse().map_err(|why| format!("{text:?} is no image name: {why}"))
}

/// `NAME:TAG`, perhaps followed by `@DIGEST`.
fn tag_and_digest(text: &str) -> Result<(ImageName, Option<Digest>), String> {
    let whole = name(text)?;
    match (&whole.reference, text.split_once('@')) {
        (Reference::Digest(digest), Some((tagged, _))) => Ok((name(tagged)?, Some(*digest))),
        _ => Ok((whole, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_names_a_tag_and_perhaps_a_digest() {
        let digest = Digest::of(b"x");
        for (text, image, wanted) in [
            ("nginx:1.25".to_owned(), "nginx:1.25", None),
            (format!("ghcr.io/org/app:1@{digest}"), "ghcr.io/org/app:1", Some(digest)),
            (format!("nginx@{digest}"), "nginx:latest", Some(digest)),
        ] {
            assert_eq!(tag_and_digest(&text), Ok((image.parse().unwrap(), wanted)), "{text}");
        }
        assert!(tag_and_digest("nginx@latest").is_err());
    }
}
