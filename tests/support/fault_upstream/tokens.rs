//! The fault upstream's token service, which grants what Docker Hub's would.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Behaviour;
use super::wire::{Reply, Request};

#[derive(Default)]
pub struct Tokens {
    granted: Mutex<HashMap<String, Grant>>,
    serial: AtomicU64,
}

struct Grant {
    scopes: Vec<String>,
    until: Instant,
    account: bool,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// No token or password, or none that is good for this name.
    Nobody,
    Anonymous,
    Account,
}

impl Tokens {
    /// `GET /token?service=…&scope=…`, or the same as the form of a POST with a refresh token.
    pub fn grant(&self, request: &Request, behaviour: &Behaviour) -> Reply {
        let fields = if request.method == "POST" { &request.body[..] } else { request.query.as_bytes() };
        let field = |name: &str| url::form_urlencoded::parse(fields).find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let account = match request.header("authorization") {
            None if request.method == "POST" && field("refresh_token") == behaviour.identity_token => true,
            None if request.method == "POST" => return Reply::new(401, "application/json", r#"{"error":"invalid_grant"}"#),
            None => false,
            Some(authorization) if is_account(authorization, behaviour) => true,
            Some(_) => return Reply::new(401, "application/json", r#"{"details":"incorrect username or password"}"#),
        };
        if !account && behaviour.no_anonymous_tokens {
            return Reply::error(401, "UNAUTHORIZED");
        }
        let scopes = url::form_urlencoded::parse(fields).filter(|(key, _)| key == "scope");
        let scopes = scopes.map(|(_, scope)| scope.into_owned()).collect();
        let token = format!("token-{}", self.serial.fetch_add(1, Ordering::Relaxed));
        let until = Instant::now() + Duration::from_millis(behaviour.token_life_ms);
        self.granted.lock().unwrap().insert(token.clone(), Grant { scopes, until, account });
        let life = behaviour.token_says.map(|seconds| format!(r#","expires_in":{seconds}"#)).unwrap_or_default();
        let key = if behaviour.access_token { "access_token" } else { "token" };
        Reply::new(200, "application/json", format!(r#"{{"{key}":"{token}"{life}}}"#))
    }

    /// Who shows what for pulling `name`.
    pub fn who(&self, authorization: Option<&str>, name: &str, behaviour: &Behaviour) -> Who {
        let Some(authorization) = authorization else { return Who::Nobody };
        let Some(token) = authorization.strip_prefix("Bearer ") else {
            return if is_account(authorization, behaviour) { Who::Account } else { Who::Nobody };
        };
        let granted = self.granted.lock().unwrap();
        let wanted = format!("repository:{name}:pull");
        match granted.get(token).filter(|grant| Instant::now() < grant.until && grant.scopes.contains(&wanted)) {
            Some(Grant { account: true, .. }) => Who::Account,
            Some(_) => Who::Anonymous,
            None => Who::Nobody,
        }
    }

    /// No token that was granted is good any more.
    pub fn revoke(&self) {
        self.granted.lock().unwrap().clear();
    }
}

fn is_account(authorization: &str, behaviour: &Behaviour) -> bool {
    let pair = behaviour.account.as_ref().map(|(name, password)| STANDARD.encode(format!("{name}:{password}")));
    pair.is_some_and(|pair| authorization == format!("Basic {pair}"))
}
