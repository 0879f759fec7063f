//! The endpoints of one upstream and how each of them fares.
//!
//! One that has just failed is asked after the others until its back-off ends; then one request probes it. One that gave no
//! answer at all, twice in a row, is not asked meanwhile, nor one that said "too many requests" and for how long.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use http::StatusCode;
use url::Url;

use super::allowance::{Allowances, Reserved, Scarcity};
use super::client::Kind;
use super::wire::{Arrived, Lane};
use super::{Cause, Deadlines, Purpose, limits};
use crate::config::{self, Login};
use crate::oci::RepositoryName;

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
    fn account(&self, name: &RepositoryName, kind: Kind) -> &str {
        let shown = self.settings.credentials.as_ref().filter(|_| kind != Kind::Visibility);
        shown.and_then(|credentials| credentials.login(name.as_str())).map_or("", Login::account)
    }

    /// Sets what a question costs aside until it is answered, unless too little is left.
    pub(super) fn reserve(&self, name: &RepositoryName, kind: Kind, purpose: Purpose) -> Result<Reserved<'_>, Scarcity> {
        self.allowances.reserve(self.account(name, kind), kind, purpose)
    }

    /// Remembers what an answer tells of limits. Another host speaks of its own, and a challenge of strangers'.
    pub(super) fn heed(&self, name: &RepositoryName, kind: Kind, arrived: &Arrived) {
        if !arrived.strayed
            && arrived.response.status() != StatusCode::UNAUTHORIZED
            && let Some(told) = limits::told(arrived.response.status(), arrived.response.headers(), SystemTime::now())
        {
            self.allowances.told(self.account(name, kind), kind.lane(), told);
        }
    }
}

/// The order in which to ask now: the well ones and those whose turn for a probe it is, then the others. The first
/// `passed_over` of them are asked after the rest.
pub(super) fn in_order(endpoints: &[Endpoint], lane: Lane, passed_over: usize) -> Vec<&Endpoint> {
    let now = Instant::now();
    let (last, first) = endpoints.split_at(passed_over % endpoints.len().max(1));
    let (mut order, resting): (Vec<_>, Vec<_>) = first.iter().chain(last).partition(|endpoint| endpoint.health.is_due(lane, now));
    order.extend(resting);
    order
}

/// What is remembered of an endpoint's failures. Blobs have a memory of their own, as many come from elsewhere.
pub(super) struct Health {
    step: Duration,
    lanes: Mutex<[Record; 2]>,
}

#[derive(Default)]
struct Record {
    /// Those in a row. Questions that ran beside each other count once.
    failures: u32,
    /// How many of the last ones were no answer at all.
    silences: u32,
    last: Option<(Instant, Cause)>,
    rests_until: Option<Instant>,
    limited_until: Option<Instant>,
}

impl Health {
    /// The first back-off is as long as a connection may take; each further one twice as long, to ten times that.
    pub(super) fn new(deadlines: &Deadlines) -> Health {
        Health { step: deadlines.connect, lanes: Mutex::default() }
    }

    fn record<T>(&self, lane: Lane, look: impl FnOnce(&mut Record) -> T) -> T {
        look(&mut self.lanes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[lane as usize])
    }

    fn rest_after(&self, failures: u32) -> Duration {
        (self.step * (1 << failures.saturating_sub(1).min(5))).min(self.step * 10)
    }

    /// Whether it may be asked in its turn: it is well, or its back-off has ended.
    fn is_due(&self, lane: Lane, now: Instant) -> bool {
        self.record(lane, |record| record.rests_until.is_none_or(|until| until <= now))
    }

    /// Whether it answered when it was last asked for anything but a blob.
    pub(super) fn is_well(&self) -> bool {
        self.record(Lane::Api, |record| record.rests_until.is_none())
    }

    /// Why it is not to be asked now, if so: it named a time, or it was silent twice and its back-off lasts.
    pub(super) fn refusal(&self, lane: Lane, now: Instant) -> Option<Cause> {
        self.record(lane, |record| record.refusal(now))
    }

    /// Takes the turn for a question. When a back-off has ended this is the probe; the next ones find another back-off.
    pub(super) fn admit(&self, lane: Lane, now: Instant) -> Result<(), Cause> {
        self.record(lane, |record| match record.refusal(now) {
            Some(cause) => Err(cause),
            None => {
                let ended = record.rests_until.filter(|until| *until <= now);
                record.rests_until = ended.map(|_| now + self.rest_after(record.failures)).or(record.rests_until);
                Ok(())
            }
        })
    }

