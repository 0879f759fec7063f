//! What machines and people ask that is no registry's business: probes, figures, and a word of welcome.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};

use super::Server;
use crate::index::Health;
use crate::telemetry;
use crate::upstream::UpstreamState;

/// The process runs and answers.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Requests can be answered: the index is whole, and promises can be kept.
pub async fn readyz(State(server): State<Arc<Server>>) -> Response {
    match server.registry.index().health() {
        Health::Ready => "ready\n".into_response(),
        Health::Filling => (StatusCode::SERVICE_UNAVAILABLE, "the index is being read from the journal\n").into_response(),
        Health::ReadOnly(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("pushes are refused: {why}\n")).into_response(),
    }
}

/// The figures in Prometheus' text form.
pub async fn metrics(State(server): State<Arc<Server>>) -> Response {
    let Some(handle) = &server.metrics else {
        return (StatusCode::NOT_FOUND, "metrics are switched off (metrics.enabled)\n").into_response();
    };
    telemetry::metrics::flights(server.registry.flights());
    for upstream in server.registry.upstreams() {
        tell_limits(&upstream);
    }
    if let Ok(totals) = server.registry.index().totals().await {
        telemetry::metrics::store(totals.blobs, totals.bytes);
    }
    let mut response = handle.render().into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response
}

/// What the upstream's endpoints grant. These figures are for everybody: they name no account.
fn tell_limits(upstream: &UpstreamState) {
    for endpoint in &upstream.endpoints {
        for limit in &endpoint.limits {
            telemetry::metrics::upstream_limit(&telemetry::metrics::UpstreamLimit {
                registry: &upstream.registry,
                endpoint: &endpoint.url,
                account: if limit.account.is_empty() { "anonymous" } else { "account" },
                of: limit.of,
                limit: limit.limit,
                remaining: limit.remaining,
                resets_at: limit.resets_at,
            });
        }
    }
}

/// `GET /`: where one is, and what to try next.
pub async fn landing(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let totals = server.registry.index().totals().await.unwrap_or_default();
    super::welcome::welcome(&server.host(&parts), &server.base(&parts), totals, server.started.elapsed()).into_response()
}
