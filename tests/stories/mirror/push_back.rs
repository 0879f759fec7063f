//! A push sees the hosted store alone, so that what was pulled through the cache is really pushed.

use entrepot::index::{Change, Promise};
use entrepot::oci::{Digest, Repository};

use crate::app::*;

fn path(name: &str, reference: impl std::fmt::Display) -> String {
    format!("/v2/{name}/manifests/{reference}")
}

/// As an administrator's purge does.
async fn forget_cached(app: &App, name: &str) {
    let repository = Repository::upstream("docker.io", &name.parse().unwrap());
    let change = Change::RemoveRepository { repository };
    app.registry().index().commit(vec![], vec![change], Promise::Durable).await.unwrap();
}

/// The image as it went over the wire, to be pushed again.
fn built(image: &Image, config: bytes::Bytes, layers: Vec<bytes::Bytes>) -> Built {
    Built { manifest: image.manifest.clone(), config, layers }
}

#[tokio::test]
async fn a_head_at_the_root_without_credentials_is_challenged() {
    let app = App::start().await;
    app.hub.image("library/nginx", "latest", &[]);
    app.anonymous().pull("nginx", "latest").await;
    let bare = app.anonymous().bare();
    for _ in 0..2 {
        bare.get(&path("nginx", "latest")).await.expect(200);
        let challenged = bare.head(&path("nginx", "latest")).await.expect(401);
        let challenge = challenged.header("www-authenticate").to_owned();
        assert!(challenge.starts_with(&format!("Bearer realm=\"{}/token\",service=\"entrepot\"", app.url())), "{challenge}");
        assert!(challenge.contains("scope=\"repository:nginx:pull\""), "{challenge}");
        assert!(challenged.body.is_empty());
    }
    app.anonymous().head(&path("nginx", "latest")).await.expect(200);
}

#[tokio::test]
async fn a_pushers_head_is_answered_from_hosted_and_asks_nobody() {
    let app = App::start().await;
    let image = app.hub.image("library/nginx", "latest", &[bytes(1, 100)]);
    app.anonymous().pull("nginx", "latest").await;
    app.landed().await;
    app.hub.forget();
    let blob = format!("/v2/nginx/blobs/{}", image.layers[0]);
    // Whether push was granted or not: asking for it is enough.
    for pusher in [app.user("alice").pushing(), app.anonymous().pushing()] {
        pusher.head(&path("nginx", "latest")).await.expect(404);
        pusher.head(&path("nginx", image.digest)).await.expect(404);
        pusher.head(&path("nginx", "unknown")).await.expect(404);
        pusher.head(&blob).await.expect(404);
        pusher.get(&path("nginx", "latest")).await.expect(200);
    }
    app.user("alice").basic().head(&blob).await.expect(404);
    app.anonymous().head(&blob).await.expect(200);
    assert_eq!(app.hub.requests(), 0);
}

#[tokio::test]
async fn what_came_through_the_cache_is_really_pushed_back() {
    let app = App::start().await;
    let layers = vec![bytes(1, 100_000), bytes(2, 10)];
    let image = app.hub.image("library/nginx", "latest", &layers);
    let pulled = app.anonymous().pull("nginx", "latest").await;
    app.landed().await;
    let again = built(&image, pulled.blobs[2].clone(), layers);
    assert_eq!(app.user("alice").push("nginx", "latest", &again).await, 3);
    app.hub.on("/", Fault::Reset);
    forget_cached(&app, "library/nginx").await;
    assert_eq!(app.anonymous().pull("nginx", "latest").await, pulled);
}

#[tokio::test]
async fn a_manifest_alone_links_what_came_through_the_cache() {
    let mut app = App::start().await;
    let layers = vec![bytes(1, 100_000), bytes(2, 10)];
    let image = app.hub.image("library/nginx", "latest", &layers);
    let pulled = app.anonymous().pull("nginx", "latest").await;
    app.landed().await;
    // Docker 29 sends nothing but the manifest where its HEADs find the blobs.
    let alice = app.user("alice").pushing();
    alice.put_manifest("nginx", "mine", IMAGE, image.manifest.clone()).await.expect(201);
    app.hub.on("/", Fault::Reset);
    forget_cached(&app, "library/nginx").await;
    assert_eq!(app.anonymous().pull("nginx", "mine").await, pulled);
    app.restart().await;
    assert_eq!(app.anonymous().pull("nginx", "mine").await, pulled);
    // Under a name that had not seen them they are not linked: holding the digest is not a right.
    let alice = app.user("alice");
    assert_eq!(alice.put_manifest("team/other", "v1", IMAGE, image.manifest.clone()).await.expect(400).code(), "MANIFEST_BLOB_UNKNOWN");
}

