//! Looking after what is here: deleting, purging, copying, listing, and collecting what nobody needs.

use std::process::{Command, Output};
use std::time::Duration;

use crate::app::*;
use entrepot::config::{Patterns, Visibility};
use entrepot::oci::Digest;
use entrepot::registry::{Collected, Listed, Sweep, Usage};
use entrepot::upkeep::{Copy, Gathering, Names, Outcome, Request, Room, Tempo, keep_collecting};

async fn gc(app: &App, dry_run: bool) -> Collected {
    let events = app.command(Request::Gc(Sweep { dry_run, untagged: false })).await.unwrap();
    let Some(Gathering::Done(collected)) = events.last() else { panic!("{events:?}") };
    *collected
}

fn names(names: &[&str], all: bool) -> Names {
    Names { names: names.iter().map(|name| (*name).to_owned()).collect(), all }
}

/// Why each name failed; nothing for those that did not.
async fn failures(app: &App, request: Request) -> Vec<Option<String>> {
    let outcomes = app.command(request).await.unwrap();
    let why = |outcome| match outcome {
        Outcome::Done { .. } => None,
        Outcome::Failed { why, .. } => Some(why),
    };
    outcomes.into_iter().map(why).collect()
}

async fn delete(app: &App, image: &str) -> Option<String> {
    failures(app, Request::Delete(names(&[image], false))).await.remove(0)
}

async fn purge(app: &App, image: &str) -> Option<String> {
    failures(app, Request::Purge(names(&[image], false))).await.remove(0)
}

async fn copy(app: &App, from: &str, to: &str) -> Result<Vec<Outcome>, String> {
    app.command(Request::Copy(Copy { from: from.into(), to: to.into() })).await
}

async fn ls(app: &App, pattern: Option<&str>) -> Vec<Listed> {
    app.command(Request::Ls(pattern.map(str::to_owned))).await.unwrap()
}

