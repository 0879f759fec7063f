//! Answers kept in memory with their headers ready: a manifest that is asked for again touches neither index nor disk.
//!
//! An answer is given again only while its ticket holds and only to callers whom token and rules let pull from where it was found.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use moka::sync::Cache;

use super::Server;
use super::access::Wish;
use crate::auth::{Action, Verdict, judge};
use crate::oci::Repository;
use crate::registry::{Found, Ticket};
use crate::telemetry;

/// Bytes of manifests kept, with their headers.
const CAPACITY: u64 = 64 << 20;

/// What an entry costs beside its body.
const OVERHEAD: u32 = 1024;

#[derive(Clone)]
pub struct Hot(Cache<Arc<str>, Arc<Entry>>);

struct Entry {
    headers: HeaderMap,
    bytes: Bytes,
    ticket: Ticket,
    /// Where it was found.
    repository: Repository,
    /// The name as it is judged, and as it is written.
    judged: String,
    written: String,
    namespaced: bool,
    at_root: bool,
}

impl Default for Hot {
    fn default() -> Hot {
        let weigh = |key: &Arc<str>, entry: &Arc<Entry>| OVERHEAD + key.len() as u32 + entry.bytes.len() as u32;
        Hot(Cache::builder().max_capacity(CAPACITY).weigher(weigh).build())
    }
}

impl Server {
    /// The kept answer, where it is known at once that whoever asks may have it.
    pub fn hot_answer(&self, parts: &Parts) -> Option<Response> {
        let head = parts.method == Method::HEAD;
        if !(head || parts.method == Method::GET) {
            return None;
        }
        let entry = self.hot.0.get(parts.uri.path_and_query()?.as_str())?;
        let caller = self.recall(parts)?;
        if head && entry.at_root && !caller.heads_for_a_pull(&entry.written) {
            return None;
        }
        let written = entry.namespaced.then_some(entry.written.as_str());
        let may = || judge(&self.policy.rules(), &caller.who, Action::Pull, &entry.repository) == Verdict::Allowed;
        if !caller.may_pull(&entry.judged, written) || !may() || !self.registry.holds(&entry.ticket, &caller.who) {
            return None;
        }
        telemetry::metrics::hit(telemetry::metrics::Kind::Manifest);
        let mut response = Response::new(if head { Body::empty() } else { Body::from(entry.bytes.clone()) });
        *response.status_mut() = StatusCode::OK;
        *response.headers_mut() = entry.headers.clone();
        Some(response)
    }

    /// Keeps the answer, as long as its ticket says.
    pub fn keep_hot(&self, parts: &Parts, wish: &Wish<'_>, headers: &HeaderMap, found: &Found, ticket: Option<Ticket>) {
        if let (Some(ticket), Some(key), Some(bytes)) = (ticket, parts.uri.path_and_query(), &found.bytes) {
            let entry = Entry {
                headers: headers.clone(),
                bytes: bytes.clone(),
                ticket,
                repository: found.repository.clone(),
                judged: wish.target.judged(),
                written: wish.written.to_string(),
                namespaced: wish.namespaced,
                at_root: wish.at_root(),
            };
            self.hot.0.insert(key.as_str().into(), Arc::new(entry));
        }
    }
}
