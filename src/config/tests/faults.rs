//! Every fault word by word: its place, what was wrong, and the remedy.

use super::Desk;

/// The file is faulty in this one way: the line, a colon, what is said.
fn assert_fault(text: &str, expected: &str) {
    let expected = format!("config.toml:{expected}");
    assert_eq!(Desk::with_file(text).faults(), [expected], "in {text:?}");
}

#[test]
fn a_role_that_cannot_be_is_told_with_its_remedy() {
    let allow = "allow = [{ repositories = [\"**\"], actions = [\"pull\"] }]";
    let role = |lines: &str| format!("[[auth.role]]\n{lines}");
    for (text, fault) in [
        (role(allow), "1: auth.role.name: every role needs a name, like name = \"developers\"".to_owned()),
        (
            role("name = \"x\""),
            "1: auth.role.allow: every role needs what it allows, like allow = [{ repositories = [\"team/**\"], actions = [\"pull\"] }]"
                .into(),
        ),
        (role("name = \"x\"\nallow = []"), "3: auth.role.allow: the list is empty; it needs at least one".into()),
        (
            role(&format!("name = \"a b\"\n{allow}")),
            "2: auth.role.name: \"a b\" is no name for a role: it has letters, digits and . _ -, at most 64".into(),
        ),
        (
            role(&format!("name = \"admin\"\n{allow}")),
            "2: auth.role.name: \"admin\" is built in and stays what it is; choose another name".into(),
        ),
        (
            format!("{}\n{}", role(&format!("name = \"x\"\n{allow}")), role(&format!("name = \"x\"\n{allow}"))),
            "5: auth.role.name: \"x\" is there twice; the first is at config.toml:2".into(),
        ),
        (
            format!("[auth]\nanonymous = []\n{}", role(&format!("name = \"anonymous\"\n{allow}"))),
            "4: auth.role.name: auth.anonymous says already what everybody may; remove one of the two".into(),
        ),
        (
            role(&format!("name = \"anonymous\"\nmembers = [\"alice\"]\n{allow}")),
            "3: auth.role.members: everybody is in the role \"anonymous\", logged in or not; remove its members".into(),
        ),
        (
            role("name = \"x\"\nallow = [{ repositories = [\"**\"], actions = [] }]"),
            "3: auth.role.allow.actions: the list is empty; it needs at least one".into(),
        ),
        (
            role("name = \"x\"\nallow = [{ repositories = [\"**\"], actions = [\"pul\"] }]"),
            "3: auth.role.allow.actions: \"pul\" is not known; did you mean \"pull\"?".into(),
        ),
        (
            role("name = \"x\"\nallow = [{ repositories = [\"docker.io/nginx\"], actions = [\"pull\"] }]"),
            "3: auth.role.allow.repositories: \"docker.io/nginx\" matches no repository: a name of one part is library/NAME here; \
             write \"docker.io/library/nginx\""
                .into(),
        ),
        (
            role("name = \"x\"\nallow = [{ actions = [\"pull\"] }]"),
            "3: auth.role.allow.repositories: say for which repositories, like repositories = [\"team/**\"]; [\"**\"] is all of them"
                .into(),
        ),
        (
            role("name = \"x\"\nallow = [{ repositories = [\"**\"] }]"),
            "3: auth.role.allow.actions: say what is allowed, like actions = [\"pull\", \"push\"]".into(),
        ),
    ] {
        assert_eq!(Desk::with_file(&text).faults(), [format!("config.toml:{fault}")], "{text}");
    }
}

