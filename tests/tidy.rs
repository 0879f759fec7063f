//! The house rules, checked over the source files. Each rule is a function of a path and its text, and is shown a fault of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A room imports only from lower floors; rooms on one floor do not import each other, but the highest wires itself.
const FLOORS: &[&[&str]] = &[
    &["oci"],
    &["config", "telemetry"],
    &["store", "index", "upstream", "auth"],
    &["registry"],
    &["upkeep"],
    &["web", "server"],
    &["main", "app", "cli"],
];

/// Outside crates, the rooms that may name them, and why no other.
const CONFINED: &[(&[&str], &[&str], &str)] = &[
    (&["sled", "crc32fast", "postcard", "flume"], &["index"], "how facts are kept is known to one room, so that the engine can be changed"),
    (&["reqwest", "http_auth", "addr"], &["upstream"], "one room dials out, so that one place guards credentials and addresses"),
    (&["rustls"], &["upstream", "server"], "TLS is spoken where bytes leave and where they come in"),
    (&["tokio_rustls", "rcgen", "x509_parser", "if_addrs"], &["server"], "certificates are made, shown and read at the edge"),
    (&["bcrypt", "jsonwebtoken", "aws_lc_rs"], &["auth"], "secrets are checked in one place"),
    (&["hyper", "hyper_util", "socket2"], &["server"], "only the edge knows connections"),
    (&["axum"], &["server", "web"], "what a registry does has no word of HTTP"),
    (&["http"], &["upstream", "server", "web"], "what a registry does has no word of HTTP"),
    (&["clap", "indicatif"], &["cli"], "nothing below the commands talks to a terminal"),
    (&["toml", "humantime", "bytesize", "globset", "ipnet"], &["config"], "settings are parsed once, into plain data"),
    (
        &["metrics", "metrics_exporter_prometheus", "tracing_subscriber", "tracing_appender"],
        &["telemetry"],
        "metrics are declared once and called from everywhere",
    ),
    (&["sha2", "hex", "oci_spec"], &["oci"], "a digest comes from one parser or one hasher"),
    (&["moka"], &["registry", "auth", "upstream", "server"], "a cache belongs to the room that knows when it is stale"),
];

const LONGEST: usize = 400;
const MEDIAN: usize = 200;

/// `src/oci/name.rs` and `src/oci.rs` belong to `oci`; `src/lib.rs` to none.
fn room(path: &str) -> Option<&str> {
    let first = path.strip_prefix("src/")?.split('/').next()?;
    Some(first.trim_end_matches(".rs")).filter(|room| *room != "lib")
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The lines that are compiled, with their numbers from 1.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The rooms that a line names: `crate::room`, `entrepot::room`, `crate::{room, other::Thing}`.
fn rooms_named(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for root in ["crate::", "entrepot::"] {
        for (at, _) in line.match_indices(root) {
            let after = &line[at + root.len()..];
            let names = if let Some(list) = after.strip_prefix('{') { list.split([',', '{', '}']).collect() } else { vec![after] };
            found.extend(names.into_iter().map(|name| name.trim().split(|c| !is_word(c)).next().unwrap_or("")));
        }
    }
    found.retain(|name| floor(name).is_some());
    found
}

/// Whether a line names an outside crate: `name::` or `use name` where no path goes before.
fn names_crate(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let free = !line[..at].ends_with(|c| is_word(c) || c == ':' || c == '.');
        let after = &line[at + name.len()..];
        let alone = line.trim_start().trim_start_matches("pub ").starts_with("use ")
            && after.starts_with([';', ' '])
            && line[..at].trim_end().ends_with("use");
        free && (after.starts_with("::") || alone)
    })
}

fn imports_go_down(path: &str, text: &str) -> Vec<String> {
    let Some((own, height)) = room(path).and_then(|room| Some((room, floor(room)?))) else {
        return if path == "src/lib.rs" { Vec::new() } else { vec![format!("{path}: this room lies on no floor")] };
    };
    // A list over several lines is read as one.
    let joined = join_lists(text);
    let wrong =
        |other: &str| other != own && floor(other).is_some_and(|other| other > height || (other == height && height + 1 < FLOORS.len()));
    let named = code(&joined).flat_map(|(line, text)| rooms_named(text).into_iter().map(move |other| (line, other)));
    named
        .filter(|(_, other)| wrong(other))
        .map(|(line, other)| format!("{path}:{line}: {own} imports {other}, which is not below it"))
        .collect()
}

