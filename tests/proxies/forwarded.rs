//! SEC-23: who asks and how he reached us is what trusted proxies say, and nobody else.

use std::time::Duration;

use entrepot::config::Networks;
use entrepot::oci::Digest;
use entrepot::telemetry;
use serde_json::Value;
use tokio::net::TcpStream;

use super::app::*;
use super::captured::{capture, lines};
use super::raw::{header, said_to};

/// Starts a server whose log is captured and which trusts these proxies.
async fn trusting(proxies: &[&str]) -> App {
    capture();
    telemetry::log::log_requests_from(Some(0));
    App::with(|settings| settings.server.trusted_proxies = Networks::new(proxies).unwrap()).await
}

/// The fields of the lines in which `text` is.
fn logged(text: &str) -> Vec<Value> {
    lines(text).iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["fields"].clone()).collect()
}

/// Whom the log names as the client of a request for this name.
async fn client(name: &str) -> String {
    let path = format!("/v2/{name}/tags/list");
    until("the request is logged", async || !logged(&path).is_empty()).await;
    logged(&path)[0]["client"].as_str().unwrap().to_owned()
}

fn get(path: &str, lines: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{lines}\r\n").into_bytes()
}

/// The realm of the one challenge in the answer to a request with these lines.
async fn realm(app: &App, lines: &str) -> String {
    let answer = said_to(app, &get("/v2/", lines)).await;
    let challenges = header(&answer, "www-authenticate");
    assert!(answer.starts_with("HTTP/1.1 401 ") && challenges.len() == 1, "{answer}");
    let realm = challenges[0].strip_prefix("Bearer realm=\"").and_then(|rest| rest.strip_suffix("\",service=\"entrepot\""));
    realm.unwrap_or_else(|| panic!("{}", challenges[0])).to_owned()
}

#[tokio::test]
async fn ghsa_8jm4_the_clients_address_is_what_a_trusted_proxy_says() {
    let app = trusting(&["127.0.0.1", "10.0.0.0/8"]).await;
    said_to(&app, &get("/v2/far/tags/list", "Host: x\r\nX-Forwarded-For: 198.51.100.7, 192.0.2.1\r\nX-Forwarded-For: 10.0.0.9\r\n")).await;
    assert_eq!(client("far").await, "192.0.2.1");
    said_to(&app, &get("/v2/garbled/tags/list", "Host: x\r\nX-Forwarded-For: nobody\r\n")).await;
    assert_eq!(client("garbled").await, "127.0.0.1");
}

#[tokio::test]
async fn ghsa_8jm4_nobody_else_is_believed() {
    let app = trusting(&["10.0.0.0/8"]).await;
    let lines = "Host: named:5000\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n";
    said_to(&app, &get("/v2/liar/tags/list", lines)).await;
    assert_eq!(client("liar").await, "127.0.0.1");
    assert_eq!(realm(&app, lines).await, "http://named:5000/token");
}

#[tokio::test]
async fn ghsa_8jm4_wrong_passwords_count_against_the_client_and_not_the_proxy() {
    let app = trusting(&["127.0.0.1"]).await;
    let guesses = async |from: &str, times: usize| {
        let guess = get("/v2/", &format!("Host: x\r\nX-Forwarded-For: {from}\r\nAuthorization: Basic YWxpY2U6d3Jvbmc=\r\n"));
        futures_util::future::join_all((0..times).map(|_| said_to(&app, &guess))).await
    };
    let many = guesses("192.0.2.1", 30).await;
    assert!(many.iter().any(|answer| answer.starts_with("HTTP/1.1 429 ")), "one client has too many");
    let other = guesses("192.0.2.2", 9).await;
    assert!(other.iter().all(|answer| answer.starts_with("HTTP/1.1 401 ")), "and another has none yet");
}

#[tokio::test]
async fn ghsa_8jm4_the_realm_is_where_the_client_reached_the_proxy() {
    let app = trusting(&["127.0.0.1"]).await;
    assert_eq!(realm(&app, "Host: registry.lan\r\nX-Forwarded-Proto: https\r\n").await, "https://registry.lan/token");
    let both = "Host: inner:8080\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: registry.lan:8443\r\n";
    assert_eq!(realm(&app, both).await, "https://registry.lan:8443/token");
    let broken = "Host: registry.lan\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Host: a b\"\r\n";
    assert_eq!(realm(&app, broken).await, "http://registry.lan/token");
    let page = said_to(&app, &get("/", both)).await;
    assert!(page.contains("docker pull registry.lan:8443/nginx") && page.contains("https://registry.lan:8443/healthz"), "{page}");
}

#[tokio::test]
async fn ghsa_8jm4_with_an_external_url_no_host_reaches_an_answer() {
    let app = App::with(|settings| {
        settings.server.external_url = Some("https://registry.example".into());
        settings.server.trusted_proxies = Networks::new(&["127.0.0.1"]).unwrap();
    })
    .await;
    let lines = "Host: evil.example\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: http\r\n";
    assert_eq!(realm(&app, lines).await, "https://registry.example/token");
    for path in ["/", "/v2/a/manifests/1", "/v2/_catalog", "/nowhere"] {
        let answer = said_to(&app, &get(path, lines)).await;
        assert!(!answer.contains("evil"), "{answer}");
    }
}

