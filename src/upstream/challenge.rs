//! Reads `WWW-Authenticate`: what a registry wants to see before it answers. Pure.

use http::header::{HeaderMap, WWW_AUTHENTICATE};
use http_auth::ChallengeParser;

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

#[cfg(test)]
mod tests {
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
}
