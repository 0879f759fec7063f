//! The whole way from the sources to the settings: faults word by word, precedence, secrets, the annotated default.

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

/// The file is faulty in this one way: the line, a colon, what is said.
fn assert_fault(text: &str, expected: &str) {
    let expected = format!("config.toml:{expected}");
    assert_eq!(Desk::with_file(text).faults(), [expected], "in {text:?}");
}

#[test]
fn each_fault_names_its_line_what_is_wrong_and_the_remedy() {
    let table = [
        ("[server]\nlisen = []", "2: unknown key `server.lisen`; did you mean `listen`?"),
        ("[sever]", "1: unknown key `sever`; did you mean `server`?"),
        ("[metrics]\nport = 1", "2: unknown key `metrics.port`; known here are enabled"),
        ("[server]\nlisten = \"a:1\"", "2: server.listen: expected a list; write [\"a:1\"]"),
        ("[server]\nlisten = []", "2: server.listen: the list is empty; it needs at least one"),
        (
            "[server]\nlisten = [\n  \"0.0.0.0:5000\",\n  \":80\",\n]",
            "4: server.listen: \":80\" is no address to listen on; write IP and port, like \"0.0.0.0:80\" or \"[::]:80\"",
        ),
        ("[server]\nlisten = [\"[::]:1\", \"[::]:1\"]", "2: server.listen: [::]:1 is there twice"),
        ("[server]\nlisten = [5000]", "2: server.listen: expected text in quotes, not a number"),
        (
            "[server]\nexternal_url = \"https://a.example/registry\"",
            "2: server.external_url: only scheme, host and port are possible; write \"https://a.example\"",
        ),
        ("[server]\nexternal_url = \"a.example\"", "2: server.external_url: \"a.example\" lacks its scheme; write \"https://a.example\""),
        (
            "[server]\nexternal_url = \"ftp://a.example\"",
            "2: server.external_url: not an http:// or https:// address; write it like \"https://registry.example.com\"",
        ),
        ("[server]\ntrusted_proxies = []", "2: server.trusted_proxies: not in this version; remove it"),
        ("[server.limits]\nconnections = 0", "2: server.limits.connections: expected a whole number of at least 1"),
        ("[server.limits]\nconnections = \"9\"", "2: server.limits.connections: expected a number, not text"),
        ("[server.limits]\nidle = 30", "2: server.limits.idle: a duration needs a unit; write \"30s\" for seconds"),
        ("[server.limits]\nidle = \"long\"", "2: server.limits.idle: \"long\" is no duration; write it like \"30s\", \"10m\" or \"3d\""),
        ("[server.limits]\nidle = \"0s\"", "2: server.limits.idle: a deadline of nothing would end everything; write it like \"30s\""),
        ("[server.tls]\nmode = \"self-signed\"", "2: server.tls.mode: \"self-signed\" is not in this version; write \"off\""),
        ("[server.tls]\nmode = \"on\"", "2: server.tls.mode: \"on\" is not known; write \"off\""),
        ("[server.tls]\ncertificate = \"\"", "2: server.tls.certificate: not in this version; remove it"),
        ("[server]\ntls = \"off\"", "2: server.tls: expected a table, not text"),
        ("[storage]\ndata = \"\"", "2: storage.data: the path is empty"),
        ("[storage]\nreserve = \"much\"", "2: storage.reserve: \"much\" is no size; write it like \"256MiB\" or \"10GB\""),
        ("[storage]\nreserve = -1", "2: storage.reserve: a size cannot be negative; write it like \"256MiB\""),
        ("[storage]\nreserve = 1.5", "2: storage.reserve: expected text in quotes, not a fraction or a date"),
        ("[cache]\noffline = \"yes\"", "2: cache.offline: expected true or false without quotes, not text"),
        ("[cache]\ncapacity = \"80%\"", "2: cache.capacity: not in this version; remove it"),
        ("[hosted]\nredeploy = \"alow\"", "2: hosted.redeploy: \"alow\" is not known; did you mean \"allow\"?"),
        ("[hosted]\nredeploy = \"never\"", "2: hosted.redeploy: \"never\" is not known; write \"allow\", \"deny\" or \"read-only\""),
        ("[hosted]\nreserved = [\"a[\"]", "2: hosted.reserved: \"a[\" is no pattern: unclosed character class; missing ']'"),
        (
            "[group]\nmembers = [\"hosted\", \"my.lan\"]",
            "2: group.members: \"my.lan\" is not configured; write \"hosted\", or add [[upstream]] with registry = \"my.lan\"",
        ),
        ("[group]\nmembers = [\"hosted\", \"hosted\"]", "2: group.members: \"hosted\" is there twice"),
        ("[auth]\nanonymous = [\"pul\"]", "2: auth.anonymous: \"pul\" is not known; did you mean \"pull\"?"),
        (
            "[auth]\nhtpasswd = \"/nowhere/users\"",
            "2: auth.htpasswd: \"/nowhere/users\" cannot be read: No such file or directory (os error 2)",
        ),
        ("[[auth.role]]\nname = \"x\"", "1: auth.role: not in this version; remove it"),
        (
            "[log]\nlevel = \"loud\"",
            "2: log.level: \"loud\" is no level; write \"error\", \"warn\", \"info\", \"debug\" or \"trace\", or by part: \"info,entrepot::upstream=debug\"",
        ),
        ("[log]\nrequests = \"some\"", "2: log.requests: \"some\" is not known; write \"all\", \"errors\" or \"off\""),
    ];
    for (text, expected) in table {
        assert_fault(text, expected);
    }
}

