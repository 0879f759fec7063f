//! Credentials that were given for an upstream publish nothing that only they reach, and cost no question more than needed.

use std::time::Duration;

use crate::app::*;
use entrepot::config::{Credentials, Settings, Visibility};
use futures_util::future::join_all;

/// With credentials for docker.io, which has `team/open` and, for them alone, `team/secret`.
fn with_account(settings: &mut Settings) {
    settings.upstreams[0].endpoints[0].credentials = Some(Credentials::password("ann", "hub-password"));
}

async fn stocked(app: &App) -> (Image, Image) {
    app.hub.behave(|b| {
        b.account = Some(("ann".into(), "hub-password".into()));
        b.private = vec!["team/secret".into()];
    });
    let image = |name: &str, layer: u64| app.hub.image(name, "latest", &[bytes(layer, 50_000), bytes(layer + 1, 10)]);
    (image("team/open", 1), image("team/secret", 3))
}

async fn start() -> (App, Image, Image) {
    let app = App::with(with_account).await;
    let (open, secret) = stocked(&app).await;
    (app, open, secret)
}

/// Questions that an anonymous client of the upstream asks: each needs a token without credentials first.
fn anonymous_tokens(app: &App) -> usize {
    app.hub.seen().iter().filter(|seen| seen.request.path == "/token" && seen.request.header("authorization").is_none()).count()
}

fn heads(app: &App) -> usize {
    app.hub.seen().iter().filter(|seen| seen.request.method == "HEAD").count()
}

/// Every way to an image's parts.
fn ways(name: &str, image: &Image) -> Vec<String> {
    let parts = [
        "manifests/latest".to_owned(),
        format!("manifests/{}", image.digest),
        format!("blobs/{}", image.config),
        format!("blobs/{}", image.layers[0]),
        "tags/list".to_owned(),
        format!("referrers/{}", image.digest),
    ];
    let each =
        |part: &String| [format!("/v2/{name}/{part}"), format!("/v2/docker.io/{name}/{part}"), format!("/v2/{name}/{part}?ns=docker.io")];
    parts.iter().flat_map(each).collect()
}

#[tokio::test]
async fn sec_24_an_anonymous_client_gets_nothing_that_the_upstream_does_not_show_to_anonymous() {
    let (app, open, secret) = start().await;
    for cached in [false, true] {
        for way in ways("team/secret", &secret) {
            let answer = app.anonymous().get(&way).await.expect(401);
            assert!(!answer.body.windows(6).any(|window| window == b"layers"), "{way}");
            assert_eq!(app.anonymous().head(&way).await.status, 401, "{way}, cached: {cached}");
        }
        for way in ways("team/open", &open) {
            app.anonymous().get(&way).await.expect(200);
        }
        for way in ways("team/secret", &secret) {
            app.user("alice").get(&way).await.expect(200);
        }
        app.landed().await;
    }
    let catalog = |client: Client| async move { client.get("/v2/_catalog").await.expect(200).json()["repositories"].to_string() };
    assert!(!catalog(app.anonymous()).await.contains("secret") && catalog(app.user("alice").basic()).await.contains("secret"));
    assert!(!String::from_utf8_lossy(&app.anonymous().get("/v1/search?q=secret").await.body).contains("team/secret"));
}

#[tokio::test]
async fn anonymous_clients_cost_one_anonymous_head_for_each_repository_and_hour() {
    let (app, open, _) = start().await;
    app.hub.image("team/open", "other", &[bytes(9, 10)]);
    let paths = ["manifests/latest".to_owned(), "manifests/other".to_owned(), format!("manifests/{}", open.digest)];
    let herd = paths.iter().cycle().take(30).map(|path| {
        let client = app.anonymous();
        let path = format!("/v2/team/open/{path}");
        async move { client.get(&path).await.status }
    });
    assert!(join_all(herd).await.into_iter().all(|status| status == 200));
    for _ in 0..3 {
        app.anonymous().pull("team/open", "latest").await;
        app.anonymous().get("/v2/team/open/tags/list").await.expect(200);
    }
    assert_eq!((anonymous_tokens(&app), heads(&app)), (1, 2), "the challenge and the HEAD, whatever is asked for and by how many");
    app.user("alice").pull("team/secret", "latest").await;
    assert_eq!(anonymous_tokens(&app), 1, "nobody is asked for those who logged in");
    for _ in 0..5 {
        app.anonymous().get("/v2/team/secret/manifests/latest").await.expect(401);
    }
    assert_eq!(anonymous_tokens(&app), 2, "that it is closed is remembered too");
}

