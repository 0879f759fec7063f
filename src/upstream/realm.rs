//! Which token service may see an upstream's credentials. Pure: two URLs and a list in, a verdict out.
//!
//! Only over https, or at the http upstream's own address; only the upstream's own host, its registrable domain, or a
//! host that the settings name. Docker Hub's `auth.docker.io` shares the registrable domain of `registry-1.docker.io`.

use url::{Host, Url};

/// Whether `endpoint`'s credentials may be sent to `realm`. `trusted` has hosts, each with a port or without.
pub(super) fn may_see_credentials(endpoint: &Url, realm: &Url, trusted: &[String]) -> bool {
    let listed = || trusted.iter().any(|entry| is_named(realm, entry));
    match (realm.scheme(), endpoint.scheme()) {
        ("https", _) => realm.host() == endpoint.host() || same_registrable_domain(endpoint, realm) || listed(),
        ("http", "http") => realm.origin() == endpoint.origin() || listed(),
        _ => false,
    }
}

fn is_named(realm: &Url, entry: &str) -> bool {
    let Some(host) = realm.host_str() else { return false };
    let with_port = || realm.port_or_known_default().is_some_and(|port| entry == format!("{host}:{port}"));
    entry.eq_ignore_ascii_case(host) || with_port()
}

/// A suffix that nobody registered publicly (`.lan`, a cluster's own) joins nothing: there the host must be the same.
fn same_registrable_domain(one: &Url, other: &Url) -> bool {
    let (Some(Host::Domain(one)), Some(Host::Domain(other))) = (one.host(), other.host()) else { return false };
    let root = |host| addr::parse_domain_name(host).ok().filter(|name| name.has_known_suffix()).and_then(|name| name.root());
    root(one).is_some_and(|domain| root(other) == Some(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes(endpoint: &str, realm: &str, trusted: &[&str]) -> bool {
        let trusted: Vec<String> = trusted.iter().map(|t| (*t).to_owned()).collect();
        may_see_credentials(&endpoint.parse().unwrap(), &realm.parse().unwrap(), &trusted)
    }

    #[test]
    fn cve_2026_33540_credentials_go_to_the_upstreams_own_token_service() {
        for (endpoint, realm, trusted) in [
            ("https://registry-1.docker.io", "https://auth.docker.io/token", &[][..]),
            ("https://quay.io", "https://quay.io/v2/auth", &[]),
            ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth", &[]),
            ("https://docker.elastic.co", "https://docker-auth.elastic.co/auth", &[]),
            ("https://registry:5000", "https://registry:5001/auth", &[]),
            ("https://10.0.0.1:5000", "https://10.0.0.1/auth", &[]),
            ("http://registry:5000", "http://registry:5000/token", &[]),
            ("http://registry:5000", "https://registry/token", &[]),
            ("https://registry.corp.lan", "https://login.corp.lan/token", &["login.corp.lan"]),
            ("https://registry.corp.lan", "https://login.corp.lan:8443/token", &["login.corp.lan:8443"]),
            ("http://registry:5000", "http://auth:5001/token", &["auth"]),
        ] {
            assert!(goes(endpoint, realm, trusted), "{endpoint} {realm}");
        }
    }

    #[test]
    fn cve_2026_33540_credentials_go_nowhere_else() {
        for (endpoint, realm, trusted) in [
            ("https://registry-1.docker.io", "https://evil.example/token", &[][..]),
            ("https://registry-1.docker.io", "http://auth.docker.io/token", &[]),
            ("https://registry-1.docker.io", "https://auth.docker.io@evil.example/token", &[]),
            ("https://registry-1.docker.io", "https://auth.docker.io.evil.example/token", &[]),
            ("https://registry-1.docker.io", "https://evildocker.io/token", &[]),
            ("https://registry-1.docker.io", "https://auth.docker.io./token", &[]),
            ("https://registry-1.docker.io", "https://auth.dоcker.io/token", &[]),
            ("https://registry-1.docker.io", "https://auth.docker.io%2eevil.example/token", &[]),
            ("https://registry-1.docker.io", "https://evil.example/https://auth.docker.io/token", &[]),
            ("https://registry-1.docker.io", "https://evil.example/token#@auth.docker.io", &[]),
            ("https://registry-1.docker.io", "https://evil.example\\@auth.docker.io/token", &[]),
            ("https://one.github.io", "https://two.github.io/token", &[]),
            ("https://a.co.uk", "https://b.co.uk/token", &[]),
            ("https://one.s3.amazonaws.com", "https://two.s3.amazonaws.com/token", &[]),
            ("https://registry", "https://auth/token", &[]),
            ("https://registry.corp.lan", "https://login.corp.lan/token", &[]),
            ("https://10.0.0.1", "https://10.0.0.2/token", &[]),
            ("https://10.0.0.1", "https://169.254.169.254/token", &[]),
            ("https://10.0.0.1", "https://[::ffff:10.0.0.1]/token", &[]),
            ("http://registry:5000", "http://registry:5001/token", &[]),
            ("http://registry:5000", "http://other:5000/token", &[]),
            ("https://registry:5000", "http://registry:5000/token", &["registry"]),
            ("https://registry.corp.lan", "https://login.corp.lan/token", &["corp.lan"]),
            ("https://registry.corp.lan", "https://login.corp.lan/token", &["login.corp.lan:8443"]),
            ("https://registry.corp.lan", "ftp://registry.corp.lan/token", &["registry.corp.lan"]),
        ] {
            assert!(!goes(endpoint, realm, trusted), "{endpoint} {realm}");
        }
    }
}
