//! What every answer has in common: errors, paths that are refused, connections that go on.

use entrepot::oci::Digest;

use crate::app::*;

#[tokio::test]
async fn every_error_is_the_registrys_json_with_a_sentence() {
    let app = App::start().await;
    let client = app.anonymous();
    for (path, status) in [
        ("/v2/team/app/manifests/none", 404),
        ("/v2/team/app/manifests/-", 404),
        (&*format!("/v2/team/app/blobs/{}", Digest::of(b"none")), 404),
        ("/v2/team/app/blobs/sha256:short", 400),
        ("/v2/TEAM/manifests/latest", 400),
        ("/v2/team%2fapp/manifests/latest", 400),
        (&*format!("/v2/{}/manifests/latest", "a".repeat(256)), 400),
        ("/v2/team/app/nothing", 404),
        ("/v2/_other", 404),
        ("/nowhere", 404),
    ] {
        let answer = client.get(path).await.expect(status);
        assert_eq!(answer.header("content-type"), "application/json", "{path}");
        assert!(!answer.code().is_empty() && answer.message().contains(' '), "{path}: {}", answer.message());
    }
    let refused = client.post("/v2/team/app/manifests/latest", "").await.expect(405);
    assert_eq!((refused.header("allow"), &*refused.code()), ("GET, HEAD, PUT, DELETE", "UNSUPPORTED"));
    assert!(client.head("/v2/team/app/blobs/sha256:short").await.expect(400).body.is_empty());
}

/// SEC-36: `/%2F%2F..%2F` led out of the folder.
#[tokio::test]
async fn cve_2024_4956_paths_that_climb_or_hide_are_refused() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let app = App::start().await;
    // A client library would tidy these up before it sends them.
    for path in [
        "/v2/../etc/manifests/x",
        "/v2/./manifests/x",
        "/v2/a/../b/manifests/x",
        "/v2/a//b/manifests/x",
        "/v2//a/manifests/x",
        "/v2/a/%2e%2e/manifests/x",
        "/v2/a/%2E./manifests/x",
        "/v2/a/manifests/..%2fx",
        "/v2/a/manifests/%2e%2e",
        "/v2/a/manifests/..",
        "/v2/a%2Fb/manifests/x",
        "/v2/%2F%2F..%2F/manifests/x",
        "/v2/a%252fb/manifests/x",
        "/v2/a/%252e%252e/manifests/x",
        "/v2/a%5cb/manifests/x",
        "/v2/a%00/manifests/x",
        "/v2/a%0d%0ab/manifests/x",
        "/v2/a%c0%af/manifests/x",
        "/v2/a%/manifests/x",
    ] {
        let mut socket = tokio::net::TcpStream::connect(app.address()).await.unwrap();
        socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 400") && text.contains("NAME_INVALID"), "{path}: {text}");
    }
    assert_eq!(app.hub.requests(), 0);
}

#[tokio::test]
async fn a_digest_may_be_percent_encoded_as_some_clients_write_it() {
    let app = App::start().await;
    let image = build("encoded", &[bytes(7, 1000)]);
    app.user("alice").push("team/app", "1", &image).await;
    let (manifest, layer) = (image.digest().to_string(), Digest::of(&image.layers[0]).to_string());
    for code in ["%3A", "%3a"] {
        let client = app.anonymous();
        let answer = client.get(&format!("/v2/team/app/manifests/{}", manifest.replace(':', code))).await.expect(200);
        assert_eq!((answer.body, answer.headers["docker-content-digest"].to_str().unwrap()), (image.manifest.clone(), &*manifest));
        let answer = client.get(&format!("/v2/team/app/blobs/{}", layer.replace(':', code))).await.expect(200);
        assert_eq!(answer.body, image.layers[0]);
        let referrers = client.get(&format!("/v2/team/app/referrers/{}", manifest.replace(':', code))).await.expect(200);
        assert_eq!(referrers.json()["manifests"], serde_json::json!([]));
    }
    // What is allowed under one spelling is judged under all of them.
    let bare = app.anonymous().bare();
    bare.send(reqwest::Method::DELETE, &format!("/v2/team/%61pp/manifests/{}", manifest.replace(':', "%3A")), &[], "".into())
        .await
        .expect(401);
    assert!(app.anonymous().pull("team/app", "1").await.manifest == image.manifest);
}

#[tokio::test]
async fn a_name_has_255_characters_in_any_depth() {
    let mut app = App::start().await;
    let image = build("deep", &[bytes(8, 1000)]);
    let deep: String = "a/".repeat(128).chars().take(255).collect();
    let names = [
        deep,
        "b".repeat(255),
        "c".repeat(248),
        format!("library/{}", "d".repeat(247)),
        format!("{}/{}", "e".repeat(127), "f".repeat(127)),
    ];
    for name in &names {
        assert_eq!(app.anonymous().get(&format!("/v2/{name}/manifests/1")).await.expect(404).code(), "MANIFEST_UNKNOWN");
        app.user("alice").push(name, "1", &image).await;
    }
    app.restart().await;
    for name in &names {
        assert_eq!(app.anonymous().pull(name, "1").await.digest, image.digest(), "{name}");
        assert_eq!(app.anonymous().get(&format!("/v2/{name}/tags/list")).await.expect(200).json()["tags"], serde_json::json!(["1"]));
    }
    let listed = app.user("alice").get("/v2/_catalog?source=hosted").await.expect(200).json();
    assert_eq!(listed["repositories"].as_array().unwrap().len(), names.len());
    for long in ["a/".repeat(128) + "aa", "b".repeat(256)] {
        let answer = app.user("alice").basic().post(&format!("/v2/{long}/blobs/uploads/"), "").await.expect(400);
        assert_eq!(answer.code(), "NAME_INVALID");
        assert!(answer.message().contains("255"), "{}", answer.message());
    }
}

#[tokio::test]
async fn a_refused_upload_is_answered_and_its_connection_goes_on() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let app = App::start().await;
    let mut socket = tokio::net::TcpStream::connect(app.address()).await.unwrap();
    let body = bytes(3, 4 << 20);
    let digest = Digest::of(&body);
    let head = format!("POST /v2/a/b/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&body).await.unwrap();
    socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 401") && text.ends_with("ok\n"), "{text}");
}