    pub(super) fn answered(&self, lane: Lane) {
        self.record(lane, |record| *record = Record { limited_until: record.limited_until, ..Record::default() });
    }

    /// A question that began at `began` failed.
    pub(super) fn failed(&self, lane: Lane, cause: &Cause, began: Instant) {
        let now = Instant::now();
        self.record(lane, |record| {
            if record.last.as_ref().is_none_or(|(at, _)| *at <= began) {
                record.failures = record.failures.saturating_add(1);
                record.silences = if cause.is_silence() { record.silences.saturating_add(1) } else { 0 };
            }
            record.rests_until = Some(now + self.rest_after(record.failures));
            if let Cause::RateLimited { retry_after: Some(time) } = cause {
                record.limited_until = Some(now + (*time).min(LONGEST_LIMIT));
            }
            record.last = Some((now, cause.clone()));
        });
    }
}

impl Record {
    fn refusal(&self, now: Instant) -> Option<Cause> {
        if let Some(left) = self.limited_until.and_then(|until| until.checked_duration_since(now)).filter(|left| !left.is_zero()) {
            return Some(Cause::RateLimited { retry_after: Some(left) });
        }
        let rests = self.silences >= 2 && self.rests_until.is_some_and(|until| now < until);
        self.last.as_ref().filter(|_| rests).map(|(_, cause)| cause.clone())
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

    fn order(endpoints: &[Endpoint]) -> Vec<usize> {
        in_order(endpoints, Lane::Api, 0).iter().map(|endpoint| endpoint.number).collect()
    }

    fn fail(endpoint: &Endpoint, cause: &Cause) {
        endpoint.health.failed(Lane::Api, cause, Instant::now());
    }

    fn status() -> Cause {
        Cause::Status { status: 503, text: String::new() }
    }

    #[test]
    fn one_that_failed_is_asked_last_until_one_probe_finds_it_well() {
        let endpoints = [endpoint(0, "https://a"), endpoint(1, "https://b")];
        assert_eq!(order(&endpoints), [0, 1]);
        fail(&endpoints[0], &status());
        assert_eq!(order(&endpoints), [1, 0]);
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(order(&endpoints), [0, 1], "the probe");
        endpoints[0].health.admit(Lane::Api, Instant::now()).unwrap();
        assert_eq!(order(&endpoints), [1, 0], "only one at a time");
        endpoints[0].health.answered(Lane::Api);
        assert_eq!(order(&endpoints), [0, 1]);
    }

    #[test]
    fn one_that_was_silent_twice_is_asked_once_in_each_back_off() {
        let (endpoint, silence) = (endpoint(0, "https://a"), Cause::Broken(String::new()));
        let at = |millis| Instant::now() + Duration::from_millis(millis);
        let admits = |when| endpoint.health.admit(Lane::Api, when).is_ok();
        fail(&endpoint, &silence);
        assert!(admits(at(0)), "once is nothing");
        fail(&endpoint, &silence);
        assert!(!admits(at(0)) && endpoint.health.admit(Lane::Blobs, at(0)).is_ok());
        assert!(admits(at(100)) && !admits(at(100)), "one probe");
        fail(&endpoint, &status());
        assert!(admits(at(0)), "it speaks again");
        for _ in 0..40 {
            fail(&endpoint, &silence);
        }
        assert!(!admits(at(300)) && admits(at(500)), "no back-off is longer than ten steps");
        endpoint.health.answered(Lane::Api);
        assert!(endpoint.health.is_well() && admits(at(0)));
    }

    #[test]
    fn failures_of_questions_that_ran_beside_each_other_count_once() {
        let (endpoint, began) = (endpoint(0, "https://a"), Instant::now());
        for _ in 0..10 {
            endpoint.health.failed(Lane::Api, &Cause::Broken(String::new()), began);
        }
        assert!(endpoint.health.admit(Lane::Api, Instant::now()).is_ok());
    }

    #[test]
    fn an_endpoint_that_is_passed_over_comes_last() {
        let endpoints = [endpoint(0, "https://a"), endpoint(1, "https://b"), endpoint(2, "https://c")];
        let order = |passed_over| in_order(&endpoints, Lane::Blobs, passed_over).iter().map(|e| e.number).collect::<Vec<_>>();
        assert_eq!([order(0), order(1), order(2), order(3)], [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]);
    }
}
