//! `/api/v1/upstreams`: how each upstream stands and what it still grants, for administrators alone. Account names are in it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Server;
use super::answers::Refusal;
use crate::auth::{Verdict, judge_admin};

/// `GET /api/v1/upstreams`
pub async fn list(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match server.admit_admin(&parts).await {
        Ok(()) => Json(json!({ "upstreams": server.registry.upstreams() })).into_response(),
        Err(refusal) => refusal.into_response(&server.base(&parts), &parts.method),
    }
}

impl Server {
    /// Who may look after the registry itself shows name and password, or a personal token: it is in no token that was made for repositories.
    async fn admit_admin(&self, parts: &http::request::Parts) -> Result<(), Refusal> {
        let caller = self.caller(parts, false, &[]).await?;
        match judge_admin(&self.policy.rules(), &caller.who) {
            Verdict::Allowed if caller.claims.is_none() => Ok(()),
            Verdict::Denied => Err(Refusal::denied("only an administrator may see this".to_owned())),
            Verdict::Allowed | Verdict::LogIn => {
                let text = "this needs an administrator's name and password with the request: curl -u admin URL";
                Err(Refusal::challenge(text, &[], None))
            }
        }
    }
}
