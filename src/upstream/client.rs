//! `Upstream`: one other registry with all its endpoints. Asks them in turn until one has it, within one budget.
//!
//! "Absent" is said only when every endpoint that could be asked said so and none failed.

use std::time::Instant;

use tokio::sync::Semaphore;

use super::allowance::Allowances;
use super::credentials::Logins;
use super::endpoints::{Endpoint, Health, in_order};
use super::tokens::Tokens;
use super::verdict::Trouble;
use super::wire::{Lane, Wire};
use super::{Budget, Cause, Deadlines, Purpose, Refusal};
use crate::config;

/// Manifests, HEADs and tokens at once, so that blobs never keep them waiting and they never swamp an upstream.
const API_PLACES: usize = 4;

/// One other registry.
pub struct Upstream {
    pub(super) settings: config::Upstream,
    pub(super) deadlines: Deadlines,
    pub(super) wire: Wire,
    pub(super) tokens: Tokens,
    pub(super) logins: Logins,
    pub(super) places: Semaphore,
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
    pub fn affords_ahead(&self) -> Result<(), Refusal> {
        let mut outcomes = Outcomes { registry: self.registry(), denied: false, failed: None };
        for endpoint in &self.endpoints {
            match endpoint.reserve(Kind::Blob, Purpose::Prefetch) {
                Ok(_) => return Ok(()),
                Err(scarcity) => outcomes.add(endpoint, Cause::Spared(scarcity).into()),
            }
        }
        Err(outcomes.refusal())
    }

    /// Asks one endpoint after the other until one gives it.
    pub(super) async fn ask<'a, T, F, A>(&'a self, kind: Kind, budget: Budget, attempt: F) -> Result<T, Refusal>
    where
        F: Fn(&'a Endpoint) -> A,
        A: Future<Output = Result<T, Trouble>>,
    {
        let mut outcomes = Outcomes { registry: self.registry(), denied: false, failed: None };
        let (limited, open): (Vec<_>, Vec<_>) =
            in_order(&self.endpoints).into_iter().partition(|endpoint| endpoint.health.limited_for(kind.lane()).is_some());
        for endpoint in limited {
            let retry_after = endpoint.health.limited_for(kind.lane());
            outcomes.add(endpoint, Cause::RateLimited { retry_after }.into());
        }
        let mut left = open.len();
        for endpoint in open {
            left -= 1;
            let began = Instant::now();
            if began >= budget.until && outcomes.failed.is_some() {
                break;
            }
            let _reserved = match endpoint.reserve(kind, budget.purpose) {
                Ok(reserved) => reserved,
                Err(scarcity) => {
                    outcomes.add(endpoint, Cause::Spared(scarcity).into());
                    continue;
                }
            };
            let until = if left == 0 { budget.until } else { budget.until.min(began + self.deadlines.hop) };
            let outcome = match tokio::time::timeout_at(until.into(), attempt(endpoint)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Cause::Timeout(until.saturating_duration_since(began)).into()),
            };
            self.note(kind, outcome.as_ref().err());
            match outcome {
                Ok(found) => {
                    endpoint.health.answered();
                    return Ok(found);
                }
                Err(Trouble::Failed(cause)) => {
                    endpoint.health.failed(kind.lane(), &cause);
                    outcomes.add(endpoint, Trouble::Failed(cause));
                }
                Err(trouble) => {
                    endpoint.health.answered();
                    outcomes.add(endpoint, trouble);
                }
            }
        }
        Err(outcomes.refusal())
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
