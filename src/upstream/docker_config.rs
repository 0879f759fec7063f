//! Reads Docker's `config.json`, and podman's `auth.json`, which has the same form: who may be shown what. Pure.
//!
//! Nothing of the file is ever repeated in an error.

use std::collections::HashMap;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use url::Url;

use super::credentials::{Program, Proof};
use crate::config::Secret;

/// Docker Hub's own spelling, and what stands for it in other places.
const HUB: (&str, &str) = ("docker.io", "https://index.docker.io/v1/");
const HUBS: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// What the file says of one repository.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Proof(Proof),
    /// A credential helper knows.
    Helper(Program),
    Nothing,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct File {
    auths: HashMap<String, Entry>,
    cred_helpers: HashMap<String, String>,
    creds_store: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// What is shown at `endpoint` for the repository called `name`. The entry with the longest path that leads to it holds; a
/// helper that is named for it goes before an entry, and the helper for everything (`credsStore`) comes last.
pub(super) fn find(file: &[u8], endpoint: &Url, name: &str) -> Result<Found, String> {
    let file: File = serde_json::from_slice(file)
        .map_err(|error| format!("it is no config.json of Docker's (line {}, column {})", error.line(), error.column()))?;
    let host = place(endpoint.as_str().split('/').nth(2).unwrap_or_default());
    let helper = |helper: &str| {
        let server = if host == HUB.0 { HUB.1.to_owned() } else { host.clone() };
        Found::Helper(Program { command: vec![format!("docker-credential-{helper}"), "get".to_owned()], server, may_have_none: true })
    };
    let base = endpoint.path().trim_matches('/').trim_end_matches("v2").trim_end_matches('/');
    let whole = [host.as_str(), base, name].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    let mut at = Some(whole.as_str());
    while let Some(here) = at {
        let is_here = |key: &&String| place(key) == here;
        if let Some(key) = file.cred_helpers.keys().find(is_here) {
            return Ok(helper(&file.cred_helpers[key]));
        }
        for key in file.auths.keys().filter(is_here) {
            let proof = file.auths[key].proof().ok_or_else(|| format!("its entry for {here} cannot be read; log in there again"))?;
            if let Some(proof) = proof {
                return Ok(Found::Proof(proof));
            }
        }
        at = here.rsplit_once('/').map(|(up, _)| up);
    }
    Ok(if file.creds_store.is_empty() { Found::Nothing } else { helper(&file.creds_store) })
}

/// A key without its scheme and version, and Docker Hub under one name.
fn place(key: &str) -> String {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key).trim_end_matches('/');
    let bare = ["/v1", "/v2"].iter().find_map(|version| bare.strip_suffix(version)).unwrap_or(bare);
    let (host, path) = bare.split_once('/').map_or((bare, None), |(host, path)| (host, Some(path)));
    let host = if HUBS.contains(&host) { HUB.0 } else { host };
    path.map_or(host.to_owned(), |path| format!("{host}/{path}"))
}

