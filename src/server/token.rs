//! `/token`: Docker's token protocol, asked by GET or as an OAuth2 form.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;

use super::access::credentials;
use super::answers::{Refusal, body};
use super::manifests::whole;
use super::{Server, audit, client};
use crate::auth::{Credentials, Granted, Refused, TokenRequest, grant};
use crate::config::Secret;
use crate::oci::Scope;
use crate::telemetry;

/// The largest form that is read, in bytes.
const FORM: usize = 64 << 10;

/// `GET /token?service=…&scope=…`
pub async fn by_query(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let query = parts.uri.query().unwrap_or("").to_owned();
    server.token(&parts, query.as_bytes(), credentials(&parts)).await
}

/// `POST /token` with `grant_type=password`, or with Basic credentials.
pub async fn by_form(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, stream) = request.into_parts();
    let form = match whole(stream, FORM).await {
        Ok(form) => form,
        Err(refusal) => return refusal.into_response("", &parts.method),
    };
    let field = |name: &str| url::form_urlencoded::parse(&form).find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let given = match (field("username"), field("password")) {
        (Some(user), Some(password)) => Credentials::Basic { user, password: Secret::new(password) },
        _ => credentials(&parts),
    };
    if field("grant_type").is_some_and(|kind| kind != "password") {
        let text = "this token service knows grant_type=password alone; log in again with docker login";
        return Refusal::Malformed { code: "UNSUPPORTED", message: text.into() }.into_response("", &parts.method);
    }
    server.token(&parts, &form, given).await
}

impl Server {
    async fn token(&self, parts: &Parts, fields: &[u8], credentials: Credentials) -> Response {
        let asked = url::form_urlencoded::parse(fields).filter(|(key, _)| key == "scope");
        let scopes: Vec<_> = asked.flat_map(|(_, value)| Scope::parse_all(&value)).collect();
        let user = match &credentials {
            Credentials::Basic { user, .. } => user.clone(),
            _ => String::new(),
        };
        // Without a scope nobody gets a token by a wrong password.
        let logs_in = scopes.is_empty() && !user.is_empty();
        let request = TokenRequest { credentials, scopes, from: client(parts).ip() };
        let names = |name: &str| self.registry.target(name, None).map(|target| self.registry.candidates(&target)).unwrap_or_default();
        match grant(&self.users, &self.policy.rules(), &self.tokens, request, &names).await {
            Ok(granted) => {
                if logs_in {
                    telemetry::audit::logged_in(audit::by(parts, &user));
                }
                answer(granted, &parts.method)
            }
            Err(Refused::LogIn) => {
                self.log_in_refused(parts, &user);
                let text = "the user name or the password is wrong";
                let mut response = body(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", text, serde_json::Value::Null);
                response.headers_mut().insert(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"entrepot\""));
                response
            }
            Err(Refused::TooMany) => Refusal::TooMany(Refused::TooMany.to_string()).into_response("", &parts.method),
            Err(Refused::TooLong) => {
                Refusal::Malformed { code: "UNSUPPORTED", message: Refused::TooLong.to_string() }.into_response("", &parts.method)
            }
        }
    }
}

fn answer(granted: Granted, method: &Method) -> Response {
    let token = json!({ "token": granted.token, "access_token": granted.token, "expires_in": granted.expires_in.as_secs() });
    let mut response = Json(token).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    response
}