#[test]
fn each_fault_names_its_line_what_is_wrong_and_the_remedy() {
    let table = [
        ("[server]\nlisen = []", "2: unknown key `server.lisen`; did you mean `listen`?"),
        ("[sever]", "1: unknown key `sever`; did you mean `server`?"),
        ("[metrics]\nport = 1", "2: unknown key `metrics.port`; known here are enabled"),
        ("[server]\nlisten = \"a:1\"", "2: server.listen: expected a list, like [\"…\", \"…\"], not text"),
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
        (
            "[server]\ntrusted_proxies = [\"proxy\"]",
            "2: server.trusted_proxies: \"proxy\" is no network; write an address or a range, like \"127.0.0.1\" or \"10.0.0.0/8\"",
        ),
        ("[server.limits]\nconnections = 0", "2: server.limits.connections: expected a whole number from 1 to 1000000"),
        ("[server.limits]\nconnections = \"9\"", "2: server.limits.connections: expected a number, not text"),
        ("[server.limits]\nidle = 30", "2: server.limits.idle: a duration needs a unit; write \"30s\" for seconds"),
        ("[server.limits]\nidle = \"long\"", "2: server.limits.idle: \"long\" is no duration; write it like \"30s\", \"10m\" or \"3d\""),
        ("[server.limits]\nidle = \"0s\"", "2: server.limits.idle: a deadline of nothing would end everything; write it like \"30s\""),
        ("[server.limits]\nslow = \"1000y\"", "2: server.limits.slow: \"1000y\" is more than a century"),
        ("[server.tls]\nmode = \"on\"", "2: server.tls.mode: \"on\" is not known; write \"self-signed\", \"files\" or \"off\""),
        (
            "[server.tls]\nmode = \"files\"\nkey = \"Cargo.toml\"",
            "2: server.tls.mode: \"files\" needs certificate too, the path of a PEM file",
        ),
        (
            "[server.tls]\nmode = \"files\"\nkey = \"\"\ncertificate = \"Cargo.toml\"",
            "2: server.tls.mode: \"files\" needs key too, the path of a PEM file",
        ),
        ("[server.tls]\nkey = \"Cargo.toml\"", "2: server.tls.key: is used with mode = \"files\" alone; set that, or remove it"),
        (
            "[server.tls]\nmode = \"off\"\nclient_ca = \"Cargo.toml\"",
            "3: server.tls.client_ca: there are no client certificates while mode is \"off\"; remove it",
        ),
        (
            "[server.tls]\nmode = \"off\"\nrequire = true",
            "3: server.tls.require: nothing could be reached: plain HTTP is refused, and mode is \"off\"",
        ),
        (
            "[server.tls]\nhosts = [\"a:5000\"]",
            "2: server.tls.hosts: \"a:5000\" is neither a name nor an address; write it like \"registry.example.com\" or \"192.0.2.7\", without a port",
        ),
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
        ("[hosted]\nrule = 1", "2: hosted.rule: expected a list of tables; write [[hosted.rule]], or as one value [{ … }, { … }]"),
        (
            "[[hosted.rule]]\nredeploy = \"deny\"",
            "1: hosted.rule.repositories: every rule needs the repositories that it is for, like repositories = [\"team/**\"]",
        ),
        ("[[hosted.rule]]\nrepositories = []", "2: hosted.rule.repositories: the list is empty; it needs at least one"),
        (
            "[[hosted.rule]]\nrepositories = [\"my*\"]",
            "2: hosted.rule.repositories: \"my*\" matches no repository: a name of one part is library/NAME here; write \"library/my*\"",
        ),
        (
            "[[hosted.rule]]\nrepositories = [\"a/[\"]",
            "2: hosted.rule.repositories: \"a/[\" is no pattern: unclosed character class; missing ']'",
        ),
        ("[[hosted.rule]]\nrepositories = [\"a/*\"]\nkeep_last = 0", "3: hosted.rule.keep_last: expected a whole number from 1 to 1000000"),
        (
            "[hosted]\nredeploy = \"deny\"\n[[hosted.rule]]\nrepositories = [\"a/*\"]\nkeep_days = 9",
            "5: hosted.rule.keep_days: no tag would ever go, as redeploy forbids it here; say redeploy = \"allow\" in this rule, or remove this",
        ),
        (
            "[[hosted.rule]]\nrepositories = [\"a/*\"]\nkeep = 9",
            "3: unknown key `hosted.rule.keep`; known here are repositories, redeploy, immutable_tags, keep_last, keep_days",
        ),
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
        (
            "[log]\nlevel = \"loud\"",
            "2: log.level: \"loud\" is no level; write \"error\", \"warn\", \"info\", \"debug\" or \"trace\", or by part: \"info,hyper=debug\"",
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
            "3: upstream.endpoints: it has more than a host and a path; leave out everything from ? or # on",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\nendpoints = [{ url = \"https://a.b\", user = \"x\" }]",
            "3: unknown key `upstream.endpoints.user`; known here are url, username, password, credentials",
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
        ("[[upstream]]\nregistry = \"a.b\"\nsegments = 0", "3: upstream.segments: expected a whole number from 1 to 1000000"),
        ("[[upstream]]\nregistry = \"a.b\"\ncooldown = 3", "3: upstream.cooldown: a duration needs a unit; write \"3s\" for seconds"),
        (
            "[[upstream]]\nregistry = \"a.b\"\n[[upstream.freshness]]\nttl = \"7d\"",
            "3: upstream.freshness.tags: every rule needs the tags that it is for, like tags = \"v*\", or the repositories; for all of them set tag_ttl and cooldown",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\n[[upstream.freshness]]\ntags = \"v*\"",
            "3: upstream.freshness.ttl: every rule needs something to say: ttl = \"7d\", or cooldown = \"3d\", or both",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\n[[upstream.freshness]]\ntags = []\nttl = \"7d\"",
            "4: upstream.freshness.tags: the list is empty; it needs at least one",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\n[[upstream.freshness]]\ntag = \"v*\"\nrepositories = \"**\"\nttl = \"7d\"",
            "4: unknown key `upstream.freshness.tag`; did you mean `tags`?",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\ncredentials = \"hunter2\"",
            "3: upstream.credentials: expected { docker_config = \"…\" }, { command = [\"…\"] }, or a list of tables, not text",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\ncredentials = { command = [\"x\"], username = \"u\", password = \"p\" }",
            "3: upstream.credentials: a log-in is told in one way: username and password, docker_config, or command",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\ncredentials = [{ repositories = [\"a\"] }]",
            "3: upstream.credentials: a log-in is told in one way: username and password, docker_config, or command",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\ncredentials = { docker_config = \"/nowhere\" }",
            "3: upstream.credentials.docker_config: \"/nowhere\" cannot be read: No such file or directory (os error 2)",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\nusername = \"u\"\npassword = \"p\"\ncredentials = { command = [\"x\"] }",
            "5: upstream.credentials: username and password stand beside it; keep one of the two",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\nno_proxy = [\"c.d\"]",
            "3: upstream.no_proxy: no proxy stands beside it; exceptions from that of HTTPS_PROXY go into NO_PROXY",
        ),
        (
            "[[upstream]]\nregistry = \"a.b\"\nproxy = \"http://p:1\"\nno_proxy = [\"http://c.d\"]",
            "4: upstream.no_proxy: \"http://c.d\" is neither a host nor a network; write it like \"registry.lan\", \".corp.lan\" or \"10.0.0.0/8\"",
        ),
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
