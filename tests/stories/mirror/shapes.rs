//! The same image under every shape of its name.

use entrepot::oci::Digest;

use crate::app::*;

#[tokio::test]
async fn an_image_comes_under_every_shape_and_crosses_the_uplink_once() {
    let app = App::start().await;
    let image = app.hub.image("library/nginx", "latest", &[bytes(1, 200_000), bytes(2, 10)]);
    let docker_io = app.anonymous().through("docker.io");
    for (client, name) in [
        (app.anonymous(), "nginx"),
        (app.anonymous(), "library/nginx"),
        (docker_io, "library/nginx"),
        (app.anonymous(), "docker.io/nginx"),
        (app.anonymous(), "docker.io/library/nginx"),
    ] {
        let pulled = client.pull(name, "latest").await;
        assert_eq!((pulled.digest, &pulled.manifest), (image.digest, &image.manifest), "{name}");
        assert_eq!(pulled.blobs[..2], [bytes(1, 200_000), bytes(2, 10)]);
    }
    for digest in image.layers.iter().chain([&image.config]) {
        assert_eq!(app.fetches(digest), 1);
    }
    assert_eq!(app.hub.count("GET", "/v2/library/nginx/manifests/latest"), 0, "the digest was known from the HEAD");
}

#[tokio::test]
async fn a_registry_asked_for_by_ns_or_by_prefix_answers_alone() {
    let quay = FaultUpstream::start().await;
    let app = App::with(|settings| settings.upstreams.push(quay.upstream_settings("quay.io"))).await;
    app.hub.image("org/image", "v1", &[bytes(1, 100)]);
    let theirs = quay.image("org/image", "v1", &[bytes(2, 100)]);
    app.user("alice").push("org/image", "hosted", &build("hosted", &[])).await;
    assert_eq!(app.anonymous().through("quay.io").pull("org/image", "v1").await.digest, theirs.digest);
    assert_eq!(app.anonymous().pull("quay.io/org/image", "v1").await.digest, theirs.digest);
    assert_eq!(quay.blob_gets(&theirs.layers[0]), 1);
    app.anonymous().get("/v2/quay.io/org/image/manifests/hosted").await.expect(404);
    assert_eq!(app.hub.requests(), 0);
}

#[tokio::test]
async fn the_answer_to_ns_carries_it_and_ns_wins_over_a_prefix() {
    let quay = FaultUpstream::start().await;
    let app = App::with(|settings| settings.upstreams.push(quay.upstream_settings("quay.io"))).await;
    app.hub.image("library/nginx", "latest", &[]);
    let nested = quay.image("docker.io/nginx", "latest", &[]);
    for _ in 0..2 {
        let answer = app.anonymous().through("docker.io").get("/v2/library/nginx/manifests/latest").await.expect(200);
        assert_eq!(answer.header("oci-namespace"), "docker.io");
        let plain = app.anonymous().get("/v2/library/nginx/manifests/latest").await.expect(200);
        assert_eq!(plain.header("oci-namespace"), "");
    }
    let answer = app.anonymous().through("quay.io").get("/v2/docker.io/nginx/manifests/latest").await.expect(200);
    assert_eq!(answer.header("docker-content-digest"), nested.digest.to_string());
    let config = answer.json()["config"]["digest"].as_str().unwrap().to_owned();
    let blob = app.anonymous().through("quay.io").get(&format!("/v2/docker.io/nginx/blobs/{config}")).await.expect(200);
    assert_eq!(blob.header("oci-namespace"), "quay.io");
}

#[tokio::test]
async fn an_unknown_ns_is_404_and_nobody_is_dialled() {
    let stranger = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = App::start().await;
    let address = stranger.local_addr().unwrap().to_string();
    for ns in [&*address, "evil.example", ""] {
        let client = app.anonymous().through(ns);
        let refused = client.get("/v2/library/nginx/manifests/latest").await.expect(404);
        assert_eq!(refused.code(), "NAME_UNKNOWN");
        client.get(&format!("/v2/library/nginx/blobs/{}", Digest::of(b"x"))).await.expect(404);
        client.get("/v2/library/nginx/tags/list").await.expect(404);
    }
    assert_eq!(app.hub.requests(), 0);
    let dialled = futures_util::future::poll_immediate(stranger.accept()).await;
    assert!(dialled.is_none());
}

#[tokio::test]
async fn with_ns_or_a_prefix_a_head_needs_no_token() {
    let quay = FaultUpstream::start().await;
    let app = App::with(|settings| settings.upstreams.push(quay.upstream_settings("quay.io"))).await;
    let image = app.hub.image("library/nginx", "latest", &[bytes(1, 100)]);
    quay.image("org/image", "v1", &[]);
    let bare = app.anonymous().bare();
    for _ in 0..2 {
        bare.through("docker.io").head("/v2/library/nginx/manifests/latest").await.expect(200);
        bare.head("/v2/docker.io/library/nginx/manifests/latest").await.expect(200);
        bare.through("quay.io").head("/v2/org/image/manifests/v1").await.expect(200);
        bare.head("/v2/quay.io/org/image/manifests/v1").await.expect(200);
        bare.get("/v2/library/nginx/manifests/latest").await.expect(200);
    }
    let blob = bare.head(&format!("/v2/docker.io/library/nginx/blobs/{}", image.layers[0])).await.expect(200);
    assert_eq!(blob.header("content-length"), "100");
    assert_eq!(app.fetches(&image.layers[0]), 0);
}

