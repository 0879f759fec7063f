//! What the program tells of who logged in and who changed what: each once, in the log and in a file of its own, and no secret.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use entrepot::oci::Digest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::app::*;

/// `entrepot serve` as a process of its own, which ends when dropped.
struct Program {
    child: Child,
    /// Held open: a server that cannot greet ends.
    _stdout: BufReader<ChildStdout>,
    url: String,
    folder: tempfile::TempDir,
    http: reqwest::Client,
}

fn entrepot(folder: &tempfile::TempDir, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_entrepot"));
    command.current_dir(folder.path()).args(words.split(' ')).env_clear();
    command
}

/// A folder with users and a configuration whose log says as little as it can.
fn folder(hub: &FaultUpstream) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let users = ["admin", "alice"].map(|name| format!("{name}:{}\n", bcrypt::hash(password(name), 4).unwrap()));
    std::fs::write(folder.path().join("users"), users.concat()).unwrap();
    let settings = format!(
        "[storage]\nreserve = \"1MiB\"\n[auth]\nhtpasswd = \"users\"\n\
         [log]\nlevel = \"warn\"\nformat = \"json\"\nrequests = \"off\"\naudit = \"audit\"\n\
         [[hosted.rule]]\nrepositories = [\"team/frozen\"]\nredeploy = \"deny\"\n\
         [[hosted.rule]]\nrepositories = [\"team/old\"]\nkeep_last = 1\n\
         [[upstream]]\nregistry = \"docker.io\"\nendpoints = [\"{}\"]\ninsecure = true\n",
        hub.url()
    );
    std::fs::write(folder.path().join("config.toml"), settings).unwrap();
    folder
}

impl Program {
    async fn start() -> (Program, FaultUpstream) {
        let hub = FaultUpstream::start().await;
        (Program::over(folder(&hub)), hub)
    }

