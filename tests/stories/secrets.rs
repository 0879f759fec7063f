//! What the whole program tells, at every level: no secret, neither its own nor anybody else's; and what it must tell.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Output, Stdio};

use crate::app::*;
use crate::forward_proxy::ForwardProxy;
use crate::secured::{Authority, Front, Shows};
use serde_json::json;
use tokio::net::TcpListener;

/// `entrepot serve` as a process of its own, which ends when dropped.
struct Program {
    child: Child,
    url: String,
    folder: tempfile::TempDir,
    stdout: BufReader<std::process::ChildStdout>,
    greeting: String,
}

fn entrepot(folder: &tempfile::TempDir, words: &str, environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_entrepot"));
    command.current_dir(folder.path()).args(words.split(' ')).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).envs(environment.iter().copied());
    command
}

impl Program {
    /// With the file `config.toml` of the folder.
    fn start(folder: tempfile::TempDir, environment: &[(&str, &str)]) -> Program {
        let log = std::fs::File::options().append(true).create(true).open(folder.path().join("log")).unwrap();
        let mut command = entrepot(&folder, "serve --listen 127.0.0.1:0 --data data", environment);
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut greeting = String::new();
        stdout.read_line(&mut greeting).unwrap();
        let address = greeting.split_whitespace().find(|word| word.starts_with("127.0.0.1:"));
        let address = address.unwrap_or_else(|| panic!("{greeting}{}", std::fs::read_to_string(folder.path().join("log")).unwrap()));
        Program { child, url: format!("http://{address}"), folder, stdout, greeting }
    }

    /// Ends it as SIGTERM does; what it printed and logged.
    fn stop(mut self) -> (String, tempfile::TempDir) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.stdout.read_to_string(&mut self.greeting).unwrap();
        self.child.wait().unwrap();
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        (format!("{}{log}", self.greeting), std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap()))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn upstream(registry: &str, hub: &FaultUpstream, more: &str) -> String {
    let url = hub.url();
    format!(
        "[[upstream]]\nregistry = \"{registry}\"\nendpoints = [\"{url}\"]\ninsecure = true\ntag_ttl = \"0s\"\nnegative_ttl = \"0s\"\n{more}\n"
    )
}

/// Every secret of the configuration and of those who take part has this in it.
const CANARY: &str = "canary";