#[test]
fn each_fault_of_an_upstream_is_told_likewise() {
    let table = [
        ("[upstream]\n", "1: upstream: expected a list of tables; write [[upstream]], or as one value [{ … }, { … }]"),
        ("[[upstream]]\n", "1: upstream.registry: every upstream needs its registry's name, like registry = \"ghcr.io\""),
        (
            "[[upstream]]\nregistry = \"hosted\"",
            "2: upstream.registry: \"hosted\" is no registry's name; write a host as in docker pull, like \"ghcr.io\" or \"registry.lan:5000\"",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\nendpoints = [\"http://a.b\"]",
            "3: upstream.endpoints: http:// is neither encrypted nor proves who answers; write https://, or allow it with insecure = true",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\nendpoints = [\"a.b\"]",
            "3: upstream.endpoints: \"a.b\" lacks its scheme; write \"https://a.b\"",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\nendpoints = [\"https://me:hunter2@a.b\"]",
            "3: upstream.endpoints: credentials do not belong in the address; write { url = \"…\", username = \"…\", password = \"…\" }",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\nendpoints = [\"https://a.b?x\"]",
            "3: upstream.endpoints: \"https://a.b?x\" has more than a host and a path; leave out everything from ? or # on",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\nendpoints = [{ url = \"https://a.b\", user = \"x\" }]",
            "3: unknown key `upstream.endpoints.user`; known here are url, username, password",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\nendpoints = [{ username = \"x\", password = \"y\" }]",
            "3: upstream.endpoints.url: every endpoint needs its address, like url = \"https://mirror.example.com\"",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\nendpoints = [\"https://a.b\", \"https://c.d\"]\nusername = \"x\"\npassword = \"hunter2\"",
            "4: upstream.username: with several endpoints it would be sent to each of them; give it to the one it belongs to: { url = \"…\", username = \"…\", password = \"…\" }",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\nendpoints = [{ url = \"https://a.b\", username = \"x\", password = \"y\" }]\nusername = \"x\"\npassword = \"y\"",
            "4: upstream.username: the endpoint has credentials of its own; keep one of the two",
        ),
        ("[[upstream]]\nregistry = \"a.b\"\nusername = \"x\"", "3: upstream.username: a password must stand beside it"),
        ("[[upstream]]\nregistry = \"a.b\"\npassword = \"x\"", "3: upstream.password: a username must stand beside it"),
        (
            "[[upstream]]\nregistry = \"a.b\"\nusername = \"x\"\npassword = 1",
            "4: upstream.password: a secret is text, { env = \"NAME\" } or { file = \"PATH\" }",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\nusername = \"x\"\npassword = { env = \"NOT_THERE\" }",
            "4: upstream.password: the environment variable NOT_THERE is not set",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\nusername = \"x\"\npassword = { file = \"/nowhere\" }",
            "4: upstream.password: \"/nowhere\" cannot be read: No such file or directory (os error 2)",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\ntrusted_realms = [\"https://a.b/\"]",
            "3: upstream.trusted_realms: \"https://a.b/\" is no host; write only the host, like \"auth.docker.io\"",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\nvisibility = \"private\"",
            "3: upstream.visibility: \"private\" is not known; write \"auto\", \"public\" or \"signed-in\"",
        ),
        ("[[upstream]]\nregistry = \"a.b\"\nsegments = 0", "3: upstream.segments: expected a whole number of at least 1"),
        ("[[upstream]]\nregistry = \"a.b\"\ncooldown = \"3d\"", "3: upstream.cooldown: not in this version; remove it"),
        ("[[upstream]]\nregistry = \"a.b\"\n[[upstream.freshness]]", "3: upstream.freshness: not in this version; remove it"),
        (
            "[[upstream]]\nregistry = \"a.b\"\nproxy = \"socks5://x:1\"",
            "3: upstream.proxy: not an http:// or https:// address; write it like \"http://proxy.example.com:3128\"",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\n[[upstream]]\nregistry = \"a.b\"",
            "4: upstream.registry: \"a.b\" is configured twice; the first is at config.toml:2",
        ),
    ];
    for (text, expected) in table {
        assert_fault(text, expected);
    }
}

#[test]
fn all_faults_of_all_sources_are_told_at_once() {
    let desk = Desk::with_file("[server]\nlisen = []\n\n[storage]\nreserve = \"x\"\n[log\nlevel = \"info\"\n[metrics]\nenabled = 1\n");
    let mut desk = desk.variable("ENTREPOT_CACHE__OFFLINE", "maybe").variable("ENTREPOT_LOG__LEVL", "info");
    desk.sources.overrides.listen = vec!["here".into()];
    assert_eq!(
        desk.faults(),
        [
            "config.toml:2: unknown key `server.lisen`; did you mean `listen`?",
            "config.toml:5: storage.reserve: \"x\" is no size; write it like \"256MiB\" or \"10GB\"",
            "config.toml:6: this is no TOML: unclosed table, expected `]`",
            "config.toml:9: metrics.enabled: expected true or false without quotes, not a number",
            "ENTREPOT_CACHE__OFFLINE: cache.offline: expected true or false, not \"maybe\"",
            "ENTREPOT_LOG__LEVL: unknown key `log.levl`; did you mean `level`?",
            "--listen: server.listen: \"here\" is no address to listen on; write IP and port, like \"0.0.0.0:5000\" or \"[::]:5000\"",
        ]
    );
}

#[test]
fn reading_goes_on_after_what_is_no_toml() {
    let text = "[log]\nformat : \"json\"\nlevel = info\n[storage]\ndata \"x\"\nreserve = 10MB\n[cache]\nofline = True\noffline = 1\noffline = 2\n[auth]\nadmin_password = \"hunter2\n[metrics]\nenable = true";
    assert_eq!(
        Desk::with_file(text).faults(),
        [
            "config.toml:2: a key is written with its value, as key = value",
            "config.toml:3: the value is no number; text must stand in quotes, as key = \"value\"",
            "config.toml:5: a key is written with its value, as key = value",
            "config.toml:6: text must stand in quotes, as key = \"value\"",
            "config.toml:8: the value is neither true nor false; text must stand in quotes, as key = \"value\"",
            "config.toml:9: cache.offline: expected true or false without quotes, not a number",
            "config.toml:10: this key or table is there twice; keep one",
            "config.toml:12: the text is cut short or has a character it cannot have; it ends with \" on the same line",
            "config.toml:14: unknown key `metrics.enable`; did you mean `enabled`?",
        ]
    );
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
    assert_eq!(loaded.settings.auth.anonymous, Anonymous { pull: true, push: true, delete: false });
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
    assert_eq!(faults, ["ENTREPOT_UPSTREAM: upstream.connections: expected a whole number of at least 1"]);
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
        assert_eq!(endpoint.credentials.as_ref().unwrap().password.reveal(), expected);
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
    assert_eq!(hub.credentials.as_ref().unwrap().username, "me");
    assert_eq!(
        loaded.warnings,
        [
            "everybody may pull what the credentials for docker.io reach (visibility = \"public\")",
            "the password for docker.io is sent unencrypted (an http:// endpoint)",
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
        let shown = Desk::with_file(text).settings().to_toml();
        for (ours, theirs) in shown.lines().zip(builtin.lines()) {
            assert_eq!(ours, theirs);
        }
        assert_eq!(shown, builtin);
    }
    assert_eq!(Desk::empty().settings().to_toml(), builtin);
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
fn what_is_shown_is_read_back_to_the_same() {
    let text = "[server]\nexternal_url = \"https://r.example/\"\n[server.limits]\nslow = \"90s\"\n[storage]\nreserve = 1000\n[hosted]\nredeploy = \"read-only\"\nsparse = \"allow\"\nreserved = [\"corp/**\"]\n[[upstream]]\nregistry = \"localhost\"\nvisibility = \"signed-in\"\nstale_if_error = \"3d\"\nendpoints = [\"https://a.b/c\"]\nproxy = \"http://me:pw@p:1\"\n[auth]\nanonymous = []\n[log]\nformat = \"json\"\nrequests = \"errors\"";
    let shown = Desk::with_file(text).settings().to_toml();
    assert!(!shown.contains("pw@"), "{shown}");
    assert!(shown.contains("external_url = \"https://r.example\"\n"), "{shown}");
    assert!(shown.contains("reserve = \"1000B\"\n"), "{shown}");
    assert_eq!(Desk::with_file(&shown).settings().to_toml(), shown);
}