async fn total(app: &App) -> Usage {
    match app.command(Request::Du).await.unwrap().pop() {
        Some(Room::Total(usage)) => usage,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_deleted_is_gone_at_once_and_its_bytes_go_unless_others_need_them() {
    let app = App::start().await;
    let alice = app.user("alice");
    let [own, shared] = [bytes(1, 50_000), bytes(2, 70_000)];
    let (gone, kept) = (build("gone", &[own.clone(), shared.clone()]), build("kept", std::slice::from_ref(&shared)));
    alice.push("team/app", "v1", &gone).await;
    alice.push("team/other", "v1", &kept).await;
    assert_eq!(gc(&app, false).await, Collected::default(), "all of it is needed");

    assert_eq!(delete(&app, "team/app:v1").await, None);
    app.anonymous().get("/v2/team/app/manifests/v1").await.expect(404);
    assert!(delete(&app, "team/app:v1").await.unwrap().contains("v1"), "it is told that there was nothing to delete");
    assert_eq!(gc(&app, false).await.blobs, 0, "an untagged manifest may be pinned by its digest");
    assert_eq!(delete(&app, &format!("team/app@{}", gone.digest())).await, None);
    let foreseen = gc(&app, true).await;
    assert_eq!((foreseen.blobs, foreseen.bytes), (3, 50_000 + (gone.manifest.len() + gone.config.len()) as u64));
    assert_eq!(gc(&app, false).await, foreseen);
    assert_eq!(gc(&app, false).await, Collected::default());
    assert_eq!(app.anonymous().pull("team/other", "v1").await.manifest, kept.manifest);
    alice.push("team/app", "v1", &gone).await;
    assert_eq!(app.anonymous().pull("team/app", "v1").await.manifest, gone.manifest);
}

#[tokio::test]
async fn a_name_asked_of_the_wrong_command_is_told_the_right_one() {
    let app = App::start().await;
    app.hub.image("library/nginx", "latest", &[bytes(1, 1000)]);
    app.anonymous().pull("nginx", "latest").await;
    app.user("alice").push("team/app", "v1", &build("ours", &[])).await;
    for cached in ["nginx", "docker.io/library/nginx"] {
        let why = delete(&app, cached).await.unwrap();
        assert!(why.contains("entrepot purge"), "{why}");
    }
    let why = purge(&app, "team/app:v1").await.unwrap();
    assert!(why.contains("entrepot delete team/app:v1"), "{why}");
    let failed = failures(&app, Request::Purge(names(&["team/app", "nginx"], true))).await;
    assert!(failed[0].as_ref().unwrap().contains("entrepot delete --all team/app") && failed[1].is_none(), "{failed:?}");
    for nobody in ["nobody", "UPPER"] {
        assert!(delete(&app, nobody).await.is_some() && purge(&app, nobody).await.is_some());
    }
    app.anonymous().pull("team/app", "v1").await;
}

#[tokio::test]
async fn what_is_purged_is_asked_of_its_upstream_again_and_the_rest_stays() {
    // A layer fetched ahead may come after the purge.
    let app = App::with_hub(|hub| hub.prefetch_layers = false).await;
    let [old, base, new] = [bytes(1, 10_000), bytes(2, 20_000), bytes(3, 30_000)];
    let one = app.hub.image("library/nginx", "1", &[old, base.clone()]);
    let two = app.hub.image("library/nginx", "2", &[base, new]);
    for tag in ["1", "2"] {
        app.anonymous().pull("nginx", tag).await;
    }
    app.landed().await;
    assert_eq!(purge(&app, "nginx:1").await, None);
    assert_eq!(gc(&app, false).await.blobs, 3, "manifest, config and the layer of that image alone");
    app.hub.forget();
    app.anonymous().pull("nginx", "2").await;
    assert_eq!(app.hub.requests(), 0, "the other one is whole");
    assert_eq!(app.anonymous().pull("nginx", "1").await.digest, one.digest);
    app.landed().await;
    assert_eq!((app.fetches(&one.layers[0]), app.fetches(&two.layers[0])), (1, 0), "what both have is still here");

    assert_eq!(failures(&app, Request::Purge(names(&["docker.io/library/nginx"], true))).await, [None]);
    assert_eq!(ls(&app, None).await, []);
    gc(&app, false).await;
    assert_eq!(total(&app).await.bytes, 0);
    assert_eq!(app.anonymous().pull("nginx", "2").await.digest, two.digest);
}

#[tokio::test]
async fn a_copy_of_a_cached_image_is_whole_and_stays_when_the_cache_goes() {
    let app = App::start().await;
    let children = [("linux/amd64", 1), ("linux/arm64", 2)].map(|(platform, seed)| {
        let image = app.hub.image("library/nginx", &platform.replace('/', "-"), &[bytes(seed, 1000)]);
        (platform, image)
    });
    let entries: Vec<_> = children.iter().map(|(platform, image)| (*platform, &image.manifest)).collect();
    app.hub.manifest("library/nginx", "latest", INDEX, index_of(&entries));
    app.anonymous().get("/v2/nginx/manifests/latest").await.expect(200);
    let why = copy(&app, "nginx", "base/nginx:1").await.unwrap_err();
    assert!(why.contains("prefetch"), "an index without a platform is no image: {why}");
    let amd64 = &children[0].1;
    app.anonymous().get(&format!("/v2/nginx/manifests/{}", amd64.digest)).await.expect(200);
    let why = copy(&app, "nginx", "base/nginx:1").await.unwrap_err();
    assert!(why.contains("prefetch"), "its layers are not here: {why}");
    app.anonymous().pull("nginx", &amd64.digest.to_string()).await;
    app.landed().await;
    copy(&app, "nginx", "base/nginx:1").await.unwrap();
    app.anonymous().pull("nginx", "latest").await;
    app.landed().await;
    copy(&app, "docker.io/library/nginx", "base/nginx:2").await.unwrap();
    copy(&app, "base/nginx:2", "base/again").await.unwrap();
    assert!(copy(&app, "nginx", "docker.io/library/nginx:copy").await.unwrap_err().contains("hosted"));
    assert!(copy(&app, "never", "base/never").await.unwrap_err().contains("never"));

    assert_eq!(failures(&app, Request::Purge(names(&["nginx"], true))).await, [None]);
    gc(&app, false).await;
    app.hub.on("/", Fault::Reset);
    for (name, tag) in [("base/nginx", "2"), ("base/again", "latest")] {
        assert_eq!(app.anonymous().pull(name, tag).await.blobs.len(), 4, "{name}:{tag}");
    }
    app.anonymous().pull("base/nginx", &amd64.digest.to_string()).await;
}

#[tokio::test]
async fn commands_obey_the_policy_of_tags() {
    let app = App::with(|settings| settings.hosted.tags.immutable_tags = Patterns::new(&["v*"]).unwrap()).await;
    let alice = app.user("alice");
    alice.push("team/app", "v1", &build("one", &[])).await;
    alice.push("team/app", "latest", &build("two", &[])).await;
    assert!(copy(&app, "team/app:latest", "team/app:v1").await.unwrap_err().contains("immutable"));
    copy(&app, "team/app:v1", "team/app:latest").await.unwrap();
    assert!(delete(&app, "team/app:v1").await.unwrap().contains("immutable"));
    let failed = failures(&app, Request::Delete(names(&["team/app"], true))).await;
    assert!(failed[0].as_ref().unwrap().contains("immutable"), "{failed:?}");
    assert_eq!(app.anonymous().pull("team/app", "v1").await.manifest, build("one", &[]).manifest);
}

#[tokio::test]
async fn a_deleted_repository_leaves_its_name_to_the_upstream_again() {
    let app = App::start().await;
    let theirs = app.hub.image("org/tool", "latest", &[bytes(1, 1000)]);
    app.user("admin").push("org/tool", "v1", &build("ours", &[bytes(2, 1000)])).await;
    app.anonymous().get("/v2/org/tool/manifests/latest").await.expect(404);
    assert_eq!(failures(&app, Request::Delete(names(&["org/tool"], true))).await, [None]);
    app.anonymous().get("/v2/org/tool/manifests/v1").await.expect(404);
    assert_eq!(app.anonymous().pull("org/tool", "latest").await.digest, theirs.digest);
    assert_eq!(gc(&app, false).await.blobs, 3);
}

#[tokio::test]
async fn ls_and_du_tell_what_is_here() {
    let hub = |hub: &mut entrepot::config::Upstream| hub.visibility = Visibility::Public;
    let app = App::with_hub(hub).await;
    let shared = bytes(1, 10_000);
    let theirs = app.hub.image("org/tool", "1", &[shared.clone(), bytes(2, 5_000)]);
    app.anonymous().pull("org/tool", "1").await;
    app.landed().await;
    let ours = build("ours", &[shared]);
    for tag in ["v1", "v2"] {
        app.user("alice").push("team/app", tag, &ours).await;
    }
    let images = ls(&app, None).await;
    let listed: Vec<_> = images.iter().map(|listed| (listed.image.as_str(), listed.hosted, listed.digest)).collect();
    let (d, t) = (ours.digest(), theirs.digest);
    assert_eq!(listed, [("team/app:v1", true, d), ("team/app:v2", true, d), ("docker.io/org/tool:1", false, t)]);
    assert_eq!(images[0].size, 10_000 + (ours.manifest.len() + ours.config.len()) as u64);
    assert!(images.iter().all(|listed| listed.at > 0) && images[2].size > 15_000);
    for (pattern, count) in [("team/*", 2), ("team/app:v2", 1), ("docker.io/**", 1), ("org/tool", 1), ("*", 0)] {
        assert_eq!(ls(&app, Some(pattern)).await.len(), count, "{pattern}");
    }
    let rooms: Vec<Room> = app.command(Request::Du).await.unwrap();
    let [Room::Repository(team), Room::Repository(tool), Room::Total(usage)] = &rooms[..] else { panic!("{rooms:?}") };
    assert_eq!((team.repository.as_str(), team.shared, tool.shared, tool.hosted), ("team/app", 10_000, 10_000, false));
    assert_eq!(usage.bytes, team.own + tool.own + 10_000);
    assert_eq!((usage.hosted, usage.cached, usage.collectable), (team.own + 10_000, tool.own + 10_000, 0));
    assert_eq!(delete(&app, &format!("team/app@{d}")).await, None);
    assert_eq!(total(&app).await.collectable, team.own, "what is shared is still needed");
}

#[tokio::test]
async fn a_running_server_collects_by_itself() {
    let app = App::start().await;
    app.user("alice").push("team/app", "v1", &build("one", &[bytes(1, 1000)])).await;
    assert_eq!(failures(&app, Request::Delete(names(&["team/app"], true))).await, [None]);
    let tempo = Tempo { rest: Duration::ZERO, every: Duration::from_millis(5), idle: 1 };
    let collecting = tokio::spawn(keep_collecting(app.registry().clone(), tempo));
    until("the bytes are gone", async || total(&app).await.bytes == 0).await;
    collecting.abort();
}

/// Runs the program as a person does, over the data folder of a server that has ended.
fn run(app: &App, words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_entrepot"));
    command.current_dir(app.data().parent().unwrap()).args(words.split(' ')).arg("--data").arg(app.data());
    command.output().unwrap()
}

#[tokio::test]
async fn without_a_server_the_commands_work_by_themselves() {
    let mut app = App::start().await;
    let image = build("one", &[bytes(1, 1000)]);
    app.user("alice").push("team/app", "v1", &image).await;
    app.user("alice").push_blob("team/app", &bytes(2, 500)).await;
    app.stop().await;
    let text = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();

    let listed: Listed = serde_json::from_str(&text(&run(&app, "ls --json"))).unwrap();
    assert_eq!((listed.image.as_str(), listed.digest), ("team/app:v1", image.digest()));
    assert!(text(&run(&app, "ls")).lines().nth(1).unwrap().starts_with("team/app:v1  hosted  "));
    assert_eq!(run(&app, "copy team/app:v1 team/app:v2").status.code(), Some(0));
    let failed = run(&app, "delete team/app:never team/app:v2");
    assert_eq!((failed.status.code(), text(&failed).as_str()), (Some(1), "team/app:v2: deleted\n"));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("team/app:never"));
    assert_eq!(run(&app, &format!("delete team/app@{}", image.digest())).status.code(), Some(0));
    let collected = text(&run(&app, "gc"));
    assert!(collected.starts_with("removed: 3 blobs") && collected.contains("kept: 1 blob that"), "{collected}");
    assert_eq!(run(&app, "gc --no-such").status.code(), Some(2));

    // What was pushed lately and has no manifest yet is still there for its pusher.
    app.start_again().await;
    let digest = Digest::of(&bytes(2, 500));
    app.user("alice").head(&format!("/v2/team/app/blobs/{digest}")).await.expect(200);
}
