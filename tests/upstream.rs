//! What `Upstream` promises, against a registry on real sockets that misbehaves on demand.

#[path = "support/fault_upstream/mod.rs"]
mod fault_upstream;
#[path = "support/forward_proxy.rs"]
mod forward_proxy;
#[path = "support/secured.rs"]
mod secured;

#[path = "upstream/answers.rs"]
mod answers;
#[path = "upstream/blobs.rs"]
mod blobs;
#[path = "upstream/credentials.rs"]
mod credential_keepers;
#[path = "upstream/network.rs"]
mod network;
#[path = "upstream/tokens.rs"]
mod tokens;

use std::time::Duration;

use entrepot::config::{self, Credentials, Endpoint};
use entrepot::oci::{Digest, Reference, RepositoryName};
use entrepot::upstream::{Budget, Cause, Deadlines, Refusal, Upstream};
use fault_upstream::{FaultUpstream, Seen};

const REGISTRY: &str = "hub.test";

fn deadlines() -> Deadlines {
    Deadlines::default().scaled(10)
}

/// For what is going to be answered, on a busy machine too.
fn budget() -> Budget {
    Budget::lasting(Duration::from_secs(10))
}

/// For what is never going to be answered.
fn short_budget() -> Budget {
    Budget::lasting(deadlines().budget)
}

fn upstream(hub: &FaultUpstream) -> Upstream {
    with_settings(hub.upstream_settings(REGISTRY))
}

fn with_settings(settings: config::Upstream) -> Upstream {
    Upstream::new(&settings, deadlines()).unwrap()
}

/// The first endpoint first.
fn in_front_of(endpoints: &[&FaultUpstream]) -> Upstream {
    let mut settings = endpoints[0].upstream_settings(REGISTRY);
    settings.endpoints = endpoints.iter().map(|hub| Endpoint { url: hub.url(), credentials: None }).collect();
    with_settings(settings)
}

fn with_account(hub: &FaultUpstream, username: &str, password: &str) -> config::Upstream {
    let mut settings = hub.upstream_settings(REGISTRY);
    settings.endpoints[0].credentials = Some(credentials(username, password));
    settings
}

fn credentials(username: &str, password: &str) -> Credentials {
    Credentials::password(username, password)
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn tag(text: &str) -> Reference {
    text.parse().unwrap()
}

fn by(digest: &Digest) -> Reference {
    Reference::Digest(*digest)
}

fn cause<T: std::fmt::Debug>(outcome: Result<T, Refusal>) -> Cause {
    match outcome {
        Err(Refusal::Failed { source_name, cause }) => {
            assert!(source_name.starts_with(REGISTRY), "{source_name}");
            cause
        }
        other => panic!("no failure: {other:?}"),
    }
}
