//! Reads `[[upstream]]`. Credentials belong to one endpoint each, and never travel in the clear unless that was asked for.

use url::Url;

use super::faults::Place;
use super::freshness;
use super::hosts;
use super::reader::Reader;
use super::settings::*;
use super::tree::{Node, Value};
use super::values::*;

/// Puts each configured upstream in the place of its namesake, or after the others.
pub(super) fn read(root: &mut Reader<'_>, into: &mut Vec<Upstream>) {
    let mut seen: Vec<(String, Place)> = Vec::new();
    for mut table in root.tables("upstream") {
        let mut registry = String::new();
        let place = table.read("registry", &mut registry, text_as(hosts::registry));
        let Some(place) = place else {
            table.fault("registry", table.place.clone(), "every upstream needs its registry's name, like registry = \"ghcr.io\"");
            upstream(&mut table, None);
            table.finish();
            continue;
        };
        if let Some((_, first)) = seen.iter().find(|(name, _)| *name == registry && !name.is_empty()) {
            table.fault("registry", place.clone(), format!("{registry:?} is configured twice; the first is at {first}"));
        }
        let read = upstream(&mut table, (!registry.is_empty()).then_some(&registry));
        table.finish();
        seen.push((registry.clone(), place));
        match into.iter_mut().find(|upstream| upstream.registry == registry) {
            Some(namesake) => *namesake = read,
            None => into.push(read),
        }
    }
}

/// Reads one upstream over what is built in for its name.
fn upstream(table: &mut Reader<'_>, registry: Option<&String>) -> Upstream {
    let mut into = Upstream::builtin(registry.map_or("registry.invalid", String::as_str));
    table.read("visibility", &mut into.visibility, visibility());
    table.read("insecure", &mut into.insecure, boolean);
    endpoints(table, &mut into);
    table.read("trusted_realms", &mut into.trusted_realms, list(|node| text_as(hosts::realm)(node)));
    table.read("offline", &mut into.offline, boolean);
    table.read("allow", &mut into.allow, patterns);
    table.read("deny", &mut into.deny, patterns);
    table.read("tag_ttl", &mut into.tag_ttl, duration);
    table.read("cooldown", &mut into.cooldown, duration);
    freshness::read(table, &mut into);
    table.read("stale_if_error", &mut into.stale_if_error, stale);
    table.read("negative_ttl", &mut into.negative_ttl, duration);
    table.read("connections", &mut into.connections, count);
    table.read("segments", &mut into.segments, count);
    table.read("prefetch_layers", &mut into.prefetch_layers, boolean);
    table.read("ca_file", &mut into.ca_file, optional(readable_file));
    table.read("proxy", &mut into.proxy, optional(hosts::proxy));
    table.later(&["credentials"]);
    warn(table, &into);
    into
}

fn visibility() -> impl Fn(Node) -> Read<Visibility> {
    choice(&[("auto", Visibility::Auto), ("public", Visibility::Public), ("signed-in", Visibility::SignedIn)])
}

fn stale(node: Node) -> Read<Option<std::time::Duration>> {
    match &node.value {
        Value::Text(text) | Value::Raw(text) if text == "forever" => Ok(None),
        _ => duration(node).map(Some),
    }
}

/// The endpoints and the credentials beside them.
fn endpoints(table: &mut Reader<'_>, into: &mut Upstream) {
    if let Some(node) = table.take("endpoints") {
        match nonempty(Ok)(node) {
            Ok(nodes) => {
                let count = nodes.len();
                let read: Vec<Endpoint> = nodes.into_iter().filter_map(|node| endpoint(table, node, into.insecure)).collect();
                if read.len() == count {
                    into.endpoints = read;
                } else {
                    // Its faults are told already; what is said beside it is judged by the number of endpoints alone.
                    into.endpoints = vec![into.endpoints[0].clone(); count];
                }
            }
            Err(faults) => table.faults("endpoints", faults),
        }
    }
    let Some((place, credentials)) = credentials(table) else { return };
    match into.endpoints.as_mut_slice() {
        [only] if only.credentials.is_none() => only.credentials = Some(credentials),
        [_] => table.fault("username", place, "the endpoint has credentials of its own; keep one of the two"),
        _ => table.fault(
            "username",
            place,
            "with several endpoints it would be sent to each of them; give it to the one it belongs to: { url = \"…\", username = \"…\", password = \"…\" }",
        ),
    }
}

/// One endpoint: an address, or a table with its credentials.
fn endpoint(table: &Reader<'_>, node: Node, insecure: bool) -> Option<Endpoint> {
    let place = node.place.clone();
    if let Value::Text(_) | Value::Raw(_) = node.value {
        return match text_as(|text| endpoint_url(text, insecure))(node) {
            Ok(url) => Some(Endpoint { url, credentials: None }),
            Err(faults) => {
                table.faults("endpoints", faults);
                None
            }
        };
    }
    if !matches!(node.value, Value::Table(_)) {
        table.fault("endpoints", place, format!("expected an address or {{ url = \"…\" }}, not {}", node.kind()));
        return None;
    }
    let mut inner = table.inner("endpoints", node)?;
    let mut url = None;
    if inner.read("url", &mut url, |node| text_as(|text| endpoint_url(text, insecure))(node).map(Some)).is_none() {
        inner.fault("url", place, "every endpoint needs its address, like url = \"https://mirror.example.com\"");
    }
    let credentials = credentials(&mut inner).map(|(_, credentials)| credentials);
    inner.finish();
    Some(Endpoint { url: url?, credentials })
}

fn endpoint_url(text: &str, insecure: bool) -> Result<Url, String> {
    let url = hosts::endpoint(text)?;
    match url.scheme() == "http" && !insecure {
        true => Err("http:// is neither encrypted nor proves who answers; write https://, or allow it with insecure = true".into()),
        false => Ok(url),
    }
}

/// The user's name and password, and where the name is written. Neither goes without the other.
fn credentials(table: &mut Reader<'_>) -> Option<(Place, Credentials)> {
    let (mut username, mut password) = (None, None);
    let before = table.context.faults.borrow().len();
    let named = table.read("username", &mut username, optional(|text| Ok(text.to_owned())));
    let told = table.secret("password", &mut password);
    if table.context.faults.borrow().len() > before {
        return None;
    }
    match (username, password) {
        (Some(username), Some(password)) => Some((named?, Credentials { username, password })),
        (Some(_), None) => {
            table.fault("username", named?, "a password must stand beside it");
            None
        }
        (None, Some(_)) => {
            table.fault("password", told?, "a username must stand beside it");
            None
        }
        (None, None) => None,
    }
}

fn warn(table: &Reader<'_>, upstream: &Upstream) {
    let registry = &upstream.registry;
    let with_credentials = || upstream.endpoints.iter().filter(|endpoint| endpoint.credentials.is_some());
    if upstream.visibility == Visibility::Public && with_credentials().next().is_some() {
        let text = format!("everybody may pull what the credentials for {registry} reach (visibility = \"public\")");
        table.context.warn(text);
    }
    if with_credentials().any(|endpoint| endpoint.url.scheme() == "http") {
        table.context.warn(format!("the password for {registry} is sent unencrypted (an http:// endpoint)"));
    }
}
