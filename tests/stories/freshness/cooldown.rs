//! A changed tag keeps its old digest until the new one is old enough.

use std::time::Duration;

use entrepot::config::{FreshnessRule, Patterns, TagTimes};
use entrepot::upkeep::{HistoryEvent, Request, TagEvent};

use super::refresh::{refresh, run};
use super::{LATEST, app, asked};
use crate::app::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Two images of `nginx:latest`: one that is cached, and its successor upstream.
async fn changed(cooldown: Duration) -> (App, Image, Image) {
    let app = app(|hub| (hub.tag_ttl, hub.cooldown) = (Duration::ZERO, cooldown)).await;
    let old = app.hub.image("library/nginx", "latest", &[bytes(1, 1000)]);
    app.anonymous().get(LATEST).await.expect(200);
    let new = app.hub.image("library/nginx", "latest", &[bytes(2, 1000)]);
    app.hub.forget();
    (app, old, new)
}

async fn serves(app: &App, image: &Image) {
    let client = app.anonymous();
    assert_eq!(client.get(LATEST).await.expect(200).body, image.manifest);
    let head = client.head("/v2/docker.io/library/nginx/manifests/latest").await.expect(200);
    assert_eq!(head.header("docker-content-digest"), image.digest.to_string());
}

#[tokio::test]
async fn a_changed_tag_stays_and_what_is_held_back_is_told() {
    let (app, old, new) = changed(3 * DAY).await;
    serves(&app, &old).await;
    assert_eq!(asked(&app), (2, 0), "the new manifest is not even fetched");
    assert_eq!(app.anonymous().pull("nginx", "latest").await.digest, old.digest, "its layers are fetched by their digests");
    let answer = app.anonymous().get(LATEST).await;
    assert!(answer.header("warning").starts_with("299 - ") && answer.header("warning").contains(&new.digest.to_string()), "{answer:?}");

    let told: Vec<HistoryEvent> = app.command(Request::History("nginx".into())).await.unwrap();
    let [HistoryEvent::Moved { by, to, .. }, HistoryEvent::Held { held, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!((by.as_str(), *to, held.digest), ("docker.io", Some(old.digest), new.digest));
    assert_eq!(held.until - held.since, 3 * 24 * 3600 * 1000);

    let TagEvent::Refreshed { to, held: Some(held), .. } = refresh(&app, "nginx").await else { panic!() };
    assert_eq!((to, held.digest), (old.digest, new.digest), "to refresh it overrides nothing");
    serves(&app, &old).await;
}

#[tokio::test]
async fn the_first_sight_is_remembered_over_a_crash() {
    let (mut app, old, new) = changed(DAY).await;
    serves(&app, &old).await;
    app.crash();
    app.settings.upstreams[0].cooldown = Duration::from_millis(1);
    app.start_again().await;
    serves(&app, &new).await;
    let told: Vec<HistoryEvent> = app.command(Request::History("nginx".into())).await.unwrap();
    assert!(
        matches!(told[..], [_, HistoryEvent::Moved { from, to, .. }] if (from, to) == (Some(old.digest), Some(new.digest))),
        "{told:?}"
    );
}

#[tokio::test]
async fn what_is_old_enough_is_served_though_the_tag_is_believed_for_longer() {
    let app = app(|hub| (hub.tag_ttl, hub.cooldown) = (Duration::ZERO, Duration::from_millis(500))).await;
    app.hub.image("library/nginx", "latest", &[]);
    app.anonymous().get(LATEST).await.expect(200);
    let new = app.hub.image("library/nginx", "latest", &[bytes(1, 100)]);
    let mut app = app;
    app.restart_with(|settings| settings.upstreams[0].tag_ttl = DAY).await;
    assert!(matches!(refresh(&app, "nginx").await, TagEvent::Refreshed { held: Some(_), .. }));
    app.hub.forget();
    until("it is old enough", async || app.anonymous().get(LATEST).await.expect(200).body == new.manifest).await;
    assert_eq!(asked(&app), (1, 1), "asked when the time had come, and not before");
}

#[tokio::test]
async fn a_tag_never_seen_before_is_served_at_once_and_a_change_taken_back_as_well() {
    let (app, old, _) = changed(DAY).await;
    serves(&app, &old).await;
    let other = app.hub.image("library/nginx", "other", &[bytes(3, 10)]);
    assert_eq!(app.anonymous().get("/v2/nginx/manifests/other").await.expect(200).body, other.manifest);
    // As it was: nothing is held back any more.
    app.hub.image("library/nginx", "latest", &[bytes(1, 1000)]);
    let answer = app.anonymous().get(LATEST).await.expect(200);
    assert_eq!((answer.body.clone(), answer.header("warning")), (old.manifest, ""));
}

#[tokio::test]
async fn a_rule_says_otherwise_for_one_image() {
    let (mut app, old, new) = changed(DAY).await;
    serves(&app, &old).await;
    let now = FreshnessRule {
        repositories: Patterns::new(&["library/nginx"]).unwrap(),
        tags: Patterns::new(&["**"]).unwrap(),
        times: TagTimes { ttl: Duration::ZERO, cooldown: Duration::ZERO },
    };
    app.restart_with(|settings| settings.upstreams[0].freshness = vec![now]).await;
    serves(&app, &new).await;
}

#[tokio::test]
async fn what_the_tag_named_before_is_not_new_when_it_comes_back() {
    let (mut app, old, new) = changed(Duration::ZERO).await;
    serves(&app, &new).await;
    app.settings.upstreams[0].cooldown = Duration::from_millis(1);
    app.restart().await;
    app.hub.image("library/nginx", "latest", &[bytes(1, 1000)]);
    serves(&app, &old).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_tells_a_person_what_is_held_back() {
    let (mut app, old, new) = changed(DAY).await;
    serves(&app, &old).await;
    app.stop().await;
    let (code, text) = run(&app, "history nginx");
    assert!(code == 0 && text.lines().nth(1).unwrap().contains("held back until") && text.contains(&new.digest.to_string()), "{text}");
}
