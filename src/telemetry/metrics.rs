//! Every figure of `/metrics`: one function per fact, with plain arguments. Until [`install`] was called they do nothing.
//! What is counted for each request formats no text and takes no lock.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::OnceLock;

use metrics::{Counter, Gauge, Unit, counter, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

const REQUESTS: &str = "entrepot_requests_total";
const HITS: &str = "entrepot_hits_total";
const MISSES: &str = "entrepot_misses_total";
const FLIGHTS: &str = "entrepot_flights";
const UPSTREAM_REQUESTS: &str = "entrepot_upstream_requests_total";
const UPSTREAM_LIMIT: &str = "entrepot_upstream_limit";
const UPSTREAM_REMAINING: &str = "entrepot_upstream_remaining";
const UPSTREAM_RESETS: &str = "entrepot_upstream_reset_timestamp_seconds";
const UPSTREAM_FAILURES: &str = "entrepot_upstream_failures_total";
const BYTES_IN: &str = "entrepot_received_bytes_total";
const BYTES_OUT: &str = "entrepot_sent_bytes_total";
const STORE_BLOBS: &str = "entrepot_store_blobs";
const STORE_BYTES: &str = "entrepot_store_bytes";
const INDEX_ABANDONED: &str = "entrepot_index_abandoned_total";
const AUDIT_LOST: &str = "entrepot_audit_lost_total";
const LOG_DROPPED: &str = "entrepot_log_dropped_total";

/// What was asked for, in hits and misses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Manifest,
    Blob,
}

impl Kind {
    const ALL: [Kind; 2] = [Kind::Manifest, Kind::Blob];

    fn label(self) -> &'static str {
        match self {
            Kind::Manifest => "manifest",
            Kind::Blob => "blob",
        }
    }
}

static METERS: OnceLock<Meters> = OnceLock::new();

struct Meters {
    prometheus: PrometheusHandle,
    hits: [Counter; 2],
    misses: [Counter; 2],
    flights: Gauge,
    bytes_in: Counter,
    bytes_out: Counter,
    store_blobs: Gauge,
    store_bytes: Gauge,
    index_abandoned: Counter,
    audit_lost: Counter,
    log_dropped: Counter,
}

thread_local! {
    /// Counters of requests that this thread has met. Few: routes, methods and statuses are.
    static REQUEST_COUNTERS: RefCell<HashMap<(&'static str, &'static str, u16), Counter>> = RefCell::default();
}

/// Renders the figures.
#[derive(Clone, Copy)]
pub struct Handle(&'static Meters);

impl Handle {
    /// All figures in Prometheus' text form.
    pub fn render(&self) -> String {
        self.0.audit_lost.absolute(super::audit::lost());
        self.0.log_dropped.absolute(super::log::dropped());
        self.0.prometheus.run_upkeep();
        self.0.prometheus.render()
    }
}

/// From here on facts are counted. Called again, it returns the same figures.
pub fn install() -> Handle {
    Handle(METERS.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let prometheus = recorder.handle();
        metrics::set_global_recorder(recorder).expect("no other recorder is ever set");
        describe();
        Meters {
            prometheus,
            hits: Kind::ALL.map(|kind| counter!(HITS, "kind" => kind.label())),
            misses: Kind::ALL.map(|kind| counter!(MISSES, "kind" => kind.label())),
            flights: gauge!(FLIGHTS),
            bytes_in: counter!(BYTES_IN),
            bytes_out: counter!(BYTES_OUT),
            store_blobs: gauge!(STORE_BLOBS),
            store_bytes: gauge!(STORE_BYTES),
            index_abandoned: counter!(INDEX_ABANDONED),
            audit_lost: counter!(AUDIT_LOST),
            log_dropped: counter!(LOG_DROPPED),
        }
    }))
}