    fn over(folder: tempfile::TempDir) -> Program {
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut command = entrepot(&folder, "serve --listen 127.0.0.1:0");
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut greeting = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut greeting).unwrap();
        let address = greeting.split_whitespace().find(|word| word.starts_with("127.0.0.1:")).expect("it starts");
        Program { child, _stdout: stdout, url: format!("http://{address}"), folder, http: Client::wire() }
    }

    fn user(&self, name: &str) -> Client {
        self.login(name, &password(name))
    }

    fn login(&self, name: &str, password: &str) -> Client {
        Client::new(&self.http, &self.url, Some((name.to_owned(), password.to_owned())))
    }

    fn run(&self, words: &str) -> Output {
        entrepot(&self.folder, words).output().unwrap()
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("audit")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The lines of the file without their time, once there are so many.
    async fn lines(&self, count: usize) -> Vec<Value> {
        let read = || std::fs::read_to_string(self.file()).unwrap_or_default();
        until("the events are in the file", async || read().lines().count() >= count).await;
        let mut lines: Vec<Value> = read().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for line in &mut lines {
            let time = line.as_object_mut().unwrap().remove("time").expect("a line has its time");
            assert!(time.as_str().unwrap().starts_with("20") && time.as_str().unwrap().ends_with('Z'), "{time}");
        }
        lines
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

trait Merged {
    fn merged(self, more: Value) -> Value;
}

impl Merged for Value {
    fn merged(mut self, more: Value) -> Value {
        self.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self
    }
}

/// An event of a user's over HTTP.
fn by(user: &str, event: &str, more: Value) -> Value {
    json!({ "event": event, "outcome": "done", "user": user, "client": "127.0.0.1" }).merged(more)
}

/// An event of a command's.
fn local(event: &str, more: Value) -> Value {
    let mut line = by("local", event, more);
    line.as_object_mut().unwrap().remove("client");
    line
}

#[tokio::test]
async fn log_ins_are_told_and_the_log_says_what_the_file_says() {
    let (program, _hub) = Program::start().await;
    program.user("alice").token(&[]).await.expect(200);
    let form = [("grant_type", "password"), ("service", "entrepot"), ("username", "alice"), ("password", "alice-password")];
    program.user("alice").token_form(&form).await.expect(200);
    program.user("alice").basic().get("/v2/").await.expect(200);
    // Neither of these is a log-in.
    program.user("alice").token(&["repository:team/app:pull"]).await.expect(200);
    program.login("alice", "her password at docker hub").token(&["repository:nginx:pull"]).await.expect(200);

    program.login("alice", "canary-1").token(&[]).await.expect(401);
    program.login("alice", "canary-2").basic().post("/v2/team/app/blobs/uploads/", "").await.expect(401);
    program.login("canary-3", "alice").basic().get("/v2/").await.expect(401);

    let right = by("alice", "log-in", json!({}));
    let wrong = json!({ "outcome": "refused", "why": "the user name or the password is wrong" });
    let unknown = json!({ "event": "log-in", "outcome": "refused", "client": "127.0.0.1", "why": wrong["why"] });
    let lines = program.lines(6).await;
    let wrong = by("alice", "log-in", wrong);
    assert_eq!(lines, [right.clone(), right.clone(), right, wrong.clone(), wrong, unknown]);

    let log = || {
        let text = program.log();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["target"] == "audit").collect::<Vec<_>>()
    };
    until("the events are in the log", async || log().len() >= 6).await;
    for (mut logged, line) in log().into_iter().zip(lines) {
        let logged = logged.as_object_mut().unwrap();
        assert_eq!((logged.remove("target"), logged.remove("level")), (Some(json!("audit")), Some(json!("INFO"))));
        assert!(logged.remove("timestamp").is_some());
        assert_eq!(Value::Object(logged.clone()), line);
    }
    assert!(!program.log().contains("canary") && !std::fs::read_to_string(program.file()).unwrap().contains("canary"));
}

#[tokio::test]
async fn what_requests_change_is_told_once_with_what_it_was_before() {
    let (program, _hub) = Program::start().await;
    let [one, two] = [build("one", &[bytes(1, 100)]), build("two", &[bytes(2, 100)])];
    let [d1, d2] = [one.digest().to_string(), two.digest().to_string()];
    let (alice, admin) = (program.user("alice"), program.user("admin"));
    alice.push("team/app", "v1", &one).await;
    alice.push("team/app", "v1", &two).await;
    let path = format!("/v2/team/app/manifests/{d1}?tag=v1&tag=v3");
    alice.send(reqwest::Method::PUT, &path, &[("content-type", IMAGE)], one.manifest.clone()).await.expect(201);
    alice.push("nginx", "mine", &one).await;
    alice.push("team/frozen", "v1", &one).await;
    alice.push("team/frozen", "v2", &two).await;
    alice.put_manifest("team/frozen", "v1", IMAGE, two.manifest.clone()).await.expect(409);
    alice.delete("/v2/team/app/manifests/v1").await.expect(403);
    admin.delete("/v2/team/app/manifests/v3").await.expect(202);
    admin.delete(&format!("/v2/team/app/manifests/{d1}")).await.expect(202);
    let blob = Digest::of(&one.config).to_string();
    admin.delete(&format!("/v2/team/app/blobs/{blob}")).await.expect(202);

    let push = |repository: &str, tag: &str, to: &str, more: Value| {
        by("alice", "push", json!({ "repository": repository, "reference": tag, "digest": to, "to": to })).merged(more)
    };
    let lines = program.lines(14).await;
    let refused = |line: &Value| (line["outcome"].clone(), line["why"].as_str().unwrap().to_owned());
    assert!(refused(&lines[8]).1.contains("v1 is immutable") && refused(&lines[9]).1.contains("may not do that"), "{lines:?}");
    let why = |line: &Value| json!({ "outcome": "refused", "why": line["why"] });
    let expected = [
        push("team/app", "v1", &d1, json!({})),
        push("team/app", "v1", &d2, json!({ "from": d1 })),
        push("team/app", &d1, &d1, json!({})),
        push("team/app", "v1", &d1, json!({ "event": "tag", "from": d2 })),
        push("team/app", "v3", &d1, json!({ "event": "tag" })),
        push("nginx", "mine", &d1, json!({ "shadows": true })),
        push("team/frozen", "v1", &d1, json!({})),
        push("team/frozen", "v2", &d2, json!({})),
        by("alice", "push", json!({ "repository": "team/frozen", "reference": "v1" }).merged(why(&lines[8]))),
        by("alice", "delete", json!({ "repository": "team/app", "reference": "v1" }).merged(why(&lines[9]))),
        by("admin", "delete", json!({ "repository": "team/app", "reference": "v3", "digest": d1, "from": d1 })),
        by("admin", "delete", json!({ "repository": "team/app", "reference": d1, "digest": d1, "from": d1 })),
        by("admin", "delete", json!({ "repository": "team/app", "reference": "v1", "digest": d1, "from": d1 })),
        by("admin", "delete-blob", json!({ "repository": "team/app", "digest": blob })),
    ];
    for (line, expected) in lines.iter().zip(expected) {
        assert_eq!(*line, expected);
    }
}

#[tokio::test]
async fn what_commands_change_is_told_beside_a_server_and_without_one() {
    let (mut program, hub) = Program::start().await;
    let nginx = hub.image("library/nginx", "1", &[bytes(3, 100)]).digest.to_string();
    let image = build("one", &[bytes(1, 100)]);
    let digest = image.digest().to_string();
    let alice = program.user("alice");
    alice.push("team/app", "v1", &image).await;
    alice.push("team/old", "v1", &image).await;
    alice.push("team/old", "v2", &image).await;
    alice.pull("nginx", "1").await;
    for words in [
        "copy team/app:v1 base/app:v2",
        "delete team/app:v1",
        "delete team/app:none",
        "delete --all base/app",
        "pin nginx:1",
        "unpin nginx:1",
        "purge nginx:1",
        "prune --dry-run",
        "prune",
        "gc --dry-run",
        "gc",
    ] {
        program.run(words);
    }
    let lines = program.lines(12).await;
    let image_of = |repository: &str, reference: &str| json!({ "repository": repository, "reference": reference });
    let (was, is) = (json!({ "digest": digest, "from": digest }), json!({ "digest": digest, "to": digest }));
    let pinned = json!({ "digest": nginx, "from": nginx, "to": nginx });
    let expected = [
        local("copy", image_of("base/app", "v2").merged(is).merged(json!({ "why": "from team/app:v1" }))),
        local("delete", image_of("team/app", "v1").merged(was.clone())),
        local("delete", image_of("team/app", "none").merged(json!({ "outcome": "refused", "why": lines[5]["why"] }))),
        local("delete", json!({ "repository": "base/app" })),
        local("pin", image_of("nginx", "1").merged(pinned.clone())),
        local("unpin", image_of("nginx", "1").merged(pinned)),
        local("purge", image_of("nginx", "1")),
        local("prune", image_of("team/old", "v1").merged(was).merged(json!({ "why": lines[10]["why"] }))),
        local("gc", json!({ "why": lines[11]["why"] })),
    ];
    assert_eq!(lines[3..], expected);
    assert!(lines[5]["why"].as_str().unwrap().contains("none") && lines[11]["why"].as_str().unwrap().contains(" blobs of "), "{lines:?}");

    kill_process(Pid::from_child(&program.child), Signal::TERM).unwrap();
    program.child.wait().unwrap();
    program.run("delete team/old:v2");
    assert_eq!(
        program.lines(13).await[12],
        local("delete", image_of("team/old", "v2").merged(json!({ "digest": digest, "from": digest })))
    );
}

#[tokio::test]
async fn changes_of_users_roles_and_tokens_are_told() {
    let (program, _hub) = Program::start().await;
    let ok = |words: &str| {
        let output = program.run(words);
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    ok("role add team --allow pull,push=team/** --member alice");
    ok("role grant team ci-*");
    ok("role revoke team alice");
    let token = ok("token create --robot ci-1");
    let token = token.split_whitespace().find(|word| word.starts_with("ent_")).expect("it is shown");
    let id = token.split('_').nth(1).unwrap();
    ok(&format!("token revoke {id}"));
    ok("role remove team --open");
    let account = |event: &str, account: &str, more: Value| local(event, json!({ "account": account }).merged(more));
    let expected = [
        account("role-added", "team", json!({ "to": "pull,push on team/**" })),
        account("role-granted", "team", json!({ "to": "alice" })),
        account("role-granted", "team", json!({ "to": "ci-*" })),
        account("role-revoked", "team", json!({ "from": "alice" })),
        account("token-created", "ci-1", json!({ "to": id })),
        account("token-revoked", "ci-1", json!({ "from": id })),
        account("role-removed", "team", json!({})),
    ];
    assert_eq!(program.lines(expected.len()).await, expected);
    assert!(!program.log().contains(token) && !std::fs::read_to_string(program.file()).unwrap().contains(token));
}

#[tokio::test]
async fn a_file_that_is_rotated_goes_on_and_one_that_cannot_be_written_is_told_once_and_counted() {
    let (program, _hub) = Program::start().await;
    let alice = program.user("alice");
    let log_in = async || alice.token(&[]).await.expect(200);
    let lost = async || {
        let page = String::from_utf8(alice.get("/metrics").await.body.to_vec()).unwrap();
        page.lines().find_map(|line| line.strip_prefix("entrepot_audit_lost_total ")).unwrap().parse::<u64>().unwrap()
    };
    let told = |text: &str| program.log().matches(text).count();
    log_in().await;
    program.lines(1).await;
    std::fs::rename(program.file(), program.folder.path().join("audit.1")).unwrap();
    kill_process(Pid::from_child(&program.child), Signal::HUP).unwrap();
    log_in().await;
    program.lines(1).await;
    assert_eq!(std::fs::metadata(program.file()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(program.folder.path().join("audit.1")).unwrap().lines().count(), 1);

    std::fs::remove_file(program.file()).unwrap();
    std::fs::create_dir(program.file()).unwrap();
    for _ in 0..3 {
        log_in().await;
    }
    until("what is lost is counted", async || lost().await == 3).await;
    assert_eq!(told("audit lines cannot be written"), 1);
    std::fs::remove_dir(program.file()).unwrap();
    log_in().await;
    program.lines(1).await;
    until("that it goes on is told", async || told("audit lines are written again") == 1).await;
    assert_eq!(lost().await, 3);
}

#[tokio::test]
async fn a_file_that_cannot_be_made_is_no_start_and_says_why() {
    let hub = FaultUpstream::start().await;
    let folder = folder(&hub);
    let refused = entrepot(&folder, "serve --listen 127.0.0.1:0").env("ENTREPOT_LOG__AUDIT", "none/audit").output().unwrap();
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    assert!(why.contains("log.audit: none/audit cannot be written: No such file or directory") && why.contains("make its folder"), "{why}");
}