#[tokio::test]
async fn an_index_can_be_pushed_whose_children_came_through_the_cache() {
    let app = App::start().await;
    let amd64 = app.hub.image("library/nginx", "amd64", &[bytes(1, 1000)]);
    let arm64 = app.hub.image("library/nginx", "arm64", &[bytes(2, 1000)]);
    let index = index_of(&[("linux/amd64", &amd64.manifest), ("linux/arm64", &arm64.manifest)]);
    app.hub.manifest("library/nginx", "latest", INDEX, index.clone());
    let pulled = app.anonymous().pull("nginx", "latest").await;
    app.landed().await;
    app.user("alice").put_manifest("nginx", "latest", INDEX, index).await.expect(201);
    app.hub.on("/", Fault::Reset);
    forget_cached(&app, "library/nginx").await;
    assert_eq!(app.anonymous().pull("nginx", "latest").await, pulled);
}

#[tokio::test]
async fn of_an_index_the_part_that_is_here_is_kept() {
    let app = App::start().await;
    let amd64 = app.hub.image("library/nginx", "amd64", &[bytes(1, 1000)]);
    let arm64 = app.hub.image("library/nginx", "arm64", &[bytes(2, 1000)]);
    let index = index_of(&[("linux/amd64", &amd64.manifest), ("linux/arm64", &arm64.manifest)]);
    let pulled = app.anonymous().pull("nginx", "amd64").await;
    app.landed().await;
    app.user("alice").put_manifest("nginx", "latest", INDEX, index.clone()).await.expect(201);
    app.hub.on("/", Fault::Reset);
    forget_cached(&app, "library/nginx").await;
    assert_eq!(app.anonymous().get(&path("nginx", "latest")).await.expect(200).body, index);
    assert_eq!(app.anonymous().pull("nginx", &amd64.digest.to_string()).await, pulled);
}

#[tokio::test]
async fn a_push_to_another_name_mounts_from_the_cached_one() {
    let app = App::start().await;
    let layer = bytes(1, 1000);
    let image = app.hub.image("library/nginx", "latest", std::slice::from_ref(&layer));
    let pulled = app.anonymous().pull("nginx", "latest").await;
    app.landed().await;
    let alice = app.user("alice").pushing();
    let scopes = ["repository:team/web:pull,push", "repository:nginx:pull"];
    let token = alice.token(&scopes).await.expect(200).json()["token"].as_str().unwrap().to_owned();
    let alice = alice.with_token(&token);
    for digest in [image.layers[0], image.config] {
        alice.post(&format!("/v2/team/web/blobs/uploads/?mount={digest}&from=nginx"), "").await.expect(201);
    }
    alice.put_manifest("team/web", "v1", IMAGE, image.manifest.clone()).await.expect(201);
    forget_cached(&app, "library/nginx").await;
    app.hub.on("/", Fault::Reset);
    assert_eq!(app.anonymous().pull("team/web", "v1").await, pulled);
}

#[tokio::test]
async fn a_pushed_image_hides_the_cached_tag_at_once() {
    let app = App::start().await;
    app.hub.image("library/nginx", "latest", &[]);
    let bare = app.anonymous().bare();
    for _ in 0..3 {
        bare.get(&path("nginx", "latest")).await.expect(200);
    }
    let ours = build("ours", &[]);
    app.user("alice").push("nginx", "latest", &ours).await;
    assert_eq!(Digest::of(&bare.get(&path("nginx", "latest")).await.expect(200).body), ours.digest());
    assert_eq!(Digest::of(&bare.through("docker.io").get(&path("library/nginx", "latest")).await.expect(200).body), ours.digest());
}