/// Puts the lists of `use crate::{ … }` on one line, and keeps the number of lines.
fn join_lists(text: &str) -> String {
    let mut joined = String::new();
    let (mut open, mut owed) = (false, 0);
    for line in text.lines() {
        joined.push_str(if open { line.trim() } else { line });
        open = (open || line.contains("crate::{") || line.contains("entrepot::{")) && !line.contains(';');
        owed += 1;
        if !open {
            joined.push_str(&"\n".repeat(owed));
            owed = 0;
        }
    }
    joined
}

/// The rooms that each room imports.
fn imports(sources: &BTreeMap<String, String>) -> BTreeMap<&str, BTreeSet<String>> {
    let mut all = BTreeMap::<_, BTreeSet<_>>::new();
    for (path, text) in sources {
        let Some(own) = room(path) else { continue };
        let joined = join_lists(text);
        let named = code(&joined).flat_map(|(_, line)| rooms_named(line)).filter(|other| *other != own).map(str::to_owned);
        all.entry(own).or_default().extend(named);
    }
    all
}

/// The rooms that are left when every room that imports none of the others was taken away: those of a circle, and what leads to it.
fn circles(mut imports: BTreeMap<&str, BTreeSet<String>>) -> Vec<String> {
    loop {
        let left: BTreeSet<_> = imports.keys().map(|room| (*room).to_owned()).collect();
        let before = imports.len();
        imports.retain(|_, others| others.iter().any(|other| left.contains(other)));
        if imports.len() == before {
            return imports.keys().map(|room| (*room).to_owned()).collect();
        }
    }
}

fn crates_stay_in_their_rooms(path: &str, text: &str) -> Vec<String> {
    let own = room(path).unwrap_or("lib");
    let mut faults = Vec::new();
    for (line, text) in code(text) {
        for (crates, rooms, reason) in CONFINED.iter().filter(|(_, rooms, _)| !rooms.contains(&own)) {
            for name in crates.iter().filter(|name| names_crate(text, name)) {
                faults.push(format!("{path}:{line}: {name} belongs to {}: {reason}", rooms.join(", ")));
            }
        }
    }
    faults
}

/// Where tags are changed. Everybody else has it done there, so that no way to the same end misses the policy.
const TAGS: [&str; 2] = ["src/registry/tags.rs", "src/registry/tags/"];

fn tags_change_in_one_place(path: &str, text: &str) -> Vec<String> {
    if TAGS.iter().any(|place| path.starts_with(place)) || room(path) == Some("index") {
        return Vec::new();
    }
    let changes = ["Change::Tag", "Change::Untag", "Change::RemoveManifest", "Change::RemoveRepository"];
    let named = code(before_tests(text)).filter(|(_, line)| changes.iter().any(|change| line.contains(change)));
    named.map(|(line, _)| format!("{path}:{line}: a tag is changed in {} alone", TAGS[0])).collect()
}

