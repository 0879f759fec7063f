//! What is not for everybody: a registry without anonymous pulls, and upstreams that need credentials.

use entrepot::config::{Allow, Anonymous, Credentials, Patterns, Rights, Role};

use crate::app::*;

/// SEC-12: what is private was served to anybody by the routes that forgot to ask.
#[tokio::test]
async fn cve_2026_27771_without_anonymous_pulls_nothing_comes_without_a_log_in() {
    let mut app = App::start().await;
    let cached = app.hub.image("library/nginx", "latest", &[bytes(1, 1000)]);
    let image = build("one", &[bytes(2, 1000)]);
    app.user("alice").push("team/app", "v1", &image).await;
    // Cached, and hot.
    for _ in 0..3 {
        app.anonymous().pull("nginx", "latest").await;
        app.anonymous().bare().get("/v2/nginx/manifests/latest").await.expect(200);
    }
    app.landed().await;
    app.restart_with(|settings| settings.auth.anonymous.get_or_insert_default().pull = false).await;
    let paths = [
        "/v2/nginx/manifests/latest".to_owned(),
        "/v2/docker.io/library/nginx/manifests/latest".to_owned(),
        format!("/v2/nginx/manifests/{}", cached.digest),
        format!("/v2/nginx/blobs/{}", cached.layers[0]),
        "/v2/nginx/tags/list".to_owned(),
        "/v2/team/app/manifests/v1".to_owned(),
        format!("/v2/team/app/manifests/{}", image.digest()),
        format!("/v2/team/app/referrers/{}", image.digest()),
        "/v2/team/app/tags/list".to_owned(),
        "/v2/_catalog".to_owned(),
        "/v1/search?q=team".to_owned(),
    ];
    // Alice's answers must not become hot for others.
    for _ in 0..2 {
        for path in &paths {
            app.user("alice").get(path).await.expect(200);
            app.user("alice").basic().get(path).await.expect(200);
        }
        for path in &paths {
            for client in
                [app.anonymous(), app.anonymous().bare(), app.anonymous().through("docker.io"), app.login("alice", "wrong").basic()]
            {
                client.get(path).await.expect(401);
                client.head(path).await.expect(401);
            }
        }
    }
}

/// docker.io with an account, to which alone `corp/app` is shown.
async fn with_account() -> App {
    let app = App::with_hub(|hub| {
        hub.endpoints[0].credentials = Some(Credentials::password("corp", "secret"));
    })
    .await;
    app.hub.behave(|b| (b.account, b.private) = (Some(("corp".into(), "secret".into())), vec!["corp/app".into()]));
    app
}

#[tokio::test]
async fn what_only_our_account_sees_upstream_is_for_signed_in_users() {
    let mut app = with_account().await;
    let secret = app.hub.image("corp/app", "v1", &[bytes(1, 1000)]);
    app.hub.image("org/open", "v1", &[bytes(2, 1000)]);
    app.hub.image("library/nginx", "latest", &[bytes(3, 1000)]);
    let refused = app.anonymous().get("/v2/corp/app/manifests/v1").await;
    assert_ne!(refused.status, 200);
    assert_eq!(app.user("alice").pull("corp/app", "v1").await.digest, secret.digest);
    app.landed().await;
    app.anonymous().pull("org/open", "v1").await;
    app.anonymous().pull("nginx", "latest").await;
    app.landed().await;

    let paths = [
        "/v2/corp/app/manifests/v1".to_owned(),
        format!("/v2/corp/app/manifests/{}", secret.digest),
        format!("/v2/corp/app/blobs/{}", secret.layers[0]),
        "/v2/docker.io/corp/app/manifests/v1".to_owned(),
    ];
    let closed = async |app: &App| {
        for path in &paths {
            app.user("alice").get(path).await.expect(200);
            for client in [app.anonymous(), app.anonymous().bare(), app.anonymous().through("docker.io")] {
                let refused = client.get(path).await.expect(401);
                assert!(refused.message().contains("log-in"), "{}", refused.message());
            }
        }
        let referrers = format!("/v2/corp/app/referrers/{}", secret.digest);
        for path in ["/v2/corp/app/tags/list", "/v2/docker.io/corp/app/tags/list", &referrers] {
            let refused = app.anonymous().get(path).await.expect(401);
            assert!(refused.message().contains("log-in"), "{}", refused.message());
            app.user("alice").get(path).await.expect(200);
        }
        let search = "/v1/search?q=corp";
        assert!(!String::from_utf8_lossy(&app.anonymous().get(search).await.expect(200).body).contains("corp/app"));
        assert!(String::from_utf8_lossy(&app.user("alice").basic().get(search).await.expect(200).body).contains("corp/app"));
        assert!(!String::from_utf8_lossy(&app.anonymous().get("/v2/_catalog").await.body).contains("corp/app"));
        assert!(String::from_utf8_lossy(&app.user("alice").basic().get("/v2/_catalog").await.body).contains("corp/app"));
    };
    closed(&app).await;
    // Offline, without any verdict in memory, all the more.
    app.restart_with(|settings| settings.cache.offline = true).await;
    closed(&app).await;
    app.anonymous().pull("nginx", "latest").await;
}

