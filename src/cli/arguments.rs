//! What can be said on the command line, and its help. Values are checked where they are used, so that all faults are told at once.

mod accounts;
mod care;
mod roles;
mod tags;
mod tls;

use std::num::NonZeroUsize;
use std::path::PathBuf;

pub use accounts::{NewToken, Token, TokenCommand, User, UserCommand};
pub use care::{Asked, Copy, Delete, Du, Gc, Ls, Names, Purge};
use clap::{Args, Parser, Subcommand};
pub use roles::{Can, Membership, Role, RoleCommand};
pub use tags::{Pin, Refresh, Unpin};
pub use tls::{Tls, TlsCommand, TlsInit};

use crate::config::{Overrides, Sources};

/// A private image registry, a pull-through cache of every public registry, and the one address for both.
#[derive(Clone, Debug, Parser)]
#[command(name = "entrepot", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  entrepot serve                              a mirror and a registry on port 5000, data in ./data
  docker pull localhost:5000/nginx            pull through it
  entrepot prefetch nginx ghcr.io/org/app:1   have images here before they are asked for
  entrepot ls                                 what is here";

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    Serve(Serve),
    Prefetch(Prefetch),
    Prune(Prune),
    History(History),
    Ls(Ls),
    Du(Du),
    Copy(Copy),
    Delete(Delete),
    Purge(Purge),
    Refresh(Refresh),
    Pin(Pin),
    Unpin(Unpin),
    Gc(Gc),
    Tls(Tls),
    User(User),
    Token(Token),
    Role(Role),
    Can(Can),
    Config(Config),
    Healthcheck(Healthcheck),
}

/// Run the server.
///
/// Needs no configuration: listens on 0.0.0.0:5000, keeps its data in ./data, mirrors the well-known public registries
/// and takes pushes. What is said here goes over the environment, and that over the configuration file.
#[derive(Clone, Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub struct Serve {
    /// The configuration file [default: $ENTREPOT_CONFIG, ./config.toml, /etc/entrepot/config.toml, else built-in values]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// An address to listen on; may be repeated [default: 0.0.0.0:5000]
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<String>,
    /// The folder that holds everything [default: ./data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// HTTPS beside HTTP on the same port: self-signed, files (a certificate of yours, see the configuration) or off
    /// [default: self-signed]
    #[arg(long, value_name = "MODE")]
    pub tls: Option<String>,
    /// A name or address that clients use for this machine, for its own certificate; may be repeated
    #[arg(long, value_name = "NAME")]
    pub host: Vec<String>,
    /// What may be done without a log-in, of pull, push and delete [default: pull]
    #[arg(long, value_name = "ACTIONS", value_delimiter = ',')]
    pub anonymous: Option<Vec<String>>,
    /// Ask no upstream at all; what is cached is served
    #[arg(long)]
    pub offline: bool,
}

const SERVE_EXAMPLES: &str = "Examples:
  entrepot serve
  entrepot serve --listen 127.0.0.1:5000 --listen '[::1]:5000' --data /srv/entrepot
  entrepot serve --anonymous pull,push        a lab: whoever reaches it may push
  entrepot serve --offline                    a network without a way out

Every key of the configuration can be set from the environment too: ENTREPOT_LOG__LEVEL=debug entrepot serve";

/// Fetch images into the cache before anybody asks for them.
///
/// Through the running server where there is one, else by itself. Goes on after a failure, names it, and ends with
/// exit code 1.
#[derive(Clone, Debug, Args)]
#[command(after_help = PREFETCH_EXAMPLES)]
pub struct Prefetch {
    /// Images as clients write them: nginx, ghcr.io/org/app:1, quay.io/org/app@sha256:…
    #[arg(value_name = "IMAGE", required_unless_present = "file")]
    pub images: Vec<String>,
    /// A file with an image on each line (# begins a comment), or - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "images")]
    pub file: Option<PathBuf>,
    /// Platforms as os/arch or os/arch/variant, separated by commas, or all [default: this machine's]
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    pub platform: Vec<String>,
    /// How many images to fetch at once
    #[arg(long, value_name = "N", default_value = "4")]
    pub jobs: NonZeroUsize,
    #[command(flatten)]
    pub server: Whereabouts,
}

