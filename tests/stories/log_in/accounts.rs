//! Users and tokens as commands make them: they hold at once, and what is taken away ends at once.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use entrepot::auth::{Account, AccountKind, KeptAllow, KeptToken, PersonalToken, hashed};
use entrepot::config::Secret;
use entrepot::upkeep::{Request, TokenEvent, TokenOrder, UserOrder};
use serde_json::Value;

use crate::app::*;

async fn user(app: &App, order: UserOrder) -> Result<Vec<Account>, String> {
    app.command(Request::User(order)).await
}

fn hash(password: &str) -> String {
    hashed(&Secret::new(password)).unwrap()
}

/// Makes a token and tells it with its id.
async fn token(app: &App, user: &str, robot: bool, allow: &[(&str, &str)], expires: Option<u64>) -> (String, String) {
    let made = PersonalToken::make();
    let words = |text: &str| text.split(',').map(str::to_owned).collect();
    let allow = allow.iter().map(|(actions, pattern)| KeptAllow { repositories: vec![(*pattern).into()], actions: words(actions) });
    let (id, hash, note) = (made.id.clone(), made.hash(), String::new());
    let kept = KeptToken { id, user: user.into(), robot, note, hash, allow: allow.collect(), made: 1, expires };
    app.command::<Value>(Request::Token(TokenOrder::Create(kept))).await.unwrap();
    (made.token.reveal().to_owned(), made.id)
}

async fn revoke(app: &App, id: &str) -> Vec<TokenEvent> {
    app.command(Request::Token(TokenOrder::Revoke(vec![id.to_owned()]))).await.unwrap()
}

