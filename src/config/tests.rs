//! The whole way from the sources to the settings: precedence, secrets, the annotated default.

mod faults;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::load::read;
use super::*;

/// Sources in a folder of their own, and nothing of this process.
struct Desk {
    folder: tempfile::TempDir,
    sources: Sources,
}

impl Desk {
    fn empty() -> Desk {
        let sources = Sources { config: None, files: Vec::new(), environment: BTreeMap::new(), overrides: Overrides::default() };
        Desk { folder: tempfile::tempdir().unwrap(), sources }
    }

    fn with_file(text: &str) -> Desk {
        let mut desk = Desk::empty();
        desk.sources.config = Some(desk.write("config.toml", text));
        desk
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn variable(mut self, name: &str, text: &str) -> Desk {
        self.sources.environment.insert(name.into(), text.into());
        self
    }

    fn settings(&self) -> Settings {
        load(&self.sources).unwrap_or_else(|faults| panic!("{faults}")).settings
    }

    /// The faults with the folder's name taken out.
    fn faults(&self) -> Vec<String> {
        let faults = load(&self.sources).expect_err("there are faults");
        let text = faults.to_string().replace(&format!("{}/", self.folder.path().display()), "");
        text.lines().map(str::to_owned).collect()
    }
}

#[test]
fn the_command_line_goes_over_the_environment_and_that_over_the_file() {
    let text = "[server]\nlisten = [\"1.1.1.1:1\"]\n[storage]\ndata = \"/file\"\nreserve = \"1MiB\"\n[log]\nlevel = \"warn\"";
    let desk = Desk::with_file(text).variable("ENTREPOT_SERVER__LISTEN", "2.2.2.2:2, [::]:2").variable("ENTREPOT_STORAGE__DATA", "/env");
    let mut desk = desk.variable("ENTREPOT_SERVER__LIMITS__IDLE", "7s").variable("ENTREPOT_METRICS__ENABLED", "false");
    let settings = desk.settings();
    assert_eq!(settings.server.listen, ["2.2.2.2:2".parse().unwrap(), "[::]:2".parse().unwrap()]);
    assert_eq!(settings.server.limits.idle.as_secs(), 7);
    assert_eq!(settings.storage.data.to_str(), Some("/env"));
    assert_eq!(settings.storage.reserve, 1 << 20);
    assert_eq!(settings.log.level, "warn");
    assert!(!settings.metrics.enabled);

    desk.sources.overrides = Overrides {
        listen: vec!["3.3.3.3:3".into()],
        data: Some("/option".into()),
        tls: Some("off".into()),
        host: Vec::new(),
        anonymous: Some(vec!["pull".into(), "push".into()]),
        offline: true,
    };
    let loaded = load(&desk.sources).unwrap();
    assert_eq!(loaded.settings.server.listen, ["3.3.3.3:3".parse().unwrap()]);
    assert_eq!(loaded.settings.storage.data.to_str(), Some("/option"));
    assert_eq!(loaded.settings.auth.anonymous.unwrap(), Anonymous { pull: true, push: true, delete: false });
    assert!(loaded.settings.cache.offline);
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].contains("may push without a log-in"), "{:?}", loaded.warnings);
}

#[test]
fn a_single_address_in_brackets_is_no_toml_list() {
    let settings = Desk::empty().variable("ENTREPOT_SERVER__LISTEN", "[::1]:5000").settings();
    assert_eq!(settings.server.listen, ["[::1]:5000".parse().unwrap()]);
    let settings = Desk::empty().variable("ENTREPOT_SERVER__LISTEN", "['[::1]:5000', '1.2.3.4:5']").settings();
    assert_eq!(settings.server.listen.len(), 2);
}

