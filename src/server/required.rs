//! `server.tls.require`: whoever comes by plain HTTP is told to come by HTTPS, before anything of his request is looked at.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::StatusCode;

use super::{Server, answers, connect, forwarded};

/// Lets requests pass that came by HTTPS, the probes, and whoever needs the CA before he can come by HTTPS.
pub async fn check(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    if matches!(request.uri().path(), "/healthz" | "/readyz" | connect::CA) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    if forwarded::is_secure(&parts) {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let host = server.host(&parts);
    let trust = match server.tls.as_ref().and_then(|tls| tls.authority()) {
        Some(_) => format!("; the CA to trust is at http://{host}{}", connect::CA),
        None => String::new(),
    };
    let text = format!("plain HTTP is refused here, use https://{host}{trust}");
    answers::body(StatusCode::FORBIDDEN, "DENIED", &text, serde_json::Value::Null)
}