#[tokio::test]
async fn an_upstream_without_credentials_is_never_asked_who_may_see() {
    let app = App::start().await;
    stocked(&app).await;
    for _ in 0..3 {
        app.anonymous().get("/v2/team/open/manifests/latest").await.expect(200);
    }
    assert_eq!((heads(&app), app.hub.count("GET", "/v2/team/open/manifests/latest")), (0, 2));
}

#[tokio::test]
async fn docker_hubs_official_images_are_public_without_a_question() {
    let (app, ..) = start().await;
    app.hub.image("library/nginx", "latest", &[]);
    app.anonymous().get("/v2/nginx/manifests/latest").await.expect(200);
    assert_eq!((heads(&app), anonymous_tokens(&app)), (0, 0));
}

#[tokio::test]
async fn a_repository_that_turns_private_is_closed_within_the_hour_with_its_cached_layers() {
    for hides in [false, true] {
        let hour = Duration::from_millis(300);
        let app = App::tuned(|settings, tuning| {
            with_account(settings);
            tuning.verdict = hour;
        })
        .await;
        let (open, _) = stocked(&app).await;
        app.anonymous().pull("team/open", "latest").await;
        app.landed().await;
        app.hub.behave(|b| (b.private, b.hides_private) = (vec!["team/open".into()], hides)).revoke_tokens();
        for way in ways("team/open", &open) {
            until(&format!("{way} is closed"), async || app.anonymous().get(&way).await.status == 401).await;
        }
        for way in ways("team/open", &open) {
            app.user("alice").get(&way).await.expect(200);
        }
        app.hub.behave(|b| b.private.clear()).revoke_tokens();
        until("it is open again", async || app.anonymous().get("/v2/team/open/manifests/latest").await.status == 200).await;
    }
}

#[tokio::test]
async fn a_verdict_outlives_its_hour_while_the_upstream_is_away_and_no_request_asks_again() {
    let life = Duration::from_secs(6);
    let mut app = App::tuned(|settings, tuning| {
        with_account(settings);
        tuning.verdict = life;
    })
    .await;
    stocked(&app).await;
    let pulled = app.anonymous().pull("team/open", "latest").await;
    app.anonymous().get("/v2/team/secret/manifests/latest").await.expect(401);
    app.landed().await;
    app.hub.on("/", Fault::Reset);
    // Past the hour.
    tokio::time::sleep(life).await;
    app.hub.forget();
    for _ in 0..20 {
        assert_eq!(app.anonymous().pull("team/open", "latest").await, pulled);
        app.anonymous().get("/v2/team/secret/manifests/latest").await.expect(401);
    }
    assert!(heads(&app) < 20, "{} questions for 80 requests", heads(&app));

    // After a restart there is no verdict: what is cached is for those who log in, until one can be had.
    app.restart().await;
    app.anonymous().get("/v2/team/open/manifests/latest").await.expect(401);
    assert_eq!(app.user("alice").pull("team/open", "latest").await, pulled);
}

#[tokio::test]
async fn public_and_signed_in_are_obeyed_without_a_question() {
    let (mut app, open, secret) = start().await;
    app.restart_with(|settings| settings.upstreams[0].visibility = Visibility::Public).await;
    for way in ways("team/secret", &secret) {
        app.anonymous().get(&way).await.expect(200);
    }
    app.landed().await;
    app.restart_with(|settings| settings.upstreams[0].visibility = Visibility::SignedIn).await;
    for (name, image) in [("team/open", &open), ("team/secret", &secret)] {
        for way in ways(name, image) {
            app.anonymous().get(&way).await.expect(401);
            app.user("alice").get(&way).await.expect(200);
        }
    }
    assert_eq!(anonymous_tokens(&app), 0);
}
