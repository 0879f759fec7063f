//! The routes beside those of the registry, in one table: the router is made of it, so there is none that it does not name.

use std::sync::Arc;

use axum::routing::{MethodRouter, get};

use super::{Server, connect, probes, token, upstreams};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    Landing,
    Healthz,
    Readyz,
    Metrics,
    Token,
    Upstreams,
    Connect,
    Ca,
}

impl Page {
    pub const ALL: [Page; 8] =
        [Page::Landing, Page::Healthz, Page::Readyz, Page::Metrics, Page::Token, Page::Upstreams, Page::Connect, Page::Ca];

    pub fn path(self) -> &'static str {
        match self {
            Page::Landing => "/",
            Page::Healthz => "/healthz",
            Page::Readyz => "/readyz",
            Page::Metrics => "/metrics",
            Page::Token => "/token",
            Page::Upstreams => "/api/v1/upstreams",
            Page::Connect => "/connect",
            Page::Ca => connect::CA,
        }
    }

    pub(super) fn handler(self) -> MethodRouter<Arc<Server>> {
        match self {
            Page::Landing => get(probes::landing),
            Page::Healthz => get(probes::healthz),
            Page::Readyz => get(probes::readyz),
            Page::Metrics => get(probes::metrics),
            Page::Token => get(token::by_query).post(token::by_form),
            Page::Upstreams => get(upstreams::list),
            Page::Connect => get(connect::lines),
            Page::Ca => get(connect::ca),
        }
    }
}
