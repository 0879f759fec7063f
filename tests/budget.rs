//! Upstreams that grant so many pulls: clients have them all, the rest stops earlier, and what is here is served meanwhile.

#[path = "support/app/mod.rs"]
mod app;

use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

use app::*;
use entrepot::config::{Credentials, Endpoint};
use entrepot::upstream::{Budget, Deadlines, Purpose, Refusal, Upstream};
use futures_util::StreamExt;
use serde_json::{Value, json};

fn limit(pulls: u64) -> Limit {
    Limit { pulls, window: 3600, blobs: false }
}

/// With tags that are believed for a moment, and a docker.io that grants so much.
async fn with_limit(limit: Limit) -> App {
    let app = App::with_hub(|hub| hub.tag_ttl = Duration::from_millis(1)).await;
    app.hub.behave(|b| b.limit = Some(limit));
    app
}

fn images(hub: &FaultUpstream, names: &[&str]) {
    for (seed, name) in names.iter().enumerate() {
        hub.image(name, "latest", &[bytes(seed as u64, 1000)]);
    }
}

/// The upstreams as the administrator sees them.
async fn upstreams(app: &App) -> Value {
    app.user("admin").basic().get("/api/v1/upstreams").await.expect(200).json()["upstreams"].clone()
}

/// All log lines of this process from here on.
struct Log;

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

impl Log {
    fn keep() -> Log {
        tracing_subscriber::fmt().with_ansi(false).with_writer(|| Log).init();
        Log
    }

