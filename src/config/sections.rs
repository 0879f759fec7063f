//! Reads every section but the upstreams into its settings: one line per key, checks beside the key they concern.

use super::faults::{Fault, Place};
use super::hosted;
use super::hosts;
use super::reader::{Reader, placed_texts};
use super::roles;
use super::settings::*;
use super::tls;
use super::upstreams;
use super::values::*;
use crate::oci::Origin;

/// Reads the whole configuration over what `settings` holds already.
pub(super) fn read(mut root: Reader<'_>, settings: &mut Settings) {
    root.table("server", |table| server(table, &mut settings.server));
    root.table("storage", |table| storage(table, &mut settings.storage));
    root.table("cache", |table| {
        table.read("offline", &mut settings.cache.offline, boolean);
        table.later(&["capacity", "keep_free"]);
    });
    root.table("hosted", |table| hosted::read(table, &mut settings.hosted));
    upstreams::read(&mut root, &mut settings.upstreams);
    root.table("group", |table| group(table, &mut settings.group, &settings.upstreams));
    root.table("auth", |table| auth(table, &mut settings.auth));
    root.table("metrics", |table| {
        table.read("enabled", &mut settings.metrics.enabled, boolean);
    });
    root.table("log", |table| log(table, &mut settings.log));
    root.finish();
}

fn server(table: &mut Reader<'_>, into: &mut Server) {
    if let Some(place) = table.read("listen", &mut into.listen, nonempty(|node| text_as(hosts::listen)(node))) {
        for (number, address) in into.listen.iter().enumerate() {
            if into.listen[..number].contains(address) {
                table.fault("listen", place.clone(), format!("{address} is there twice"));
            }
        }
    }
    table.read("external_url", &mut into.external_url, optional(hosts::external_url));
    table.read("trusted_proxies", &mut into.trusted_proxies, networks);
    if into.trusted_proxies.has_everybody() {
        let text =
            "whoever reaches this server may say that he comes from elsewhere, and is believed (server.trusted_proxies has everybody)";
        table.context.warn(text.into());
    }
    table.table("limits", |table| limits(table, &mut into.limits));
    table.table("tls", |table| tls::read(table, &mut into.tls));
}

fn limits(table: &mut Reader<'_>, into: &mut Limits) {
    table.read("connections", &mut into.connections, count);
    table.read("connections_per_address", &mut into.connections_per_address, count);
    table.read("idle", &mut into.idle, deadline);
    table.read("headers", &mut into.headers, deadline);
    table.read("slow", &mut into.slow, deadline);
    table.read("slow_rate", &mut into.slow_rate, size);
    table.read("shutdown", &mut into.shutdown, duration);
}

fn storage(table: &mut Reader<'_>, into: &mut Storage) {
    table.read("data", &mut into.data, text_as(path));
    table.read("reserve", &mut into.reserve, size);
}

fn group(table: &mut Reader<'_>, into: &mut Group, upstreams: &[Upstream]) {
    table.read("members", &mut into.members, |node| members(placed_texts(node)?, upstreams));
    table.read("overlay", &mut into.overlay, patterns);
}

fn members(texts: Vec<(Place, String)>, upstreams: &[Upstream]) -> Read<Vec<Origin>> {
    let (mut members, mut faults) = (Vec::new(), Vec::new());
    for (place, text) in texts {
        let member = Origin::named(&text);
        let configured = member == Origin::Hosted || upstreams.iter().any(|upstream| upstream.registry == text);
        let message = match configured {
            false => format!("{text:?} is not configured; write \"hosted\", or add [[upstream]] with registry = {text:?}"),
            true if members.contains(&member) => format!("{text:?} is there twice"),
            true => {
                members.push(member);
                continue;
            }
        };
        faults.push(Fault { place, message });
    }
    if faults.is_empty() { Ok(members) } else { Err(faults) }
}

fn auth(table: &mut Reader<'_>, into: &mut Auth) {
    let action = choice(&[("pull", Action::Pull), ("push", Action::Push), ("delete", Action::Delete)]);
    table.read("anonymous", &mut into.anonymous, |node| {
        let actions = list(action)(node)?;
        let may = |action| actions.contains(&action);
        Ok(Some(Anonymous { pull: may(Action::Pull), push: may(Action::Push), delete: may(Action::Delete) }))
    });
    let anonymous = into.anonymous.unwrap_or_default();
    if anonymous.push {
        let text = "whoever reaches this server may push without a log-in, and replace what others pull, names of public images included (auth.anonymous has push)";
        table.context.warn(text.into());
    }
    if anonymous.delete {
        table.context.warn("whoever reaches this server may delete what was pushed, without a log-in (auth.anonymous has delete)".into());
    }
    table.read("htpasswd", &mut into.htpasswd, optional(readable_file));
    table.secret("admin_password", &mut into.admin_password);
    roles::read(table, into);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Pull,
    Push,
    Delete,
}

fn log(table: &mut Reader<'_>, into: &mut Log) {
    table.read("level", &mut into.level, text_as(hosts::log_level));
    table.read("format", &mut into.json, choice(&[("text", false), ("json", true)]));
    table.read("audit", &mut into.audit, optional(path));
    table.read("requests", &mut into.requests, choice(&[("all", Requests::All), ("errors", Requests::Errors), ("off", Requests::Off)]));
}
