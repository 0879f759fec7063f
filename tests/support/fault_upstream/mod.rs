//! The fault upstream: a registry on raw sockets that tests make misbehave. Every request is counted; a script says
//! which of them goes wrong, and how. It holds images of its own or stands before a real registry.
//!
//! Two addresses: the registry on 127.0.0.1, and a "CDN" on 127.0.0.2 that blobs may be redirected to, where any
//! Authorization is answered with 400.
#![expect(dead_code, reason = "each test binary uses another part of it")]

mod content;
mod pulls;
mod script;
mod server;
mod tokens;
mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use entrepot::config;
use entrepot::oci::Digest;
use serde::Deserialize;
use tokio::net::TcpListener;

use content::Content;
pub use content::Image;
pub use pulls::Limit;
use script::Script;
pub use script::{Fault, Rule};
use tokens::Tokens;
pub use wire::Request;

/// How it behaves while nothing goes wrong.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Behaviour {
    /// The path that it has everything but tokens under: empty, or `/dockerhub`.
    pub mount: String,
    /// Wants bearer tokens.
    pub tokens: bool,
    /// Wants a password instead.
    pub basic: bool,
    /// The token service's URL in the challenge; `None`: `/token` here.
    pub realm: Option<String>,
    /// The realm is not quoted.
    pub unquoted: bool,
    pub account: Option<(String, String)>,
    /// Repositories for the account alone.
    pub private: Vec<String>,
    /// To others these do not exist.
    pub hides_private: bool,
    pub no_anonymous_tokens: bool,
    /// How long tokens are good.
    pub token_life_ms: u64,
    /// What `expires_in` says of it.
    pub token_says: Option<u64>,
    /// The token is called `access_token`.
    pub access_token: bool,
    /// Blobs are on the CDN.
    pub redirect: bool,
    /// An unknown name is answered with 401, as Docker Hub does.
    pub hub_401: bool,
    /// Tags on one page of a list, however many are asked for.
    pub page: Option<usize>,
    /// A list of tags goes on for ever.
    pub endless: bool,
    /// The token service takes this refresh token for the account.
    pub identity_token: Option<String>,
    /// Where blobs are redirected to, without a path; `None`: the second address over http.
    pub cdn: Option<String>,
    /// Pulls are counted, told, and refused beyond it.
    pub limit: Option<Limit>,
}

impl Default for Behaviour {
    fn default() -> Behaviour {
        Behaviour {
            mount: String::new(),
            tokens: false,
            basic: false,
            realm: None,
            unquoted: false,
            account: None,
            private: Vec::new(),
            hides_private: false,
            no_anonymous_tokens: false,
            token_life_ms: 300_000,
            token_says: Some(300),
            access_token: false,
            redirect: false,
            hub_401: false,
            page: None,
            endless: false,
            identity_token: None,
            cdn: None,
            limit: None,
        }
    }
}

/// A request that came, and where.
#[derive(Clone, Debug)]
pub struct Seen {
    pub cdn: bool,
    pub request: Request,
}

struct Shared {
    address: SocketAddr,
    cdn: SocketAddr,
    content: Content,
    script: Script,
    tokens: Tokens,
    meters: pulls::Meters,
    behaviour: Mutex<Behaviour>,
    seen: Mutex<Vec<Seen>>,
    /// Connections that were accepted, at either address.
    connections: AtomicU64,
    /// Bytes of bodies, by path; the CDN's under the registry's path.
    sent: Mutex<HashMap<String, Arc<AtomicU64>>>,
    bodies: Bodies,
}

/// Blobs under way at once: now, and at most.
#[derive(Default)]
struct Bodies {
    now: AtomicU64,
    most: AtomicU64,
}

/// One of them.
struct Body<'a>(&'a Bodies);

impl Bodies {
    fn begin(&self) -> Body<'_> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        Body(self)
    }
}

impl Drop for Body<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A running fault upstream; it stops when dropped.
pub struct FaultUpstream {
    shared: Arc<Shared>,
    tasks: tokio::task::JoinSet<()>,
}

impl FaultUpstream {
    /// With images of its own, on free ports.
    pub async fn start() -> FaultUpstream {
        FaultUpstream::listen("127.0.0.1:0", "127.0.0.2:0", None).await.expect("loopback has free ports")
    }

    /// Before the registry at `backend` (`HOST:PORT`), on free ports.
    pub async fn before(backend: &str) -> FaultUpstream {
        FaultUpstream::listen("127.0.0.1:0", "127.0.0.2:0", Some(backend.to_owned())).await.expect("loopback has free ports")
    }

    pub async fn listen(address: &str, cdn: &str, backend: Option<String>) -> std::io::Result<FaultUpstream> {
        let (main, second) = (TcpListener::bind(address).await?, TcpListener::bind(cdn).await?);
        let shared = Arc::new(Shared {
            address: main.local_addr()?,
            cdn: second.local_addr()?,
            content: Content::new(backend),
            script: Script::default(),
            tokens: Tokens::default(),
            meters: pulls::Meters::default(),
            behaviour: Mutex::default(),
            seen: Mutex::default(),
            connections: AtomicU64::new(0),
            sent: Mutex::default(),
            bodies: Bodies::default(),
        });
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(server::accept(main, shared.clone(), false));
        tasks.spawn(server::accept(second, shared.clone(), true));
        Ok(FaultUpstream { shared, tasks })
    }

    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    pub fn cdn(&self) -> SocketAddr {
        self.shared.cdn
    }