const PREFETCH_EXAMPLES: &str = "Examples:
  entrepot prefetch nginx alpine:3.22
  entrepot prefetch --platform linux/amd64,linux/arm64/v8 ghcr.io/org/app:1
  entrepot prefetch --file images.txt --jobs 8
  grep -h image: compose.yaml | awk '{print $2}' | entrepot prefetch --file -";

/// Let hosted tags go that the rules of the configuration do not keep (keep_last, keep_days).
///
/// A running server does so by itself each hour. Through the running server where there is one, which goes by the
/// configuration that it was started with; else by this command itself. Manifests and layers stay.
#[derive(Clone, Debug, Args)]
#[command(after_help = PRUNE_EXAMPLES)]
pub struct Prune {
    /// Hosted repositories, like team/app [default: all]
    #[arg(value_name = "REPOSITORY")]
    pub repositories: Vec<String>,
    /// Change nothing; tell which tags would go, and why
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub asked: Asked,
}

const PRUNE_EXAMPLES: &str = "Examples:
  entrepot prune --dry-run
  entrepot prune team/app team/web";

/// Tell what became of a tag: when, by whom, from which manifest to which, oldest first.
///
/// The last 100 changes of each tag are remembered, those of a removed tag for 90 days. A cached tag is changed by its
/// upstream, and dated when that was noticed here. Then it tells whether the tag is pinned, or what is held back (cooldown).
#[derive(Clone, Debug, Args)]
#[command(after_help = HISTORY_EXAMPLES)]
pub struct History {
    /// The image as clients write it: team/app:1, nginx, ghcr.io/org/app:1
    #[arg(value_name = "IMAGE")]
    pub image: String,
    #[command(flatten)]
    pub asked: Asked,
}

const HISTORY_EXAMPLES: &str = "Examples:
  entrepot history team/app:latest
  entrepot history --json nginx:1.25";

/// Check, show or print the configuration.
#[derive(Clone, Debug, Args)]
pub struct Config {
    #[command(subcommand)]
    pub command: ConfigCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say "ok", or everything that is wrong, each with file and line (exit code 2)
    Check(ConfigFile),
    /// Print the settings that hold after file and environment were merged; secrets are shown as "…"
    Show(ConfigFile),
    /// Print the annotated default: every key, explained. A good start for a file: entrepot config default > config.toml
    Default,
}