#[tokio::test]
async fn a_mount_is_no_way_around() {
    let app = with_account().await;
    let secret = app.hub.image("corp/app", "v1", &[bytes(1, 1000)]);
    app.user("alice").pull("corp/app", "v1").await;
    app.landed().await;
    // Bob may pull it, but shows a token that was not made for it.
    let token = app.user("bob").token(&["repository:team/x:pull,push"]).await.json()["token"].as_str().unwrap().to_owned();
    let digest = secret.layers[0];
    let path = format!("/v2/team/x/blobs/uploads/?mount={digest}&from=corp/app");
    let anywhere = format!("/v2/team/x/blobs/uploads/?mount={digest}");
    for path in [&path, &anywhere] {
        app.anonymous().with_token(&token).post(path, "").await.expect(202);
    }
    let both = app.user("bob").token(&["repository:team/x:pull,push", "repository:corp/app:pull"]).await;
    app.anonymous().with_token(both.json()["token"].as_str().unwrap()).post(&path, "").await.expect(201);
}

#[tokio::test]
async fn an_answer_kept_in_memory_is_given_to_those_alone_who_may_have_it() {
    let role = |member: &str, pattern: &str| {
        let rights = Rights { pull: true, push: true, ..Rights::default() };
        let allow = vec![Allow { repositories: Patterns::new(&[pattern]).unwrap(), rights }];
        Role { name: member.to_owned(), place: None, members: Patterns::new(&[member]).unwrap(), allow }
    };
    let app = App::with(|settings| {
        settings.auth.anonymous = Some(Anonymous { pull: false, push: false, delete: false });
        settings.auth.roles = vec![role("alice", "team/**"), role("bob", "other/**")];
    })
    .await;
    let (path, image) = ("/v2/team/app/manifests/v1", build("one", &[bytes(2, 1000)]));
    app.user("alice").push("team/app", "v1", &image).await;
    let token = async |scope: &str| app.user("alice").token(&[scope]).await.json()["token"].as_str().unwrap().to_owned();
    let (right, pushing, other) =
        (token("repository:team/app:pull").await, token("repository:team/app:pull,push").await, token("repository:team/other:pull").await);
    for round in 0..3 {
        for client in [app.user("alice").basic(), app.anonymous().with_token(&right), app.user("admin").basic()] {
            assert_eq!(client.get(path).await.expect(200).body, image.manifest, "{round}");
            client.head(path).await.expect(200);
        }
        app.anonymous().with_token(&pushing).head(path).await.expect(200);
        app.anonymous().with_token(&other).get(path).await.expect(401);
        app.user("bob").basic().get(path).await.expect(403);
        app.login("alice", "wrong").basic().get(path).await.expect(401);
        app.anonymous().bare().get(path).await.expect(401);
    }
    app.user("alice").push("team/app", "v1", &build("two", &[bytes(3, 1000)])).await;
    assert_ne!(app.user("alice").basic().get(path).await.expect(200).body, image.manifest, "a changed tag is told at once");
}
