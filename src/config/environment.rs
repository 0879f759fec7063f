//! What the environment and the command line say, laid over what the file says.
//! `ENTREPOT_SERVER__LISTEN` is `server.listen`: two underscores go one table deeper, one belongs to the key.

use std::collections::{BTreeMap, BTreeSet};

use super::faults::{Fault, Place};
use super::load::Overrides;
use super::tree::{Node, Table, Value, overlay};

const PREFIX: &str = "ENTREPOT_";
const TABLES: [&str; 9] = ["server", "storage", "cache", "hosted", "group", "upstream", "auth", "metrics", "log"];

/// Lays every variable that names a key over the table. Others that begin alike (a cluster sets some for each of
/// its services) are nobody's fault.
pub(super) fn variables(table: &mut Table, environment: &BTreeMap<String, String>) -> Vec<Fault> {
    let mut named: Vec<(Vec<String>, Node)> = Vec::new();
    for (name, text) in environment {
        let Some(rest) = name.strip_prefix(PREFIX).filter(|rest| *rest != "CONFIG") else { continue };
        let path: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
        if path.len() > 1 || TABLES.contains(&path[0].as_str()) {
            named.push((path, Node::raw(Place::Variable(name.clone()), text)));
        }
    }
    // A whole table first, then its keys over it.
    named.sort_by_key(|(path, _)| path.len());
    named.into_iter().filter_map(|(path, node)| overlay(table, &path, node).err()).collect()
}

/// Variables that were meant for a key and would be passed over: one underscore where two are needed.
pub(super) fn misnamed(environment: &BTreeMap<String, String>, known: &BTreeSet<String>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for key in known.iter().filter(|key| key.contains('.') && !key.starts_with("upstream.")) {
        let key = key.to_uppercase();
        let name = format!("{PREFIX}{}", key.replace('.', "_"));
        if environment.contains_key(&name) {
            let message = format!("unknown variable; did you mean {PREFIX}{}, with two underscores?", key.replace('.', "__"));
            faults.push(Fault { place: Place::Variable(name), message });
        }
    }
    faults
}

/// Lays the options of the command line over the table.
pub(super) fn options(table: &mut Table, overrides: &Overrides) -> Vec<Fault> {
    let list = |place: &Place, texts: &[String]| Value::List(texts.iter().map(|text| Node::raw(place.clone(), text)).collect());
    let mut faults = Vec::new();
    let mut set = |option: &'static str, path: &[&str], value: &dyn Fn(&Place) -> Value| {
        let place = Place::Option(option);
        let node = Node { value: value(&place), place };
        let path: Vec<_> = path.iter().map(|part| (*part).to_owned()).collect();
        faults.extend(overlay(table, &path, node).err());
    };
    if !overrides.listen.is_empty() {
        set("--listen", &["server", "listen"], &|place| list(place, &overrides.listen));
    }
    if let Some(actions) = &overrides.anonymous {
        set("--anonymous", &["auth", "anonymous"], &|place| list(place, actions));
    }
    if overrides.offline {
        set("--offline", &["cache", "offline"], &|_| Value::Boolean(true));
    }
    if let Some(mode) = &overrides.tls {
        set("--tls", &["server", "tls", "mode"], &|_| Value::Raw(mode.clone()));
    }
    if !overrides.host.is_empty() {
        set("--host", &["server", "tls", "hosts"], &|place| list(place, &overrides.host));
    }
    faults
}