/// What is compiled into the program: all before the test module.
fn before_tests(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod tests {").map_or(text, |tests| &text[..tests])
}

fn files_are_short(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    if lines > LONGEST { vec![format!("{path}: {lines} lines are more than {LONGEST}")] } else { Vec::new() }
}

fn files_say_what_they_are_for(path: &str, text: &str) -> Vec<String> {
    if text.starts_with("//! ") { Vec::new() } else { vec![format!("{path}: begins with no //! sentence")] }
}

fn nothing_unwraps(path: &str, text: &str) -> Vec<String> {
    let unwraps = code(before_tests(text)).filter(|(_, line)| line.contains(".unwrap()"));
    unwraps.map(|(line, _)| format!("{path}:{line}: unwrap() outside of tests; say the invariant with expect()")).collect()
}

fn nothing_is_allowed_silently(path: &str, text: &str) -> Vec<String> {
    let allows = code(text).filter(|(_, line)| ["#[allow(", "#![allow("].iter().any(|lint| line.trim_start().starts_with(lint)));
    allows.map(|(line, _)| format!("{path}:{line}: write #[expect(lint, reason = \"…\")]")).collect()
}

/// The files that only tests compile, because their `mod` line says so.
fn is_test_only(path: &str, sources: &BTreeMap<String, String>) -> bool {
    let parts: Vec<_> = path.trim_end_matches(".rs").split('/').collect();
    (1..parts.len()).any(|at| {
        let folder = parts[..at].join("/");
        let parents = [format!("{folder}/mod.rs"), format!("{folder}.rs"), format!("{folder}/lib.rs")];
        let lines = ["", "pub ", "pub(crate) ", "pub(super) "].map(|open| format!("#[cfg(test)]\n{open}mod {};", parts[at]));
        parents.iter().filter_map(|parent| sources.get(parent)).any(|text| lines.iter().any(|line| text.contains(line)))
    })
}

/// Every Rust file below a folder, by its path from the root.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

type Rule = fn(&str, &str) -> Vec<String>;

fn check(files: &BTreeMap<String, String>, rule: Rule) {
    let faults: Vec<_> = files.iter().flat_map(|(path, text)| rule(path, text)).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn rooms_import_only_from_lower_floors() {
    check(&sources("src"), imports_go_down);
}

#[test]
fn no_rooms_import_each_other_in_a_circle() {
    assert_eq!(circles(imports(&sources("src"))), Vec::<String>::new());
    let planted = [("src/app.rs", "use crate::cli;"), ("src/cli/mod.rs", "use crate::app;"), ("src/oci/mod.rs", "")];
    let planted = planted.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
    assert_eq!(circles(imports(&planted)), ["app", "cli"]);
}

#[test]
fn outside_crates_stay_in_their_rooms() {
    check(&sources("src"), crates_stay_in_their_rooms);
}

#[test]
fn a_tag_is_changed_in_one_place_alone() {
    let all = sources("src");
    let mut files = all.clone();
    files.retain(|path, _| !is_test_only(path, &all));
    assert!(files.contains_key(TAGS[0]));
    check(&files, tags_change_in_one_place);
}

#[test]
fn files_are_calm() {
    let files = sources("src");
    check(&files, files_are_short);
    let mut lines: Vec<_> = files.values().map(|text| text.lines().count()).collect();
    lines.sort_unstable();
    assert!(lines[lines.len() / 2] < MEDIAN, "half of all files have more than {MEDIAN} lines");
}

#[test]
fn every_file_says_what_it_is_for() {
    check(&sources("src"), files_say_what_they_are_for);
    check(&sources("tests"), files_say_what_they_are_for);
}

#[test]
fn the_program_unwraps_nothing() {
    let all = sources("src");
    let mut files = all.clone();
    files.retain(|path, _| !is_test_only(path, &all));
    check(&files, nothing_unwraps);
}

#[test]
fn no_lint_is_allowed_without_a_reason() {
    check(&sources("src"), nothing_is_allowed_silently);
    check(&sources("tests"), nothing_is_allowed_silently);
}

/// The names in backquotes of the rows of promises that are neither a test of these sources nor a script.
fn unknown_tests<'a>(promises: &'a str, sources: &BTreeMap<String, String>) -> Vec<&'a str> {
    let rows = promises.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    let tests =
        rows.filter_map(|row| row.trim_end_matches([' ', '|']).rsplit('|').next()).flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let known = |name: &&str| match name.contains('/') {
        true => Path::new(name).is_file(),
        false => sources.values().any(|text| text.contains(&format!("fn {name}("))),
    };
    tests.filter(|name| !known(name)).collect()
}

#[test]
fn every_promise_about_security_names_tests_that_are_there() {
    let (src, tests) = (sources("src"), sources("tests"));
    let all: BTreeMap<_, _> = src.into_iter().chain(tests).collect();
    assert_eq!(unknown_tests(&fs::read_to_string("SECURITY.md").unwrap(), &all), Vec::<&str>::new());
    let planted = "| 1 | `x` is | `every_rule_sees_its_fault`, `no_such_test`, `tests/run`, `tests/none` |";
    assert_eq!(unknown_tests(planted, &all), ["no_such_test", "tests/none"]);
}

