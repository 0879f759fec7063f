//! What holds when nobody says otherwise: a mirror of the well-known registries and a private registry, on port 5000.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::networks::Networks;
use super::pattern::Patterns;
use super::settings::*;
use crate::oci::Origin;

/// Registry, endpoint, and the token service where it is not on the registry's own host.
const UPSTREAMS: [(&str, &str, &[&str]); 11] = [
    ("docker.io", "https://registry-1.docker.io", &["auth.docker.io"]),
    ("ghcr.io", "https://ghcr.io", &[]),
    ("quay.io", "https://quay.io", &[]),
    ("registry.k8s.io", "https://registry.k8s.io", &[]),
    ("gcr.io", "https://gcr.io", &[]),
    ("mcr.microsoft.com", "https://mcr.microsoft.com", &[]),
    ("public.ecr.aws", "https://public.ecr.aws", &[]),
    ("docker.elastic.co", "https://docker.elastic.co", &[]),
    ("nvcr.io", "https://nvcr.io", &[]),
    ("registry.gitlab.com", "https://registry.gitlab.com", &[]),
    ("lscr.io", "https://lscr.io", &[]),
];

impl Settings {
    /// The built-in defaults.
    pub fn builtin() -> Settings {
        Settings {
            server: Server {
                listen: vec![([0, 0, 0, 0], 5000).into()],
                external_url: None,
                trusted_proxies: Networks::default(),
                limits: Limits {
                    connections: 20_000,
                    connections_per_address: 4_000,
                    idle: Duration::from_secs(30),
                    headers: Duration::from_secs(10),
                    slow: Duration::from_secs(300),
                    slow_rate: 1024,
                    shutdown: Duration::from_secs(30),
                },
                tls: Tls { mode: TlsMode::SelfSigned, hosts: Vec::new(), client_ca: None, require: false },
            },
            storage: Storage { data: PathBuf::from("./data"), reserve: 256 << 20 },
            cache: Cache { offline: false },
            hosted: Hosted {
                tags: TagPolicy { redeploy: Redeploy::Allow, immutable_tags: Patterns::default(), keep_last: None, keep_days: None },
                rules: Vec::new(),
                sparse: false,
                reserved: Patterns::default(),
            },
            group: Group { members: vec![Origin::Hosted, Origin::named("docker.io")], overlay: pattern("library/*") },
            upstreams: UPSTREAMS.iter().map(|(registry, _, _)| Upstream::builtin(registry)).collect(),
            auth: Auth::default(),
            metrics: Metrics { enabled: true },
            log: Log { level: "info".into(), json: false, requests: Requests::All, audit: None },
        }
    }
}

impl Upstream {
    /// What holds for a registry of that name: the built-in upstream, else one that is asked at `https://NAME`.
    /// `registry` is a host, with a port or without.
    pub fn builtin(registry: &str) -> Upstream {
        let known = UPSTREAMS.iter().find(|(name, _, _)| *name == registry);
        let url = known.map_or(format!("https://{registry}"), |(_, url, _)| (*url).to_owned());
        let realms = known.map_or(&[][..], |(_, _, realms)| realms);
        Upstream {
            registry: registry.to_owned(),
            endpoints: vec![Endpoint { url: Url::parse(&url).expect("a registry's name is a host"), credentials: None }],
            trusted_realms: realms.iter().map(|realm| (*realm).to_owned()).collect(),
            visibility: Visibility::Auto,
            offline: false,
            allow: pattern("**"),
            deny: Patterns::default(),
            tag_ttl: Duration::from_secs(600),
            cooldown: Duration::ZERO,
            freshness: Vec::new(),
            stale_if_error: None,
            negative_ttl: Duration::from_secs(30),
            connections: 16,
            segments: 4,
            prefetch_layers: true,
            ca_file: None,
            insecure: false,
            proxy: Proxy::Environment,
        }
    }
}

fn pattern(text: &str) -> Patterns {
    Patterns::new(&[text]).expect("the built-in pattern is one")
}
