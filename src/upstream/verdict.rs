//! What an endpoint's refusal means: absent, denied or failed. Pure, so that the whole table can be tested.

use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use http::{Method, StatusCode};
use serde::Deserialize;

use super::Cause;

/// Why one endpoint did not give what was asked.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    Absent,
    Denied,
    Failed(Cause),
}

impl From<Cause> for Trouble {
    fn from(cause: Cause) -> Trouble {
        Trouble::Failed(cause)
    }
}

/// What had been shown to the one who refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Nothing,
    /// A token that its token service had just granted.
    Token,
    /// Name and password.
    Password,
}

/// A refusal as it came. The body may be cut.
pub(super) struct Said<'a> {
    pub(super) method: &'a Method,
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    pub(super) shown: Shown,
}

/// What a registry's own refusal means.
pub(super) fn of_registry(said: &Said<'_>) -> Trouble {
    match (said.status, said.shown) {
        (StatusCode::NOT_FOUND, _) => Trouble::Absent,
        (StatusCode::UNAUTHORIZED, Shown::Password) => Cause::Credentials.into(),
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Shown::Token) if speaks_as_registry(said) => Trouble::Denied,
        (StatusCode::FORBIDDEN, Shown::Password) if speaks_as_registry(said) => Trouble::Denied,
        _ => of_anyone(said).into(),
    }
}

/// What a token service's refusal means.
pub(super) fn of_token_service(said: &Said<'_>, realm: &str) -> Trouble {
    match (said.status, said.shown) {
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Shown::Password) => Cause::Credentials.into(),
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) if speaks_as_registry(said) => Trouble::Denied,
        _ => match of_anyone(said) {
            Cause::Status { status, text } => Cause::Token { realm: realm.to_owned(), text: format!("answered {status} {text}") }.into(),
            cause => cause.into(),
        },
    }
}

fn of_anyone(said: &Said<'_>) -> Cause {
    if said.status == StatusCode::TOO_MANY_REQUESTS {
        return Cause::RateLimited { retry_after: retry_after(said.headers, SystemTime::now()) };
    }
    let reason = said.status.canonical_reason().unwrap_or_default();
    let text = match registry_message(said.body) {
        Some(message) if !message.is_empty() => format!("{reason} ({message})"),
        _ => reason.to_owned(),
    };
    Cause::Status { status: said.status.as_u16(), text }
}

/// Whether it is a registry that refuses, not something in between. A HEAD has no body, so there its type must do.
fn speaks_as_registry(said: &Said<'_>) -> bool {
    match *said.method == Method::HEAD {
        true => media_type(said.headers).is_some_and(|kind| kind == "application/json"),
        false => registry_message(said.body).is_some(),
    }
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    message: Option<String>,
}

/// The message in a registry's error body: `{"errors": [{"code", "message"}]}`.
fn registry_message(body: &[u8]) -> Option<String> {
    let errors = serde_json::from_slice::<Errors>(body).ok()?.errors;
    let message = errors.into_iter().next()?.message.unwrap_or_default();
    Some(message.chars().filter(|c| !c.is_control()).take(200).collect())
}

/// `Content-Type` without its parameters, in lower case.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    (!kind.is_empty()).then_some(kind)
}

/// `Retry-After`, as seconds or as a date.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERRORS: &[u8] = br#"{"errors":[{"code":"DENIED","message":"no"}]}"#;
    const PAGE: &[u8] = b"<html>no</html>";

    fn word(trouble: &Trouble) -> &'static str {
        match trouble {
            Trouble::Absent => "absent",
            Trouble::Denied => "denied",
            Trouble::Failed(Cause::Credentials) => "credentials",
            Trouble::Failed(Cause::RateLimited { .. }) => "limited",
            Trouble::Failed(Cause::Token { .. }) => "token",
            Trouble::Failed(_) => "failed",
        }
    }

    fn said(status: u16, body: &'static [u8], shown: Shown, judge: impl Fn(&Said<'_>) -> Trouble) -> &'static str {
        let status = StatusCode::from_u16(status).unwrap();
        word(&judge(&Said { method: &Method::GET, status, headers: &HeaderMap::new(), body, shown }))
    }

    #[test]
    fn only_a_registrys_own_words_deny() {
        use Shown::{Nothing, Password, Token};
        for (status, body, shown, want) in [
            (404, ERRORS, Nothing, "absent"),
            (404, b"", Token, "absent"),
            (401, ERRORS, Token, "denied"),
            (403, ERRORS, Token, "denied"),
            (403, ERRORS, Password, "denied"),
            (401, ERRORS, Password, "credentials"),
            (401, ERRORS, Nothing, "failed"),
            (403, ERRORS, Nothing, "failed"),
            (401, PAGE, Token, "failed"),
            (403, PAGE, Token, "failed"),
            (403, b"", Token, "failed"),
            (403, b"{}", Token, "failed"),
            (403, b"", Nothing, "failed"),
            (429, ERRORS, Token, "limited"),
            (500, ERRORS, Token, "failed"),
            (503, b"", Nothing, "failed"),
            (204, b"", Token, "failed"),
        ] {
            assert_eq!(said(status, body, shown, of_registry), want, "{status} {shown:?}");
        }
        for (status, body, shown, want) in [
            (401, ERRORS, Nothing, "denied"),
            (403, ERRORS, Nothing, "denied"),
            (401, ERRORS, Password, "credentials"),
            (403, PAGE, Password, "credentials"),
            (401, PAGE, Nothing, "token"),
            (404, ERRORS, Nothing, "token"),
            (503, b"", Password, "token"),
            (429, b"", Nothing, "limited"),
        ] {
            assert_eq!(said(status, body, shown, |said| of_token_service(said, "r")), want, "{status} {shown:?}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        for (text, want) in [
            ("120", Some(120)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:40:37 GMT", None),
            ("-1", None),
            ("soon", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), want.map(Duration::from_secs), "{text}");
        }
    }
}