fn describe() {
    let counters = [
        (REQUESTS, Unit::Count, "Requests answered, by route, method and status."),
        (HITS, Unit::Count, "Requests answered from what is here, by kind."),
        (MISSES, Unit::Count, "Requests for which an upstream had to be asked, by kind."),
        (UPSTREAM_REQUESTS, Unit::Count, "Requests made to upstreams, by registry, kind and result."),
        (UPSTREAM_FAILURES, Unit::Count, "Failures of upstreams, by registry, endpoint and cause."),
        (BYTES_IN, Unit::Bytes, "Bytes of content that came in, pushed by clients or fetched from upstreams."),
        (BYTES_OUT, Unit::Bytes, "Bytes of content sent to clients."),
        (INDEX_ABANDONED, Unit::Count, "Times the index on disk was abandoned for the one in memory."),
        (AUDIT_LOST, Unit::Count, "Audit events that are not in their file because it could not be written."),
        (LOG_DROPPED, Unit::Count, "Log lines dropped because they came faster than they could be written."),
    ];
    for (name, unit, text) in counters {
        metrics::describe_counter!(name, unit, text);
    }
    let gauges = [
        (FLIGHTS, Unit::Count, "Blobs that are being fetched from upstreams right now."),
        (UPSTREAM_LIMIT, Unit::Count, "Pulls that an upstream's endpoint grants in a window, as it last told."),
        (UPSTREAM_REMAINING, Unit::Count, "Pulls that it still grants in this window."),
        (UPSTREAM_RESETS, Unit::Seconds, "When the window ends, in Unix time; 0 where that was before now."),
        (STORE_BLOBS, Unit::Count, "Blobs in the store."),
        (STORE_BYTES, Unit::Bytes, "Bytes of the blobs in the store."),
    ];
    for (name, unit, text) in gauges {
        metrics::describe_gauge!(name, unit, text);
    }
}

/// A request was answered. `route` names its shape, not its path.
pub fn request(route: &'static str, method: &str, status: u16) {
    if METERS.get().is_none() {
        return;
    }
    let method = known_method(method);
    REQUEST_COUNTERS.with_borrow_mut(|counters| {
        let new = || counter!(REQUESTS, "route" => route, "method" => method, "status" => status.to_string());
        counters.entry((route, method, status)).or_insert_with(new).increment(1);
    });
}

/// A client may make methods up; each would be a figure of its own.
fn known_method(method: &str) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known.into_iter().find(|known| *known == method).unwrap_or("other")
}

/// It was answered from what is here.
pub fn hit(kind: Kind) {
    if let Some(meters) = METERS.get() {
        meters.hits[kind as usize].increment(1);
    }
}

/// An upstream had to be asked.
pub fn miss(kind: Kind) {
    if let Some(meters) = METERS.get() {
        meters.misses[kind as usize].increment(1);
    }
}

/// So many flights are under way.
pub fn flights(count: usize) {
    if let Some(meters) = METERS.get() {
        meters.flights.set(count as f64);
    }
}

/// An upstream was asked for a thing of that kind (`manifest`, `blob`, `token`, …), with that result (`found`, `absent`, …).
pub fn upstream_request(registry: &str, kind: &'static str, result: &'static str) {
    if METERS.get().is_some() {
        counter!(UPSTREAM_REQUESTS, "registry" => registry.to_owned(), "kind" => kind, "result" => result).increment(1);
    }
}

/// What an upstream's endpoint grants one account.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamLimit<'a> {
    pub registry: &'a str,
    pub endpoint: &'a str,
    /// `anonymous` or `account`.
    pub account: &'static str,
    /// What is counted: `manifests` or `blobs`.
    pub of: &'static str,
    pub limit: Option<u64>,
    /// `None` when that is not known any more.
    pub remaining: Option<u64>,
    /// Unix milliseconds.
    pub resets_at: Option<u64>,
}

/// An upstream's endpoint grants so much.
pub fn upstream_limit(told: &UpstreamLimit<'_>) {
    if METERS.get().is_none() {
        return;
    }
    let labels = [
        ("registry", told.registry.to_owned()),
        ("endpoint", told.endpoint.to_owned()),
        ("account", told.account.to_owned()),
        ("of", told.of.to_owned()),
    ];
    if let Some(limit) = told.limit {
        gauge!(UPSTREAM_LIMIT, &labels).set(limit as f64);
    }
    gauge!(UPSTREAM_REMAINING, &labels).set(told.remaining.map_or(f64::NAN, |remaining| remaining as f64));
    gauge!(UPSTREAM_RESETS, &labels).set(told.resets_at.map_or(0.0, |at| at as f64 / 1000.0));
}

/// An upstream failed at one of its endpoints, for a cause in one word (`timeout`, `status`, …).
pub fn upstream_failure(registry: &str, endpoint: &str, cause: &'static str) {
    if METERS.get().is_some() {
        counter!(UPSTREAM_FAILURES, "registry" => registry.to_owned(), "endpoint" => endpoint.to_owned(), "cause" => cause).increment(1);
    }
}

