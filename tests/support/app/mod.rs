//! The whole server over real sockets, with the fault upstream as its docker.io: what a test needs to tell a user's story.
//!
//! The server has a runtime of its own, so that it can be stopped as SIGTERM does or dropped as a crash does.
#![expect(dead_code, reason = "each test binary uses another part of it")]

mod client;
#[path = "../fault_upstream/mod.rs"]
pub mod fault_upstream;
mod images;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use entrepot::app::{self, StartError};
use entrepot::auth::Pace;
use entrepot::config::{Settings, Upstream};
use entrepot::oci::Digest;
use entrepot::registry::Registry;
use entrepot::registry::flight::Tuning;
use entrepot::upkeep::{Reply, Request, control};
use entrepot::upstream::Deadlines;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use client::*;
pub use fault_upstream::*;
pub use images::*;

/// Longer than anything here takes, even on a busy machine.
pub const LONG: Duration = Duration::from_secs(30);

/// The users of the htpasswd file, each with the password `NAME-password`.
const USERS: [&str; 3] = ["admin", "alice", "bob"];

/// A running server and its docker.io.
pub struct App {
    pub hub: FaultUpstream,
    pub settings: Settings,
    address: SocketAddr,
    serving: Option<Serving>,
    http: reqwest::Client,
    folder: tempfile::TempDir,
}

struct Serving {
    runtime: Runtime,
    registry: Arc<Registry>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl App {
    /// As `serve` with no configuration, but that docker.io is a fault upstream with tokens, a CDN, and 401 for unknown names.
    pub async fn start() -> App {
        App::with(|_| {}).await
    }

    /// With other settings. `docker.io` is the only upstream unless `change` adds some.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> App {
        let hub = FaultUpstream::start().await;
        hub.behave(|b| (b.tokens, b.redirect, b.hub_401) = (true, true, true));
        let folder = tempfile::tempdir().unwrap();
        let users = folder.path().join("users.htpasswd");
        let lines = USERS.map(|name| format!("{name}:{}\n", bcrypt::hash(password(name), 4).unwrap()));
        std::fs::write(&users, lines.concat()).unwrap();
        let mut settings = Settings::builtin();
        settings.server.listen = vec![([127, 0, 0, 1], 0).into()];
        settings.server.limits.shutdown = Duration::from_secs(2);
        settings.storage.data = folder.path().join("data");
        settings.storage.reserve = 1 << 20;
        settings.auth.htpasswd = Some(users);
        settings.metrics.enabled = false;
        settings.upstreams = vec![hub.upstream_settings("docker.io")];
        change(&mut settings);
        let (address, serving) = serve(&settings).await;
        App { hub, settings, address, serving: Some(serving), http: Client::wire(), folder }
    }

    /// With other settings of docker.io.
    pub async fn with_hub(change: impl FnOnce(&mut Upstream)) -> App {
        App::with(|settings| change(&mut settings.upstreams[0])).await
    }

    /// A client without an account, which follows challenges as every client does.
    pub fn anonymous(&self) -> Client {
        Client::new(&self.http, &self.url(), None)
    }

    /// A client that is logged in.
    pub fn user(&self, name: &str) -> Client {
        self.login(name, &password(name))
    }

    pub fn login(&self, name: &str, password: &str) -> Client {
        Client::new(&self.http, &self.url(), Some((name.to_owned(), password.to_owned())))
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn data(&self) -> PathBuf {
        self.settings.storage.data.clone()
    }

    pub fn registry(&self) -> &Arc<Registry> {
        &self.serving.as_ref().expect("the server runs").registry
    }

    /// How many fetches of a blob began: GETs at the CDN, for at the registry the first one is but challenged.
    pub fn fetches(&self, digest: &Digest) -> usize {
        let end = format!("/blobs/{digest}");
        self.hub.seen().iter().filter(|seen| seen.cdn && seen.request.method == "GET" && seen.request.path.ends_with(&end)).count()
    }

    /// Waits until what was fetched lies in the store: the bytes reach a client a moment before.
    pub async fn landed(&self) {
        until("every flight lands", async || self.registry().flights() == 0).await;
    }

    /// What the running server tells when a command asks it, or why it cannot.
    pub async fn command<Event: DeserializeOwned>(&self, request: Request) -> Result<Vec<Event>, String> {
        let mut replies = control::ask(&self.data(), &request).await.unwrap().expect("a server is running");
        let mut told = Vec::new();
        loop {
            match replies.recv().await.expect("an answer has an end") {
                Reply::Event(event) => told.push(serde_json::from_value(event).unwrap()),
                Reply::Done => return Ok(told),
                Reply::Failed(why) => return Err(why),
            }
        }
    }

    /// Ends the server as SIGTERM does.
    pub async fn stop(&mut self) {
        let serving = self.serving.take().expect("the server runs");
        drop(serving.registry);
        serving.stop.send(()).unwrap();
        serving.served.await.unwrap();
        serving.runtime.shutdown_background();
    }

    /// Ends the server without a word, as far as that can be done within a process.
    pub fn crash(&mut self) {
        self.serving.take().expect("the server runs").runtime.shutdown_background();
    }

    /// Starts it again over the same data folder.
    pub async fn start_again(&mut self) {
        let (address, serving) = serve(&self.settings).await;
        self.address = address;
        self.serving = Some(serving);
    }

    pub async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// The same server with other settings.
    pub async fn restart_with(&mut self, change: impl FnOnce(&mut Settings)) {
        self.stop().await;
        change(&mut self.settings);
        self.start_again().await;
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.runtime.shutdown_background();
        }
    }
}

pub fn password(name: &str) -> String {
    format!("{name}-password")
}

/// Waits for what comes soon.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !holds().await {
        assert!(Instant::now() < end, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn serve(settings: &Settings) -> (SocketAddr, Serving) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let pace = Pace { cost: 4, look: Duration::from_millis(10), wait: Duration::from_millis(10), ..Pace::default() };
    // Tests collect when they have pushed, and do not wait for an hour.
    let lease = Duration::ZERO;
    let tuning = Tuning { backoff: Duration::from_millis(10), open: Duration::from_secs(1), lease, ..Tuning::default() };
    let (tell, told) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let settings = settings.clone();
    let served = runtime.spawn(async move {
        let end = Instant::now() + LONG;
        let running = loop {
            match app::start(&settings, Deadlines::default().scaled(10), tuning, pace).await {
                Ok(running) => break running,
                // The last server's threads may need a moment to let go of the data folder.
                Err(StartError::Store(_) | StartError::Index(_)) if Instant::now() < end => {
                    tokio::time::sleep(Duration::from_millis(20)).await
                }
                Err(error) => panic!("the server does not start: {error}"),
            }
        };
        let address = running.addresses().unwrap()[0];
        let _ = tell.send((address, running.registry().clone()));
        running.serve(&settings, async { drop(stopped.await) }).await.unwrap();
    });
    let (address, registry) = told.await.expect("the server starts");
    (address, Serving { runtime, registry, stop, served })
}
