//! Pinned tags: they answer one digest, their upstream is not asked, and nothing of them is given up without a word.

use std::time::Duration;

use entrepot::registry::{Listed, Sweep};
use entrepot::upkeep::{Gathering, HistoryEvent, Names, Outcome, Request, TagEvent};

use super::refresh::{refresh, run, why};
use super::{LATEST, app, asked};
use crate::app::*;

async fn pin(app: &App, image: String) -> TagEvent {
    app.command(Request::Pin(vec![image])).await.unwrap().remove(0)
}

async fn unpin(app: &App, image: &str) -> TagEvent {
    app.command(Request::Unpin(vec![image.into()])).await.unwrap().remove(0)
}

async fn purge(app: &App, name: &str, all: bool) -> Option<String> {
    let names = Names { names: vec![name.to_owned()], all };
    match app.command(Request::Purge(names)).await.unwrap().remove(0) {
        Outcome::Done { .. } => None,
        Outcome::Failed { why, .. } => Some(why),
    }
}

/// Three images that were `nginx:latest` upstream in turn; the second is cached.
async fn three() -> (App, [Image; 3]) {
    let app = app(|hub| hub.tag_ttl = Duration::ZERO).await;
    let mut images = Vec::new();
    for seed in [1, 2, 3] {
        images.push(app.hub.image("library/nginx", "latest", &[bytes(seed, 1000)]));
        if seed == 2 {
            app.anonymous().pull("nginx", "latest").await;
            app.landed().await;
        }
    }
    app.hub.forget();
    (app, images.try_into().unwrap())
}

async fn serves(app: &App, image: &Image) {
    let client = app.anonymous();
    assert_eq!(client.get(LATEST).await.expect(200).body, image.manifest);
    for name in ["nginx", "docker.io/nginx"] {
        assert_eq!(client.pull(name, "latest").await.digest, image.digest);
    }
}

#[tokio::test]
async fn a_pinned_tag_stays_and_its_upstream_is_not_asked_until_it_is_unpinned() {
    let (mut app, [_, cached, newest]) = three().await;
    let told = TagEvent::Pinned {
        image: "nginx".into(),
        repository: "docker.io/library/nginx".into(),
        from: Some(cached.digest),
        to: cached.digest,
    };
    assert_eq!(pin(&app, "nginx".into()).await, told);
    serves(&app, &cached).await;
    app.crash();
    app.start_again().await;
    serves(&app, &cached).await;
    assert!(why(refresh(&app, "nginx").await).contains("entrepot unpin"));
    let listed: Vec<Listed> = app.command(Request::Ls(None)).await.unwrap();
    assert!(listed.iter().any(|image| image.image.ends_with("nginx:latest") && image.pinned), "{listed:?}");
    let events: Vec<HistoryEvent> = app.command(Request::History("nginx".into())).await.unwrap();
    assert!(matches!(events[..], [_, HistoryEvent::Pinned { digest, .. }] if digest == cached.digest), "{events:?}");
    assert_eq!(app.hub.requests(), 0);

    assert!(matches!(unpin(&app, "nginx:latest").await, TagEvent::Unpinned { digest, .. } if digest == cached.digest));
    assert!(why(unpin(&app, "nginx:latest").await).contains("not pinned"));
    serves(&app, &newest).await;
}

