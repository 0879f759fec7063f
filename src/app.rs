//! Wires every room together: what a data folder holds, and a server over it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};

use crate::auth::{MadeUp, Pace, Policy, Tokens, Users};
use crate::config::{self, Settings};
use crate::index::{Health, Index, Local, Options};
use crate::registry::flight::Tuning;
use crate::registry::{Member, Registry};
use crate::server::tls::{Tls, TlsError};
use crate::server::{Server, listen};
use crate::store::{BlobStore, FileStore, StoreError};
use crate::telemetry;
use crate::upkeep::{Tempo, control, keep_collecting, prune, uploads};
use crate::upstream::Deadlines;

/// How often figures that nobody asks for are brought up to date, and the disk's room is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What cannot be started, as a sentence with its remedy.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Index(#[from] crate::index::OpenError),
    #[error(transparent)]
    Users(#[from] crate::auth::OpenError),
    #[error(transparent)]
    File(#[from] crate::auth::FileError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("upstream {registry}: {why}")]
    Upstream { registry: String, why: String },
    #[error("{0}")]
    Socket(#[from] io::Error),
}

/// A data folder that is open: this process alone has it.
pub struct Opened {
    pub registry: Arc<Registry>,
    index: Arc<dyn Index>,
    policy: Arc<Policy>,
}

/// Opens the data folder. Nothing is asked of any network.
pub async fn open(settings: &Settings, deadlines: Deadlines, tuning: Tuning) -> Result<Opened, StartError> {
    let (data, reserve) = (settings.storage.data.clone(), settings.storage.reserve);
    let opened = tokio::task::spawn_blocking(move || FileStore::open(&data, reserve)).await;
    let store: Arc<dyn BlobStore> = Arc::new(opened.map_err(io::Error::other)??);
    let room = store.clone();
    let options = Options {
        roomy: Arc::new(move || room.room() > 0),
        abandoned: Arc::new(|_| telemetry::metrics::index_abandoned()),
        ..Options::new(&settings.storage.data)
    };
    let index: Arc<dyn Index> = Arc::new(Local::open(options).await?);
    let offline = settings.cache.offline;
    let member = |upstream: &config::Upstream| {
        let failed = |why| StartError::Upstream { registry: upstream.registry.clone(), why };
        Member::new(upstream, offline, deadlines).map_err(failed)
    };
    let members = settings.upstreams.iter().map(member).collect::<Result<_, _>>()?;
    let (data, auth) = (settings.storage.data.clone(), settings.auth.clone());
    let policy = tokio::task::spawn_blocking(move || Policy::open(&data, &auth)).await.map_err(io::Error::other)??;
    let policy = Arc::new(policy);
    let registry = Registry::new(settings, index.clone(), store, members, deadlines, tuning, policy.clone());
    Ok(Opened { registry, index, policy })
}

impl Opened {
    /// Returns when the facts can be read: after a crash they come from the journal first, which may take a while.
    pub async fn filled(&self) {
        while self.index.health() == Health::Filling {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Leaves the data folder as it should be found.
    pub async fn close(self) {
        self.index.close().await;
    }
}

/// A server that is about to answer.
pub struct Running {
    opened: Opened,
    server: Arc<Server>,
    listeners: Vec<TcpListener>,
    commands: Option<UnixListener>,
    tls: Option<Arc<Tls>>,
    /// The admin's password, when it was made up just now.
    pub made_up: Option<MadeUp>,
}

/// Opens the sockets and the data folder.
pub async fn start(settings: &Settings, deadlines: Deadlines, tuning: Tuning, pace: Pace) -> Result<Running, StartError> {
    let listeners = settings.server.listen.iter().map(|address| listen::bind(*address)).collect::<io::Result<Vec<_>>>()?;
    let opened = open(settings, deadlines, tuning).await?;
    let commands = commands(&settings.storage.data)?;
    let (data, auth) = (settings.storage.data.clone(), settings.auth.clone());
    let keys = move || -> Result<_, StartError> {
        let (users, made_up) = Users::open(&data, &auth, pace)?;
        let users = Arc::new(users);
        let tokens = Arc::new(Tokens::open(&data, users.clone())?);
        Ok((users, tokens, made_up))
    };
    let (users, tokens, made_up) = tokio::task::spawn_blocking(keys).await.map_err(io::Error::other)??;
    let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
    let wanted = settings.clone();
    let tls = tokio::task::spawn_blocking(move || Tls::open(&wanted, &addresses)).await.map_err(io::Error::other)??;
    let metrics = settings.metrics.enabled.then(telemetry::metrics::install);
    let server = Server::new(settings, opened.registry.clone(), users, tokens, opened.policy.clone(), tls.clone(), metrics);
    Ok(Running { opened, server, listeners, commands, tls, made_up })
}

/// The control socket. It is there before anybody hears that the server has started: a command must not take the data folder for unused.
fn commands(data: &Path) -> io::Result<Option<UnixListener>> {
    match control::bind(data) {
        Err(error) if error.kind() == io::ErrorKind::InvalidFilename => {
            tracing::warn!(%error, "no control socket: commands cannot reach this server");
            Ok(None)
        }
        bound => bound.map(Some),
    }
}

impl Running {
    /// Where it listens: the ports that were chosen, where a port was 0.
    pub fn addresses(&self) -> io::Result<Vec<std::net::SocketAddr>> {
        self.listeners.iter().map(TcpListener::local_addr).collect()
    }

    /// The SHA-256 fingerprint of our own CA, where there is one.
    pub fn fingerprint(&self) -> Option<String> {
        Some(self.tls.as_ref()?.authority()?.fingerprint())
    }

    pub fn registry(&self) -> &Arc<Registry> {
        &self.opened.registry
    }

    /// Answers until `shutdown`; then what runs may finish, and the data folder is closed.
    pub async fn serve(self, settings: &Settings, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
        let commands = self.commands.map(|socket| tokio::spawn(control::serve(socket, self.opened.registry.clone())));
        let drafts = self.opened.registry.store().uploads().await?;
        let sweep = tokio::spawn(uploads::sweep(self.opened.registry.clone(), drafts));
        let prune = tokio::spawn(prune::every_hour(self.opened.registry.clone()));
        let collect = tokio::spawn(keep_collecting(self.opened.registry.clone(), Tempo::default()));
        let watch = tokio::spawn(watch(self.opened.index.clone()));
        let certificate = self.tls.clone().map(|tls| tokio::spawn(tls.watch()));
        let (limits, proxies) = (settings.server.limits.clone(), settings.server.trusted_proxies.clone());
        let cut = listen::serve(self.listeners, self.server.router(), limits, proxies, self.tls, shutdown).await;
        if cut > 0 {
            tracing::warn!(connections = cut, "connections were cut because they did not finish in time");
        }
        watch.abort();
        sweep.abort();
        prune.abort();
        collect.abort();
        if let Some(certificate) = certificate {
            certificate.abort();
        }
        if let Some(commands) = commands {
            commands.abort();
        }
        let _ = std::fs::remove_file(control::path(&settings.storage.data));
        self.opened.close().await;
        Ok(())
    }
}

/// Says once when the index becomes ready, and when promises can no longer be kept.
async fn watch(index: Arc<dyn Index>) {
    let mut last = Health::Filling;
    loop {
        let health = index.health();
        if health != last {
            match &health {
                Health::Ready => tracing::info!("ready"),
                Health::Filling => tracing::info!("the index is being read from the journal"),
                Health::ReadOnly(why) => tracing::error!(%why, "pushes are refused"),
            }
            last = health;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The data folder as a person reads it.
pub fn shown(data: &Path) -> String {
    std::fs::canonicalize(data).unwrap_or_else(|_| data.to_owned()).display().to_string()
}