#[tokio::test]
async fn sec_08_no_secret_is_in_log_metrics_error_or_configuration_whatever_goes_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let (hub, proxy, authority) = (FaultUpstream::start().await, ForwardProxy::start().await, Authority::new());
    // Tokens are asked for over HTTP/2, whose own lines are in the log too.
    let front = Front::before(hub.address(), &authority, Shows::Good).await;
    hub.behave(|b| {
        b.realm = Some(format!("{}/token", front.origin()));
        (b.tokens, b.redirect, b.hub_401) = (true, true, true);
        b.account = Some(("ann".into(), "canary-hub".into()));
        b.identity_token = Some("canary-identity".into());
    });
    let image = hub.image("team/app", "latest", &[bytes(1, 10_000)]);
    write("from-file", "canary-hub\n");
    let (address, encoded) = (hub.address(), "YW5uOmNhbmFyeS1odWI=");
    write("docker.json", &json!({"auths": {address.to_string(): {"auth": encoded}}}).to_string());
    write("identity.json", &json!({"auths": {address.to_string(): {"auth": "eDp5", "identitytoken": "canary-identity"}}}).to_string());
    write("broken.json", r#"{"auths": {"canary-key": {"auth": "canary-%"}}, "x": canary-broken}"#);
    let sh = |script: &str| format!("credentials = {{ command = [\"sh\", \"-c\", {script:?}] }}");
    let config = [
        "[log]\nlevel = \"trace\"\n[auth]\nadmin_password = \"canary-admin\"\n".to_owned(),
        upstream("right.test", &hub, "username = \"ann\"\npassword = { file = \"from-file\" }"),
        upstream("wrong.test", &hub, "username = \"ann\"\npassword = \"canary-wrong\""),
        upstream("env.test", &hub, "username = \"ann\"\npassword = { env = \"HUB_PASSWORD\" }"),
        upstream("docker.test", &hub, "credentials = { docker_config = \"docker.json\" }"),
        upstream("identity.test", &hub, "credentials = { docker_config = \"identity.json\" }"),
        upstream("broken.test", &hub, "credentials = { docker_config = \"broken.json\" }"),
        upstream("program.test", &hub, &sh(r#"echo '{"Username":"ann","Secret":"canary-hub"}'"#)),
        upstream("garbage.test", &hub, &sh("echo canary-garbage")),
        upstream("failing.test", &hub, &sh("echo canary-failing; echo canary-failing >&2; exit 1")),
        upstream("missing.test", &hub, "credentials = { command = [\"no-such-helper\", \"canary-argument\"] }"),
        upstream("proxied.test", &hub, &format!("proxy = \"http://me:canary-proxy@{}\"", proxy.address)),
        upstream("no-proxy.test", &hub, "proxy = \"http://me:canary-proxy@127.0.0.1:1\""),
        format!(
            "[[upstream]]\nregistry = \"secured.test\"\nendpoints = [\"{}\"]\nca_file = {:?}\nusername = \"ann\"\npassword = \"canary-hub\"\n",
            front.url(),
            authority.file(&folder)
        ),
        "[[upstream]]\nregistry = \"foreign.test\"\ninsecure = true\nendpoints = [\"http://127.0.0.1:1\"]\nusername = \"u\"\npassword = \"canary-gone\"\n".to_owned(),
    ];
    write("config.toml", &config.concat());
    let environment = [("HUB_PASSWORD", "canary-hub"), ("ENTREPOT_AUTH__ADMIN_PASSWORD", "canary-admin")];
    let mut told: Vec<String> = Vec::new();
    let output = |output: Output| [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    for words in ["config show", "config check"] {
        told.push(output(entrepot(&folder, words, &environment).output().unwrap()));
    }
    assert!(told[0].contains("right.test"), "{}", told[0]);

    let program = Program::start(folder, &environment);
    let wire = Client::wire();
    let clients = [
        Client::new(&wire, &program.url, None),
        Client::new(&wire, &program.url, Some(("admin".into(), "canary-admin".into()))),
        Client::new(&wire, &program.url, Some(("hub-user".into(), "canary-client".into()))).basic(),
        Client::new(&wire, &program.url, None).with_token("canary-token"),
    ];
    let registries: Vec<_> = config.iter().filter_map(|part| part.split("registry = \"").nth(1)?.split('"').next()).collect();
    let faults = [
        ("/nothing", Fault::EmptyOk),
        ("/token", Fault::Status(500)),
        ("/token", Fault::HtmlPage),
        ("/token", Fault::RedirectTo(format!("http://{}/token?x=canary-query", hub.cdn()))),
        ("/v2/", Fault::Status(500)),
        ("/v2/", Fault::Reset),
        ("/v2/", Fault::TooMany { retry_after: None }),
        ("/v2/", Fault::BareForbidden),
        ("/v2/", Fault::RedirectTo("http://169.254.169.254/?x=canary-query".into())),
        ("/v2/", Fault::RedirectTo("http://me:canary-location@127.0.0.1:1/?x=canary-query".into())),
        ("/cdn/", Fault::Reset),
        ("/cdn/", Fault::Status(403)),
        ("/cdn/", Fault::Flip),
        ("/cdn/", Fault::CutAfter(5)),
    ];
    let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
    for (path, fault) in faults {
        hub.heal().on(path, fault);
        for registry in &registries {
            for client in &clients {
                for what in ["manifests/latest".to_owned(), format!("blobs/{}", image.layers[0]), "tags/list?n=5&x=canary-query".to_owned()]
                {
                    let answer = client.get(&format!("/v2/{registry}/team/app/{what}")).await;
                    *statuses.entry(answer.status).or_default() += 1;
                    told.push(format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body)));
                }
            }
        }
    }
    assert!(statuses.keys().any(|status| *status == 200) && statuses.keys().any(|status| *status >= 500), "{statuses:?}");
    told.push(output(
        entrepot(&program.folder, "prefetch --data data wrong.test/team/app broken.test/team/app", &environment).output().unwrap(),
    ));
    let metrics = clients[0].get("/metrics").await.expect(200);
    told.push(String::from_utf8(metrics.body.to_vec()).unwrap());
    let (log, _folder) = program.stop();
    assert!(log.contains("TRACE") && log.contains("WARN") && log.contains("no-such-helper"), "it was told a lot");
    assert!(front.http2.load(std::sync::atomic::Ordering::SeqCst) > 0 && proxy.wanted(address) > 0);
    told.push(log);

    // As they are, as Basic shows them, and what the upstream made of them.
    let secrets = [CANARY, "Y2FuYXJ5", "NhbmFye", "jYW5hcn", "signature=secret", "refresh_token=", "Bearer token-"];
    for text in &told {
        for secret in secrets {
            let found = text.lines().find(|line| line.contains(secret));
            assert_eq!(found, None, "{secret} was told");
        }
    }
}

#[tokio::test]
async fn a_credential_helper_is_found_on_the_path_and_asked_as_docker_asks_it() {
    let hub = FaultUpstream::start().await;
    hub.behave(|b| (b.tokens, b.identity_token, b.private) = (true, Some("refresh".into()), vec!["team/app".into()]));
    hub.image("team/app", "latest", &["layer".into()]);
    let folder = tempfile::tempdir().unwrap();
    let helper = folder.path().join("docker-credential-test");
    let script = "#!/bin/sh\necho \"$1 $(cat)\" >> asked\necho '{\"ServerURL\":\"x\",\"Username\":\"<token>\",\"Secret\":\"refresh\"}'\n";
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(folder.path().join("docker.json"), r#"{"auths": {}, "credsStore": "test"}"#).unwrap();
    let text = upstream("helped.test", &hub, "visibility = \"public\"\ncredentials = { docker_config = \"docker.json\" }");
    std::fs::write(folder.path().join("config.toml"), text).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let program = Program::start(folder, &[("PATH", &path)]);
    let client = Client::new(&Client::wire(), &program.url, None);
    client.get("/v2/helped.test/team/app/manifests/latest").await.expect(200);
    hub.revoke_tokens();
    client.get("/v2/helped.test/team/app/tags/list").await.expect(200);
    assert_eq!(std::fs::read_to_string(program.folder.path().join("asked")).unwrap(), format!("get {}\n", hub.address()));
}

#[tokio::test]
async fn sec_24_public_with_credentials_is_told_at_each_start() {
    let hub = FaultUpstream::start().await;
    let mut folder = tempfile::tempdir().unwrap();
    let open = "visibility = \"public\"\nusername = \"ann\"\npassword = \"x\"";
    std::fs::write(folder.path().join("config.toml"), upstream("open.test", &hub, open)).unwrap();
    for starts in 1..=2 {
        let (told, same) = Program::start(folder, &[]).stop();
        folder = same;
        let warnings = told.lines().filter(|line| line.contains("everybody may pull what the credentials for open.test reach")).count();
        assert_eq!(warnings, starts, "{told}");
    }
}

#[tokio::test]
async fn the_environments_proxy_is_asked_unless_its_exceptions_or_the_upstream_say_otherwise() {
    let (hub, proxy) = (FaultUpstream::start().await, ForwardProxy::start().await);
    hub.behave(|b| b.redirect = true);
    let image = hub.image("team/app", "latest", &["layer".into()]);
    let folder = tempfile::tempdir().unwrap();
    let config = [upstream("proxied.test", &hub, ""), upstream("direct.test", &hub, "proxy = \"direct\"")];
    std::fs::write(folder.path().join("config.toml"), config.concat()).unwrap();
    let address = format!("http://me:secret@{}", proxy.address);
    let program = Program::start(folder, &[("HTTP_PROXY", &address), ("NO_PROXY", "127.0.0.2")]);
    let client = Client::new(&Client::wire(), &program.url, None);
    client.blob("direct.test/team/app", &image.layers[0]).await;
    assert_eq!(proxy.asked().len(), 0);
    client.get("/v2/proxied.test/team/app/manifests/latest").await.expect(200);
    assert_eq!(proxy.wanted(hub.address()), 1);
    client.blob("proxied.test/team/app", &image.config).await;
    assert_eq!((proxy.wanted(hub.address()), proxy.wanted(hub.cdn())), (2, 0));
    assert!(hub.seen().iter().any(|seen| seen.cdn));
    assert!(proxy.asked().iter().all(|asked| asked.method == "GET" && asked.authorization == "Basic bWU6c2VjcmV0"));
}

#[tokio::test]
async fn cve_2020_15157_what_a_descriptor_names_as_urls_is_never_dialled() {
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = App::start().await;
    let url = format!("http://{}/layer", trap.local_addr().unwrap());
    let (config, layer) = (app.hub.blob("library/foreign", "{}"), app.hub.blob("library/foreign", "layer"));
    let gone = entrepot::oci::Digest::of(b"nowhere");
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let part = |digest: &entrepot::oci::Digest, size: usize| json!({"mediaType": foreign, "digest": digest.to_string(), "size": size, "urls": [url]});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": IMAGE,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config.to_string(), "size": 2, "urls": [url]},
        "layers": [part(&layer, 5), part(&gone, 7)],
    });
    app.hub.manifest("library/foreign", "latest", IMAGE, manifest.to_string());
    let client = app.anonymous();
    client.get("/v2/foreign/manifests/latest").await.expect(200);
    assert_eq!(client.blob("foreign", &layer).await, "layer");
    client.get(&format!("/v2/foreign/blobs/{gone}")).await.expect(404);
    app.landed().await;
    let asked = tokio::time::timeout(std::time::Duration::from_millis(200), trap.accept()).await;
    assert!(asked.is_err(), "somebody came: {asked:?}");
}

#[tokio::test]
async fn moby_42022_credentials_for_elsewhere_are_as_good_as_none_and_go_nowhere() {
    let app = App::start().await;
    app.hub.image("library/nginx", "latest", &[bytes(1, 1000)]);
    let foreign = app.login("hub-user", "canary-hub");
    let manifest = foreign.basic().get("/v2/nginx/manifests/latest").await.expect(200).body;
    let pulled = foreign.pull("nginx", "latest").await;
    assert_eq!(pulled.manifest, manifest);
    app.landed().await;
    assert_eq!(app.anonymous().pull("nginx", "latest").await, pulled, "what came for them is everybody's");
    let shown: Vec<_> = app.hub.seen().into_iter().filter_map(|seen| seen.request.header("authorization").map(str::to_owned)).collect();
    assert!(!shown.is_empty() && shown.iter().all(|text| text.starts_with("Bearer token-")), "{shown:?}");
}
