//! Refusals as answers: the registry's JSON form, the challenge where credentials are missing.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;

use super::errors::{code, status};
use crate::auth::{Fault, NotVerified, challenge};
use crate::oci::{InvalidRoute, Scope};
use crate::registry::{Error, Kind};

/// Why a request was not done.
#[derive(Debug)]
pub enum Refusal {
    /// Credentials are missing, wrong or too weak.
    Challenge {
        message: String,
        scopes: Vec<Scope>,
        fault: Option<Fault>,
    },
    /// Whoever it is may not.
    Denied(String),
    TooMany(String),
    Route(InvalidRoute),
    /// The request itself cannot be read.
    Malformed {
        code: &'static str,
        message: String,
    },
    Registry(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::Registry(error)
    }
}

impl From<InvalidRoute> for Refusal {
    fn from(error: InvalidRoute) -> Refusal {
        Refusal::Route(error)
    }
}

impl Refusal {
    pub fn challenge(message: impl Into<String>, scopes: &[Scope], fault: Option<Fault>) -> Refusal {
        Refusal::Challenge { message: message.into(), scopes: scopes.to_vec(), fault }
    }

    pub fn denied(message: impl Into<String>) -> Refusal {
        Refusal::Denied(message.into())
    }

    pub fn not_verified(why: NotVerified, scopes: &[Scope]) -> Refusal {
        match why {
            NotVerified::Wrong => Refusal::challenge("the user name or the password is wrong", scopes, None),
            NotVerified::TooMany => {
                Refusal::TooMany("too many wrong passwords at once from your address for this user; wait a moment".into())
            }
        }
    }

    /// The answer; `base` is how the client reaches the token service.
    pub fn into_response(self, base: &str, method: &Method) -> Response {
        let mut response = match self {
            Refusal::Challenge { message, scopes, fault } => {
                let mut response = body(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", &message, json!(null));
                if let Ok(value) = HeaderValue::from_str(&challenge(base, &scopes, fault)) {
                    response.headers_mut().insert(WWW_AUTHENTICATE, value);
                }
                response
            }
            Refusal::Denied(message) => body(StatusCode::FORBIDDEN, "DENIED", &message, json!(null)),
            Refusal::TooMany(message) => body(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", &message, json!(null)),
            Refusal::Malformed { code, message } => body(StatusCode::BAD_REQUEST, code, &message, json!(null)),
            Refusal::Route(error) => route(&error),
            Refusal::Registry(error) => registry(&error),
        };
        if method == Method::HEAD {
            *response.body_mut() = axum::body::Body::empty();
        }
        response
    }
}

fn route(error: &InvalidRoute) -> Response {
    let status = match error {
        InvalidRoute::NotFound | InvalidRoute::UnknownTag | InvalidRoute::UploadId => StatusCode::NOT_FOUND,
        InvalidRoute::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
        InvalidRoute::Encoded | InvalidRoute::Malformed | InvalidRoute::Name(_) => StatusCode::BAD_REQUEST,
        InvalidRoute::Digest(_) | InvalidRoute::Tag => StatusCode::BAD_REQUEST,
    };
    let mut response = body(status, error.code(), &error.to_string(), json!(null));
    if let InvalidRoute::Method { allow } = error
        && let Ok(value) = HeaderValue::from_str(&allow.join(", "))
    {
        response.headers_mut().insert(ALLOW, value);
    }
    response
}

fn registry(error: &Error) -> Response {
    let detail = match error.digests.as_slice() {
        [] => json!(null),
        digests => json!({ "digests": digests }),
    };
    let mut response = body(status(error.kind), code(error.kind), &error.message, detail);
    if error.kind == Kind::Unsupported {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    if let Some(wait) = error.retry_after {
        response.headers_mut().insert(RETRY_AFTER, wait.as_secs().max(1).into());
    }
    response
}

/// An error in the registry's JSON form.
pub fn body(status: StatusCode, code: &str, message: &str, detail: serde_json::Value) -> Response {
    let mut error = json!({ "code": code, "message": message });
    if !detail.is_null() {
        error["detail"] = detail;
    }
    (status, Json(json!({ "errors": [error] }))).into_response()
}