#[tokio::test]
async fn a_tag_is_rolled_back_to_a_digest_that_was_never_here() {
    let (mut app, [oldest, cached, newest]) = three().await;
    app.restart_with(|settings| settings.upstreams[0].tag_ttl = Duration::from_secs(3600)).await;
    let pinned = pin(&app, format!("docker.io/nginx:latest@{}", oldest.digest)).await;
    assert!(matches!(pinned, TagEvent::Pinned { from: Some(from), to, .. } if (from, to) == (cached.digest, oldest.digest)), "{pinned:?}");
    assert_eq!(asked(&app), (0, 1), "the manifest alone, by its digest");
    serves(&app, &oldest).await;
    assert_eq!(asked(&app), (0, 1));
    let events: Vec<HistoryEvent> = app.command(Request::History("nginx".into())).await.unwrap();
    let [_, HistoryEvent::Moved { by, from, to, .. }, HistoryEvent::Pinned { .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((by.as_str(), *from, *to), ("admin", Some(cached.digest), Some(oldest.digest)));
    unpin(&app, "nginx").await;
    serves(&app, &newest).await;
    assert_eq!(asked(&app), (1, 2), "what was pinned is not believed, however lately it was");
}

#[tokio::test]
async fn a_pin_overrides_a_cooldown_and_an_answer_that_was_under_way() {
    let (mut app, [_, cached, newest]) = three().await;
    app.restart_with(|settings| settings.upstreams[0].cooldown = Duration::from_secs(3600)).await;
    serves(&app, &cached).await;
    let pinned = pin(&app, format!("nginx@{}", newest.digest)).await;
    assert!(matches!(pinned, TagEvent::Pinned { to, .. } if to == newest.digest), "{pinned:?}");
    serves(&app, &newest).await;
    unpin(&app, "nginx").await;
    serves(&app, &newest).await;

    let next = app.hub.image("library/nginx", "latest", &[bytes(9, 10)]);
    app.hub.forget().rule(Rule { method: Some("HEAD".into()), ..Rule::new("/v2/", Fault::Latency { ms: 300 }) });
    let client = app.anonymous();
    let (answer, _) = tokio::join!(client.get(LATEST), async {
        until("the upstream is being asked", async || asked(&app).0 == 1).await;
        pin(&app, format!("nginx@{}", cached.digest)).await;
    });
    answer.expect(200);
    app.hub.heal();
    serves(&app, &cached).await;
    assert_ne!(next.digest, cached.digest);
}

#[tokio::test]
async fn what_a_pin_needs_is_neither_purged_nor_collected() {
    let app = app(|hub| hub.tag_ttl = Duration::ZERO).await;
    let child = app.hub.image("library/nginx", "amd64", &[bytes(1, 1000)]);
    app.hub.manifest("library/nginx", "latest", INDEX, index_of(&[("linux/amd64", &child.manifest)]));
    app.hub.image("library/nginx", "other", &[bytes(2, 1000)]);
    for tag in ["latest", "other"] {
        app.anonymous().pull("nginx", tag).await;
    }
    app.landed().await;
    let TagEvent::Pinned { to: index, .. } = pin(&app, "nginx".into()).await else { panic!() };
    for (name, all) in
        [("nginx", false), ("nginx", true), (&*format!("nginx@{index}"), false), (&*format!("nginx@{}", child.digest), false)]
    {
        let why = purge(&app, name, all).await.expect("it is refused");
        assert!(why.contains("entrepot unpin docker.io/library/nginx:latest"), "{name}: {why}");
    }
    assert_eq!(purge(&app, "nginx:other", false).await, None);
    let events: Vec<Gathering> = app.command(Request::Gc(Sweep { dry_run: false, untagged: true })).await.unwrap();
    assert!(matches!(events.last(), Some(Gathering::Done(collected)) if collected.blobs == 3), "what the other tag had: {events:?}");
    app.hub.forget();
    app.anonymous().pull("nginx", "latest").await;
    assert_eq!(app.hub.requests(), 0);
    unpin(&app, "nginx").await;
    assert_eq!(purge(&app, "nginx", true).await, None);
}

#[tokio::test]
async fn what_cannot_be_pinned_is_told() {
    let (app, [.., newest]) = three().await;
    app.user("alice").push("team/app", "v1", &build("ours", &[])).await;
    let nowhere = entrepot::oci::Digest::of(b"nowhere");
    for (image, part) in [
        (format!("nginx@{nowhere}"), nowhere.to_string()),
        ("redis:7".into(), "redis:7@sha256:".into()),
        ("team/app:v1".into(), "hosted here".into()),
        ("nginx@latest".into(), "no image name".into()),
    ] {
        let why = why(pin(&app, image.clone()).await);
        assert!(why.contains(&part), "{image}: {why}");
    }
    serves(&app, &newest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_tags_are_pinned_as_well() {
    let (mut app, [oldest, cached, newest]) = three().await;
    app.stop().await;
    let (code, text) = run(&app, &format!("pin nginx:latest@{}", oldest.digest));
    assert_eq!((code, text), (0, format!("nginx:latest@{0}: pinned at {0}, before {1}\n", oldest.digest, cached.digest)));
    let (_, text) = run(&app, "ls");
    assert!(text.lines().any(|line| line.starts_with("docker.io/library/nginx:latest ") && line.contains(" pinned ")), "{text}");
    app.start_again().await;
    serves(&app, &oldest).await;
    app.stop().await;
    let (code, text) = run(&app, "unpin nginx:latest nginx:never");
    assert!(code == 1 && text.contains("is asked for it again") && text.contains("nginx:never is not pinned"), "{text}");
    app.start_again().await;
    serves(&app, &newest).await;
}
