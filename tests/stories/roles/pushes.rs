//! What a push may do, and what it may take over.

use entrepot::oci::Digest;

use super::add;
use crate::app::*;

#[tokio::test]
async fn each_right_is_its_own() {
    let app = App::start().await;
    add(&app, "anonymous", &[], &["pull=public/**"]).await;
    add(&app, "dev", &["alice"], &["pull,push=team/**"]).await;
    add(&app, "tidy", &["bob"], &["pull,delete=team/**"]).await;
    let (alice, bob) = (app.user("alice"), app.user("bob"));
    let image = build("ours", &[bytes(1, 100)]);
    alice.push("team/app", "v1", &image).await;
    assert_eq!(bob.pull("team/app", "v1").await.digest, image.digest());
    bob.post("/v2/team/app/blobs/uploads/", "").await.expect(403);
    bob.put_manifest("team/app", "v2", IMAGE, image.manifest.clone()).await.expect(403);
    alice.delete("/v2/team/app/manifests/v1").await.expect(403);
    alice.post("/v2/other/app/blobs/uploads/", "").await.expect(403);
    bob.delete("/v2/team/app/manifests/v1").await.expect(202);
    app.anonymous().get("/v2/team/app/tags/list").await.expect(401);
}

#[tokio::test]
async fn an_administrator_of_some_repositories_has_no_others_and_not_the_registry() {
    let app = App::start().await;
    add(&app, "lead", &["alice"], &["admin=team/**"]).await;
    let alice = app.user("alice");
    alice.push("team/app", "v1", &build("ours", &[])).await;
    alice.delete("/v2/team/app/manifests/v1").await.expect(202);
    alice.post("/v2/other/app/blobs/uploads/", "").await.expect(403);
    alice.basic().get("/api/v1/upstreams").await.expect(403);
    add(&app, "root", &["bob"], &["admin=**"]).await;
    app.user("bob").basic().get("/api/v1/upstreams").await.expect(200);
}

#[tokio::test]
async fn a_push_that_hides_an_upstreams_image_needs_the_right_to_shadow() {
    let app = App::start().await;
    app.hub.image("org/image", "latest", &[]);
    app.anonymous().pull("org/image", "latest").await;
    app.landed().await;
    add(&app, "dev", &["alice", "bob"], &["pull,push=**"]).await;
    add(&app, "base", &["bob"], &["shadow=library/*", "shadow=org/*"]).await;
    let image = build("ours", &[]);
    for name in ["nginx", "library/nginx", "org/image"] {
        let refused = app.user("alice").post(&format!("/v2/{name}/blobs/uploads/"), "").await.expect(403);
        assert!(refused.message().contains("push to team/") && refused.message().contains("shadow"), "{}", refused.message());
        app.user("alice").put_manifest(name, "latest", IMAGE, image.manifest.clone()).await.expect(403);
        app.user("bob").push(name, "latest", &image).await;
    }
    app.user("alice").push("team/app", "latest", &image).await;
    app.user("alice").push("org/image", "again", &image).await;
}

#[tokio::test]
async fn a_push_takes_over_and_mounts_only_what_the_pusher_may_read() {
    let app = App::start().await;
    let layer = bytes(1, 3000);
    app.user("admin").push("secret/app", "v1", &build("secret", std::slice::from_ref(&layer))).await;
    let theirs = app.hub.image("team/image", "latest", &[bytes(2, 3000)]);
    app.user("admin").pull("team/image", "latest").await;
    app.landed().await;
    add(&app, "anonymous", &[], &["pull=public/**"]).await;
    add(&app, "dev", &["alice"], &["pull,push,shadow=team/**"]).await;
    add(&app, "both", &["bob"], &["pull,push,shadow=team/**", "pull=secret/**", "pull=docker.io/**"]).await;
    let mount = |digest: Digest, from: &str| format!("/v2/team/app/blobs/uploads/?mount={digest}&from={from}");
    for (user, status) in [("alice", 202), ("bob", 201)] {
        // A token of a push is for its own repository.
        let client = app.user(user).basic();
        for from in ["secret/app", ""] {
            let path = mount(Digest::of(&layer), from);
            let path = if from.is_empty() { path.replace("&from=", "") } else { path };
            client.post(&path, "").await.expect(status);
        }
        client.post(&mount(theirs.layers[0], "team/image"), "").await.expect(status);
        client.post(&mount(theirs.layers[0], "docker.io/team/image"), "").await.expect(status);
    }
    // A manifest brings nothing in either: its blobs are here for others.
    let manifest = app.user("bob").get("/v2/docker.io/team/image/manifests/latest").await.expect(200);
    let kind = manifest.header("content-type").to_owned();
    let refused = app.user("alice").put_manifest("team/image", "mine", &kind, manifest.body.clone()).await.expect(400);
    assert_eq!(refused.code(), "MANIFEST_BLOB_UNKNOWN");
    app.user("bob").put_manifest("team/image", "mine", &kind, manifest.body).await.expect(201);
}
