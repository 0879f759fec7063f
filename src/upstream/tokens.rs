//! What an endpoint has granted: bearer tokens and accepted passwords, per endpoint, account and repository.
//!
//! One negotiation at a time for each of them; those who waited share its outcome, a failure too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use moka::sync::Cache;
use serde::Deserialize;

use super::Cause;
use super::verdict::{Shown, Trouble};
use crate::oci::RepositoryName;

/// What a token lives when its service does not say.
const DEFAULT_LIFE: u64 = 60;
const LONGEST_LIFE: u64 = 3600;
/// How long before its end a token is no longer used; a quarter of its life where that is less.
const MARGIN: Duration = Duration::from_secs(10);

/// Whose grant: the endpoint's number, whether asked without its credentials, and for which repository.
pub(super) type Key = (usize, bool, RepositoryName);

/// An Authorization header that was granted.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) header: HeaderValue,
    pub(super) shown: Shown,
    until: Option<Instant>,
}

impl Grant {
    /// A password that is shown as it is; `until`: when it ends, where that is known.
    pub(super) fn password(header: HeaderValue, until: Option<Instant>) -> Grant {
        Grant { header, shown: Shown::Password, until }
    }

    /// Reads the token service's answer to a request sent at `asked`. `None` when there is no token in it.
    pub(super) fn token(answer: &[u8], asked: Instant) -> Option<Grant> {
        let answer: Answer = serde_json::from_slice(answer).ok()?;
        let token = [answer.token, answer.access_token].into_iter().flatten().find(|token| !token.is_empty())?;
        let mut header = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
        header.set_sensitive(true);
        let seconds = answer.expires_in.as_ref().and_then(serde_json::Value::as_u64).unwrap_or(DEFAULT_LIFE);
        let life = Duration::from_secs(seconds.min(LONGEST_LIFE));
        Some(Grant { header, shown: Shown::Token, until: Some(asked + life - MARGIN.min(life / 4)) })
    }

    fn holds(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<serde_json::Value>,
}

#[derive(Default)]
struct Slot {
    grant: Option<Grant>,
    refused: Option<(Instant, Trouble)>,
}

pub(super) struct Tokens {
    slots: Cache<Key, Arc<tokio::sync::Mutex<Slot>>>,
}

impl Tokens {
    pub(super) fn new() -> Tokens {
        let slots = Cache::builder().max_capacity(10_000).time_to_idle(Duration::from_secs(LONGEST_LIFE)).build();
        Tokens { slots }
    }

    fn slot(&self, key: &Key) -> Arc<tokio::sync::Mutex<Slot>> {
        self.slots.get_with_by_ref(key, Arc::default)
    }

    /// What was granted and still holds. Waits for a negotiation that runs.
    pub(super) async fn granted(&self, key: &Key) -> Option<Grant> {
        self.slot(key).lock().await.grant.clone().filter(Grant::holds)
    }

    /// What was granted and still holds, when it can be told at once.
    pub(super) fn granted_by_now(&self, key: &Key) -> Option<Grant> {
        self.slot(key).try_lock().ok()?.grant.clone().filter(Grant::holds)
    }

    /// A grant other than `refused`, negotiated with `ask` unless somebody else has one by now. `since` is when the
    /// caller began: a failure after that is the caller's too.
    pub(super) async fn negotiate<F>(&self, key: &Key, refused: Option<&Grant>, since: Instant, ask: F) -> Result<Grant, Trouble>
    where
        F: Future<Output = Result<Grant, Trouble>>,
    {
        let slot = self.slot(key);
        let mut slot = slot.lock().await;
        if let Some(grant) = slot.grant.as_ref().filter(|grant| grant.holds() && Some(*grant) != refused) {
            return Ok(grant.clone());
        }
        if let Some((_, trouble)) = slot.refused.as_ref().filter(|(at, _)| *at >= since) {
            return Err(trouble.clone());
        }
        let outcome = ask.await;
        match &outcome {
            Ok(grant) => *slot = Slot { grant: Some(grant.clone()), refused: None },
            Err(trouble) => *slot = Slot { grant: None, refused: Some((Instant::now(), trouble.clone())) },
        }
        outcome
    }
}

/// A token service that answered without a token.
pub(super) fn no_token(realm: String) -> Cause {
    Cause::Token { realm, text: "answered without a token".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_shortly_before_its_service_says() {
        let now = Instant::now();
        for (answer, want) in [
            (r#"{"token":"t"}"#, Some(50)),
            (r#"{"access_token":"t","expires_in":300}"#, Some(290)),
            (r#"{"token":"","access_token":"t","expires_in":20}"#, Some(15)),
            (r#"{"token":"t","expires_in":-1}"#, Some(50)),
            (r#"{"token":"t","expires_in":18446744073709551615}"#, Some(3590)),
            (r#"{"token":"a\nb"}"#, None),
            (r#"{"token":""}"#, None),
            ("{}", None),
            ("<html>", None),
            ("", None),
        ] {
            let until = Grant::token(answer.as_bytes(), now).map(|grant| grant.until.unwrap() - now);
            assert_eq!(until, want.map(Duration::from_secs), "{answer}");
        }
    }
}