    pub fn url(&self) -> url::Url {
        format!("http://{}", self.shared.address).parse().expect("an address makes a URL")
    }

    /// Changes how it behaves.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) -> &FaultUpstream {
        change(&mut self.shared.behaviour.lock().unwrap());
        self
    }

    /// Every request whose path begins with `path` meets `fault`.
    pub fn on(&self, path: &str, fault: Fault) -> &FaultUpstream {
        self.rule(Rule::new(path, fault))
    }

    /// Only the request number `nth` does, counted from 1.
    pub fn on_nth(&self, path: &str, nth: u64, fault: Fault) -> &FaultUpstream {
        self.rule(Rule { skip: nth - 1, times: Some(1), ..Rule::new(path, fault) })
    }

    pub fn rule(&self, rule: Rule) -> &FaultUpstream {
        self.shared.script.add(rule);
        self
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) -> &FaultUpstream {
        self.shared.script.clear();
        self
    }

    /// Forgets what it counted.
    pub fn forget(&self) -> &FaultUpstream {
        self.shared.forget();
        self
    }

    pub fn revoke_tokens(&self) {
        self.shared.tokens.revoke();
    }

    pub fn image(&self, name: &str, tag: &str, layers: &[Bytes]) -> Image {
        self.shared.content.image(name, tag, layers)
    }

    pub fn blob(&self, name: &str, bytes: impl Into<Bytes>) -> Digest {
        self.shared.content.blob(name, bytes.into())
    }

    pub fn manifest(&self, name: &str, tag: &str, media_type: &str, bytes: impl Into<Bytes>) -> Digest {
        self.shared.content.manifest(name, tag, media_type, bytes.into())
    }

    /// Lists `index` as the referrers of `subject`. Without one there is no such list here.
    pub fn referrers(&self, name: &str, subject: &Digest, index: impl Into<Bytes>) {
        let kind = "application/vnd.oci.image.index.v1+json";
        self.shared.content.put(name, &format!("referrers/{subject}"), kind, index.into());
    }

    /// What every search finds, as JSON. Without it there is no search here.
    pub fn finds(&self, answer: impl Into<String>) {
        self.shared.content.finds(answer.into());
    }

    /// All requests so far, in the order they came.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen().clone()
    }

    /// Requests to exactly this path, at either address.
    pub fn count(&self, method: &str, path: &str) -> usize {
        self.shared.seen().iter().filter(|seen| seen.request.method == method && seen.request.path == path).count()
    }

    /// Pulls that were granted and refused where they are counted.
    pub fn pulls(&self) -> (u64, u64) {
        self.shared.meters.pulls()
    }

    /// Requests in all.
    pub fn requests(&self) -> usize {
        self.shared.seen().len()
    }

    /// Connections that were made, at either address.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// GETs of a blob at the registry, under any name. What a CDN serves after a redirect is not counted again.
    pub fn blob_gets(&self, digest: &Digest) -> usize {
        let end = format!("/blobs/{digest}");
        let seen = self.shared.seen();
        seen.iter().filter(|seen| !seen.cdn && seen.request.method == "GET" && seen.request.path.ends_with(&end)).count()
    }

    /// Bytes of this blob that left, from both addresses.
    pub fn blob_bytes(&self, digest: &Digest) -> u64 {
        let end = format!("/blobs/{digest}");
        let sent = self.shared.sent.lock().unwrap();
        sent.iter().filter(|(path, _)| path.ends_with(&end)).map(|(_, bytes)| bytes.load(Ordering::Relaxed)).sum()
    }

    /// Bodies of blobs under way at once: now.
    pub fn bodies(&self) -> u64 {
        self.shared.bodies.now.load(Ordering::SeqCst)
    }

    /// And at most since the start.
    pub fn most_bodies(&self) -> u64 {
        self.shared.bodies.most.load(Ordering::SeqCst)
    }

    /// Bytes of all bodies that left.
    pub fn bytes_sent(&self) -> u64 {
        self.shared.sent.lock().unwrap().values().map(|bytes| bytes.load(Ordering::Relaxed)).sum()
    }

    /// Settings of an upstream called `registry` with this one endpoint and no credentials.
    pub fn upstream_settings(&self, registry: &str) -> config::Upstream {
        config::Upstream {
            registry: registry.to_owned(),
            endpoints: vec![config::Endpoint { url: self.url(), credentials: None }],
            trusted_realms: Vec::new(),
            visibility: config::Visibility::Auto,
            offline: false,
            allow: config::Patterns::new(&["**"]).expect("a pattern"),
            deny: config::Patterns::default(),
            tag_ttl: Duration::from_secs(600),
            cooldown: Duration::ZERO,
            freshness: Vec::new(),
            stale_if_error: None,
            negative_ttl: Duration::from_secs(30),
            connections: 16,
            segments: 1,
            prefetch_layers: true,
            ca_file: None,
            insecure: true,
            proxy: config::Proxy::Environment,
        }
    }

    /// Runs until the sockets close, which they never do by themselves.
    pub async fn run(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap()
    }

    fn forget(&self) {
        self.seen().clear();
        self.connections.store(0, Ordering::SeqCst);
        self.sent.lock().unwrap().clear();
    }
}
