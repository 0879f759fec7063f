//! Sizes and numbers that a stranger says: none of them is believed, and none makes the server grow.

use bytes::Bytes;
use entrepot::index::{Change, Promise, TagRow};
use entrepot::oci::{Digest, Repository};
use entrepot::upkeep::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::raw;
use crate::app::*;

const MANIFEST: usize = 4 << 20;

/// SEC-40: a manifest of any size was read into memory.
#[tokio::test]
async fn cve_2017_11468_a_manifest_has_four_mebibytes_whoever_sends_it() {
    let app = App::start().await;
    let alice = app.user("alice");
    let text = |size: usize| {
        let head = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[],"annotations":{{"x":""#);
        format!("{head}{}\"}}}}", "x".repeat(size - head.len() - 3))
    };
    assert_eq!(text(MANIFEST).len(), MANIFEST);
    alice.put_manifest("team/app", "v1", INDEX, text(MANIFEST)).await.expect(201);
    let refused = alice.put_manifest("team/app", "v2", INDEX, text(MANIFEST + 1)).await.expect(413);
    assert!(refused.message().contains("4194304"), "{}", refused.message());
    // Who says beforehand that it is too much is told before a byte of it comes.
    let path = "/v2/team/app/manifests/v3";
    let waits = format!("Content-Type: {INDEX}\r\nExpect: 100-continue\r\nContent-Length: 1073741824\r\n");
    assert_eq!(raw(app.address(), "PUT", path, Some("alice"), &waits).await.0, 413);
    // Who does not say is cut off after it.
    let login = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "alice:alice-password");
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\nContent-Type: {INDEX}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let mut socket = TcpStream::connect(app.address()).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
    let mut sent = 0;
    while sent < 1 << 30 && timeout(LONG, socket.write_all(&chunk)).await.expect("nobody waits").is_ok() {
        sent += 1 << 20;
    }
    assert!(sent < 128 << 20, "{sent} bytes of one manifest were taken");
    app.anonymous().get("/v2/team/app/manifests/v3").await.expect(404);

    for (name, fault) in [("library/told", None), ("library/untold", Some(Fault::Chunked))] {
        let digest = app.hub.manifest(name, "latest", INDEX, text(MANIFEST + 1));
        if let Some(fault) = fault {
            app.hub.on(&format!("/v2/{name}/"), fault);
        }
        for reference in ["latest".to_owned(), digest.to_string()] {
            let refused = app.anonymous().get(&format!("/v2/{name}/manifests/{reference}")).await.expect(502);
            assert!(refused.message().contains("4 MiB"), "{}", refused.message());
        }
        assert!(app.registry().index().blob(&digest).await.unwrap().is_none());
    }
}

/// SEC-41: a page was made as large as its asker wished.
#[tokio::test]
async fn cve_2023_2253_no_page_is_larger_than_a_thousand() {
    let app = App::start().await;
    app.hub.finds(r#"{"num_results":0,"results":[]}"#);
    let subject = Digest::of(b"subject");
    let row = TagRow::new(subject, 1, "");
    let mut changes: Vec<_> = (0..1100)
        .map(|number| {
            let repository = Repository::hosted(&format!("many/app-{number}").parse().unwrap());
            Change::Tag { repository, tag: "v1".parse().unwrap(), row: row.clone() }
        })
        .collect();
    let repository = Repository::hosted(&"team/app".parse().unwrap());
    changes.extend((0..1100).map(|number| Change::Tag {
        repository: repository.clone(),
        tag: format!("v{number}").parse().unwrap(),
        row: row.clone(),
    }));
    app.registry().index().commit(Vec::new(), changes, Promise::Appended).await.unwrap();
    let large = ["1001", "2147483647", "2147483648", "4294967296", "9223372036854775808", "99999999999999999999999999"];
    let wrong = ["-1", "1e400", "x", "0x10", "1.5", "+5", "", "%00", "Infinity", "5%20"];
    for (path, list) in [
        ("/v2/_catalog?n=", "repositories"),
        ("/v2/team/app/tags/list?n=", "tags"),
        (&*format!("/v2/team/app/referrers/{subject}?n="), "manifests"),
        ("/v1/search?q=many&n=", "results"),
    ] {
        for n in large {
            let answer = app.anonymous().get(&format!("{path}{n}")).await.expect(200);
            let entries = answer.json()[list].as_array().unwrap().len();
            assert!(entries <= 1000, "{path}{n}: {entries}");
        }
        for n in wrong {
            let answer = app.anonymous().get(&format!("{path}{n}")).await.expect(400);
            assert!(answer.message().contains("n=100"), "{path}{n}: {}", answer.message());
        }
    }
}

/// SEC-42: memory was taken for as many bytes as a descriptor said.
#[tokio::test]
async fn ghsa_f36w_a_size_that_is_only_said_takes_no_room() {
    let app = App::start().await;
    let alice = app.user("alice");
    let config = alice.push_blob("team/app", &Bytes::from("{}")).await;
    let manifest = |size: &str| {
        let layer = |n: u8| {
            let digest = Digest::of(&[n]);
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar","digest":"{digest}","size":{size},"urls":["http://127.0.0.1:9/"]}}"#
            )
        };
        let config = format!(r#"{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}}"#);
        format!(r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{config},"layers":[{},{},{}]}}"#, layer(1), layer(2), layer(3))
    };
    for size in ["-1", "9223372036854775808", "18446744073709551615", "18446744073709551616", "1e400", "1.5", "\"5\"", "null", "[]"] {
        alice.put_manifest("team/app", "bad", IMAGE, manifest(size)).await.expect(400);
    }
    alice.put_manifest("team/app", "v1", IMAGE, manifest("9223372036854775807")).await.expect(201);
    app.anonymous().get("/v2/team/app/manifests/v1").await.expect(200);
    for request in [Request::Ls(None), Request::Du] {
        assert!(!app.command::<serde_json::Value>(request).await.unwrap().is_empty());
    }
    // Lengths that are announced and do not come.
    for length in ["9223372036854775807", "18446744073709551615"] {
        let upload = alice.begin("team/app").await;
        for (method, path) in
            [("PATCH", upload.clone()), ("PUT", closing(&upload, config)), ("POST", format!("/v2/team/app/blobs/uploads/?digest={config}"))]
        {
            let mut socket = TcpStream::connect(app.address()).await.unwrap();
            let login = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "alice:alice-password");
            let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\nContent-Length: {length}\r\n\r\n{{");
            socket.write_all(head.as_bytes()).await.unwrap();
            socket.shutdown().await.unwrap();
            // Nothing, or that it broke off.
            let mut answer = String::new();
            drop(timeout(LONG, socket.read_to_string(&mut answer)).await.expect("the server goes on"));
            assert!(!answer.contains(" 201 ") && !answer.contains(" 202 "), "{method} of {length} bytes: {answer}");
        }
    }
    assert_eq!(
        raw(app.address(), "PATCH", "/v2/team/app/blobs/uploads/x", Some("alice"), "Content-Length: 18446744073709551616\r\n").await.0,
        400
    );
    let upload = alice.begin("team/app").await;
    alice.patch(&upload, &[("content-range", "0-9223372036854775807")], "x").await.expect(416);

    // An upstream whose manifest, and then whose answer, says more than there is.
    let layer = format!(r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"DIGEST","size":{}}}"#, i64::MAX);
    let digest = app.hub.blob("library/large", "small");
    let layer = layer.replace("DIGEST", &digest.to_string());
    app.hub.manifest(
        "library/large",
        "latest",
        IMAGE,
        format!(r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{layer},"layers":[{layer}]}}"#),
    );
    app.anonymous().get("/v2/large/manifests/latest").await.expect(200);
    let path = format!("/v2/large/blobs/{digest}");
    app.anonymous().get(&path).await.expect(502);
    app.hub.on("/cdn/", Fault::LengthLie(i64::MAX - 5));
    let answer = app.anonymous().attempt(reqwest::Method::GET, &path).await;
    assert!(answer.is_none_or(|answer| answer.status == 502 || !answer.whole));
    app.anonymous().get("/v2/team/app/manifests/v1").await.expect(200);
}

