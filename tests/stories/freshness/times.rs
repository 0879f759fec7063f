//! When an upstream is asked, by what, and how long its answer is waited for.

use std::time::Duration;

use entrepot::config::{FreshnessRule, Patterns, TagTimes};
use futures_util::future::join_all;

use super::{LATEST, UPSTREAM_LATEST, app, asked};
use crate::app::*;

#[tokio::test]
async fn a_rule_decides_how_long_the_tags_it_is_for_are_believed() {
    let app = app(|hub| {
        hub.tag_ttl = Duration::ZERO;
        let patterns = |text: &str| Patterns::new(&[text]).unwrap();
        let rule = |repositories: &str, tags: &str, ttl: u64| FreshnessRule {
            repositories: patterns(repositories),
            tags: patterns(tags),
            times: TagTimes { ttl: Duration::from_secs(ttl), cooldown: Duration::ZERO },
        };
        hub.freshness = vec![rule("nginx", "v1*", 0), rule("**", "v*", 7 * 24 * 3600)];
    })
    .await;
    for (name, tag, heads) in [("nginx", "v1", 3), ("nginx", "v2", 0), ("redis", "v1", 0), ("redis", "latest", 3)] {
        app.hub.image(&format!("library/{name}"), tag, &[]);
        app.hub.forget();
        for _ in 0..4 {
            app.anonymous().get(&format!("/v2/{name}/manifests/{tag}")).await.expect(200);
        }
        assert_eq!(asked(&app), (heads, 1), "{name}:{tag}");
    }
}

#[tokio::test]
async fn an_upstream_that_tells_no_digest_is_asked_by_head_all_the_same() {
    let app = app(|hub| hub.tag_ttl = Duration::ZERO).await;
    app.hub.on("/v2/library/nginx/manifests/", Fault::NoDigest);
    for seed in [1, 2] {
        let image = app.hub.image("library/nginx", "latest", &[bytes(seed, 100)]);
        app.anonymous().get(LATEST).await.expect(200);
        app.hub.forget();
        for _ in 0..3 {
            let answer = app.anonymous().get(LATEST).await.expect(200);
            assert_eq!(answer.body, image.manifest);
            let head = app.anonymous().head("/v2/docker.io/library/nginx/manifests/latest").await.expect(200);
            assert_eq!(head.header("docker-content-digest"), image.digest.to_string());
        }
        assert_eq!(asked(&app), (6, 0), "the ETag says that it is the same");
    }
}

#[tokio::test]
async fn one_question_for_a_reference_is_open_at_a_time_whoever_asks() {
    let app = app(|hub| hub.tag_ttl = Duration::ZERO).await;
    let (path, client) = ("/v2/docker.io/library/nginx/manifests/latest", app.anonymous());
    let image = app.hub.image("library/nginx", "latest", &[]);
    app.hub.rule(Rule { method: Some("HEAD".into()), ..Rule::new("/v2/", Fault::Latency { ms: 500 }) });
    let is_open = async || until("the upstream is being asked", async || asked(&app).0 == 1).await;
    let crowd = async || {
        is_open().await;
        join_all((0..20).map(|_| client.get(path))).await
    };
    // What is not here: the headers, and then the manifest for those who want it.
    let (head, gets) = tokio::join!(client.head(path), crowd());
    assert_eq!((head.expect(200).header("docker-content-digest"), asked(&app)), (&*image.digest.to_string(), (1, 1)));
    assert!(gets.into_iter().all(|answer| answer.expect(200).body == image.manifest));
    app.hub.forget();
    let (get, head) = tokio::join!(client.get(path), async {
        is_open().await;
        client.head(path).await
    });
    assert_eq!((get.expect(200).body, head.expect(200).status, asked(&app)), (image.manifest, 200, (1, 0)));
}

#[tokio::test]
async fn a_stale_tag_is_waited_for_a_moment_and_the_question_goes_on() {
    let app = app(|hub| hub.tag_ttl = Duration::from_millis(1)).await;
    let old = app.hub.image("library/nginx", "latest", &[]);
    app.anonymous().get(LATEST).await.expect(200);
    let new = app.hub.image("library/nginx", "latest", &[bytes(1, 100)]);
    app.hub.forget();
    app.hub.rule(Rule { method: Some("HEAD".into()), times: Some(1), ..Rule::new("/v2/", Fault::Latency { ms: 500 }) });
    tokio::time::sleep(Duration::from_millis(5)).await;
    let answer = app.anonymous().get(LATEST).await.expect(200);
    assert!(answer.body == old.manifest && answer.header("warning").starts_with("110"), "{answer:?}");
    until("the question is answered", async || asked(&app) == (1, 1)).await;
    until("the answer is served", async || app.anonymous().get(LATEST).await.body == new.manifest).await;
}

