//! `Upstream`: one other registry with all its endpoints. Asks them in turn until one has it, within one budget.
//!
//! "Absent" is said only when every endpoint that could be asked said so and none failed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;
use tokio::sync::Semaphore;

use super::allowance::Allowances;
use super::credentials::Logins;
use super::endpoints::{Endpoint, Health, in_order};
use super::tokens::Tokens;
use super::verdict::Trouble;
use super::wire::{Lane, Wire};
use super::{Budget, Cause, Deadlines, Purpose, Refusal};
use crate::config;
use crate::oci::{Digest, RepositoryName};

/// Manifests, HEADs and tokens at once, so that blobs never keep them waiting and they never swamp an upstream.
const API_PLACES: usize = 4;

/// How long it is remembered that a blob came with wrong bytes.
const WRONG_HOLDS: Duration = Duration::from_secs(3600);

/// One other registry.
pub struct Upstream {
    pub(super) settings: config::Upstream,
    pub(super) deadlines: Deadlines,
    pub(super) wire: Wire,
    pub(super) tokens: Tokens,
    pub(super) logins: Logins,
    pub(super) places: Semaphore,
    /// How often each blob came with wrong bytes lately: so many endpoints are passed over for it.
    pub(super) wrong: Cache<Digest, usize>,
    endpoints: Vec<Endpoint>,
}

/// What is asked for, as the metrics call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Head,
    Manifest,
    BlobHead,
    Blob,
    List,
    Search,
    Token,
    /// Asked without credentials, to know what those may see who have none.
    Visibility,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Head => "head",
            Kind::Manifest => "manifest",
            Kind::BlobHead => "blob-head",
            Kind::Blob => "blob",
            Kind::List => "list",
            Kind::Search => "search",
            Kind::Token => "token",
            Kind::Visibility => "visibility",
        }
    }

    pub(super) fn lane(self) -> Lane {
        if matches!(self, Kind::Blob) { Lane::Blobs } else { Lane::Api }
    }

    /// Whether it counts as a pull where pulls are counted. A blob does where its answers tell a limit.
    pub(super) fn costs(self) -> bool {
        matches!(self, Kind::Manifest | Kind::Blob)
    }
}

impl Upstream {
    /// Connects to nothing.
    ///
    /// # Errors
    /// Says which setting cannot be: no endpoint, plain http without `insecure`, an unreadable `ca_file`, no proxy's URL.
    pub fn new(settings: &config::Upstream, deadlines: Deadlines) -> Result<Upstream, String> {
        let named = |text: String| format!("upstream {}: {text}", settings.registry);
        if settings.endpoints.is_empty() {
            return Err(named("it has no endpoint".to_owned()));
        }
        for url in settings.endpoints.iter().map(|endpoint| &endpoint.url) {
            match url.scheme() {
                "https" => {}
                "http" if settings.insecure => {}
                "http" => return Err(named(format!("{} is plain http, which needs insecure = true", super::wire::without_query(url)))),
                other => return Err(named(format!("{other}:// is neither https:// nor http://"))),
            }
        }
        let endpoint = |(number, settings): (usize, &config::Endpoint)| {
            let mut settings = settings.clone();
            // A name and a password inside the URL would go to every hop; they belong into `credentials`.
            let _ = settings.url.set_username("").and_then(|()| settings.url.set_password(None));
            Endpoint { number, settings, health: Health::new(&deadlines).into(), allowances: Allowances::default() }
        };
        Ok(Upstream {
            endpoints: settings.endpoints.iter().enumerate().map(endpoint).collect(),
            wire: Wire::new(settings, &deadlines).map_err(named)?,
            tokens: Tokens::new(),
            logins: Logins::new(deadlines.program),
            places: Semaphore::new(API_PLACES),
            wrong: Cache::builder().max_capacity(10_000).time_to_live(WRONG_HOLDS).build(),
            settings: settings.clone(),
            deadlines,
        })
    }

    /// The name that clients know it by.
    pub fn registry(&self) -> &str {
        &self.settings.registry
    }

    pub fn settings(&self) -> &config::Upstream {
        &self.settings
    }

