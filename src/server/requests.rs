//! One count and one line for each request, written when its answer has ended.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::Method;
use http::header::USER_AGENT;
use http::request::Parts;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::client;
use crate::auth::Who;
use crate::telemetry;

/// Counts the request and, where the settings ask for it, logs it at the end of its answer.
pub async fn observe(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = shape(request.uri().path());
    // Whoever writes is named in the audit events, whatever is logged.
    let writes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if !writes && !telemetry::log::wants_request(u16::MAX - 1) {
        let method = request.method().clone();
        let response = next.run(request).await;
        telemetry::metrics::request(route, method.as_str(), response.status().as_u16());
        return response;
    }
    let (mut parts, body) = request.into_parts();
    let asker = Asker::default();
    parts.extensions.insert(asker.clone());
    let mut line = Line {
        method: parts.method.clone(),
        path: parts.uri.path().to_owned(),
        namespace: super::manifests::namespace(&parts),
        client: client(&parts).ip(),
        asker,
        agent: parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).map(str::to_owned),
        status: 0,
        bytes: 0,
        started,
    };
    let response = next.run(Request::from_parts(parts, body)).await;
    let status = response.status().as_u16();
    telemetry::metrics::request(route, line.method.as_str(), status);
    if !telemetry::log::wants_request(status) {
        return response;
    }
    line.status = status;
    response.map(|inner| Body::new(Logged { inner, line }))
}

/// What kind of request it is, for the figures.
fn shape(path: &str) -> &'static str {
    let kinds =
        [("/manifests/", "manifest"), ("/blobs/uploads", "upload"), ("/blobs/", "blob"), ("/tags/", "tags"), ("/referrers/", "referrers")];
    match path {
        "/v2/" | "/v2" => "base",
        "/v2/_catalog" => "catalog",
        "/v1/search" | "/v1/_ping" => "search",
        "/token" => "token",
        "/healthz" | "/readyz" | "/metrics" => "probe",
        "/connect" | "/connect/ca.crt" => "connect",
        "/api/v1/upstreams" => "api",
        _ => kinds.iter().find(|(part, _)| path.contains(part)).map_or("other", |(_, kind)| kind),
    }
}

/// Where whoever checks the credentials leaves the user's name for the line.
#[derive(Clone, Default)]
pub struct Asker(Arc<OnceLock<String>>);

impl Asker {
    /// Who asks, as far as that was noted; empty for nobody in particular.
    pub fn name(parts: &Parts) -> &str {
        parts.extensions.get::<Asker>().and_then(|asker| asker.0.get()).map_or("", String::as_str)
    }

    /// Notes who asks, where that will be told.
    pub fn is(parts: &Parts, who: &Who) {
        if let Some(asker) = parts.extensions.get::<Asker>().filter(|_| who.is_signed_in()) {
            asker.0.get_or_init(|| who.name().to_owned());
        }
    }
}

struct Line {
    method: Method,
    path: String,
    namespace: Option<String>,
    client: std::net::IpAddr,
    asker: Asker,
    agent: Option<String>,
    status: u16,
    bytes: u64,
    started: Instant,
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.status == 0 {
            return;
        }
        telemetry::request_line(telemetry::RequestLine {
            method: self.method.as_str(),
            path: &self.path,
            namespace: self.namespace.as_deref(),
            status: self.status,
            bytes: self.bytes,
            duration: self.started.elapsed(),
            client: self.client,
            user: self.asker.0.get().map(String::as_str),
            agent: self.agent.as_deref(),
        });
    }
}

/// A body that remembers how much of it went out; its line is written when it is dropped.
struct Logged {
    inner: Body,
    line: Line,
}

impl HttpBody for Logged {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.line.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
