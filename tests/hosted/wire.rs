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

#[tokio::test]
async fn paths_that_climb_or_hide_are_refused() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let app = App::start().await;
    // A client library would tidy these up before it sends them.
    let long = format!("/v2/{}/manifests/x", "a".repeat(256));
    for path in [
        "/v2/../etc/manifests/x",
        "/v2/./manifests/x",
        "/v2/a/../b/manifests/x",
        "/v2/a//b/manifests/x",
        "/v2//a/manifests/x",
        "/v2/%2F%2F..%2Fa/manifests/x",
        "/v2/a/%2e%2e/manifests/x",
        "/v2/a/%252e%252e/manifests/x",
        "/v2/a%00/manifests/x",
        "/v2/a%5cb/manifests/x",
        "/v2/a%2fb/manifests/x",
        "/v2/%61/manifests/x",
        "/v2/a/manifests/..%2fx",
        "/v2/a/manifests/..",
        &long,
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