impl Entry {
    /// `None` when it is malformed, `Some(None)` when it is empty, as Docker leaves them beside a helper.
    fn proof(&self) -> Option<Option<Proof>> {
        if !self.identitytoken.is_empty() {
            return Some(Some(Proof::IdentityToken(Secret::new(&self.identitytoken))));
        }
        if self.auth.is_empty() {
            let pair = || Proof::Password { username: self.username.clone(), password: Secret::new(&self.password) };
            return Some((!self.username.is_empty()).then(pair));
        }
        let text = String::from_utf8(LENIENT.decode(self.auth.trim()).ok()?).ok()?;
        let (username, password) = text.split_once(':').filter(|(username, _)| !username.is_empty())?;
        Some(Some(Proof::Password { username: username.to_owned(), password: Secret::new(password.trim_end_matches('\0')) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(file: &str, endpoint: &str, name: &str) -> String {
        match find(file.as_bytes(), &endpoint.parse().unwrap(), name) {
            Ok(Found::Proof(Proof::Password { username, password })) => format!("{username}:{}", password.reveal()),
            Ok(Found::Proof(Proof::IdentityToken(token))) => format!("<token>:{}", token.reveal()),
            Ok(Found::Helper(Program { command, server, .. })) => format!("{} < {server}", command.join(" ")),
            Ok(Found::Nothing) => String::new(),
            Err(error) => error,
        }
    }

    #[test]
    fn docker_hub_is_found_under_each_of_its_names() {
        for key in ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "https://registry-1.docker.io", "https://docker.io/"] {
            let file = format!(r#"{{"auths": {{"{key}": {{"auth": "YW5uOnB3"}}}}}}"#);
            assert_eq!(shown(&file, "https://registry-1.docker.io", "library/nginx"), "ann:pw", "{key}");
            assert_eq!(shown(&file, "https://ghcr.io", "library/nginx"), "", "{key}");
        }
    }

    #[test]
    fn the_longest_path_that_leads_to_a_repository_holds() {
        let file = r#"{"auths": {
            "r.test:5000": {"auth": "aG9zdDpwdw=="},
            "r.test:5000/team": {"auth": "dGVhbTpwdw"},
            "http://r.test:5000/team/app": {"username": "app", "password": "p:w"},
            "r.test:5000/empty": {},
            "r.test:5000/token": {"auth": "eDp5", "identitytoken": "refresh"},
            "r.test:5000/nul": {"auth": "YTpiAAA="},
            "mirror.test/hub/team": {"auth": "aHViOnB3"},
            "plain.test/v2/": {"auth": "djI6cHc="}
        }}"#;
        for (endpoint, name, want) in [
            ("https://r.test:5000", "other", "host:pw"),
            ("https://r.test:5000/v2", "team/web", "team:pw"),
            ("https://r.test:5000", "teams/web", "host:pw"),
            ("https://r.test:5000", "team/app", "app:p:w"),
            ("https://r.test:5000", "team/app/deep/er", "app:p:w"),
            ("https://r.test:5000", "empty/x", "host:pw"),
            ("https://r.test:5000", "token/x", "<token>:refresh"),
            ("https://r.test:5000", "nul", "a:b"),
            ("https://r.test", "team/app", ""),
            ("https://mirror.test/hub/", "team/app", "hub:pw"),
            ("https://mirror.test", "team/app", ""),
            ("https://plain.test", "x", "v2:pw"),
        ] {
            assert_eq!(shown(file, endpoint, name), want, "{endpoint} {name}");
        }
    }

    #[test]
    fn helpers_are_asked_for_their_registry_and_the_store_for_the_rest() {
        let file = r#"{"credsStore": "pass", "credHelpers": {"1.dkr.ecr.eu-west-1.amazonaws.com": "ecr-login", "docker.io": "hub"},
            "auths": {"https://index.docker.io/v1/": {}, "quay.io": {"auth": "YTpi"}, "ghcr.io": {}}}"#;
        let get = |endpoint| shown(file, endpoint, "a/b");
        assert_eq!(get("https://1.dkr.ecr.eu-west-1.amazonaws.com"), "docker-credential-ecr-login get < 1.dkr.ecr.eu-west-1.amazonaws.com");
        assert_eq!(get("https://registry-1.docker.io"), "docker-credential-hub get < https://index.docker.io/v1/");
        assert_eq!(get("https://quay.io"), "a:b");
        assert_eq!(get("https://ghcr.io"), "docker-credential-pass get < ghcr.io");
    }

    #[test]
    fn what_is_wrong_with_the_file_is_told_without_what_is_in_it() {
        for (file, want) in [
            ("{\"auths\": {\"r.test\": {\"auth\": [\"hunter2\"]}}}", "it is no config.json of Docker's (line 1, column"),
            ("{\"auths\": \"hunter2\"}", "it is no config.json of Docker's (line 1, column"),
            ("hunter2", "it is no config.json of Docker's (line 1, column 1)"),
            ("{\"auths\": {\"r.test\": {\"auth\": \"hunter2%\"}}}", "its entry for r.test cannot be read; log in there again"),
            ("{\"auths\": {\"r.test\": {\"auth\": \"aHVudGVyMg==\"}}}", "its entry for r.test cannot be read; log in there again"),
        ] {
            let error = shown(file, "https://r.test", "a");
            assert!(error.starts_with(want) && !error.contains("hunter2"), "{error}");
        }
        assert_eq!(shown("{}", "https://r.test", "a"), "");
    }
}