/// SEC-43: what is known to withstand the floods of HTTP/2 (`tests/edges.rs` has them).
#[test]
fn rustsec_2026_0258_the_http2_in_use_knows_the_floods() {
    let lock = include_str!("../../../Cargo.lock");
    let (_, rest) = lock.split_once("name = \"h2\"\nversion = \"").expect("HTTP/2 is spoken");
    let version: Vec<u32> = rest.split('"').next().unwrap().split('.').map(|part| part.parse().unwrap()).collect();
    assert!(version >= vec![0, 4, 16], "{version:?}");
}

/// SEC-46: one broken line of the users' file ended the server.
#[tokio::test]
async fn rustsec_2026_0199_broken_lines_harm_nobody_else() {
    let app = App::start().await;
    let file = app.settings.auth.htpasswd.clone().unwrap();
    let good = std::fs::read_to_string(&file).unwrap();
    let broken = [
        "nocolon",
        ":",
        "x:",
        "x:$2y$",
        "x:$2y$99$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "x:$2y$31$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "x:$2y$é4$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "x:$2y$04$ééééééééééééééééééééééééééé",
        "x:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
        "\0:\0",
    ];
    std::fs::write(&file, format!("{}\n{good}", broken.join("\n"))).unwrap();
    until("the file was read again", async || app.login("alice", "alice-password").basic().get("/v2/").await.status == 200).await;
    for name in ["x", "", "nocolon", "\0"] {
        for password in ["", "x", "é"] {
            app.login(name, password).basic().get("/v2/").await.expect(401);
        }
    }
    app.user("bob").basic().get("/v2/").await.expect(200);
}