/// The configuration that a command looks at.
#[derive(Clone, Debug, Args)]
pub struct ConfigFile {
    /// The configuration file [default: as serve finds it]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Ask the running server whether it is well; exit code 0 if so, else 1. Made for Docker's HEALTHCHECK.
#[derive(Clone, Debug, Args)]
pub struct Healthcheck {
    #[command(flatten)]
    pub server: Whereabouts,
}

/// How a command finds the server and its data: as `serve` does.
#[derive(Clone, Debug, Args)]
pub struct Whereabouts {
    /// The configuration file [default: as serve finds it]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The data folder [default: as serve finds it]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

impl Serve {
    /// Where its settings come from.
    pub fn sources(&self) -> Sources {
        let overrides = Overrides {
            listen: self.listen.clone(),
            data: self.data.clone(),
            tls: self.tls.clone(),
            host: self.host.clone(),
            anonymous: self.anonymous.clone(),
            offline: self.offline,
        };
        Sources::of_process(self.config.clone(), overrides)
    }
}

impl Whereabouts {
    /// Where the settings of the server it looks for come from.
    pub fn sources(&self) -> Sources {
        Sources::of_process(self.config.clone(), Overrides { data: self.data.clone(), ..Overrides::default() })
    }
}

impl ConfigFile {
    /// Where the settings come from.
    pub fn sources(&self) -> Sources {
        Sources::of_process(self.config.clone(), Overrides::default())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::error::ErrorKind> {
        Arguments::try_parse_from(line.split(' ')).map(|arguments| arguments.command).map_err(|error| error.kind())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn serve_takes_lists_by_repetition_and_actions_by_commas() {
        let line =
            "entrepot serve --listen 127.0.0.1:1 --listen [::1]:1 --data /d --anonymous pull,push --offline --tls off --host a --host b";
        let Ok(Command::Serve(serve)) = parse(line) else { panic!() };
        let overrides = serve.sources().overrides;
        assert_eq!(overrides.listen, ["127.0.0.1:1", "[::1]:1"]);
        assert_eq!(overrides.anonymous.unwrap(), ["pull", "push"]);
        assert_eq!(
            (overrides.data, overrides.tls, overrides.host.len(), overrides.offline),
            (Some("/d".into()), Some("off".into()), 2, true)
        );
        let Ok(Command::Serve(bare)) = parse("entrepot serve") else { panic!() };
        assert_eq!(bare.sources().overrides.anonymous, None);
    }

    #[test]
    fn what_removes_wants_names_and_takes_whole_repositories_only_when_told() {
        let Ok(Command::Delete(delete)) = parse("entrepot delete team/app:1 team/app:2") else { panic!() };
        assert!(delete.names.names.len() == 2 && !delete.names.all);
        let Ok(Command::Purge(purge)) = parse("entrepot purge --all nginx --json") else { panic!() };
        assert!(purge.names.all && purge.names.asked.json);
        for short in ["entrepot delete", "entrepot purge --all", "entrepot copy a"] {
            assert_eq!(parse(short).err(), Some(clap::error::ErrorKind::MissingRequiredArgument), "{short}");
        }
        let Ok(Command::Gc(gc)) = parse("entrepot gc --dry-run --untagged") else { panic!() };
        assert!(gc.dry_run && gc.untagged);
        let Ok(Command::Ls(ls)) = parse("entrepot ls team/* --data /d") else { panic!() };
        assert_eq!((ls.pattern, ls.asked.server.data), (Some("team/*".into()), Some("/d".into())));
    }

    #[test]
    fn what_looks_after_cached_tags_wants_images() {
        let Ok(Command::Refresh(refresh)) = parse("entrepot refresh --json nginx ghcr.io/org/app:1") else { panic!() };
        assert!(refresh.images.len() == 2 && refresh.asked.json);
        let Ok(Command::Pin(pin)) = parse("entrepot pin nginx:1.25@sha256:x --data /d") else { panic!() };
        assert_eq!((pin.images, pin.asked.server.data), (vec!["nginx:1.25@sha256:x".to_owned()], Some("/d".into())));
        for short in ["entrepot refresh", "entrepot pin", "entrepot unpin"] {
            assert_eq!(parse(short).err(), Some(clap::error::ErrorKind::MissingRequiredArgument), "{short}");
        }
    }

    #[test]
    fn prefetch_wants_images_or_a_file_and_not_both() {
        let Ok(Command::Prefetch(prefetch)) = parse("entrepot prefetch --platform linux/amd64,linux/arm64/v8 a b") else { panic!() };
        assert_eq!((prefetch.images.len(), prefetch.platform.len(), prefetch.jobs.get()), (2, 2, 4));
        let Ok(Command::Prefetch(prefetch)) = parse("entrepot prefetch --file -") else { panic!() };
        assert_eq!(prefetch.file, Some("-".into()));
        assert_eq!(parse("entrepot prefetch").err(), Some(clap::error::ErrorKind::MissingRequiredArgument));
        assert_eq!(parse("entrepot prefetch a --file b").err(), Some(clap::error::ErrorKind::ArgumentConflict));
        assert_eq!(parse("entrepot prefetch a --jobs 0").err(), Some(clap::error::ErrorKind::ValueValidation));
    }

    #[test]
    fn certificates_are_made_for_hosts_that_are_named() {
        let Ok(Command::Tls(tls)) = parse("entrepot tls init --host a --host 192.0.2.7 --output out") else { panic!() };
        let TlsCommand::Init(init) = tls.command;
        assert_eq!((init.host, init.output), (vec!["a".to_owned(), "192.0.2.7".to_owned()], "out".into()));
        assert_eq!(parse("entrepot tls init").err(), Some(clap::error::ErrorKind::MissingRequiredArgument));
    }

    #[test]
    fn prune_takes_repositories_and_history_one_image() {
        let Ok(Command::Prune(prune)) = parse("entrepot prune --dry-run a/b c") else { panic!() };
        assert_eq!((prune.repositories.len(), prune.dry_run), (2, true));
        let Ok(Command::History(history)) = parse("entrepot history --json nginx") else { panic!() };
        assert_eq!((history.image.as_str(), history.asked.json), ("nginx", true));
        assert_eq!(parse("entrepot history").err(), Some(clap::error::ErrorKind::MissingRequiredArgument));
        assert_eq!(parse("entrepot history a b").err(), Some(clap::error::ErrorKind::UnknownArgument));
    }
}
