//! What commands ask about images that are here, and do with them. Of a list, one that fails is named and the others go on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::request::Teller;
use crate::config::Patterns;
use crate::oci::{Digest, ImageName};
use crate::registry::{Error, Registry, Share, Usage};
use crate::telemetry::audit::{self, Named};

/// Images, or whole repositories, that are to be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    pub names: Vec<String>,
    /// Each is a repository's name, and all of it goes.
    pub all: bool,
}

/// What is to be copied where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    pub from: String,
    pub to: String,
}

/// What became of one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done { image: String },
    Failed { image: String, why: String },
}

/// What takes room: each repository, then everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Room {
    Repository(Share),
    Total(Usage),
}

/// Tells every image that is here, as [`crate::registry::Listed`].
pub(super) async fn ls(registry: Arc<Registry>, pattern: Option<String>, teller: Teller) -> Result<(), String> {
    let patterns = pattern.map(|pattern| Patterns::new(&[pattern])).transpose()?;
    for repository in registry.repositories().await.map_err(message)? {
        for image in registry.images(&repository, patterns.as_ref()).await.map_err(message)? {
            teller.tell(image).await;
        }
    }
    Ok(())
}

/// Tells what takes room, as [`Room`].
pub(super) async fn du(registry: Arc<Registry>, teller: Teller) -> Result<(), String> {
    let (shares, usage) = registry.usage().await.map_err(message)?;
    for share in shares {
        teller.tell(Room::Repository(share)).await;
    }
    teller.tell(Room::Total(usage)).await;
    Ok(())
}

/// Removes hosted images or repositories; an [`Outcome`] for each.
pub(super) async fn delete(registry: Arc<Registry>, names: Names, teller: Teller) -> Result<(), String> {
    for name in names.names {
        let done = match names.all {
            true => registry.delete_repository(&name).await.map(|_| None).map_err(message),
            false => match image(&name) {
                Ok(image) => registry.delete_image(&image).await.map(|gone| gone.first().and_then(|moved| moved.from)).map_err(message),
                Err(why) => Err(why),
            },
        };
        teller.tell(outcome("delete", name, names.all, done)).await;
    }
    Ok(())
}

/// Gives up cached images or repositories; an [`Outcome`] for each.
pub(super) async fn purge(registry: Arc<Registry>, names: Names, teller: Teller) -> Result<(), String> {
    for name in names.names {
        let done = match names.all {
            true => registry.purge_repository(&name).await.map(|()| None).map_err(message),
            false => match image(&name) {
                Ok(image) => registry.purge_image(&image).await.map(|()| None).map_err(message),
                Err(why) => Err(why),
            },
        };
        teller.tell(outcome("purge", name, names.all, done)).await;
    }
    Ok(())
}

/// Copies an image; one [`Outcome`].
pub(super) async fn copy(registry: Arc<Registry>, order: Copy, teller: Teller) -> Result<(), String> {
    let copied = match (image(&order.from), image(&order.to)) {
        (Ok(from), Ok(to)) => registry.copy(&from, &to).await.map_err(message),
        (Err(why), _) | (_, Err(why)) => Err(why),
    };
    let before = copied.iter().flat_map(|published| &published.moved).find_map(|moved| moved.from);
    let to = copied.as_ref().ok().map(|published| published.digest);
    audit::commanded("copy", Named::Image(&order.to), before, to, told(&copied, &format!("from {}", order.from)));
    copied?;
    teller.tell(Outcome::Done { image: order.to }).await;
    Ok(())
}

fn image(text: &str) -> Result<ImageName, String> {
    text.parse().map_err(|why| format!("{text:?} is no image name: {why}"))
}

fn message(error: Error) -> String {
    error.message
}

/// What became of a name, told besides as an audit event; `done` has what a tag named.
fn outcome(event: &'static str, image: String, all: bool, done: Result<Option<Digest>, String>) -> Outcome {
    let named = if all { Named::Repository(&image) } else { Named::Image(&image) };
    audit::commanded(event, named, done.clone().ok().flatten(), None, told(&done, ""));
    match done {
        Ok(_) => Outcome::Done { image },
        Err(why) => Outcome::Failed { image, why },
    }
}

/// The end of an audit event: what is to be said of it, or why it was not done.
pub(super) fn told<'a, T>(done: &'a Result<T, String>, said: &'a str) -> Result<&'a str, &'a str> {
    done.as_ref().map(|_| said).map_err(String::as_str)
}
