//! Every setting with its default, as plain data. Nothing here reads a file or the environment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::credentials::Credentials;
use super::freshness::FreshnessRule;
use super::networks::Networks;
use super::pattern::Patterns;

/// The whole configuration after all sources were merged and checked.
#[derive(Clone, Debug)]
pub struct Settings {
    pub server: Server,
    pub storage: Storage,
    pub cache: Cache,
    pub hosted: Hosted,
    pub group: Group,
    /// The built-in upstreams with the configured ones in the place of their namesakes, then the others.
    pub upstreams: Vec<Upstream>,
    pub auth: Auth,
    pub metrics: Metrics,
    pub log: Log,
}

#[derive(Clone, Debug)]
pub struct Server {
    pub listen: Vec<SocketAddr>,
    /// Without a slash at its end; `None` where clients reach us by the Host they name.
    pub external_url: Option<String>,
    /// Whose forwarded headers are believed.
    pub trusted_proxies: Networks,
    pub limits: Limits,
    pub tls: Tls,
}

#[derive(Clone, Debug)]
pub struct Tls {
    pub mode: TlsMode,
    /// Names and addresses that our own certificate is for, beside those that this machine knows of.
    pub hosts: Vec<String>,
    /// PEM file with the authorities whose certificates name users.
    pub client_ca: Option<PathBuf>,
    /// Plain HTTP is refused.
    pub require: bool,
}

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsMode {
    Off,
    /// PEM files: the certificate with its chain, and its key.
    Files {
        certificate: PathBuf,
        key: PathBuf,
    },
    /// Made here, by an authority that was made here.
    SelfSigned,
}

/// Bounds on connections. Deadlines for what a client does before its request is known.
#[derive(Clone, Debug)]
pub struct Limits {
    pub connections: usize,
    pub connections_per_address: usize,
    /// From accept to the first byte, and between requests of one connection.
    pub idle: Duration,
    /// From the first byte of a request to the end of its headers.
    pub headers: Duration,
    /// How long a ready byte may wait for a client slower than `slow_rate`.
    pub slow: Duration,
    /// Bytes a second.
    pub slow_rate: u64,
    /// How long running transfers may go on after SIGTERM.
    pub shutdown: Duration,
}

#[derive(Clone, Debug)]
pub struct Storage {
    pub data: PathBuf,
    /// Bytes.
    pub reserve: u64,
}

#[derive(Clone, Debug)]
pub struct Cache {
    pub offline: bool,
}

#[derive(Clone, Debug)]
pub struct Hosted {
    /// Of every repository that no rule is for.
    pub tags: TagPolicy,
    /// The first that matches holds.
    pub rules: Vec<HostedRule>,
    pub sparse: bool,
    pub reserved: Patterns,
}

/// What may become of the tags of hosted repositories.
#[derive(Clone, Debug)]
pub struct TagPolicy {
    pub redeploy: Redeploy,
    pub immutable_tags: Patterns,
    /// How many tags are kept, the newest; `None`: this lets none go.
    pub keep_last: Option<usize>,
    /// How many days a tag is kept; `None`: this lets none go.
    pub keep_days: Option<usize>,
}

/// What holds for some hosted repositories.
#[derive(Clone, Debug)]
pub struct HostedRule {
    pub repositories: Patterns,
    /// Complete: what the rule does not say was taken from `[hosted]`.
    pub tags: TagPolicy,
}

impl Hosted {
    /// What holds for the tags of a repository, by its long name.
    pub fn policy(&self, long_name: &str) -> &TagPolicy {
        self.rules.iter().find(|rule| rule.repositories.matches(long_name)).map_or(&self.tags, |rule| &rule.tags)
    }
}

