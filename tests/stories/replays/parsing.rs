//! Texts that mean two things, or that lead elsewhere: read in one way, or refused.

use entrepot::oci::Digest;
use reqwest::Method;

use super::raw;
use crate::app::*;

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// SEC-30: one document was an image to one client and an index to another, under one digest.
#[tokio::test]
async fn cve_2021_41190_a_document_that_is_image_and_index_is_neither() {
    let app = App::start().await;
    let alice = app.user("alice");
    let image = build("one", &[bytes(1, 100)]);
    alice.push("team/app", "v1", &image).await;
    let text = String::from_utf8(image.manifest.to_vec()).unwrap();
    let child = format!(r#"[{{"mediaType":"{IMAGE}","digest":"{}","size":{}}}]"#, image.digest(), image.manifest.len());
    let with = |more: &str| text.replacen('{', &format!("{{{more},"), 1);
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":{child}"#);
    let ambiguous = [
        (IMAGE, with(&format!(r#""manifests":{child}"#))),
        (INDEX, with(&format!(r#""manifests":{child}"#))),
        (IMAGE, with(r#""manifests":[]"#)),
        (IMAGE, with(&format!(r#""Manifests":{child}"#))),
        (INDEX, format!(r#"{index},"layers":[]}}"#)),
        (INDEX, format!(r#"{index},"config":{{}}}}"#)),
    ];
    let doubtful = [
        (INDEX, text.clone()),
        (IMAGE, with(&format!(r#""mediaType":"{INDEX}""#))),
        (IMAGE, with(r#""schemaVersion":2"#)),
        (IMAGE, with(r#""layers":[]"#)),
        (IMAGE, with(r#""Layers":[]"#)),
        (IMAGE, text.replace(IMAGE, "application/vnd.docker.distribution.manifest.v2+json")),
        (INDEX, format!(r#"{index},"manifests":[]}}"#)),
        (IMAGE, format!("{text}{text}")),
        (IMAGE, format!("[{text}]")),
        (IMAGE, format!("\u{feff}{text}")),
    ];
    for (kind, document) in ambiguous.iter().chain(&doubtful) {
        let refused = alice.put_manifest("team/app", "v2", kind, document.clone()).await.expect(400);
        assert_eq!(refused.code(), "MANIFEST_INVALID", "{document}");
        alice.put_manifest("team/app", &Digest::of(document.as_bytes()).to_string(), kind, document.clone()).await.expect(400);
    }
    app.anonymous().get("/v2/team/app/manifests/v2").await.expect(404);
    // From an upstream, whose digests are not ours to choose, only what is both is refused.
    for (number, (kind, document)) in ambiguous.iter().enumerate() {
        let name = format!("org/app-{number}");
        let digest = app.hub.manifest(&name, "latest", kind, document.clone());
        for reference in ["latest".to_owned(), digest.to_string()] {
            let refused = app.anonymous().get(&format!("/v2/{name}/manifests/{reference}")).await.expect(502);
            assert!(refused.message().contains("image and index in one"), "{}: {document}", refused.message());
        }
    }
    assert_eq!(app.anonymous().pull("team/app", "v1").await.manifest, image.manifest, "byte for byte");
}

/// What is no digest, though it looks like one to somebody.
fn bad_digests() -> Vec<String> {
    let long = EMPTY.repeat(2);
    vec![
        "sha256:".to_owned(),
        format!("sha256:{}", &EMPTY[1..]),
        format!("sha256:{EMPTY}0"),
        format!("sha256:{}", EMPTY.to_uppercase()),
        format!("SHA256:{EMPTY}"),
        format!("sha256:{long}"),
        format!("sha512:{EMPTY}"),
        format!("md5:{}", &EMPTY[..32]),
        format!("sha384:{}", &long[..96]),
        format!("sha256+b64:{EMPTY}"),
        format!("sha256:sha256:{EMPTY}"),
        format!(":{EMPTY}"),
        format!("sha256:..{}", &EMPTY[2..]),
        format!("sha256:{}%00", &EMPTY[3..]),
        format!("sha256:%2e%2e%2f{}", &EMPTY[9..]),
        format!("sha256:{} ", &EMPTY[1..]).replace(' ', "%20"),
    ]
}

/// SEC-35: what was given as a digest became part of a path, and led out of the folder.
#[tokio::test]
async fn cve_2024_3727_what_is_no_digest_names_nothing() {
    let app = App::start().await;
    app.user("alice").push("team/app", "v1", &build("one", &[])).await;
    let before = files(&app);
    for digest in bad_digests() {
        for (method, path) in [
            ("GET", format!("/v2/team/app/blobs/{digest}")),
            ("HEAD", format!("/v2/team/app/blobs/{digest}")),
            ("DELETE", format!("/v2/team/app/blobs/{digest}")),
            ("GET", format!("/v2/team/app/manifests/{digest}")),
            ("PUT", format!("/v2/team/app/manifests/{digest}")),
            ("DELETE", format!("/v2/team/app/manifests/{digest}")),
            ("GET", format!("/v2/team/app/referrers/{digest}")),
            ("GET", format!("/v2/docker.io/library/nginx/blobs/{digest}")),
            ("GET", format!("/v2/docker.io/library/nginx/manifests/{digest}")),
            ("POST", format!("/v2/team/app/blobs/uploads/?digest={digest}")),
            ("POST", format!("/v2/team/app/blobs/uploads/?mount={digest}&from=team/other")),
        ] {
            let (status, text) = raw(app.address(), method, &path, Some("admin"), "Content-Length: 0\r\n").await;
            assert_eq!(status, 400, "{method} {path}: {text}");
        }
        let admin = app.user("admin");
        let upload = admin.begin("team/app").await;
        admin.put(&closing(&upload, &digest), "").await.expect(400);
        let decoded = digest.replace("%2e", ".").replace("%2f", "/").replace("%00", "\\u0000").replace("%20", " ");
        for field in ["config", "subject"] {
            let config = format!(r#""{field}":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{decoded}","size":0}}"#);
            let manifest = format!(r#"{{"schemaVersion":2,"mediaType":"{IMAGE}",{config},"layers":[]}}"#);
            admin.put_manifest("team/app", "v2", IMAGE, manifest).await.expect(400);
        }
        admin.delete(&upload).await;
    }
    assert_eq!((app.hub.requests(), files(&app)), (0, before));
}

/// SEC-35: content of one algorithm was found by another's name.
#[tokio::test]
async fn cve_2024_3727_a_digest_of_one_algorithm_is_not_another_ones() {
    let app = App::start().await;
    let alice = app.user("alice");
    alice.push("team/app", "v1", &build("one", &[])).await;
    let mut hasher = entrepot::oci::Hasher::new(entrepot::oci::Algorithm::Sha512);
    hasher.update(b"content");
    let (long, short) = (hasher.finish(), Digest::of(b"content"));
    alice.post(&format!("/v2/team/app/blobs/uploads/?digest={long}"), "content").await.expect(201);
    assert_eq!(alice.get(&format!("/v2/team/app/blobs/{long}")).await.expect(200).body, "content");
    for digest in [short.to_string(), format!("sha512:{}", "0".repeat(64) + &short.hex())] {
        alice.get(&format!("/v2/team/app/blobs/{digest}")).await.expect(404);
    }
    alice.post(&format!("/v2/team/app/blobs/uploads/?digest={long}"), "other").await.expect(400);
}

/// SEC-35: the same where an upstream says it: its header and its manifest lead nowhere.
#[tokio::test]
async fn cve_2024_3727_what_an_upstream_calls_a_digest_leads_nowhere() {
    let app = App::start().await;
    for (number, digest) in ["sha256:../../../../evil", "../evil", "sha256:/tmp/evil", "sha256:"].iter().enumerate() {
        let name = format!("library/app-{number}");
        let image = app.hub.image(&name, "latest", &[bytes(1, 100)]);
        app.hub.on(&format!("/v2/{name}/manifests/"), Fault::Header("Docker-Content-Digest".into(), (*digest).into()));
        let answer = app.anonymous().get(&format!("/v2/{name}/manifests/latest")).await;
        assert!(answer.status == 502 || answer.header("docker-content-digest") == image.digest.to_string(), "{answer:?}");
        let layer = format!(r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{digest}","size":3}}"#);
        let manifest = format!(r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{layer},"layers":[{layer}]}}"#);
        let name = format!("library/child-{number}");
        app.hub.manifest(&name, "latest", IMAGE, manifest.clone());
        let answer = app.anonymous().get(&format!("/v2/{name}/manifests/latest")).await;
        assert!(answer.status == 502 || answer.body == manifest, "{answer:?}");
    }
    app.landed().await;
    let strange: Vec<_> = files(&app).into_iter().filter(|path| path.contains("evil")).collect();
    assert!(strange.is_empty(), "{strange:?}");
}

/// Every file in the data folder and beside it, but for what changes by itself.
fn files(app: &App) -> Vec<String> {
    let mut todo = vec![app.data().parent().unwrap().to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = todo.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                true => todo.push(entry.path()),
                false => found.push(entry.path().display().to_string()),
            }
        }
    }
    found.retain(|path| !path.contains("/journal/") && !path.contains("/index/") && !path.contains("/staging/"));
    found.sort();
    found
}

/// SEC-14: what a method does not name is no way around what another one asks.
#[tokio::test]
async fn artifact_keeper_3258_head_tells_what_get_tells() {
    let app = App::start().await;
    app.user("alice").push("team/app", "v1", &build("one", &[bytes(1, 100)])).await;
    let image = app.hub.image("library/nginx", "latest", &[bytes(2, 100)]);
    let digest = Digest::of(&bytes(1, 100));
    app.anonymous().pull("nginx", "latest").await;
    app.landed().await;
    for path in [
        "/v2/team/app/manifests/v1".to_owned(),
        "/v2/team/app/manifests/v2".to_owned(),
        format!("/v2/team/app/blobs/{digest}"),
        format!("/v2/team/other/blobs/{digest}"),
        "/v2/team/app/tags/list".to_owned(),
        format!("/v2/team/app/referrers/{digest}"),
        format!("/v2/nginx/manifests/{}", image.digest),
        format!("/v2/docker.io/library/nginx/blobs/{}", image.layers[0]),
        "/v2/_catalog".to_owned(),
        "/v1/_ping".to_owned(),
        "/v2/".to_owned(),
    ] {
        let [get, head] = [app.anonymous().get(&path).await, app.anonymous().send(Method::HEAD, &path, &[], "".into()).await];
        assert_eq!((get.status, head.body.len()), (head.status, 0), "{path}");
        for header in ["content-type", "docker-content-digest", "link", "etag"] {
            assert_eq!(get.header(header), head.header(header), "{header} of {path}");
        }
        assert!(
            head.header("content-length").is_empty() || get.status != 200 || head.header("content-length") == get.body.len().to_string(),
            "{path}"
        );
    }
}