#[test]
fn upstreams_come_from_the_environment_as_toml() {
    let as_list = r#"[{ registry = "a.b", connections = 2 }, { registry = "ghcr.io", tag_ttl = "1h" }]"#;
    let as_tables = "[[upstream]]\nregistry = \"a.b\"\nconnections = 2\n[[upstream]]\nregistry = \"ghcr.io\"\ntag_ttl = \"1h\"\n";
    for text in [as_list, as_tables] {
        let upstreams = Desk::empty().variable("ENTREPOT_UPSTREAM", text).settings().upstreams;
        assert_eq!(upstreams.len(), 12);
        assert_eq!((upstreams[11].registry.as_str(), upstreams[11].connections), ("a.b", 2));
        assert_eq!((upstreams[1].registry.as_str(), upstreams[1].tag_ttl.as_secs()), ("ghcr.io", 3600));
    }
    let faults = Desk::empty().variable("ENTREPOT_UPSTREAM", r#"[{ registry = "a.b", connections = 0 }]"#).faults();
    assert_eq!(faults, ["ENTREPOT_UPSTREAM: upstream.connections: expected a whole number from 1 to 1000000"]);
    let faults = Desk::empty().variable("ENTREPOT_UPSTREAM", "docker.io").faults();
    assert_eq!(faults, ["ENTREPOT_UPSTREAM: upstream: expected a list of tables; write [[upstream]], or as one value [{ … }, { … }]"]);
    let faults = Desk::with_file("[[upstream]]\nregistry = \"a.b\"").variable("ENTREPOT_UPSTREAM__TAG_TTL", "1h").faults();
    assert_eq!(faults, ["ENTREPOT_UPSTREAM__TAG_TTL: `upstream` is a list of tables; set it as a whole, as TOML text"]);
}

#[test]
fn variables_that_a_cluster_sets_do_no_harm_and_a_missing_underscore_is_told() {
    let desk = Desk::empty().variable("ENTREPOT_SERVICE_HOST", "10.0.0.1").variable("ENTREPOT_PORT_5000_TCP_ADDR", "10.0.0.1");
    desk.settings();
    let faults = desk.variable("ENTREPOT_LOG_LEVEL", "debug").faults();
    assert_eq!(faults, ["ENTREPOT_LOG_LEVEL: unknown variable; did you mean ENTREPOT_LOG__LEVEL, with two underscores?"]);
}

#[test]
fn the_first_rule_that_matches_holds_and_says_what_hosted_says_where_it_is_silent() {
    let desk = Desk::with_file(
        "[hosted]\nredeploy = \"deny\"\n\
         [[hosted.rule]]\nrepositories = [\"team/web\", \"library/*\"]\nimmutable_tags = [\"v*\"]\n\
         [[hosted.rule]]\nrepositories = [\"team/*\"]\nredeploy = \"allow\"\nkeep_last = 3\nkeep_days = 90\n",
    );
    let told = |hosted: &Hosted, name: &str| {
        let policy = hosted.policy(name);
        (policy.redeploy, policy.immutable_tags.texts().len(), policy.keep_last, policy.keep_days)
    };
    let file = desk.settings().hosted;
    let variable = desk.variable("ENTREPOT_HOSTED__REDEPLOY", "read-only").settings().hosted;
    for (hosted, redeploy) in [(file, Redeploy::Deny), (variable, Redeploy::ReadOnly)] {
        assert_eq!(told(&hosted, "team/web"), (redeploy, 1, None, None));
        assert_eq!(told(&hosted, "library/myapp"), (redeploy, 1, None, None));
        assert_eq!(told(&hosted, "team/app"), (Redeploy::Allow, 0, Some(3), Some(90)));
        assert_eq!(told(&hosted, "team/app/web"), (redeploy, 0, None, None));
    }
    let rules = r#"[{ repositories = ["**"], keep_days = 7 }]"#;
    let settings = Desk::empty().variable("ENTREPOT_HOSTED__RULE", rules).settings();
    assert_eq!(settings.hosted.policy("any/name").keep_days, Some(7));
}

#[test]
fn the_first_freshness_rule_that_matches_holds_and_says_what_its_upstream_says_where_it_is_silent() {
    let text = "[[upstream]]\nregistry = \"docker.io\"\ncooldown = \"3d\"\ntag_ttl = \"1h\"\n\
         [[upstream.freshness]]\nrepositories = [\"nginx\", \"team/**\"]\ntags = \"v*\"\nttl = \"7d\"\n\
         [[upstream.freshness]]\nrepositories = \"nginx\"\ncooldown = \"0s\"\n\
         [[upstream.freshness]]\ntags = [\"v*\", \"nightly\"]\nttl = \"0s\"\n";
    let upstream = &Desk::with_file(text).settings().upstreams[0];
    let hours = |repository: &str, tag: &str| {
        let times = upstream.tag_times(&repository.parse().unwrap(), &tag.parse().unwrap());
        (times.ttl.as_secs() / 3600, times.cooldown.as_secs() / 3600)
    };
    assert_eq!(hours("library/nginx", "v1"), (7 * 24, 72));
    assert_eq!(hours("team/a/b", "v1"), (7 * 24, 72));
    assert_eq!(hours("library/nginx", "latest"), (1, 0));
    assert_eq!((hours("library/redis", "v1"), hours("library/redis", "nightly")), ((0, 72), (0, 72)));
    assert_eq!(hours("library/redis", "latest"), (1, 72));
}

#[test]
fn the_file_is_the_named_one_else_the_variables_else_the_first_that_is_there() {
    let mut desk = Desk::empty();
    let level = |desk: &Desk| (desk.settings().log.level, load(&desk.sources).unwrap().from);
    assert_eq!(level(&desk), ("info".into(), None));
    let second = desk.write("second.toml", "log.level = 'error'");
    desk.sources.files = vec![desk.folder.path().join("first.toml"), second.clone()];
    assert_eq!(level(&desk), ("error".into(), Some(second)));
    let variable = desk.write("variable.toml", "log.level = 'debug'");
    let mut desk = desk.variable("ENTREPOT_CONFIG", variable.to_str().unwrap());
    assert_eq!(level(&desk), ("debug".into(), Some(variable)));
    let option = desk.write("option.toml", "log.level = 'trace'");
    desk.sources.config = Some(option.clone());
    assert_eq!(level(&desk), ("trace".into(), Some(option)));
    desk.sources.config = Some(desk.folder.path().join("gone.toml"));
    assert_eq!(desk.faults(), ["gone.toml: cannot be read: No such file or directory (os error 2)"]);
}

/// The name and the password of an endpoint's only log-in.
fn told(endpoint: &Endpoint) -> (String, String) {
    match &endpoint.credentials.as_ref().unwrap().logins()[0].keeper {
        Keeper::Password { username, password } => (username.clone(), password.reveal().to_owned()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_secret_is_text_or_a_variable_or_a_file_without_its_last_newline() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "from file\n\n").unwrap();
    let in_file = format!("{{ file = {:?} }}", file.to_str().unwrap());
    let table = [("\"plain\"", "plain"), ("{ env = \"HUB\" }", "from variable"), (in_file.as_str(), "from file\n")];
    for (written, expected) in table {
        let text =
            format!("[[upstream]]\nregistry = \"docker.io\"\nusername = \"me\"\npassword = {written}\n[auth]\nadmin_password = {written}");
        let desk = Desk::with_file(&text).variable("HUB", "from variable");
        let settings = desk.settings();
        assert_eq!(settings.auth.admin_password.as_ref().unwrap().reveal(), expected);
        let endpoint = &settings.upstreams[0].endpoints[0];
        assert_eq!(endpoint.url.as_str(), "https://registry-1.docker.io/");
        assert_eq!(told(endpoint), ("me".to_owned(), expected.to_owned()));
        assert!(!format!("{settings:?}").contains(expected));
        assert!(!settings.to_toml().contains(expected));
        assert!(settings.to_toml().contains("password = \"…\""));
        let settings = Desk::empty().variable("HUB", "from variable").variable("ENTREPOT_AUTH__ADMIN_PASSWORD", written).settings();
        let same = if written == "\"plain\"" { "\"plain\"" } else { expected };
        assert_eq!(settings.auth.admin_password.unwrap().reveal(), same, "a variable's text is taken as it is");
    }
}

#[test]
fn credentials_stay_with_the_endpoint_they_were_given_to() {
    let text = "[[upstream]]\nregistry = \"docker.io\"\ninsecure = true\nvisibility = \"public\"\nendpoints = [\n\"https://mirror.lan/hub\",\n{ url = \"http://hub.lan\", username = \"me\", password = \"x\" }]";
    let loaded = load(&Desk::with_file(text).sources).unwrap();
    let [mirror, hub] = loaded.settings.upstreams[0].endpoints.as_slice() else { panic!() };
    assert!(mirror.credentials.is_none());
    assert_eq!(told(hub).0, "me");
    assert_eq!(
        loaded.warnings,
        [
            "everybody may pull what the credentials for docker.io reach (visibility = \"public\")",
            "the log-in for docker.io is sent unencrypted (an http:// endpoint)",
        ]
    );
}

/// The annotated default with every commented key in force.
fn uncommented() -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest.to_owned(),
        _ => line.to_owned(),
    };
    ANNOTATED.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_annotated_default_says_what_is_built_in_key_by_key() {
    let builtin = Settings::builtin().to_toml();
    for text in [ANNOTATED, &uncommented()] {
        let mut settings = Desk::with_file(text).settings();
        // Examples, for none is built in.
        settings.hosted.rules.retain(|rule| rule.repositories.texts() != ["team/**"]);
        settings.auth.roles.retain(|role| role.name != "developers");
        settings.upstreams[0].freshness.retain(|rule| rule.tags.texts() != ["v*", "[0-9]*.[0-9]*.[0-9]*"]);
        let shown = settings.to_toml();
        for (ours, theirs) in shown.lines().zip(builtin.lines()) {
            assert_eq!(ours, theirs);
        }
        assert_eq!(shown, builtin);
    }
    for desk in [Desk::empty(), Desk::with_file(ANNOTATED)] {
        assert_eq!(desk.settings().to_toml(), builtin);
    }
}

#[test]
fn the_annotated_default_has_every_key_that_is_read() {
    let (loaded, known) = read(&Desk::with_file(&uncommented()).sources);
    loaded.unwrap();
    let root = toml::from_str::<toml::Table>(&uncommented()).unwrap();
    for key in known.iter().filter(|key| !key.starts_with("upstream.endpoints.")) {
        let mut value = Some(&toml::Value::Table(root.clone())).cloned();
        for part in key.split('.') {
            let table = match value {
                Some(toml::Value::Array(list)) => list.into_iter().next(),
                other => other,
            };
            value = table.and_then(|table| table.get(part).cloned());
        }
        assert!(value.is_some(), "{key} is not in config.toml");
    }
    assert!(known.len() > 50, "{known:?}");
}

#[test]
fn roles_are_read_from_the_file_and_from_the_environment() {
    let table =
        "name = \"dev\"\nmembers = [\"alice\", \"ci-*\"]\nallow = [{ repositories = [\"team/**\"], actions = [\"push\", \"shadow\"] }]";
    let file = Desk::with_file(&format!("[[auth.role]]\n{table}"));
    let list = r#"[{ name = "dev", members = ["alice", "ci-*"], allow = [{ repositories = ["team/**"], actions = ["push", "shadow"] }] }]"#;
    for (desk, place) in [(file, "config.toml:2"), (Desk::empty().variable("ENTREPOT_AUTH__ROLE", list), "ENTREPOT_AUTH__ROLE")] {
        let auth = desk.settings().auth;
        let [role] = &auth.roles[..] else { panic!("{auth:?}") };
        assert_eq!((role.name.as_str(), role.members.texts()), ("dev", &["alice".to_owned(), "ci-*".to_owned()][..]));
        assert!(role.place.as_ref().unwrap().ends_with(place), "{role:?}");
        assert_eq!(role.allow[0].rights, Rights { push: true, shadow: true, ..Rights::default() });
        assert!(auth.anonymous.is_none());
    }
}

#[test]
fn what_a_role_opens_to_everybody_is_warned_of() {
    let role = |actions: &str| {
        let text = format!("[[auth.role]]\nname = \"anonymous\"\nallow = [{{ repositories = [\"lab/**\"], actions = [{actions}] }}]");
        let desk = Desk::with_file(&text);
        let loaded = load(&desk.sources).unwrap();
        assert_eq!(Desk::with_file(&loaded.settings.to_toml()).settings().to_toml(), loaded.settings.to_toml());
        loaded.warnings
    };
    assert!(role("\"pull\"").is_empty());
    let warnings = role("\"pull\", \"push\"");
    assert!(warnings.len() == 1 && warnings[0].contains("push without a log-in") && warnings[0].contains("lab/**"), "{warnings:?}");
    assert_eq!(role("\"admin\"").len(), 3);
}

#[test]
fn what_is_shown_is_read_back_to_the_same() {
    let text = "[server]\nexternal_url = \"https://r.example/\"\n[server.limits]\nslow = \"90s\"\n[storage]\nreserve = 1000\n[hosted]\nredeploy = \"read-only\"\nsparse = \"allow\"\nreserved = [\"corp/**\"]\n[[hosted.rule]]\nrepositories = [\"ci/**\"]\nredeploy = \"allow\"\nkeep_last = 3\n[[hosted.rule]]\nrepositories = [\"**\"]\nimmutable_tags = [\"v*\"]\n[[upstream]]\nregistry = \"localhost\"\nvisibility = \"signed-in\"\nstale_if_error = \"3d\"\nendpoints = [\"https://a.b/c\"]\nproxy = \"http://me:pw@p:1\"\nno_proxy = [\".lan\", \"10.0.0.0/8\"]\ncredentials = [{ repositories = [\"team/**\"], command = [\"sh\", \"-c\", \"pw@\"] }, { username = \"u\", password = \"pw@\" }]\ncooldown = \"3d\"\n[[upstream.freshness]]\ntags = \"v*\"\nttl = \"7d\"\n[auth]\nanonymous = []\n[[auth.role]]\nname = \"ops\"\nmembers = [\"alice\", \"ci-*\"]\nallow = [{ repositories = [\"team/**\"], actions = [\"push\", \"pull\"] }, { repositories = [\"**\"], actions = [\"admin\"] }]\n[log]\nformat = \"json\"\nrequests = \"errors\"";
    let shown = Desk::with_file(text).settings().to_toml();
    assert!(!shown.contains("pw@"), "{shown}");
    assert!(shown.contains("external_url = \"https://r.example\"\n"), "{shown}");
    assert!(shown.contains("reserve = \"1000B\"\n"), "{shown}");
    assert_eq!(Desk::with_file(&shown).settings().to_toml(), shown);
}
