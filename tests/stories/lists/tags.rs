//! Tags of upstreams' repositories: all of them, in few questions, and what is cached when nobody can be asked.

use std::time::Duration;

use entrepot::oci::Origin;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::app::*;

const LIST: &str = "/v2/team/app/tags/list";

async fn tags(client: &Client, path: &str) -> Value {
    client.get(path).await.expect(200).json()["tags"].clone()
}

fn put_tags(hub: &FaultUpstream, name: &str, tags: &[&str]) {
    tags.iter().for_each(|tag| drop(hub.image(name, tag, &[])));
}

/// docker.io has five tags of which one is cached; it wants no tokens, so that each question is one request.
async fn with_five(change: impl FnOnce(&mut entrepot::config::Upstream)) -> App {
    let app = App::with_hub(change).await;
    app.hub.behave(|b| b.tokens = false);
    put_tags(&app.hub, "team/app", &["v1", "v2", "v3", "v4", "latest"]);
    app.anonymous().pull("team/app", "v1").await;
    app.landed().await;
    app.hub.forget();
    app
}

#[tokio::test]
async fn an_upstreams_tags_are_all_listed_from_one_question() {
    let app = with_five(|_| {}).await;
    app.hub.behave(|b| b.page = Some(2));
    let everybody = join_all((0..20).map(|_| async { tags(&app.anonymous(), LIST).await })).await;
    assert!(everybody.iter().all(|tags| *tags == json!(["latest", "v1", "v2", "v3", "v4"])), "{everybody:?}");
    for path in ["/v2/docker.io/team/app/tags/list", "/v2/team/app/tags/list?n=2&last=v1"] {
        app.anonymous().get(path).await.expect(200);
    }
    assert_eq!(app.hub.count("GET", LIST), 3, "the list has three pages there");
}

#[tokio::test]
async fn pages_of_an_upstreams_list_are_ours() {
    let app = with_five(|_| {}).await;
    let mut path = "/v2/team/app/tags/list?n=2".to_owned();
    let mut found = Vec::new();
    loop {
        let answer = app.anonymous().through("docker.io").get(&path).await.expect(200);
        found.push(answer.json()["tags"].clone());
        match answer.header("link").strip_prefix('<').and_then(|link| link.strip_suffix("&ns=docker.io>; rel=\"next\"")) {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(found, [json!(["latest", "v1"]), json!(["v2", "v3"]), json!(["v4"])]);
}

#[tokio::test]
async fn what_is_cached_is_listed_while_the_upstream_is_away() {
    for fault in [Fault::Status(503), Fault::Reset, Fault::NoAnswer, Fault::HtmlPage] {
        let app = with_five(|_| {}).await;
        app.hub.on(LIST, fault.clone());
        for _ in 0..2 {
            let answer = app.anonymous().get(LIST).await.expect(200);
            assert_eq!(answer.json()["tags"], json!(["v1"]), "{fault:?}");
            assert!(answer.header("warning").contains("could not be asked"), "{fault:?}");
        }
        assert_eq!(app.hub.count("GET", LIST), 1, "{fault:?}: who has just failed is not asked again");
    }
}

#[tokio::test]
async fn an_old_list_goes_before_what_is_cached_while_the_upstream_is_away() {
    let app = with_five(|hub| hub.tag_ttl = Duration::ZERO).await;
    assert_eq!(tags(&app.anonymous(), LIST).await.as_array().unwrap().len(), 5);
    put_tags(&app.hub, "team/app", &["v5"]);
    assert_eq!(tags(&app.anonymous(), LIST).await.as_array().unwrap().len(), 6);
    app.hub.on(LIST, Fault::NoAnswer);
    let answer = app.anonymous().get(LIST).await.expect(200);
    assert_eq!(answer.json()["tags"].as_array().unwrap().len(), 6);
    assert!(answer.header("warning").contains("could not be asked"));
}

#[tokio::test]
async fn offline_what_is_cached_is_the_list() {
    let mut app = with_five(|_| {}).await;
    app.restart_with(|settings| settings.cache.offline = true).await;
    let answer = app.anonymous().get(LIST).await.expect(200);
    assert_eq!((answer.json()["tags"].clone(), answer.header("warning")), (json!(["v1"]), ""));
    let refused = app.anonymous().get("/v2/team/never/tags/list").await.expect(404);
    assert!(refused.message().contains("offline"), "{}", refused.message());
    assert_eq!(app.hub.requests(), 0);
}

#[tokio::test]
async fn what_exists_nowhere_is_404_and_remembered() {
    for hub_401 in [true, false] {
        let app = App::start().await;
        app.hub.behave(|b| b.hub_401 = hub_401);
        assert_eq!(app.anonymous().get(LIST).await.expect(404).code(), "NAME_UNKNOWN");
        let asked = app.hub.requests();
        assert!(asked > 0);
        app.anonymous().get(LIST).await.expect(404);
        assert_eq!(app.hub.requests(), asked);
    }
}

#[tokio::test]
async fn a_list_without_an_end_is_a_failure_of_its_upstream() {
    let app = with_five(|_| {}).await;
    app.hub.behave(|b| b.endless = true);
    put_tags(&app.hub, "team/other", &["v1"]);
    let refused = app.anonymous().get("/v2/team/other/tags/list").await;
    assert!(matches!(refused.status, 502 | 504), "{refused:?}");
    assert_eq!(tags(&app.anonymous(), LIST).await, json!(["v1"]));
    until("the questions end", async || app.hub.count("GET", "/v2/team/other/tags/list") >= 2000).await;
    app.anonymous().pull("team/app", "v2").await;
}

#[tokio::test]
async fn a_group_name_has_the_tags_of_one_upstream() {
    let quay = FaultUpstream::start().await;
    let app = App::with(|settings| {
        settings.upstreams.push(quay.upstream_settings("quay.io"));
        settings.group.members.push(Origin::named("quay.io"));
    })
    .await;
    put_tags(&quay, "org/app", &["q1", "q2"]);
    put_tags(&quay, "org/both", &["q1"]);
    put_tags(&app.hub, "org/both", &["d1"]);
    assert_eq!(tags(&app.anonymous(), "/v2/org/app/tags/list").await, json!(["q1", "q2"]));
    assert_eq!(tags(&app.anonymous(), "/v2/org/both/tags/list").await, json!(["d1"]));
    app.hub.on("/v2/", Fault::Status(503));
    app.anonymous().get("/v2/org/new/tags/list").await.expect(502);
}

#[tokio::test]
async fn an_overlay_name_has_hosted_tags_also_while_the_upstream_is_away() {
    let app = App::start().await;
    put_tags(&app.hub, "library/nginx", &["1.25", "latest"]);
    app.user("alice").push("nginx", "mine", &build("mine", &[])).await;
    assert_eq!(tags(&app.anonymous(), "/v2/nginx/tags/list").await, json!(["1.25", "latest", "mine"]));
    app.user("alice").push("redis", "mine", &build("mine", &[])).await;
    app.hub.on("/v2/", Fault::Status(503));
    let answer = app.anonymous().get("/v2/redis/tags/list").await.expect(200);
    assert_eq!(answer.json()["tags"], json!(["mine"]));
    assert!(answer.header("warning").contains("could not be asked"));
}
