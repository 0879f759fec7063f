//! How an upstream stands, for people: which endpoints answer, and what they still grant.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::allowance::Known;
use super::client::Upstream;
use super::endpoints::Endpoint;
use super::wire::without_query;

/// One upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UpstreamState {
    pub registry: String,
    pub endpoints: Vec<EndpointState>,
}

/// One of its endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndpointState {
    pub url: String,
    /// Whether it answered when it was last asked, or was never asked.
    pub well: bool,
    /// One for each account and kind of question of which the endpoint told a limit.
    pub limits: Vec<LimitState>,
}

/// What an endpoint grants one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitState {
    /// The user name that the endpoint knows; empty for nobody in particular.
    pub account: String,
    /// `manifests`, or `blobs` where those are counted too.
    pub of: &'static str,
    /// Of a window.
    pub limit: Option<u64>,
    /// Of this window; `None` when that is not known any more.
    pub remaining: Option<u64>,
    /// Seconds of a window, where that was told.
    pub window: Option<u64>,
    /// When there is as much as the limit again, in Unix milliseconds; `None` when that was before now.
    pub resets_at: Option<u64>,
}

impl Upstream {
    /// How it stands now. Nothing is asked.
    pub fn state(&self) -> UpstreamState {
        UpstreamState { registry: self.registry().to_owned(), endpoints: self.endpoints().iter().map(endpoint).collect() }
    }
}

fn endpoint(endpoint: &Endpoint) -> EndpointState {
    let accounts = endpoint.allowances.known().into_iter();
    let limits = accounts.flat_map(|(account, lanes)| {
        let named = ["manifests", "blobs"].into_iter().zip(lanes);
        named.filter_map(move |(of, known)| Some(limit(&account, of, known?)))
    });
    let url = without_query(&endpoint.settings.url).trim_end_matches('/').to_owned();
    EndpointState { url, well: endpoint.health.is_well(), limits: limits.collect() }
}

fn limit(account: &str, of: &'static str, known: Known) -> LimitState {
    let left = known.resets.checked_duration_since(Instant::now());
    let resets_at = left.and_then(|left| (SystemTime::now() + left).duration_since(UNIX_EPOCH).ok());
    LimitState {
        account: account.to_owned(),
        of,
        limit: known.limit,
        remaining: if left.is_some() { Some(known.remaining) } else { known.limit },
        window: known.window.map(|window| window.as_secs()),
        resets_at: resets_at.and_then(|time| u64::try_from(time.as_millis()).ok()),
    }
}
