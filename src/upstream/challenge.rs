//! Reads `WWW-Authenticate`: what a registry wants to see before it answers. Pure.

use http::header::{HeaderMap, WWW_AUTHENTICATE};
use http_auth::ChallengeParser;
use url::Url;

use super::Cause;

/// What a registry asks for. Bearer is preferred where both are offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
    Basic,
}

/// The challenge in a 401, where one is understood.
pub(super) fn challenge_in(headers: &HeaderMap) -> Option<Challenge> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let found: Vec<Challenge> = values.flat_map(challenges_of).collect();
    let bearer = found.iter().position(|c| matches!(c, Challenge::Bearer { .. }));
    found.into_iter().nth(bearer.unwrap_or(0))
}

fn challenges_of(value: &str) -> Vec<Challenge> {
    let strict: Vec<Challenge> = ChallengeParser::new(value)
        .filter_map(Result::ok)
        .filter_map(|challenge| {
            let get = |wanted: &str| {
                challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.to_unescaped())
            };
            match challenge.scheme {
                scheme if scheme.eq_ignore_ascii_case("bearer") => bearer(get),
                scheme if scheme.eq_ignore_ascii_case("basic") => Some(Challenge::Basic),
                _ => None,
            }
        })
        .collect();
    if strict.is_empty() { unquoted(value).into_iter().collect() } else { strict }
}

fn bearer(get: impl Fn(&str) -> Option<String>) -> Option<Challenge> {
    Some(Challenge::Bearer { realm: get("realm")?, service: get("service"), scope: get("scope") })
}

/// Some registries leave out the quotes, which no grammar allows around a URL: `Bearer realm=https://r/token,service=r`.
fn unquoted(value: &str) -> Option<Challenge> {
    let (scheme, rest) = value.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    bearer(|wanted| {
        let mut pairs = rest.split(',').filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim_matches('"').to_owned())
    })
}

/// Where a token is asked for: http or https, and without a name and password that the realm may bring.
pub(super) fn token_url(realm: &str, service: Option<&str>, scope: Option<&str>) -> Result<Url, Cause> {
    let malformed = || Cause::Malformed { what: "token realm", text: realm.chars().take(200).collect() };
    let mut url = Url::parse(realm).ok().filter(|url| matches!(url.scheme(), "https" | "http")).ok_or_else(malformed)?;
    url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| malformed())?;
    let scopes = scope.iter().flat_map(|scopes| scopes.split(' ')).map(|scope| ("scope", scope));
    url.query_pairs_mut().extend_pairs(service.map(|service| ("service", service))).extend_pairs(scopes);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        challenge_in(&headers)
    }

    fn token(realm: &str, scope: Option<&str>) -> Option<Challenge> {
        let service = Some("registry.docker.io".to_owned());
        Some(Challenge::Bearer { realm: realm.to_owned(), service, scope: scope.map(str::to_owned) })
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let want = token("https://auth.docker.io/token", Some("repository:a/b:pull,push"));
        assert_eq!(read(&[hub]), want);
        assert_eq!(read(&[r#"Basic realm="x""#, hub]), want);
        assert_eq!(read(&[&format!(r#"Basic realm="x", {hub}"#)]), want);
        let unquoted = "bearer realm=https://auth.docker.io/token,service=registry.docker.io";
        assert_eq!(read(&[unquoted]), token("https://auth.docker.io/token", None));
        assert_eq!(read(&[r#"Basic realm="x, y""#]), Some(Challenge::Basic));
        assert_eq!(read(&["Negotiate", "Basic realm=\"x\""]), Some(Challenge::Basic));
        for none in [&["Negotiate"][..], &["Bearer"], &[""], &["Bearer service=\"x\""], &[]] {
            assert_eq!(read(none), None, "{none:?}");
        }
    }

    /// A fuzz target: whatever a registry answers, a token is asked for only over http or https, and without a name and
    /// password of somebody else's choice. Tells whether there is where to ask.
    fn leads_somewhere(value: &[u8]) -> bool {
        let Ok(value) = http::HeaderValue::from_bytes(value) else { return false };
        let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, value)]);
        let Some(Challenge::Bearer { realm, service, scope }) = challenge_in(&headers) else { return false };
        let Ok(url) = token_url(&realm, service.as_deref(), scope.as_deref()) else { return false };
        assert!(matches!(url.scheme(), "http" | "https"), "{url}");
        assert!(url.username().is_empty() && url.password().is_none() && url.has_host(), "{url}");
        assert_eq!(Url::parse(url.as_str()).as_ref(), Ok(&url));
        let told = |wanted: &str| url.query_pairs().filter(|(key, _)| key == wanted).last().map(|(_, value)| value.into_owned());
        assert!(service.is_none() || told("service") == service, "{url}");
        assert!(scope.is_none_or(|scope| told("scope").as_deref() == scope.split(' ').next_back()), "{url}");
        true
    }

    #[test]
    fn a_realm_is_asked_for_tokens_over_http_alone() {
        for realm in ["https://r/token", "http://r:5000/token?x=y#z", "HTTPS://R", "https://u:p@r/", "https://@r", "https:r/token"] {
            assert!(leads_somewhere(format!("Bearer realm=\"{realm}\"").as_bytes()), "{realm}");
        }
        for realm in [
            "",
            "/token",
            "//r/token",
            "r/token",
            "ftp://r/",
            "file:///etc/passwd",
            "javascript:1",
            "data:,x",
            "https://",
            "https://u:p@",
            "http://[::/",
        ] {
            assert!(!leads_somewhere(format!("Bearer realm=\"{realm}\"").as_bytes()), "{realm}");
        }
        for value in ["Bearer", "Bearer realm", "Bearer realm=\"", "Basic realm=\"https://r/\"", "Bearer service=\"https://r/\""] {
            assert!(!leads_somewhere(value.as_bytes()), "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_challenge_leads_away_from_http_or_brings_a_password(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            text in "(Basic |Negotiate |)[Bb]earer ((realm|service|scope|x)=\"?(https?|ftp|file|HTTP):(//)?([a-z:]{0,3}@)?[a-z.:\\[\\]/?#%\\\\]{0,9}[a-z :,]{0,5}\"?,? ?){0,4}",
        ) {
            leads_somewhere(&bytes);
            leads_somewhere(text.as_bytes());
        }
    }
}