    fn lines(&self, with: &[&str]) -> Vec<String> {
        let text = String::from_utf8(LINES.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| with.iter().all(|part| line.contains(part))).map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        LINES.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_pulls_of_twenty_images_that_change_meet_no_limit() {
    let app = with_limit(limit(100)).await;
    let name = |number: usize| format!("image-{}", number % 20);
    let tag = |number: usize| app.hub.image(&format!("library/{}", name(number)), "latest", &[bytes(number as u64, 1000)]);
    (0..20).for_each(|number| drop(tag(number)));
    let pull = async |number: usize| {
        let name = name(number);
        match number % 3 {
            0 => drop(app.anonymous().pull(&name, "latest").await),
            1 => drop(app.user("alice").through("docker.io").pull(&format!("library/{name}"), "latest").await),
            _ => {
                // As podman does: the tag's manifest without a question before.
                let name = format!("docker.io/library/{name}");
                let manifest = app.anonymous().get(&format!("/v2/{name}/manifests/latest")).await.expect(200).json();
                let layer = manifest["layers"][0]["digest"].as_str().unwrap().parse().unwrap();
                app.anonymous().blob(&name, &layer).await;
            }
        }
    };
    let numbers = futures_util::stream::iter(100..1100);
    numbers
        .for_each_concurrent(16, async |number| {
            // 120 manifests in all.
            if number % 10 == 0 {
                tag(number * 7 / 10);
            }
            pull(number).await;
        })
        .await;
    let (granted, refused) = app.hub.pulls();
    assert!((60..=100).contains(&granted) && refused == 0, "{granted} granted, {refused} refused");

    app.hub.forget();
    let stale = app.anonymous().get("/v2/image-0/manifests/latest").await.expect(200);
    assert!(stale.header("warning").starts_with("110 entrepot"), "{stale:?}");
    for number in 0..60 {
        pull(number).await;
    }
    assert_eq!(app.hub.requests(), 0, "what is here is not asked for while little is left");
    app.hub.image("library/new", "latest", &[bytes(1, 1000)]);
    app.anonymous().pull("new", "latest").await;
    assert_eq!(app.hub.pulls(), (granted + 1, 0), "what is left is for what is not here");
}

#[tokio::test]
async fn with_no_pull_left_nothing_that_costs_is_asked_and_it_is_told_once() {
    let log = Log::keep();
    let app = with_limit(limit(2)).await;
    images(&app.hub, &["library/quiet-one", "library/quiet-two", "library/quiet-three"]);
    let client = app.anonymous().through("docker.io");
    client.pull("library/quiet-one", "latest").await;
    let two = client.pull("library/quiet-two", "latest").await;
    app.landed().await;
    assert_eq!(app.hub.pulls(), (2, 0));

    let path = "/v2/library/quiet-three/manifests/latest";
    client.head(path).await.expect(200);
    app.hub.forget();
    for _ in 0..5 {
        let limited = client.get(path).await.expect(429);
        let seconds: u64 = limited.header("retry-after").parse().unwrap();
        assert!((3000..=3600).contains(&seconds), "{seconds}");
        let message = limited.message();
        assert!(message.contains("docker.io") && message.contains("none of its 2 pulls left"), "{message}");
        let stale = client.get("/v2/library/quiet-two/manifests/latest").await.expect(200);
        assert!(stale.header("warning").contains("s ago"), "{stale:?}");
        assert_eq!(stale.body, two.manifest);
        assert_eq!(client.pull("library/quiet-two", "latest").await, two);
    }
    assert_eq!(app.hub.requests(), 0);
    let told = log.lines(&["library/quiet-", "pulls left"]);
    let (stale, away): (Vec<_>, Vec<_>) = told.iter().partition(|line| line.contains("serving a stale tag"));
    assert_eq!((stale.len(), away.len()), (1, 1), "{told:#?}");
    assert!(stale[0].contains("age="), "{told:#?}");
}

#[tokio::test]
async fn when_the_window_ends_it_is_asked_again() {
    let app = with_limit(Limit { window: 1, ..limit(3) }).await;
    images(&app.hub, &["library/a", "library/b", "library/c", "library/d"]);
    let client = app.anonymous().through("docker.io");
    for name in ["a", "b", "c"] {
        client.pull(&format!("library/{name}"), "latest").await;
    }
    let newer = app.hub.image("library/a", "latest", &[bytes(9, 1000)]);
    until("the next window grants a pull", async || client.get("/v2/library/d/manifests/latest").await.status == 200).await;
    until("tags are asked for again", async || client.pull("library/a", "latest").await.digest == newer.digest).await;
    assert_eq!(app.hub.pulls(), (5, 0), "it was waited for here");
}

#[tokio::test]
async fn each_endpoint_grants_its_own() {
    let mirror = FaultUpstream::start().await;
    mirror.behave(|b| b.limit = Some(limit(2)));
    let app = App::with_hub(|hub| hub.endpoints.insert(0, Endpoint { url: mirror.url(), credentials: None })).await;
    app.hub.behave(|b| b.limit = Some(limit(100)));
    let names = ["library/a", "library/b", "library/c"];
    [&mirror, &app.hub].iter().for_each(|hub| images(hub, &names));
    for name in names {
        app.anonymous().through("docker.io").pull(name, "latest").await;
    }
    assert_eq!((mirror.pulls(), app.hub.pulls()), ((2, 0), (1, 0)));
    let known = upstreams(&app).await;
    let left: Vec<_> = (0..2).map(|number| known[0]["endpoints"][number]["limits"][0]["remaining"].clone()).collect();
    assert_eq!(left, [0, 99]);
}

#[tokio::test]
async fn each_account_has_its_own() {
    let app = App::with_hub(|hub| {
        hub.registry = "private.test".to_owned();
        hub.endpoints[0].credentials = Some(Credentials::password("me", "secret"));
    })
    .await;
    app.hub.behave(|b| (b.account, b.limit) = (Some(("me".to_owned(), "secret".to_owned())), Some(limit(2))));
    images(&app.hub, &["team/a", "team/b", "team/c"]);
    for name in ["team/a", "team/b"] {
        app.anonymous().through("private.test").pull(name, "latest").await;
    }
    let known = upstreams(&app).await;
    let limits = known[0]["endpoints"][0]["limits"].as_array().unwrap();
    let left: Vec<_> = limits.iter().map(|limit| json!([limit["account"], limit["remaining"]])).collect();
    assert_eq!(left, [json!(["", 2]), json!(["me", 0])], "{known}");
    app.user("alice").through("private.test").get("/v2/team/c/manifests/latest").await.expect(429);
}

#[tokio::test]
async fn where_blobs_count_none_is_fetched_ahead_when_little_is_left() {
    let hub = FaultUpstream::start().await;
    hub.behave(|b| b.limit = Some(Limit { blobs: true, ..limit(10) }));
    let blobs: Vec<_> = (0..7).map(|seed| hub.blob("team/app", bytes(seed, 1000))).collect();
    let upstream = Upstream::new(&hub.upstream_settings("hub.test"), Deadlines::default()).unwrap();
    let (name, budget) = ("team/app".parse().unwrap(), Budget::lasting(LONG));
    for blob in &blobs {
        assert!(upstream.affords_ahead(&name).is_ok());
        upstream.blob(&name, blob, 0, None, budget).await.unwrap();
    }
    let spared = upstream.affords_ahead(&name).unwrap_err();
    assert!(spared.to_string().contains("3 of 10 pulls left, which are kept"), "{spared}");
    let ahead = upstream.blob(&name, &blobs[0], 0, None, budget.of(Purpose::Prefetch)).await;
    assert!(matches!(ahead, Err(Refusal::Failed { .. })));
    assert_eq!(hub.pulls(), (7, 0));
    upstream.blob(&name, &blobs[0], 0, None, budget).await.unwrap();
}

#[tokio::test]
async fn a_refusal_that_says_when_to_come_again_is_shown_too() {
    let app = App::start().await;
    images(&app.hub, &["library/a"]);
    app.hub.on("/v2/library/a/manifests/", Fault::TooMany { retry_after: Some("600".into()) });
    app.anonymous().get("/v2/a/manifests/latest").await.expect(429);
    let known = upstreams(&app).await;
    let limit = &known[0]["endpoints"][0]["limits"][0];
    assert_eq!((&limit["remaining"], &limit["limit"]), (&json!(0), &Value::Null), "{known}");
    assert!(limit["resets_at"].is_u64(), "{known}");
}

#[tokio::test]
async fn what_is_left_is_shown_to_the_administrator_and_in_the_metrics() {
    let app = App::with(|settings| settings.metrics.enabled = true).await;
    app.hub.behave(|b| b.limit = Some(limit(100)));
    images(&app.hub, &["library/a"]);
    app.anonymous().pull("a", "latest").await;

    let path = "/api/v1/upstreams";
    let stranger = app.anonymous().bare().get(path).await.expect(401);
    assert!(stranger.header("www-authenticate").starts_with("Bearer realm="));
    app.user("alice").basic().get(path).await.expect(403);
    app.login("admin", "wrong").basic().get(path).await.expect(401);
    let token = app.user("admin").token(&["repository:a:pull"]).await.expect(200).json()["token"].as_str().unwrap().to_owned();
    app.anonymous().with_token(&token).get(path).await.expect(401);

    let known = upstreams(&app).await;
    let url = app.hub.url().to_string().trim_end_matches('/').to_owned();
    let mut limit = known[0]["endpoints"][0]["limits"][0].clone();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    let resets_in = limit["resets_at"].take().as_u64().unwrap() - now;
    assert!((3_000_000..=3_600_000).contains(&resets_in), "{resets_in}");
    assert_eq!(limit, json!({"account": "", "of": "manifests", "limit": 100, "remaining": 99, "window": 3600, "resets_at": null}));
    assert_eq!((&known[0]["registry"], &known[0]["endpoints"][0]["url"]), (&json!("docker.io"), &json!(url)));
    assert_eq!(known[0]["endpoints"][0]["well"], true);

    let page = app.anonymous().get("/metrics").await.expect(200).body;
    let page = String::from_utf8(page.to_vec()).unwrap();
    let labels = format!("{{registry=\"docker.io\",endpoint=\"{url}\",account=\"anonymous\",of=\"manifests\"}}");
    for (figure, value) in [("entrepot_upstream_limit", "100"), ("entrepot_upstream_remaining", "99")] {
        assert!(page.contains(&format!("{figure}{labels} {value}\n")), "{page}");
    }
    assert!(page.contains(&format!("entrepot_upstream_reset_timestamp_seconds{labels} ")), "{page}");
}
