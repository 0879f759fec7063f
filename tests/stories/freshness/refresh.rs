//! `entrepot refresh`.

use std::process::Command;

use entrepot::upkeep::{Request, TagEvent};

use super::{LATEST, app, asked};
use crate::app::*;

pub async fn refresh(app: &App, image: &str) -> TagEvent {
    app.command(Request::Refresh(vec![image.into()])).await.unwrap().remove(0)
}

pub fn why(event: TagEvent) -> String {
    match event {
        TagEvent::Failed { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_fresh_tag_is_asked_for_and_old_and_new_are_told() {
    let app = app(|_| {}).await;
    let old = app.hub.image("library/nginx", "latest", &[]);
    app.anonymous().get(LATEST).await.expect(200);
    let told = |from, to| TagEvent::Refreshed { image: "nginx".into(), repository: "docker.io/library/nginx".into(), from, to, held: None };
    assert_eq!(refresh(&app, "nginx").await, told(old.digest, old.digest));
    assert_eq!(asked(&app), (1, 1));
    let new = app.hub.image("library/nginx", "latest", &[bytes(1, 100)]);
    assert_eq!(app.anonymous().get(LATEST).await.body, old.manifest, "it is still believed");
    assert_eq!(refresh(&app, "nginx").await, told(old.digest, new.digest));
    assert_eq!(app.anonymous().get(LATEST).await.body, new.manifest);
    assert_eq!(asked(&app), (2, 2));
}

#[tokio::test]
async fn what_cannot_be_refreshed_is_named_and_stays() {
    let mut app = app(|_| {}).await;
    let image = app.hub.image("library/nginx", "latest", &[]);
    app.anonymous().get(LATEST).await.expect(200);
    app.user("alice").push("team/app", "v1", &build("ours", &[])).await;
    app.hub.on("/", Fault::Status(503));
    for (name, part) in [
        ("nginx", "docker.io"),
        ("redis", "entrepot prefetch redis"),
        ("team/app:v1", "hosted here"),
        ("team/app:v2", "hosted here"),
        ("UPPER", "no image name"),
        (&format!("nginx@{}", image.digest), "never changes"),
    ] {
        let why = why(refresh(&app, name).await);
        assert!(why.contains(part), "{name}: {why}");
    }
    assert_eq!(app.anonymous().get(LATEST).await.expect(200).body, image.manifest);
    app.restart_with(|settings| settings.cache.offline = true).await;
    app.hub.heal().forget();
    assert!(why(refresh(&app, "nginx").await).contains("offline"));
    assert_eq!(app.hub.requests(), 0);
}

/// Runs the program over the data folder of a server that has ended, with the same docker.io.
pub fn run(app: &App, words: &str) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_entrepot"));
    let upstream = format!("[{{ registry = \"docker.io\", endpoints = [\"{}\"], insecure = true }}]", app.hub.url());
    command.current_dir(app.data().parent().unwrap()).env("ENTREPOT_UPSTREAM", upstream);
    let output = command.args(words.split(' ')).arg("--data").arg(app.data()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_the_command_asks_by_itself() {
    let mut app = app(|_| {}).await;
    let old = app.hub.image("library/nginx", "latest", &[]);
    app.anonymous().get(LATEST).await.expect(200);
    let new = app.hub.image("library/nginx", "latest", &[bytes(1, 100)]);
    app.stop().await;
    let (code, text) = run(&app, "refresh nginx redis");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(&format!("nginx: {}, before {}\n", new.digest, old.digest)) && text.contains("redis: "), "{text}");
    let (code, text) = run(&app, "history nginx");
    let lines: Vec<_> = text.lines().collect();
    assert!(code == 0 && lines.len() == 2 && lines[1].contains(&format!("docker.io  {}, before", new.digest)), "{text}");
    app.hub.forget();
    app.start_again().await;
    assert_eq!(app.anonymous().get(LATEST).await.body, new.manifest);
    assert_eq!(app.hub.requests(), 0);
}