/// What lies in the staging folder and in all blobs, in files and bytes.
fn stored(app: &App) -> (usize, usize, u64) {
    let mut sizes = Vec::new();
    for shard in std::fs::read_dir(app.data().join("blobs/sha256")).unwrap() {
        sizes.extend(std::fs::read_dir(shard.unwrap().path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()));
    }
    let staged = std::fs::read_dir(app.data().join("staging")).unwrap().count();
    (staged, sizes.len(), sizes.iter().sum())
}

/// SEC-48: pulls that failed left their parts, and a kill left folders, until the disk was full.
#[tokio::test]
async fn harbor_20157_five_hundred_aborted_pulls_and_a_crash_leave_nothing() {
    let mut app = App::with_hub(|hub| hub.connections = 64).await;
    let kept = app.hub.image("library/kept", "latest", &[bytes(1, 5000)]);
    app.anonymous().pull("kept", "latest").await;
    app.landed().await;
    let before = stored(&app);
    let layers: Vec<_> = (0..50).map(|seed| bytes(100 + seed, 300_000)).collect();
    let image = app.hub.image("library/big", "latest", &layers);
    app.anonymous().get("/v2/big/manifests/latest").await.expect(200);
    let with_manifest = stored(&app);
    // Nothing of it comes whole, the configuration neither.
    app.hub.on("/cdn/", Fault::StallAfter(10));
    let mut clients = Vec::new();
    for number in 0..500 {
        let mut socket = TcpStream::connect(app.address()).await.unwrap();
        let path = format!("/v2/big/blobs/{}", image.layers[number % 50]);
        socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        clients.push(socket);
    }
    until("the pulls are under way", async || stored(&app).0 >= 50).await;
    drop(clients);
    app.crash();
    app.start_again().await;
    assert_eq!(stored(&app), with_manifest);
    assert_eq!((before.0, with_manifest.1), (0, before.1 + 1), "a manifest is all that came whole");
    app.hub.heal();
    assert_eq!(app.anonymous().pull("kept", "latest").await.digest, kept.digest);
    assert_eq!(app.anonymous().pull("big", "latest").await.digest, image.digest);
}

/// SEC-48: what a kill had left in staging made every question by tag wait for ever.
#[tokio::test]
async fn zot_4357_what_was_left_in_staging_keeps_nobody_waiting() {
    let mut app = App::start().await;
    let image = app.hub.image("library/nginx", "latest", &[bytes(1, 5000)]);
    app.stop().await;
    let staging = app.data().join("staging");
    std::fs::create_dir_all(staging.join("nginx/latest/.sync")).unwrap();
    std::fs::create_dir_all(staging.join("fetch-1")).unwrap();
    for name in ["fetch-0", "fetch-2", "nginx/latest/.sync/blob", ".lock", "upload-", "upload-../x".replace('/', "%").as_str()] {
        std::fs::write(staging.join(name), "left behind").unwrap();
    }
    std::os::unix::fs::symlink("/", staging.join("fetch-3")).unwrap();
    app.start_again().await;
    assert_eq!(timeout(LONG, app.anonymous().pull("nginx", "latest")).await.expect("nobody waits").digest, image.digest);
    app.landed().await;
    assert_eq!(stored(&app).0, 0);
    assert!(std::path::Path::new("/etc").exists(), "what a link led to stays");
}
