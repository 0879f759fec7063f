//! Tags that are asked for often: their upstream is asked before they end, so that nobody waits.

use std::time::Duration;

use entrepot::registry::Listed;
use entrepot::upkeep::Request;

use super::{LATEST, UPSTREAM_LATEST, app};
use crate::app::*;

#[tokio::test]
async fn a_tag_that_was_asked_for_twice_is_asked_ahead_and_one_asked_for_once_is_not() {
    let app = app(|hub| hub.tag_ttl = Duration::from_secs(2)).await;
    app.hub.image("library/nginx", "once", &[]);
    app.hub.image("library/nginx", "latest", &[]);
    app.anonymous().get("/v2/nginx/manifests/once").await.expect(200);
    for _ in 0..2 {
        app.anonymous().get(LATEST).await.expect(200);
    }
    let new = app.hub.image("library/nginx", "latest", &[bytes(1, 100)]);
    app.hub.forget();
    until("it is asked ahead", async || app.hub.count("HEAD", UPSTREAM_LATEST) == 1).await;
    until("what came is kept", async || app.hub.requests() == 2).await;
    // Nobody could be waiting: the upstream is away.
    app.hub.on("/", Fault::NoAnswer);
    until("clients are told", async || app.anonymous().get(LATEST).await.expect(200).body == new.manifest).await;
    let answer = app.anonymous().get(LATEST).await.expect(200);
    assert_eq!((answer.header("warning"), app.hub.count("HEAD", "/v2/library/nginx/manifests/once")), ("", 0));
}

#[tokio::test]
async fn a_tag_that_nobody_asks_for_any_more_is_let_go() {
    let app = app(|hub| hub.tag_ttl = Duration::from_millis(200)).await;
    app.hub.image("library/nginx", "latest", &[]);
    for _ in 0..2 {
        app.anonymous().head("/v2/docker.io/library/nginx/manifests/latest").await;
        app.anonymous().get(LATEST).await.expect(200);
    }
    app.hub.forget();
    until("it is asked ahead", async || app.hub.count("HEAD", UPSTREAM_LATEST) == 1).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(app.hub.requests(), 1, "once, for those who asked before");
}

/// When the one tag that is here was last confirmed, Unix milliseconds.
async fn confirmed(app: &App) -> u64 {
    app.command::<Listed>(Request::Ls(None)).await.unwrap()[0].at
}

#[tokio::test]
async fn an_answer_that_was_kept_in_memory_counts_as_well() {
    let app = app(|hub| hub.tag_ttl = Duration::from_secs(2)).await;
    app.hub.image("library/nginx", "latest", &[]);
    for round in 1..=2 {
        // Of the second round the first answer is read from the store and kept, the second one is that.
        for _ in 0..2 {
            app.anonymous().get(LATEST).await.expect(200);
        }
        let before = confirmed(&app).await;
        until("it is asked ahead", async || confirmed(&app).await > before).await;
        assert_eq!(app.hub.count("HEAD", UPSTREAM_LATEST), round);
    }
}