#[tokio::test]
async fn ghsa_8jm4_a_location_is_relative_whatever_host_came() {
    let app = trusting(&["127.0.0.1"]).await;
    let alice = app.user("alice").basic();
    let hosts = [("host", "evil.example"), ("x-forwarded-host", "evil.example"), ("x-forwarded-proto", "https")];
    let image = build("one", &[bytes(1, 1000)]);
    for blob in image.blobs() {
        let opened = alice.send(reqwest::Method::POST, "/v2/team/app/blobs/uploads/", &hosts, "".into()).await.expect(202);
        let location = opened.header("location").to_owned();
        assert!(location.starts_with("/v2/team/app/blobs/uploads/"), "{location}");
        let more = alice.send(reqwest::Method::PATCH, &location, &hosts, blob.clone()).await.expect(202);
        assert!(more.header("location").starts_with("/v2/"), "{more:?}");
        let closed = alice.send(reqwest::Method::PUT, &closing(more.header("location"), Digest::of(blob)), &hosts, "".into()).await;
        assert!(closed.expect(201).header("location").starts_with("/v2/"));
    }
    let hosts: Vec<_> = hosts.into_iter().chain([("content-type", IMAGE)]).collect();
    let named = alice.send(reqwest::Method::PUT, "/v2/team/app/manifests/v1", &hosts, image.manifest.clone()).await.expect(201);
    assert_eq!(named.header("location"), "/v2/team/app/manifests/v1");
    alice.push("team/app", "v2", &image).await;
    let page = alice.send(reqwest::Method::GET, "/v2/team/app/tags/list?n=1", &hosts, "".into()).await.expect(200);
    assert!(page.header("link").starts_with("</v2/team/app/tags/list"), "{page:?}");
}

#[tokio::test]
async fn ghsa_8jm4_a_hostile_host_does_not_break_the_challenge() {
    let app = App::start().await;
    let localhost = "http://localhost/token";
    for bad in ["a\"b", "a\",scope=\"x", "a b", "a\\", "a, Basic realm=", "é", "a/b?c", "me@a", "a:b", "a:99999", "", "<script>"] {
        assert_eq!(realm(&app, &format!("Host: {bad}\r\n")).await, localhost, "{bad}");
    }
    assert_eq!(realm(&app, "").await, localhost);
    assert_eq!(realm(&app, "Host: a\r\nX-Injected: b\r\n").await, "http://a/token");
    assert_eq!(realm(&app, &format!("Host: {}\r\n", "a".repeat(60 << 10))).await, localhost);
    let refused = said_to(&app, &get("/v2/", &format!("Host: {}\r\n", "a".repeat(64 << 10)))).await;
    assert!(refused.starts_with("HTTP/1.1 431 "), "{refused}");
    for broken in ["a\rb", "a\0b", "a\nb"] {
        let refused = said_to(&app, &get("/v2/", &format!("Host: {broken}\r\n"))).await;
        assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_believed_is_told_once_with_the_remedy() {
    let app = trusting(&["10.0.0.0/8"]).await;
    let told = || logged("http://wrong.lan:8080/token");
    for _ in 0..3 {
        realm(&app, "Host: wrong.lan:8080\r\nX-Forwarded-For: 192.0.2.1\r\n").await;
    }
    let lines = told();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["proxy"], "127.0.0.1");
    let message = lines[0]["message"].as_str().unwrap();
    assert!(message.contains("server.external_url") && message.contains("server.trusted_proxies"), "{message}");

    let quiet = App::with(|settings| settings.server.external_url = Some("https://registry.example".into())).await;
    realm(&quiet, "Host: quiet.lan:8080\r\nX-Forwarded-For: 192.0.2.1\r\n").await;
    assert!(logged("http://quiet.lan:8080/token").is_empty());
}

#[tokio::test]
async fn a_proxy_that_passes_on_another_port_than_its_own_is_told_once() {
    let app = trusting(&["127.0.0.1"]).await;
    for _ in 0..3 {
        realm(&app, "Host: inner.lan:8080\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 8443\r\n").await;
    }
    assert_eq!(logged("https://inner.lan:8080/token").len(), 1);
    let app = trusting(&["127.0.0.1"]).await;
    realm(&app, "Host: right.lan\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n").await;
    assert!(logged("https://right.lan/token").is_empty());
}

#[tokio::test]
async fn connections_of_a_trusted_proxy_are_not_counted_by_address() {
    for (proxies, served) in [(&["127.0.0.1"][..], true), (&[], false)] {
        let app = App::with(|settings| {
            settings.server.trusted_proxies = Networks::new(proxies).unwrap();
            settings.server.limits.connections_per_address = 2;
            settings.server.limits.idle = Duration::from_secs(300);
        })
        .await;
        let _held = [TcpStream::connect(app.address()).await.unwrap(), TcpStream::connect(app.address()).await.unwrap()];
        let answer = said_to(&app, &get("/healthz", "Host: x\r\n")).await;
        assert_eq!(answer.starts_with("HTTP/1.1 200 "), served, "{answer}");
    }
}
