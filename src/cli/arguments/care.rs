//! The arguments of the commands that look after what is here.

use clap::Args;

use super::Whereabouts;
use crate::config::Sources;

/// What these commands share.
#[derive(Clone, Debug, Args)]
pub struct Asked {
    /// Print one JSON value on each line, for scripts
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: Whereabouts,
}

impl Asked {
    /// Where the settings of the server it looks for come from.
    pub fn sources(&self) -> Sources {
        self.server.sources()
    }
}

/// List the images that are here, hosted and cached.
#[derive(Clone, Debug, Args)]
#[command(after_help = LS_EXAMPLES)]
pub struct Ls {
    /// Names or images to list: * stands for a part of a name, ** also crosses / [default: all]
    #[arg(value_name = "PATTERN")]
    pub pattern: Option<String>,
    #[command(flatten)]
    pub asked: Asked,
}

const LS_EXAMPLES: &str = "Examples:
  entrepot ls
  entrepot ls 'team/*'
  entrepot ls 'docker.io/**'
  entrepot ls --json | jq -r 'select(.size > 1e9) | .image'

SIZE is what of an image is here; AGE is since it was pushed, fetched, or last confirmed by its upstream.";

/// Show what takes room: the bytes of each repository, its own and those it shares with others.
#[derive(Clone, Debug, Args)]
#[command(after_help = DU_EXAMPLES)]
pub struct Du {
    #[command(flatten)]
    pub asked: Asked,
}

const DU_EXAMPLES: &str = "Examples:
  entrepot du
  entrepot du --json | jq 'select(.total) | .total.collectable'

OWN is what no other repository holds: it is freed when the repository goes and the collector has been (entrepot gc).";

/// Copy an image into a hosted repository, without a client and without moving a byte.
///
/// From a hosted repository or from the cache, with all platforms that are here.
#[derive(Clone, Debug, Args)]
#[command(after_help = COPY_EXAMPLES)]
pub struct Copy {
    /// The image to copy, hosted or cached
    #[arg(value_name = "SRC")]
    pub from: String,
    /// Where to: a hosted name with a tag
    #[arg(value_name = "DST")]
    pub to: String,
    #[command(flatten)]
    pub asked: Asked,
}

const COPY_EXAMPLES: &str = "Examples:
  entrepot copy team/app:1.4.2 team/app:stable
  entrepot copy docker.io/library/postgres:17 base/postgres:17
  entrepot copy team/app@sha256:… archive/app:2026";

/// What is to be removed.
#[derive(Clone, Debug, Args)]
pub struct Names {
    /// An image with its tag or digest; with --all a repository
    #[arg(value_name = "IMAGE", required = true)]
    pub names: Vec<String>,
    /// Each IMAGE is a repository's name, and all of it goes
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub asked: Asked,
}

/// Delete hosted images: a tag, or by digest a manifest with all its tags.
///
/// They are gone at once; their bytes go when the collector has found that nothing else needs them (entrepot gc).
/// Goes on after a failure, names it, and ends with exit code 1.
#[derive(Clone, Debug, Args)]
#[command(after_help = DELETE_EXAMPLES)]
pub struct Delete {
    #[command(flatten)]
    pub names: Names,
}

const DELETE_EXAMPLES: &str = "Examples:
  entrepot delete team/app:1.4.2
  entrepot delete team/app@sha256:…
  entrepot delete --all team/app        the whole repository; the name belongs to nobody then";

/// Give cached copies up: an image, or all that is cached under a name. Hosted images are not touched.
///
/// The next pull asks the upstream again; the bytes go when the collector has been (entrepot gc).
#[derive(Clone, Debug, Args)]
#[command(after_help = PURGE_EXAMPLES)]
pub struct Purge {
    #[command(flatten)]
    pub names: Names,
}

const PURGE_EXAMPLES: &str = "Examples:
  entrepot purge nginx:1.25
  entrepot purge --all ghcr.io/org/app
  entrepot ls --json 'docker.io/**' | jq -r .image | xargs entrepot purge";

/// Remove what nobody needs, now.
///
/// A running server does so by itself every hour. Blobs that were pushed within the last day and that no manifest uses yet
/// stay, so that a slow push loses nothing.
#[derive(Clone, Debug, Args)]
#[command(after_help = GC_EXAMPLES)]
pub struct Gc {
    /// Remove nothing, say what would go
    #[arg(long)]
    pub dry_run: bool,
    /// Remove hosted manifests too that no tag, no index and no subject leads to and that are older than a day
    #[arg(long)]
    pub untagged: bool,
    #[command(flatten)]
    pub asked: Asked,
}

const GC_EXAMPLES: &str = "Examples:
  entrepot gc
  entrepot gc --dry-run --untagged
  entrepot gc --json | jq .done.bytes";
