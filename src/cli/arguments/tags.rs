//! The arguments of the commands that look after cached tags.

use clap::Args;

use super::Asked;

/// Ask the upstream now whether cached tags have changed, however lately it was asked.
///
/// Tells the old and the new digest. A new one is fetched; of one that is held back (cooldown) it tells until when. Goes on after
/// a failure, names it, and ends with exit code 1; what is cached is then as it was.
#[derive(Clone, Debug, Args)]
#[command(after_help = REFRESH_EXAMPLES)]
pub struct Refresh {
    /// Images with their tags, as clients write them
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
    #[command(flatten)]
    pub asked: Asked,
}

const REFRESH_EXAMPLES: &str = "Examples:
  entrepot refresh nginx:1.25 ghcr.io/org/app:latest
  entrepot refresh --json nginx redis | jq -r 'select(.from != .to) | .image'";

/// Have cached tags stay what they are, or go back to what they were: the upstream is not asked for them until they are unpinned.
///
/// A digest that is not here is fetched. Overrides a cooldown. What is pinned is not purged. `entrepot history IMAGE` tells the digests that
/// a tag has had.
#[derive(Clone, Debug, Args)]
#[command(after_help = PIN_EXAMPLES)]
pub struct Pin {
    /// NAME:TAG stays what it is here; NAME:TAG@DIGEST is that digest from now on
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
    #[command(flatten)]
    pub asked: Asked,
}

const PIN_EXAMPLES: &str = "Examples:
  entrepot pin nginx:1.25
  entrepot pin nginx:1.25@sha256:…
  entrepot history nginx:1.25                 which digests there were, and whether it is pinned";

/// Have pinned tags follow their upstreams again, from their next pull on.
#[derive(Clone, Debug, Args)]
#[command(after_help = UNPIN_EXAMPLES)]
pub struct Unpin {
    /// Images with their tags
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
    #[command(flatten)]
    pub asked: Asked,
}

const UNPIN_EXAMPLES: &str = "Examples:
  entrepot unpin nginx:1.25
  entrepot ls --json | jq -r 'select(.pinned) | .image'";