#[test]
fn every_rule_sees_its_fault() {
    let long = "x\n".repeat(LONGEST + 1);
    let faults: &[(Rule, &str, &str)] = &[
        (imports_go_down, "src/oci/name.rs", "use crate::config::Limits;"),
        (imports_go_down, "src/store/mod.rs", "let x = crate::index::open();"),
        (imports_go_down, "src/registry/mod.rs", "use crate::{\n    oci::Digest,\n    server,\n};"),
        (imports_go_down, "src/server/mod.rs", "use crate::{oci::{Digest, Tag}, web::page};"),
        (imports_go_down, "src/upkeep/mod.rs", "use entrepot::app;"),
        (imports_go_down, "src/attic/mod.rs", ""),
        (crates_stay_in_their_rooms, "src/registry/mod.rs", "use sled::Db;"),
        (crates_stay_in_their_rooms, "src/registry/mod.rs", "pub use http;"),
        (crates_stay_in_their_rooms, "src/store/mod.rs", "fn status() -> http::StatusCode {"),
        (crates_stay_in_their_rooms, "src/app.rs", "clap::Parser::parse()"),
        (tags_change_in_one_place, "src/registry/keep.rs", "changes.push(Change::Tag { tag });"),
        (tags_change_in_one_place, "src/upkeep/sweep.rs", "use crate::index::Change::RemoveRepository;"),
        (files_are_short, "src/oci/name.rs", &long),
        (files_say_what_they_are_for, "src/oci/name.rs", "use x;\n//! late"),
        (nothing_unwraps, "src/oci/name.rs", "x.unwrap();\n#[cfg(test)]\nmod tests {}"),
        (nothing_unwraps, "src/oci/name.rs", "#[cfg(test)]\nfn x() {}\nx.unwrap();"),
        (nothing_is_allowed_silently, "src/oci/name.rs", "    #[allow(dead_code)]"),
        (nothing_is_allowed_silently, "src/oci/name.rs", "#![allow(dead_code)]"),
    ];
    for (rule, path, text) in faults {
        assert_eq!(rule(path, text).len(), 1, "{path}: {text}");
    }
}

#[test]
fn no_rule_sees_a_fault_where_none_is() {
    let good: &[(Rule, &str, &str)] = &[
        (
            imports_go_down,
            "src/registry/mod.rs",
            "use crate::registry::flight;\nuse crate::{oci::Digest, store};\n// crate::server is above",
        ),
        (imports_go_down, "src/main.rs", "use entrepot::{app, cli};"),
        (imports_go_down, "src/lib.rs", "pub mod app;"),
        (crates_stay_in_their_rooms, "src/index/mod.rs", "use sled::Db;"),
        (crates_stay_in_their_rooms, "src/registry/mod.rs", "use crate::telemetry::metrics::count; // \"http://x\""),
        (tags_change_in_one_place, "src/registry/tags.rs", "Change::Untag { tag }"),
        (tags_change_in_one_place, "src/registry/tags/cached.rs", "Change::Tag { tag }"),
        (tags_change_in_one_place, "src/index/rows.rs", "Change::Tag { tag } => {}"),
        (tags_change_in_one_place, "src/registry/keep.rs", "Change::Manifest { digest }\n#[cfg(test)]\nmod tests { Change::Untag {} }"),
        (nothing_unwraps, "src/oci/name.rs", "/// x.unwrap()\nx.unwrap_or(1);\n#[cfg(test)]\nmod tests { x.unwrap() }"),
        (nothing_is_allowed_silently, "src/oci/name.rs", "#[expect(dead_code, reason = \"…\")]"),
    ];
    for (rule, path, text) in good {
        assert_eq!(rule(path, text), Vec::<String>::new(), "{path}: {text}");
    }
    let parent = ("src/index/mod.rs".to_owned(), "#[cfg(test)]\nmod suite;\nmod memory;".to_owned());
    let sources = BTreeMap::from([parent]);
    assert!(is_test_only("src/index/suite.rs", &sources) && is_test_only("src/index/suite/tags.rs", &sources));
    assert!(!is_test_only("src/index/memory.rs", &sources));
}