    pub(super) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Whether any endpoint answered when it was last asked. When none did, a caller who has something old need not wait.
    pub fn is_well(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.health.is_well())
    }

    /// Whether blobs may be fetched that nobody asked for yet.
    ///
    /// # Errors
    /// Too little is left at each endpoint.
    pub fn affords_ahead(&self, name: &RepositoryName) -> Result<(), Refusal> {
        let mut outcomes = Outcomes { registry: self.registry(), denied: false, failed: None };
        for endpoint in &self.endpoints {
            match endpoint.reserve(name, Kind::Blob, Purpose::Prefetch) {
                Ok(_) => return Ok(()),
                Err(scarcity) => outcomes.add(endpoint, Cause::Spared(scarcity).into()),
            }
        }
        Err(outcomes.refusal())
    }

    /// Asks one endpoint after the other until one gives it. Those that must not be asked now count as failed.
    pub(super) async fn ask<'a, T, F, A>(&'a self, asking: &Asking<'_>, budget: Budget, attempt: F) -> Result<T, Refusal>
    where
        F: Fn(&'a Endpoint) -> A,
        A: Future<Output = Result<T, Trouble>>,
    {
        let (kind, lane) = (asking.kind, asking.kind.lane());
        let mut outcomes = Outcomes { registry: self.registry(), denied: false, failed: None };
        let mut open = Vec::new();
        for endpoint in in_order(&self.endpoints, lane, asking.passed_over) {
            match endpoint.health.refusal(lane, Instant::now()).filter(|_| !asking.goes_on) {
                Some(cause) => outcomes.add(endpoint, cause.into()),
                None => open.push(endpoint),
            }
        }
        let mut left = open.len();
        for endpoint in open {
            left -= 1;
            let began = Instant::now();
            if began >= budget.until && outcomes.failed.is_some() {
                break;
            }
            let _reserved = match endpoint.reserve(asking.name, kind, budget.purpose) {
                Ok(reserved) => reserved,
                Err(scarcity) => {
                    outcomes.add(endpoint, Cause::Spared(scarcity).into());
                    continue;
                }
            };
            match endpoint.health.admit(lane, began) {
                Err(cause) if !asking.goes_on => {
                    outcomes.add(endpoint, cause.into());
                    continue;
                }
                Ok(()) | Err(_) => {}
            }
            let until = if left == 0 { budget.until } else { budget.until.min(began + self.deadlines.hop) };
            let outcome = match tokio::time::timeout_at(until.into(), attempt(endpoint)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Cause::Timeout(until.saturating_duration_since(began)).into()),
            };
            self.note(kind, outcome.as_ref().err());
            match outcome {
                Ok(found) => {
                    endpoint.health.answered(lane);
                    return Ok(found);
                }
                Err(Trouble::Failed(cause)) => {
                    self.attempt(asking, endpoint, began).failed(&cause);
                    outcomes.add(endpoint, Trouble::Failed(cause));
                }
                Err(trouble) => {
                    endpoint.health.answered(lane);
                    outcomes.add(endpoint, trouble);
                }
            }
        }
        Err(outcomes.refusal())
    }

    /// A question that was put to `endpoint` at `began`, for the log and for its health.
    pub(super) fn attempt(&self, asking: &Asking<'_>, endpoint: &Endpoint, began: Instant) -> Attempt {
        Attempt {
            upstream: self.registry().to_owned(),
            endpoint: endpoint.address(),
            health: endpoint.health.clone(),
            kind: asking.kind,
            what: format!("{}/{}", asking.name, asking.what),
            began,
            patience: self.deadlines.connect,
        }
    }

    /// Counts one question to one endpoint by its kind and result.
    pub(super) fn note(&self, kind: Kind, trouble: Option<&Trouble>) {
        let result = match trouble {
            None => "found",
            Some(Trouble::Absent) => "absent",
            Some(Trouble::Denied) => "denied",
            Some(Trouble::Failed(Cause::RateLimited { .. })) => "limited",
            Some(Trouble::Failed(_)) => "failed",
        };
        crate::telemetry::metrics::upstream_request(self.registry(), kind.as_str(), result);
    }
}

/// A question as it is put to every endpoint.
pub(super) struct Asking<'a> {
    pub(super) kind: Kind,
    pub(super) name: &'a RepositoryName,
    /// What follows the name: `manifests/latest`.
    pub(super) what: String,
    /// So many endpoints are asked after the others.
    pub(super) passed_over: usize,
    /// It goes on with what has begun, so that an endpoint's rest is no reason not to ask.
    pub(super) goes_on: bool,
}

impl<'a> Asking<'a> {
    pub(super) fn new(kind: Kind, name: &'a RepositoryName, what: impl Into<String>) -> Asking<'a> {
        Asking { kind, name, what: what.into(), passed_over: 0, goes_on: false }
    }
}

/// A question that was put to one endpoint.
pub(super) struct Attempt {
    upstream: String,
    endpoint: String,
    health: Arc<Health>,
    kind: Kind,
    what: String,
    began: Instant,
    /// Whoever was given less time than this to answer was not silent.
    patience: Duration,
}

impl Attempt {
    /// The one place where a failure of an upstream is logged, counted, and held against the endpoint.
    pub(super) fn failed(&self, cause: &Cause) {
        let Attempt { upstream, endpoint, what, .. } = self;
        if !matches!(cause, Cause::Timeout(waited) if *waited < self.patience) {
            self.health.failed(self.kind.lane(), cause, self.began);
        }
        crate::telemetry::metrics::upstream_failure(upstream, endpoint, cause.word());
        tracing::warn!(upstream, endpoint, kind = self.kind.as_str(), what, %cause, "an upstream failed");
    }
}

/// What the endpoints said so far.
struct Outcomes<'a> {
    registry: &'a str,
    denied: bool,
    /// The last failure, and whose.
    failed: Option<(String, Cause)>,
}

impl Outcomes<'_> {
    fn add(&mut self, endpoint: &Endpoint, trouble: Trouble) {
        match trouble {
            Trouble::Absent => {}
            Trouble::Denied => self.denied = true,
            Trouble::Failed(cause) => self.failed = Some((endpoint.address(), cause)),
        }
    }

    fn refusal(self) -> Refusal {
        let registry = self.registry;
        match self.failed {
            Some((address, cause)) if address == registry => Refusal::Failed { source_name: address, cause },
            Some((address, cause)) => Refusal::Failed { source_name: format!("{registry} ({address})"), cause },
            None if self.denied => Refusal::Denied { source_name: registry.to_owned() },
            None => Refusal::Absent { source_name: registry.to_owned() },
        }
    }
}