fn issued(answer: &Answer) -> String {
    answer.json()["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_a_command_changes_of_a_user_holds_at_once() {
    let app = App::start().await;
    let carol = |password: &str| app.login("carol", password);
    let scope = ["repository:team/app:pull,push"];
    carol("one").token(&[]).await.expect(401);
    user(&app, UserOrder::Add { name: "carol".into(), hash: hash("one"), roles: Vec::new() }).await.unwrap();
    let first = issued(&carol("one").token(&scope).await.expect(200));
    app.anonymous().with_token(&first).post("/v2/team/app/blobs/uploads/", "").await.expect(202);
    let again = user(&app, UserOrder::Add { name: "carol".into(), hash: hash("x"), roles: Vec::new() }).await.unwrap_err();
    assert!(again.contains("user passwd carol"), "{again}");

    user(&app, UserOrder::Password { name: "carol".into(), hash: hash("two") }).await.unwrap();
    carol("one").basic().get("/v2/").await.expect(401);
    app.anonymous().with_token(&first).get("/v2/").await.expect(401);
    let second = issued(&carol("two").token(&scope).await.expect(200));

    let listed = user(&app, UserOrder::List).await.unwrap();
    let names: Vec<_> = listed.iter().map(|account| account.name.as_str()).collect();
    assert_eq!(names, ["admin", "alice", "bob", "carol"]);
    user(&app, UserOrder::Remove { name: "carol".into() }).await.unwrap();
    carol("two").basic().get("/v2/").await.expect(401);
    app.anonymous().with_token(&second).get("/v2/").await.expect(401);
    let last = user(&app, UserOrder::Remove { name: "admin".into() }).await.unwrap_err();
    assert!(last.contains("the last who may look after"), "{last}");
    app.user("admin").basic().get("/v2/").await.expect(200);
}

#[tokio::test]
async fn a_personal_token_does_what_it_is_limited_to_until_it_is_revoked() {
    let app = App::start().await;
    app.user("alice").push("team/app", "v1", &build("one", &[bytes(1, 1000)])).await;
    let (text, id) = token(&app, "alice", false, &[("pull", "team/**")], None).await;
    let by_password = app.login("alice", &text);
    let by_itself = app.anonymous().with_token(&text);
    let manifest = "/v2/team/app/manifests/v1";
    by_password.pull("team/app", "v1").await;
    let made = issued(&by_password.token(&["repository:team/app:pull,push"]).await.expect(200));
    let made = app.anonymous().with_token(&made);
    for client in [by_password.basic(), by_itself.clone(), made.clone()] {
        client.get("/v2/").await.expect(200);
        client.get(manifest).await.expect(200);
        let refused = client.post("/v2/team/app/blobs/uploads/", "").await.expect(403);
        assert!(refused.message().contains("pushing team/app"), "{}", refused.message());
        client.get("/api/v1/upstreams").await.expect(403);
    }
    // With another name it is nobody's.
    app.login("bob", &text).basic().get("/v2/").await.expect(401);
    let gone = revoke(&app, &id).await;
    assert_eq!(gone, [TokenEvent::Revoked { id: id.clone(), user: "alice".into() }]);
    for client in [by_password.basic(), by_itself, made] {
        client.get("/v2/").await.expect(401);
        client.head(manifest).await.expect(401);
    }
    assert!(matches!(&revoke(&app, &id).await[..], [TokenEvent::Failed { why, .. }] if why.contains("no token")));
    app.user("alice").basic().get("/v2/").await.expect(200);
}

#[tokio::test]
async fn an_unlimited_token_is_its_user_and_an_expired_one_is_nobody() {
    let mut app = App::start().await;
    let (whole, _) = token(&app, "admin", false, &[], None).await;
    let (ended, _) = token(&app, "admin", false, &[], Some(1000)).await;
    let (pulls, _) = token(&app, "admin", false, &[("pull", "**")], None).await;
    for round in 0..2 {
        let with = |text: &str| app.anonymous().with_token(text);
        with(&whole).get("/api/v1/upstreams").await.expect(200);
        app.login("admin", &whole).basic().get("/api/v1/upstreams").await.expect(200);
        with(&pulls).get("/api/v1/upstreams").await.expect(403);
        with(&ended).get("/v2/").await.expect(401);
        app.login("admin", &ended).token(&[]).await.expect(401);
        if round == 0 {
            app.restart().await;
        }
    }
}

#[tokio::test]
async fn a_robot_has_tokens_alone() {
    let app = App::start().await;
    let (text, _) = token(&app, "ci", true, &[("pull,push", "team/**")], None).await;
    let robot = app.login("ci", &text);
    robot.push("team/app", "v1", &build("one", &[bytes(1, 1000)])).await;
    robot.basic().post("/v2/other/app/blobs/uploads/", "").await.expect(403);
    app.login("ci", "").basic().get("/v2/").await.expect(401);
    let clash = user(&app, UserOrder::Add { name: "ci".into(), hash: hash("x"), roles: Vec::new() }).await.unwrap_err();
    assert!(clash.contains("ci is a robot"), "{clash}");
    let listed = user(&app, UserOrder::List).await.unwrap();
    assert!(listed.iter().any(|account| account.name == "ci" && account.kind == AccountKind::Robot && account.tokens == 1));
}

#[tokio::test]
async fn a_refresh_token_stands_for_the_password_until_that_changes() {
    let app = App::start().await;
    let form = [("grant_type", "password"), ("username", "alice"), ("password", "alice-password"), ("access_type", "offline")];
    let by_form = app.anonymous().token_form(&form).await.expect(200);
    let by_query = app.user("alice").basic().get("/token?service=entrepot&offline_token=true&client_id=docker").await.expect(200);
    let scope = "repository:team/app:pull,push";
    for answer in [by_form, by_query] {
        let refresh = answer.json()["refresh_token"].as_str().unwrap().to_owned();
        assert!(answer.json()["issued_at"].as_str().unwrap().ends_with('Z'));
        let fields = [("grant_type", "refresh_token"), ("refresh_token", &refresh), ("service", "entrepot"), ("scope", scope)];
        let access = issued(&app.anonymous().token_form(&fields).await.expect(200));
        app.anonymous().with_token(&access).post("/v2/team/app/blobs/uploads/", "").await.expect(202);
        app.anonymous().with_token(&refresh).get("/v2/").await.expect(401);
        let fields = [("grant_type", "refresh_token"), ("refresh_token", &access), ("scope", scope)];
        app.anonymous().token_form(&fields).await.expect(401);
    }
    // None for who did not ask, showed nothing, or showed a token that is kept itself.
    let (text, _) = token(&app, "alice", false, &[], None).await;
    let offline = "/token?service=entrepot&offline_token=true";
    for answer in [
        app.user("alice").token(&[]).await,
        app.anonymous().bare().get(offline).await,
        app.login("alice", &text).basic().get(offline).await,
    ] {
        assert!(answer.expect(200).json().get("refresh_token").is_none());
    }
    let kept = app.user("bob").basic().get(offline).await.json()["refresh_token"].as_str().unwrap().to_owned();
    user(&app, UserOrder::Password { name: "bob".into(), hash: hash("changed") }).await.unwrap();
    let ended =
        app.anonymous().token_form(&[("grant_type", "refresh_token"), ("refresh_token", &kept), ("scope", scope)]).await.expect(401);
    assert!(ended.message().contains("docker login"), "{}", ended.message());
    // Where anybody may pull, a log-in that has ended is no reason not to.
    let pull = [("grant_type", "refresh_token"), ("refresh_token", kept.as_str()), ("scope", "repository:team/app:pull")];
    app.anonymous().token_form(&pull).await.expect(200);
}

#[tokio::test]
async fn without_a_server_users_and_tokens_are_made_by_the_commands_themselves() {
    let mut app = App::start().await;
    app.stop().await;
    // The configured users file is known from the configuration alone.
    let config = app.data().join("config.toml");
    let users = app.settings.auth.htpasswd.clone().unwrap();
    std::fs::write(&config, format!("[storage]\ndata = {:?}\n[auth]\nhtpasswd = {users:?}\n", app.data())).unwrap();
    let run = |words: &str, input: &str| -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_entrepot"));
        command.args(words.split(' ')).arg("--config").arg(&config);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let text = |output: &Output| String::from_utf8(output.stdout.clone()).unwrap();
    assert!(run("user add carol --password-stdin", "from a pipe\n").status.success());
    let made = run("token create --robot ci --allow pull,push=team/** --expires never --note builds", "");
    let robot = text(&made).trim().to_owned();
    assert!(made.status.success() && robot.starts_with("ent_") && robot.len() == 55, "{made:?}");
    assert!(!std::fs::read_to_string(app.data().join("access.jsonl")).unwrap().contains(&robot[15..]));
    let listed = text(&run("token list", ""));
    assert!(listed.contains("ci (robot)") && listed.contains("pull,push=team/**") && listed.contains("never"), "{listed}");
    for (words, input, expected) in [
        ("user add dave", "", "--password-stdin"),
        ("user add dave --password-stdin", "\n", "at least one letter"),
        ("user add dave --password-stdin --role none", "x\n", "no role none"),
        ("user remove nobody", "", "no user nobody"),
        ("token create --user nobody", "", "no user nobody"),
        ("token create --robot x --expires soon", "", "--expires"),
        ("token create --robot x --allow read", "", "\"read\" is not known"),
        ("token revoke nothing", "", "no token nothing"),
    ] {
        let failed = run(words, input);
        let why = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert!(!failed.status.success() && why.contains(expected), "{words}: {why}");
    }
    app.start_again().await;
    app.login("carol", "from a pipe").basic().get("/v2/").await.expect(200);
    app.login("dave", "x").basic().get("/v2/").await.expect(401);
    app.login("ci", &robot).basic().get("/v2/").await.expect(200);
    // Through the running server; by the token itself.
    assert!(run(&format!("token revoke {robot}"), "").status.success());
    app.login("ci", &robot).basic().get("/v2/").await.expect(401);
}
