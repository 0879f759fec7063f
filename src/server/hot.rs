//! Answers kept in memory with their headers ready: a manifest that is asked for again touches neither index nor disk.
//!
//! An answer is given again only while its ticket holds and only to callers whom the rules let pull.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use moka::sync::Cache;

use super::Server;
use super::access::tells_nobody;
use crate::registry::Ticket;
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
    /// Whether HEAD without credentials is answered too: not at the root.
    heads: bool,
}

impl Default for Hot {
    fn default() -> Hot {
        let weigh = |key: &Arc<str>, entry: &Arc<Entry>| OVERHEAD + key.len() as u32 + entry.bytes.len() as u32;
        Hot(Cache::builder().max_capacity(CAPACITY).weigher(weigh).build())
    }
}

impl Server {
    /// The kept answer to a request without credentials that everybody may make.
    pub fn hot_answer(&self, parts: &Parts) -> Option<Response> {
        let head = parts.method == Method::HEAD;
        let anonymous = self.rules.anonymous.pull && tells_nobody(parts);
        if !anonymous || !(head || parts.method == Method::GET) {
            return None;
        }
        let key = parts.uri.path_and_query()?.as_str();
        let entry = self.hot.0.get(key)?;
        if !self.registry.holds(&entry.ticket) {
            self.hot.0.invalidate(key);
            return None;
        }
        if head && !entry.heads {
            return None;
        }
        telemetry::metrics::hit(telemetry::metrics::Kind::Manifest);
        let mut response = Response::new(if head { Body::empty() } else { Body::from(entry.bytes.clone()) });
        *response.status_mut() = StatusCode::OK;
        *response.headers_mut() = entry.headers.clone();
        Some(response)
    }

    /// Keeps the answer to an anonymous request, as long as its ticket says.
    pub fn keep_hot(&self, parts: &Parts, headers: &HeaderMap, bytes: &Bytes, ticket: Option<Ticket>, at_root: bool) {
        if let (Some(ticket), Some(key)) = (ticket, parts.uri.path_and_query())
            && tells_nobody(parts)
        {
            let entry = Entry { headers: headers.clone(), bytes: bytes.clone(), ticket, heads: !at_root };
            self.hot.0.insert(key.as_str().into(), Arc::new(entry));
        }
    }
}
