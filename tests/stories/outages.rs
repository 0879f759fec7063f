//! The upstream may be away: what is cached is served, the rest is an error that names the source and is never "not found".

use std::time::{Duration, Instant};

use crate::app::*;
use entrepot::oci::Digest;
use futures_util::future::join_all;

/// The ways to be away, each with where it strikes.
fn outages() -> Vec<(&'static str, Fault)> {
    vec![
        ("/v2/", Fault::Status(500)),
        ("/v2/", Fault::Status(503)),
        ("/v2/", Fault::TooMany { retry_after: Some("1".into()) }),
        ("/v2/", Fault::TooMany { retry_after: None }),
        ("/token", Fault::Status(503)),
        ("/token", Fault::Reset),
        ("/token", Fault::NoAnswer),
        ("/token", Fault::HtmlPage),
        ("/v2/", Fault::BareForbidden),
        ("/v2/", Fault::Reset),
        ("/v2/", Fault::NoAnswer),
        ("/v2/", Fault::HtmlPage),
        ("/v2/", Fault::EmptyOk),
    ]
}

/// Cached and no longer believed.
async fn with_expired_tag() -> (App, Image) {
    let app = App::with_hub(|hub| hub.tag_ttl = Duration::from_millis(1)).await;
    let image = app.hub.image("library/cached", "latest", &[bytes(1, 100_000)]);
    app.anonymous().pull("cached", "latest").await;
    app.landed().await;
    app.hub.revoke_tokens();
    (app, image)
}

#[tokio::test]
async fn an_outage_is_never_not_found_and_ends_without_a_restart() {
    join_all(outages().into_iter().map(|(place, fault)| one_outage(place, fault))).await;
}

async fn one_outage(place: &str, fault: Fault) {
    let (app, cached) = with_expired_tag().await;
    let cold = app.hub.image("library/cold", "latest", &[bytes(2, 1000)]);
    let later = app.hub.image("library/later", "latest", &[bytes(3, 1000)]);
    app.hub.on(place, fault.clone());
    let client = app.anonymous();
    // A lone HEAD at the root gets its token first.
    client.token(&["repository:cold:pull"]).await.expect(200);
    let paths = [
        "/v2/cold/manifests/latest".to_owned(),
        "/v2/docker.io/library/cold/manifests/latest".to_owned(),
        format!("/v2/cold/manifests/{}", cold.digest),
        format!("/v2/cold/blobs/{}", cold.layers[0]),
        "/v2/cold/tags/list".to_owned(),
        "/v2/docker.io/library/cold/tags/list".to_owned(),
        format!("/v2/cold/referrers/{}", cold.digest),
    ];
    let began = Instant::now();
    let asked = join_all(paths.iter().map(async |path| (client.get(path).await, client.head(path).await))).await;
    // A tenth of the budget, and room for a machine that has much to do.
    assert!(began.elapsed() < LONG, "{fault:?} at {place}");
    for ((failed, head), path) in asked.iter().zip(&paths) {
        let what = format!("{fault:?} at {place}, {path}");
        assert!([502, 503, 504, 429].contains(&failed.status), "{what}: {} {:?}", failed.status, failed.body);
        assert!(failed.message().contains("docker.io"), "{what}: {}", failed.message());
        assert!(["UNKNOWN", "TOOMANYREQUESTS"].contains(&&*failed.code()), "{what}: {}", failed.code());
        assert!([502, 503, 504, 429].contains(&head.status), "{what}: {}", head.status);
    }
    if let Fault::TooMany { retry_after: Some(_) } = fault {
        let limited = client.get(&paths[0]).await.expect(429);
        assert_eq!(limited.header("retry-after"), "1");
        assert_eq!(limited.code(), "TOOMANYREQUESTS");
    }

    let stale = client.get("/v2/cached/manifests/latest").await.expect(200);
    assert!(stale.header("warning").starts_with("110 entrepot"), "{fault:?} at {place}: no warning");
    assert_eq!(stale.body, cached.manifest);
    for name in ["cached", "docker.io/library/cached"] {
        assert_eq!(client.pull(name, "latest").await.digest, cached.digest);
    }

    app.hub.heal();
    // It rests for as long as it asked for, or as a failing endpoint does.
    let blob = format!("/v2/later/blobs/{}", later.layers[0]);
    for path in ["/v2/later/manifests/latest", &blob] {
        until("the upstream is asked again", async || client.get(path).await.status == 200).await;
    }
    assert_eq!(client.pull("later", "latest").await.digest, later.digest, "{fault:?} at {place}");
    assert_eq!(client.pull("cold", "latest").await.digest, cold.digest, "{fault:?} at {place}");
}

#[tokio::test]
async fn a_cold_name_is_answered_within_the_budget() {
    let app = App::start().await;
    app.hub.on("/", Fault::NoAnswer);
    let answer = tokio::time::timeout(LONG, app.anonymous().bare().get("/v2/cold/manifests/latest")).await.unwrap();
    assert_eq!(answer.expect(504).header("warning"), "");
}

#[tokio::test]
async fn an_upstream_that_is_switched_off_is_an_outage_too() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap()).parse().unwrap();
    drop(nobody);
    let app = App::with_hub(|hub| hub.endpoints[0].url = url).await;
    let failed = app.anonymous().get("/v2/cold/manifests/latest").await.expect(502);
    assert!(failed.message().contains("docker.io"), "{}", failed.message());
}