#[tokio::test]
async fn what_is_cached_is_served_offline_under_every_shape() {
    let mut app = App::start().await;
    let child = app.hub.image("library/nginx", "amd64", &[bytes(1, 100_000)]);
    let index = index_of(&[("linux/amd64", &child.manifest)]);
    app.hub.manifest("library/nginx", "latest", INDEX, index.clone());
    let online = app.anonymous().through("docker.io").pull("library/nginx", "latest").await;
    assert_eq!(online.manifest, index);
    app.landed().await;
    app.restart_with(|settings| settings.cache.offline = true).await;
    app.hub.forget();
    for client in [app.anonymous(), app.anonymous().through("docker.io")] {
        assert_eq!(client.pull("library/nginx", "latest").await, online);
    }
    for name in ["nginx", "docker.io/nginx", "docker.io/library/nginx"] {
        assert_eq!(app.anonymous().pull(name, "latest").await, online, "{name}");
    }
    for (path, code) in [
        ("/v2/nginx/manifests/other".to_owned(), "MANIFEST_UNKNOWN"),
        ("/v2/docker.io/org/none/manifests/latest".to_owned(), "MANIFEST_UNKNOWN"),
        (format!("/v2/nginx/blobs/{}", Digest::of(b"none")), "BLOB_UNKNOWN"),
    ] {
        let missing = app.anonymous().get(&path).await.expect(404);
        assert_eq!(missing.code(), code);
        assert!(missing.message().contains("offline"), "{}", missing.message());
    }
    assert_eq!(app.hub.requests(), 0);
}

#[tokio::test]
async fn one_upstream_can_be_offline_alone() {
    let quay = FaultUpstream::start().await;
    let app = App::with(|settings| {
        settings.upstreams.push(quay.upstream_settings("quay.io"));
        settings.upstreams[1].offline = true;
    })
    .await;
    app.hub.image("library/nginx", "latest", &[]);
    quay.image("org/image", "v1", &[]);
    app.anonymous().pull("nginx", "latest").await;
    let missing = app.anonymous().get("/v2/quay.io/org/image/manifests/v1").await.expect(404);
    assert!(missing.message().contains("offline") && missing.message().contains("quay.io"), "{}", missing.message());
    assert_eq!(quay.requests(), 0);
}

#[tokio::test]
async fn what_an_upstream_does_not_have_is_404_and_says_who_said_so() {
    let app = App::start().await;
    app.hub.image("library/nginx", "latest", &[]);
    // Docker Hub's 401 for a name that does not exist, after a token was granted.
    let denied = app.anonymous().get("/v2/library/none/manifests/latest").await.expect(404);
    assert_eq!(denied.code(), "MANIFEST_UNKNOWN");
    assert!(denied.message().contains("docker.io") && denied.message().contains("needs a log-in there"), "{}", denied.message());
    let absent = app.anonymous().get("/v2/nginx/manifests/none").await.expect(404);
    assert!(absent.message().contains("docker.io"), "{}", absent.message());
    let blob = app.anonymous().get(&format!("/v2/nginx/blobs/{}", Digest::of(b"none"))).await.expect(404);
    assert_eq!(blob.code(), "BLOB_UNKNOWN");
    // Remembered for a while.
    app.hub.forget();
    app.anonymous().get("/v2/nginx/manifests/none").await.expect(404);
    app.anonymous().get("/v2/library/none/manifests/latest").await.expect(404);
    assert_eq!(app.hub.requests(), 0);
}

#[tokio::test]
async fn every_media_type_is_passed_on_verbatim() {
    let app = App::start().await;
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    let odd = format!("{{\n   \"schemaVersion\": 2,\n   \"mediaType\": \"{docker}\",\n   \"layers\": [  ]\n}}");
    let strange = "{\"schemaVersion\":2, \"mediaType\":\"application/vnd.example.thing+json\", \"odd\" : [1,2]}";
    app.hub.manifest("library/odd", "docker", docker, odd.clone());
    app.hub.manifest("library/odd", "strange", "application/vnd.example.thing+json", strange);
    for (tag, kind, text) in [("docker", docker, &*odd), ("strange", "application/vnd.example.thing+json", strange)] {
        for _ in 0..2 {
            let answer = app.anonymous().get(&format!("/v2/odd/manifests/{tag}")).await.expect(200);
            assert_eq!((answer.header("content-type"), &answer.body[..]), (kind, text.as_bytes()));
        }
    }
}