impl TagPolicy {
    /// Whether the tag stays what it was first pushed as.
    pub fn is_immutable(&self, tag: &str) -> bool {
        self.redeploy != Redeploy::Allow || self.immutable_tags.matches(tag)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redeploy {
    Allow,
    Deny,
    ReadOnly,
}

#[derive(Clone, Debug)]
pub struct Group {
    /// `hosted` or upstream registry names, in order.
    pub members: Vec<crate::oci::Origin>,
    pub overlay: Patterns,
}

#[derive(Clone, Debug)]
pub struct Upstream {
    pub registry: String,
    pub endpoints: Vec<Endpoint>,
    pub trusted_realms: Vec<String>,
    pub visibility: Visibility,
    pub offline: bool,
    pub allow: Patterns,
    pub deny: Patterns,
    pub tag_ttl: Duration,
    /// How long a changed tag's new digest must be known before it is served.
    pub cooldown: Duration,
    /// The first that matches a tag holds.
    pub freshness: Vec<FreshnessRule>,
    /// `None`: forever.
    pub stale_if_error: Option<Duration>,
    pub negative_ttl: Duration,
    /// Blob bodies at once.
    pub connections: usize,
    /// Ranged connections for one large blob.
    pub segments: usize,
    pub prefetch_layers: bool,
    /// PEM file with certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Plain http endpoints are allowed, and certificates are not checked.
    pub insecure: bool,
    pub proxy: Proxy,
}

#[derive(Clone, Debug)]
pub struct Endpoint {
    pub url: url::Url,
    pub credentials: Option<Credentials>,
}

/// The way to an upstream.
#[derive(Clone, PartialEq, Eq)]
pub enum Proxy {
    /// As `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say.
    Environment,
    /// None, whatever the environment says.
    Direct,
    /// One for all hops but those to the hosts of `except`: names (with all below them), addresses, networks.
    At { url: url::Url, except: Vec<String> },
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Proxy::Environment => f.write_str("Environment"),
            Proxy::Direct => f.write_str("Direct"),
            Proxy::At { url, except } => write!(f, "At({}, {except:?})", url.host_str().unwrap_or_default()),
        }
    }
}

/// Text that must not be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the one place that sends or compares it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    Auto,
    Public,
    SignedIn,
}

#[derive(Clone, Debug, Default)]
pub struct Auth {
    /// `None`: the file does not say, so they may pull unless a role that was added by command says otherwise.
    pub anonymous: Option<Anonymous>,
    pub roles: Vec<Role>,
    /// `None`: `DATA/users.htpasswd`.
    pub htpasswd: Option<PathBuf>,
    /// For the first start; `None`: one is made up.
    pub admin_password: Option<Secret>,
}

/// What nobody in particular may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anonymous {
    pub pull: bool,
    pub push: bool,
    pub delete: bool,
}

impl Default for Anonymous {
    fn default() -> Anonymous {
        Anonymous { pull: true, push: false, delete: false }
    }
}

/// Who belongs together, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    pub name: String,
    /// Where the configuration says it; `None`: a command did.
    pub place: Option<String>,
    /// Names of users, or patterns over them.
    pub members: Patterns,
    pub allow: Vec<Allow>,
}

/// What may be done with some repositories: hosted ones by their long names, cached ones by their upstream's name, a slash and theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow {
    pub repositories: Patterns,
    pub rights: Rights,
}

/// A set of what can be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rights {
    pub pull: bool,
    pub push: bool,
    pub delete: bool,
    pub shadow: bool,
    /// Everything there is to do with these repositories; with all of them, to look after the registry itself.
    pub admin: bool,
}

#[derive(Clone, Debug)]
pub struct Metrics {
    pub enabled: bool,
}

#[derive(Clone, Debug)]
pub struct Log {
    /// A tracing filter: a level, or directives.
    pub level: String,
    pub json: bool,
    pub requests: Requests,
    /// A file of their own for the audit events; `None`: they are in the log alone.
    pub audit: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requests {
    All,
    Errors,
    Off,
}

impl Requests {
    /// The lowest HTTP status whose requests are logged; `None` where none is.
    pub fn lowest_status(self) -> Option<u16> {
        match self {
            Requests::All => Some(0),
            Requests::Errors => Some(400),
            Requests::Off => None,
        }
    }
}