#[tokio::test]
async fn while_the_cdn_is_away_blobs_fail_and_are_no_404() {
    let app = App::start().await;
    let image = app.hub.image("library/cold", "latest", &[bytes(1, 1000), bytes(2, 200_000)]);
    let client = app.anonymous();
    client.get("/v2/cold/manifests/latest").await.expect(200);
    for fault in
        [Fault::Status(503), Fault::Status(403), Fault::Status(404), Fault::Reset, Fault::NoAnswer, Fault::HtmlPage, Fault::EmptyOk]
    {
        app.hub.heal().on("/cdn/", fault.clone());
        for layer in &image.layers {
            let failed = client.get(&format!("/v2/cold/blobs/{layer}")).await;
            let is_error = [502, 503, 504, 404].contains(&failed.status) && (failed.status != 404 || fault == Fault::Status(404));
            assert!(is_error, "{fault:?}: {}", failed.status);
            assert!(failed.message().contains("docker.io"), "{fault:?}: {}", failed.message());
        }
    }
    app.hub.heal();
    // After two silences it is not asked before a back-off has ended.
    let layer = format!("/v2/cold/blobs/{}", image.layers[0]);
    until("the CDN is asked again", async || client.get(&layer).await.status == 200).await;
    client.pull("cold", "latest").await;
}

#[tokio::test]
async fn a_fresh_tag_asks_nothing_upstream() {
    let app = App::start().await;
    app.hub.image("library/nginx", "latest", &[bytes(1, 1000)]);
    app.anonymous().pull("nginx", "latest").await;
    app.landed().await;
    app.hub.forget();
    for _ in 0..5 {
        for client in [app.anonymous(), app.anonymous().through("docker.io"), app.user("alice")] {
            client.pull("library/nginx", "latest").await;
        }
        app.anonymous().pull("docker.io/nginx", "latest").await;
    }
    assert_eq!(app.hub.requests(), 0);
}

#[tokio::test]
async fn an_expired_tag_is_asked_for_by_head_alone() {
    let (app, image) = with_expired_tag().await;
    app.hub.forget();
    for _ in 0..3 {
        let answer = app.anonymous().get("/v2/cached/manifests/latest").await.expect(200);
        assert_eq!((answer.header("warning"), &answer.body), ("", &image.manifest));
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let asked: Vec<_> = app.hub.seen().into_iter().filter(|seen| seen.request.path.starts_with("/v2/")).collect();
    assert!(asked.len() >= 3 && asked.iter().all(|seen| seen.request.method == "HEAD"));

    let newer = app.hub.image("library/cached", "latest", &[bytes(9, 1000)]);
    tokio::time::sleep(Duration::from_millis(3)).await;
    assert_eq!(app.anonymous().pull("cached", "latest").await.digest, newer.digest);
    assert_eq!(Digest::of(&app.anonymous().get(&format!("/v2/cached/manifests/{}", image.digest)).await.body), image.digest);
}

#[tokio::test]
async fn a_slow_upstream_keeps_nobody_waiting_for_what_is_cached() {
    let (app, image) = with_expired_tag().await;
    app.hub.on("/v2/", Fault::NoAnswer);
    let answer = app.anonymous().get("/v2/cached/manifests/latest").await.expect(200);
    assert!(answer.header("warning").starts_with("110"));
    assert_eq!(answer.body, image.manifest);
}

#[tokio::test]
async fn a_tag_that_was_deleted_upstream_is_gone_once_it_is_asked_for() {
    let (app, image) = with_expired_tag().await;
    app.hub.on("/v2/library/cached/manifests/latest", Fault::Status(404));
    app.anonymous().get("/v2/cached/manifests/latest").await.expect(404);
    assert_eq!(app.anonymous().pull("cached", &image.digest.to_string()).await.digest, image.digest);
}

#[tokio::test]
async fn a_stale_tag_ends_with_stale_if_error() {
    let app = App::with_hub(|hub| {
        hub.tag_ttl = Duration::from_millis(1);
        hub.stale_if_error = Some(Duration::from_millis(2));
    })
    .await;
    let image = app.hub.image("library/cached", "latest", &[]);
    app.anonymous().pull("cached", "latest").await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    app.hub.on("/v2/", Fault::Status(503));
    let failed = app.anonymous().get("/v2/cached/manifests/latest").await.expect(502);
    assert!(failed.message().contains("docker.io"));
    app.anonymous().get(&format!("/v2/cached/manifests/{}", image.digest)).await.expect(200);
}

#[tokio::test]
async fn another_endpoint_answers_in_the_place_of_one_that_is_away() {
    let mirror = FaultUpstream::start().await;
    let app = App::with_hub(|hub| hub.endpoints.insert(0, mirror.upstream_settings("docker.io").endpoints[0].clone())).await;
    let image = app.hub.image("library/nginx", "latest", &[bytes(1, 1000)]);
    mirror.on("/", Fault::Status(503));
    assert_eq!(app.anonymous().pull("nginx", "latest").await.digest, image.digest);
    mirror.heal();
    app.hub.on("/", Fault::Status(503));
    // The one is away, the other does not have it: nobody can say that it does not exist.
    assert_ne!(app.anonymous().get("/v2/other/manifests/latest").await.status, 404);
}
