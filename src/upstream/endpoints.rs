//! The endpoints of one upstream and how each of them fares.
//!
//! One that has just failed is asked after the others until its back-off ends; then one request probes it.
//! One that said "too many requests" and for how long is not asked for that long.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use http::StatusCode;
use url::Url;

use super::allowance::{Allowances, Reserved, Scarcity};
use super::client::Kind;
use super::wire::{Arrived, Lane};
use super::{Cause, Deadlines, Purpose, limits};
use crate::config::{self, Login};

/// The longest `Retry-After` that is believed.
const LONGEST_LIMIT: Duration = Duration::from_secs(3600);

pub(super) struct Endpoint {
    pub(super) number: usize,
    pub(super) settings: config::Endpoint,
    pub(super) health: std::sync::Arc<Health>,
    pub(super) allowances: Allowances,
}

impl Endpoint {
    /// The URL of what `path` (`NAME/manifests/…`) names here. A path of the endpoint that does not lead through
    /// `v2` gets it at its end, as other clients do it.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.settings.url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        let api = if base.split('/').any(|part| part == "v2") { "" } else { "/v2" };
        url.set_path(&format!("{base}{api}/{path}"));
        url
    }

    /// Host and port, for messages.
    pub(super) fn address(&self) -> String {
        let url = &self.settings.url;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{port}", url.host_str().unwrap_or_default())
    }

    /// Whose allowance a question takes from; empty for nobody's in particular.
    fn account(&self, kind: Kind) -> &str {
        let shown = self.settings.credentials.as_ref().filter(|_| kind != Kind::Visibility);
        shown.and_then(|credentials| credentials.logins().first()).map_or("", Login::account)
    }

    /// Sets what a question costs aside until it is answered, unless too little is left.
    pub(super) fn reserve(&self, kind: Kind, purpose: Purpose) -> Result<Reserved<'_>, Scarcity> {
        self.allowances.reserve(self.account(kind), kind, purpose)
    }

    /// Remembers what an answer tells of limits. Another host speaks of its own, and a challenge of strangers'.
    pub(super) fn heed(&self, kind: Kind, arrived: &Arrived) {
        if !arrived.strayed
            && arrived.response.status() != StatusCode::UNAUTHORIZED
            && let Some(told) = limits::told(arrived.response.status(), arrived.response.headers(), SystemTime::now())
        {
            self.allowances.told(self.account(kind), kind.lane(), told);
        }
    }
}

/// The order in which to ask now: the well ones and those whose turn for a probe it is, then the others.
pub(super) fn in_order(endpoints: &[Endpoint]) -> Vec<&Endpoint> {
    let now = Instant::now();
    let (mut first, last): (Vec<_>, Vec<_>) = endpoints.iter().partition(|endpoint| endpoint.health.is_due(now));
    first.extend(last);
    first
}

/// What is remembered of an endpoint's failures.
pub(super) struct Health {
    step: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    rests_until: Option<Instant>,
    limited_until: [Option<Instant>; 2],
}

impl Health {
    /// The first back-off is as long as a connection may take; each further one twice as long, to twenty times that.
    pub(super) fn new(deadlines: &Deadlines) -> Health {
        Health { step: deadlines.connect, state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whether it may be asked in its turn. When the back-off has ended the caller is the probe, and the next
    /// callers are told no until the probe's answer or one more step.
    fn is_due(&self, now: Instant) -> bool {
        let mut state = self.state();
        match state.rests_until {
            Some(until) if now < until => false,
            Some(_) => {
                state.rests_until = Some(now + self.step);
                true
            }
            None => true,
        }
    }

    pub(super) fn is_well(&self) -> bool {
        self.state().rests_until.is_none()
    }

    pub(super) fn answered(&self) {
        let mut state = self.state();
        state.failures = 0;
        state.rests_until = None;
    }

    pub(super) fn failed(&self, lane: Lane, cause: &Cause) {
        let mut state = self.state();
        let now = Instant::now();
        state.failures = state.failures.saturating_add(1);
        let factor = 1 << (state.failures - 1).min(5);
        state.rests_until = Some(now + (self.step * factor).min(self.step * 20));
        if let Cause::RateLimited { retry_after: Some(time) } = cause {
            state.limited_until[lane as usize] = Some(now + (*time).min(LONGEST_LIMIT));
        }
    }

    /// How much longer it must not be asked at all.
    pub(super) fn limited_for(&self, lane: Lane) -> Option<Duration> {
        let until = self.state().limited_until[lane as usize]?;
        until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(number: usize, url: &str) -> Endpoint {
        let settings = config::Endpoint { url: url.parse().unwrap(), credentials: None };
        let deadlines = Deadlines { connect: Duration::from_millis(40), ..Deadlines::default() };
        Endpoint { number, settings, health: Health::new(&deadlines).into(), allowances: Allowances::default() }
    }

    #[test]
    fn a_path_of_the_endpoint_is_kept() {
        for (base, want) in [
            ("https://h", "https://h/v2/a/b/manifests/1"),
            ("https://h:5000/", "https://h:5000/v2/a/b/manifests/1"),
            ("https://h/mirror/", "https://h/mirror/v2/a/b/manifests/1"),
            ("https://h/v2/proxy", "https://h/v2/proxy/a/b/manifests/1"),
        ] {
            assert_eq!(endpoint(0, base).url("a/b/manifests/1").as_str(), want);
        }
    }

    #[test]
    fn one_that_failed_is_asked_last_until_one_probe_finds_it_well() {
        let endpoints = [endpoint(0, "https://a"), endpoint(1, "https://b")];
        let order = || in_order(&endpoints).iter().map(|e| e.number).collect::<Vec<_>>();
        assert_eq!(order(), [0, 1]);
        endpoints[0].health.failed(Lane::Api, &Cause::Broken(String::new()));
        assert_eq!(order(), [1, 0]);
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(order(), [0, 1], "the probe");
        assert_eq!(order(), [1, 0], "only one at a time");
        endpoints[0].health.answered();
        assert_eq!(order(), [0, 1]);
    }
}
