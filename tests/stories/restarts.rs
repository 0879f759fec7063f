//! What was acknowledged is kept: over a graceful restart, over a server that is dropped, and without the index folder.

use crate::app::*;
use bytes::Bytes;
use entrepot::oci::Digest;
use serde_json::json;

/// One image pulled through the cache and one pushed.
struct Stock {
    cached: Pulled,
    hosted: Built,
}

async fn stocked() -> (App, Stock) {
    let app = App::start().await;
    let child = app.hub.image("library/nginx", "amd64", &[bytes(1, 300_000), bytes(2, 10)]);
    app.hub.manifest("library/nginx", "latest", INDEX, index_of(&[("linux/amd64", &child.manifest)]));
    let cached = app.anonymous().pull("nginx", "latest").await;
    app.landed().await;
    let hosted = build("hosted", &[bytes(3, 100_000)]);
    app.user("alice").push("team/app", "v1", &hosted).await;
    app.hub.on("/", Fault::Reset);
    (app, Stock { cached, hosted })
}

async fn all_is_there(app: &App, stock: &Stock) {
    let client = app.anonymous();
    assert_eq!(client.pull("nginx", "latest").await, stock.cached);
    assert_eq!(client.through("docker.io").pull("library/nginx", "latest").await, stock.cached);
    assert_eq!(client.pull("docker.io/nginx", "latest").await, stock.cached);
    let pulled = client.pull("team/app", "v1").await;
    assert_eq!(pulled.manifest, stock.hosted.manifest);
    assert_eq!(pulled.blobs, [stock.hosted.layers[0].clone(), stock.hosted.config.clone()]);
    assert_eq!(client.get("/v2/team/app/tags/list").await.json()["tags"], json!(["v1"]));
    assert_eq!(client.get("/v2/_catalog").await.json()["repositories"], json!(["nginx", "team/app"]));
    client.get("/v2/team/app/manifests/v2").await.expect(404);
    client.get("/readyz").await.expect(200);
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let (mut app, stock) = stocked().await;
    app.restart().await;
    all_is_there(&app, &stock).await;
    app.restart().await;
    all_is_there(&app, &stock).await;
}

#[tokio::test]
async fn everything_is_there_after_a_crash() {
    let (mut app, stock) = stocked().await;
    for _ in 0..2 {
        app.crash();
        app.start_again().await;
        all_is_there(&app, &stock).await;
    }
}

#[tokio::test]
async fn the_index_folder_can_be_deleted() {
    let (mut app, stock) = stocked().await;
    app.stop().await;
    std::fs::remove_dir_all(app.data().join("index")).unwrap();
    app.start_again().await;
    all_is_there(&app, &stock).await;
    app.restart().await;
    all_is_there(&app, &stock).await;
}

#[tokio::test]
async fn an_upload_goes_on_after_a_restart_and_after_a_crash() {
    let mut app = App::start().await;
    let whole = bytes(4, 300_000);
    let location = app.user("alice").begin("team/app").await;
    app.user("alice").patch(&location, &[("content-range", "0-99999")], whole.slice(..100_000)).await.expect(202);
    app.restart().await;
    let status = app.user("alice").get(&location).await.expect(204);
    assert_eq!(status.header("range"), "0-99999");
    app.user("alice").patch(&location, &[("content-range", "100000-199999")], whole.slice(100_000..200_000)).await.expect(202);
    app.crash();
    app.start_again().await;
    let alice = app.user("alice");
    assert_eq!(alice.get(&location).await.expect(204).header("range"), "0-199999");
    let digest = Digest::of(&whole);
    alice.put(&format!("{location}?digest={digest}"), whole.slice(200_000..)).await.expect(201);
    assert_eq!(alice.blob("team/app", &digest).await, whole);
}

#[tokio::test]
async fn an_upload_that_was_finished_or_cancelled_is_not_there_after_a_restart() {
    let mut app = App::start().await;
    let alice = app.user("alice");
    let (finished, cancelled) = (alice.begin("team/app").await, alice.begin("team/app").await);
    alice.put(&format!("{finished}?digest={}", Digest::of(b"x")), Bytes::from("x")).await.expect(201);
    alice.delete(&cancelled).await.expect(204);
    app.restart().await;
    for location in [finished, cancelled] {
        app.user("alice").get(&location).await.expect(404);
    }
}

#[tokio::test]
async fn what_was_deleted_stays_deleted() {
    let (mut app, stock) = stocked().await;
    let alice = app.user("alice");
    alice.push("team/app", "v2", &build("two", &[])).await;
    app.user("admin").delete("/v2/team/app/manifests/v2").await.expect(202);
    app.crash();
    app.start_again().await;
    all_is_there(&app, &stock).await;
}

#[tokio::test]
async fn tokens_and_passwords_are_good_after_a_restart() {
    let mut app = App::start().await;
    let token = app.user("alice").token(&[]).await.json()["token"].as_str().unwrap().to_owned();
    app.restart().await;
    app.anonymous().with_token(&token).get("/v2/").await.expect(200);
    app.user("alice").get("/v2/").await.expect(200);
}

#[tokio::test]
async fn a_fetch_that_a_crash_cut_is_fetched_again_and_nothing_of_it_is_seen() {
    let mut app = App::start().await;
    let layer = bytes(5, 2 << 20);
    let image = app.hub.image("library/big", "latest", std::slice::from_ref(&layer));
    app.hub.rule(Rule { times: Some(1), ..Rule::new("/cdn/", Fault::StallAfter(1 << 20)) });
    let client = app.anonymous();
    let path = format!("/v2/big/blobs/{}", image.layers[0]);
    let cut = tokio::spawn(async move { client.get(&path).await });
    until("the fetch is half-way", async || app.hub.blob_bytes(&image.layers[0]) >= 1 << 20).await;
    app.crash();
    assert!(!cut.await.is_ok_and(|answer| answer.whole));
    app.start_again().await;
    assert!(app.registry().index().blob(&image.layers[0]).await.unwrap().is_none());
    assert_eq!(app.anonymous().blob("big", &image.layers[0]).await, layer);
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_does_not_start() {
    let app = App::start().await;
    let again = entrepot::app::open(&app.settings, Default::default(), Default::default()).await;
    assert!(again.is_err());
    app.user("alice").push("team/app", "v1", &build("one", &[])).await;
}