#[tokio::test]
async fn with_a_ttl_of_nothing_the_answer_is_waited_for() {
    let app = app(|hub| hub.tag_ttl = Duration::ZERO).await;
    app.hub.image("library/nginx", "latest", &[]);
    app.anonymous().get(LATEST).await.expect(200);
    let new = app.hub.image("library/nginx", "latest", &[bytes(1, 100)]);
    app.hub.forget();
    app.hub.rule(Rule { method: Some("HEAD".into()), ..Rule::new("/v2/", Fault::Latency { ms: 300 }) });
    let answer = app.anonymous().get(LATEST).await.expect(200);
    assert_eq!((answer.body.clone(), answer.header("warning"), asked(&app)), (new.manifest, "", (1, 1)));
}

#[tokio::test]
async fn a_stale_tag_of_an_ill_upstream_waits_for_nothing_while_a_question_finds_out() {
    let app = app(|hub| hub.tag_ttl = Duration::from_millis(1)).await;
    for tag in ["latest", "other"] {
        app.hub.image("library/nginx", tag, &[]);
        app.anonymous().get(&format!("/v2/nginx/manifests/{tag}")).await.expect(200);
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    app.hub.on("/", Fault::Reset);
    assert!(app.anonymous().get("/v2/nginx/manifests/other").await.expect(200).header("warning").starts_with("110"));
    app.hub.heal().forget();
    let new = app.hub.image("library/nginx", "latest", &[bytes(1, 100)]);
    let answer = app.anonymous().get(LATEST).await.expect(200);
    assert!(answer.body != new.manifest && answer.header("warning").starts_with("110"), "who waited would have the new one");
    until("it is found well", async || app.anonymous().get(LATEST).await.expect(200).body == new.manifest).await;
}

#[tokio::test]
async fn what_is_not_there_is_asked_for_once_in_its_time() {
    let app = app(|hub| hub.negative_ttl = Duration::from_millis(300)).await;
    app.hub.image("library/nginx", "other", &[]);
    for _ in 0..5 {
        app.anonymous().get(LATEST).await.expect(404);
    }
    assert_eq!(app.hub.count("GET", UPSTREAM_LATEST), 1);
    let image = app.hub.image("library/nginx", "latest", &[]);
    until("it is asked for again", async || app.anonymous().get(LATEST).await.status == 200).await;
    assert_eq!(app.anonymous().get(LATEST).await.body, image.manifest);
    assert_eq!(app.hub.count("GET", UPSTREAM_LATEST), 2);
}

#[tokio::test]
async fn who_asks_for_the_headers_alone_of_a_changed_tag_has_it_asked_for_once() {
    let app = app(|hub| hub.tag_ttl = Duration::from_millis(1500)).await;
    app.hub.image("library/nginx", "latest", &[]);
    app.anonymous().get(LATEST).await.expect(200);
    let (new, client) = (app.hub.image("library/nginx", "latest", &[bytes(1, 100)]), app.anonymous());
    app.hub.forget();
    tokio::time::sleep(Duration::from_millis(1600)).await;
    for _ in 0..2 {
        let head = client.head("/v2/docker.io/library/nginx/manifests/latest").await.expect(200);
        assert_eq!(head.header("docker-content-digest"), new.digest.to_string());
    }
    assert_eq!(asked(&app), (1, 0));
    assert_eq!(app.anonymous().get(LATEST).await.expect(200).body, new.manifest);
    assert_eq!(app.hub.count("GET", UPSTREAM_LATEST), 0, "by its digest");
}

/// SEC-32: what a digest names was believed for five minutes, then fetched again.
#[tokio::test]
async fn artifact_keeper_3206_a_digest_is_never_asked_for_again() {
    let mut app = app(|hub| hub.tag_ttl = Duration::ZERO).await;
    let image = app.hub.image("library/nginx", "latest", &[bytes(1, 100)]);
    let pulled = app.anonymous().pull("nginx", &image.digest.to_string()).await;
    app.landed().await;
    app.hub.forget();
    for _ in 0..2 {
        for name in ["nginx", "docker.io/library/nginx"] {
            assert_eq!(app.anonymous().pull(name, &image.digest.to_string()).await, pulled);
        }
        app.restart().await;
    }
    assert_eq!(app.hub.requests(), 0);
}