/// Bytes of content came in.
pub fn bytes_in(bytes: u64) {
    if let Some(meters) = METERS.get() {
        meters.bytes_in.increment(bytes);
    }
}

/// Bytes of content went out.
pub fn bytes_out(bytes: u64) {
    if let Some(meters) = METERS.get() {
        meters.bytes_out.increment(bytes);
    }
}

/// The store holds so much.
pub fn store(blobs: u64, bytes: u64) {
    if let Some(meters) = METERS.get() {
        meters.store_blobs.set(blobs as f64);
        meters.store_bytes.set(bytes as f64);
    }
}

/// The index on disk failed, and the one in memory serves.
pub fn index_abandoned() {
    if let Some(meters) = METERS.get() {
        meters.index_abandoned.increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of the line that begins so.
    fn value(page: &str, start: &str) -> u64 {
        let line = page.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_else(|| panic!("no {start} in\n{page}"));
        line.trim().parse().unwrap()
    }

    #[test]
    fn each_fact_is_counted_once_under_its_name() {
        let handle = install();
        let before = handle.render();
        for _ in 0..3 {
            request("test route", "GET", 200);
        }
        request("test route", "BREW", 405);
        std::thread::spawn(|| request("test route", "GET", 200)).join().unwrap();
        hit(Kind::Manifest);
        miss(Kind::Blob);
        upstream_request("test.example", "blob", "found");
        bytes_in(10);
        bytes_out(1 << 40);
        store(7, 1 << 50);
        index_abandoned();
        let after = install().render();

        assert_eq!(value(&after, "entrepot_requests_total{route=\"test route\",method=\"GET\",status=\"200\"}"), 4);
        assert_eq!(value(&after, "entrepot_requests_total{route=\"test route\",method=\"other\",status=\"405\"}"), 1);
        assert_eq!(value(&after, "entrepot_upstream_requests_total{registry=\"test.example\",kind=\"blob\",result=\"found\"}"), 1);
        let steps = [
            ("entrepot_hits_total{kind=\"manifest\"}", 1),
            ("entrepot_misses_total{kind=\"blob\"}", 1),
            ("entrepot_received_bytes_total", 10),
            ("entrepot_sent_bytes_total", 1 << 40),
            ("entrepot_index_abandoned_total", 1),
        ];
        for (name, step) in steps {
            assert!(value(&after, &format!("{name} ")) >= value(&before, &format!("{name} ")) + step, "{name}");
        }
        assert!(before.contains("entrepot_misses_total{kind=\"manifest\"} "), "figures are there before their first fact");
    }

    #[test]
    fn every_figure_says_what_it_is() {
        request("another route", "GET", 200);
        let handle = install();
        request("another route", "GET", 200);
        upstream_request("other.example", "token", "failed");
        let (registry, endpoint) = ("other.example", "https://other.example");
        let limit = UpstreamLimit {
            registry,
            endpoint,
            account: "anonymous",
            of: "manifests",
            limit: Some(100),
            remaining: Some(7),
            resets_at: Some(1500),
        };
        upstream_limit(&limit);
        upstream_failure("other.example", "mirror.example:5000", "timeout");
        let failures = "entrepot_upstream_failures_total{registry=\"other.example\",endpoint=\"mirror.example:5000\",cause=\"timeout\"}";
        assert_eq!(value(&handle.render(), failures), 1);
        let page = handle.render();
        for name in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).filter_map(|line| line.split(' ').next()) {
            assert!(page.contains(&format!("# HELP {name} ")), "{name}");
        }
        let limits = [UPSTREAM_LIMIT, UPSTREAM_REMAINING, UPSTREAM_RESETS];
        let others = [
            REQUESTS,
            HITS,
            MISSES,
            FLIGHTS,
            UPSTREAM_REQUESTS,
            UPSTREAM_FAILURES,
            BYTES_IN,
            BYTES_OUT,
            STORE_BLOBS,
            STORE_BYTES,
            AUDIT_LOST,
            LOG_DROPPED,
        ];
        for name in limits.into_iter().chain(others) {
            assert!(page.contains(&format!("# TYPE {name} ")), "{name} in\n{page}");
        }
        let whose = "registry=\"other.example\",endpoint=\"https://other.example\",account=\"anonymous\",of=\"manifests\"";
        for (name, value) in limits.into_iter().zip(["100", "7", "1.5"]) {
            assert!(page.contains(&format!("{name}{{{whose}}} {value}\n")), "{name} in\n{page}");
        }
    }
}
