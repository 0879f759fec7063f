//! Credentials on ordinary requests.

use crate::app::*;

#[tokio::test]
async fn anonymous_pulls_and_pushes_need_a_log_in() {
    let app = App::start().await;
    let image = build("one", &[bytes(1, 1000)]);
    app.user("alice").push("team/app", "v1", &image).await;
    app.anonymous().pull("team/app", "v1").await;
    let bare = app.anonymous().bare();
    bare.get("/v2/team/app/manifests/v1").await.expect(200);
    bare.get("/v2/team/app/tags/list").await.expect(200);
    bare.get("/v2/_catalog").await.expect(200);
    for client in [app.anonymous(), bare] {
        for (answer, scope) in [
            (client.post("/v2/team/app/blobs/uploads/", "").await, "pull,push"),
            (client.put_manifest("team/app", "v2", IMAGE, image.manifest.clone()).await, "pull,push"),
            (client.delete("/v2/team/app/manifests/v1").await, "pull,delete"),
        ] {
            let refused = answer.expect(401);
            assert!(refused.header("www-authenticate").contains(&format!("scope=\"repository:team/app:{scope}\"")));
            assert_eq!(refused.code(), "UNAUTHORIZED");
        }
    }
    let refused = app.anonymous().bare().post("/v2/team/app/blobs/uploads/", "").await;
    assert!(refused.message().contains("docker login"), "{}", refused.message());
}

#[tokio::test]
async fn basic_credentials_do_everywhere() {
    let app = App::start().await;
    let alice = app.user("alice").basic();
    let image = build("one", &[bytes(1, 1000)]);
    for blob in image.blobs() {
        alice.push_blob("team/app", blob).await;
    }
    alice.put_manifest("team/app", "v1", IMAGE, image.manifest.clone()).await.expect(201);
    assert_eq!(alice.pull("team/app", "v1").await.manifest, image.manifest);
    alice.get("/v2/_catalog").await.expect(200);
    alice.get("/v2/team/app/tags/list").await.expect(200);
    app.user("admin").basic().delete("/v2/team/app/manifests/v1").await.expect(202);
}

#[tokio::test]
async fn foreign_credentials_on_an_anonymous_pull_do_no_harm() {
    let app = App::start().await;
    app.hub.image("library/nginx", "latest", &[bytes(1, 100)]);
    // Docker 20.10 sends Docker Hub's credentials with each pull through a mirror, to `/token` and as Basic.
    let docker = app.login("alice", "her password at docker hub");
    for _ in 0..15 {
        let token = docker.token(&["repository:nginx:pull"]).await.expect(200).json()["token"].as_str().unwrap().to_owned();
        docker.with_token(&token).head("/v2/nginx/manifests/latest").await.expect(200);
        docker.basic().get("/v2/nginx/manifests/latest").await.expect(200);
    }
    docker.pull("nginx", "latest").await;
    // They are no failed log-ins: with so many of these the first real one would have to wait in a queue.
    let typo = app.login("alice", "typo");
    let answers = futures_util::future::join_all((0..9).map(|_| typo.token(&[]))).await;
    assert!(answers.iter().all(|answer| answer.status == 401));
    app.user("alice").token(&[]).await.expect(200);
    // Where they could matter they are refused.
    docker.basic().get("/v2/").await.expect(401);
    docker.basic().head("/v2/nginx/manifests/latest").await.expect(401);
    docker.basic().post("/v2/team/app/blobs/uploads/", "").await.expect(401);
}

#[tokio::test]
async fn a_right_password_is_never_refused_however_many_wrong_ones_came() {
    let app = App::start().await;
    let guess = app.login("alice", "guess");
    let answers = futures_util::future::join_all((0..30).map(|_| guess.token(&[]))).await;
    assert!(answers.iter().all(|answer| [401, 429].contains(&answer.status)));
    assert!(answers.iter().any(|answer| answer.status == 429), "more than four wrong ones waiting at once are sent away");
    app.user("alice").token(&[]).await.expect(200);
    app.user("alice").basic().get("/v2/").await.expect(200);
}

#[tokio::test]
async fn in_a_lab_anybody_pushes() {
    let app = App::with(|settings| settings.auth.anonymous.get_or_insert_default().push = true).await;
    let image = build("one", &[bytes(1, 1000)]);
    // A one-part name, too.
    for name in ["app", "team/app"] {
        app.anonymous().push(name, "v1", &image).await;
        assert_eq!(app.anonymous().pull(name, "v1").await.manifest, image.manifest);
    }
    app.anonymous().delete("/v2/team/app/manifests/v1").await.expect(401);
    assert_eq!(app.anonymous().bare().post("/v2/team/app/blobs/uploads/", "").await.status, 202);
    let answer = app.anonymous().token(&["repository:app:pull,push"]).await.expect(200);
    app.anonymous().with_token(answer.json()["token"].as_str().unwrap()).post("/v2/app/blobs/uploads/", "").await.expect(202);
}

#[tokio::test]
async fn a_catalog_needs_its_scope_or_an_open_door() {
    let app = App::with(|settings| settings.auth.anonymous.get_or_insert_default().pull = false).await;
    let challenged = app.anonymous().bare().get("/v2/_catalog").await.expect(401);
    assert!(challenged.header("www-authenticate").contains("scope=\"registry:catalog:*\""));
    app.user("alice").get("/v2/_catalog").await.expect(200);
    // podman lists and searches with a token that has no scope.
    let answer = app.user("alice").token(&[]).await;
    for path in ["/v2/_catalog", "/v1/search?q=nginx"] {
        app.anonymous().with_token(answer.json()["token"].as_str().unwrap()).get(path).await.expect(200);
        app.anonymous().bare().get(path).await.expect(401);
    }
}
