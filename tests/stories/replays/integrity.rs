//! Upstreams that send something else than what was asked for: none of it is kept, and no client takes it for what it wanted.

use std::time::Duration;

use entrepot::oci::Digest;

use crate::app::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Two bytes of a layer are wrong, or all, or some are missing, or others come in their place.
fn lies() -> Vec<Fault> {
    let page = "<html>log in to the hotel's network</html>".to_owned();
    vec![
        Fault::Flip,
        Fault::Swap,
        Fault::Truncate(1),
        Fault::Append(1),
        Fault::EmptyOk,
        Fault::HtmlPage,
        Fault::Instead(200, "application/octet-stream".to_owned(), page),
    ]
}

/// Every blob that the store has is what its name says.
async fn nothing_wrong_is_stored(app: &App) {
    app.landed().await;
    for shard in std::fs::read_dir(app.data().join("blobs/sha256")).unwrap() {
        for file in std::fs::read_dir(shard.unwrap().path()).unwrap() {
            let file = file.unwrap();
            let bytes = std::fs::read(file.path()).unwrap();
            assert_eq!(Digest::of(&bytes).hex(), file.file_name().to_str().unwrap());
        }
    }
}

/// SEC-31: a proxy kept what came under the digest that was asked for.
#[tokio::test]
async fn nora_581_bytes_that_are_not_the_digests_are_neither_kept_nor_completed() {
    for size in [5000, 1 << 20] {
        for manifest_first in [true, false] {
            let app = App::start().await;
            for (seed, lie) in lies().into_iter().enumerate() {
                let name = format!("library/lie-{seed}");
                let layer = bytes(seed as u64, size);
                let image = app.hub.image(&name, "latest", std::slice::from_ref(&layer));
                let path = format!("/v2/{name}/blobs/{}", image.layers[0]);
                if manifest_first {
                    app.anonymous().get(&format!("/v2/{name}/manifests/latest")).await.expect(200);
                }
                app.hub.on("/cdn/", lie.clone());
                let answer = app.anonymous().get(&path).await;
                let seen = format!("{lie:?} of {size} bytes: {} with {} bytes, whole: {}", answer.status, answer.body.len(), answer.whole);
                match answer.status {
                    200 => assert!(!answer.whole && answer.body.len() + (64 << 10) <= size + 1, "{seen}"),
                    status => assert_eq!(status, 502, "{seen}"),
                }
                nothing_wrong_is_stored(&app).await;
                assert!(app.registry().index().blob(&image.layers[0]).await.unwrap().is_none(), "{seen}");
                app.hub.heal();
                assert_eq!(app.anonymous().blob(&name, &image.layers[0]).await, layer, "{seen}");
            }
        }
    }
}

/// SEC-31: the same of manifests, by tag and by digest.
#[tokio::test]
async fn nora_587_a_manifest_that_is_not_the_digests_is_neither_kept_nor_served() {
    let app = App::start().await;
    for (seed, lie) in lies().into_iter().enumerate() {
        let name = format!("library/lie-{seed}");
        let image = app.hub.image(&name, "latest", &[bytes(seed as u64, 100)]);
        app.hub.on(&format!("/v2/{name}/manifests/"), lie.clone());
        for reference in ["latest".to_owned(), image.digest.to_string()] {
            let answer = app.anonymous().get(&format!("/v2/{name}/manifests/{reference}")).await;
            assert_eq!(answer.status, 502, "{lie:?} at {reference}: {answer:?}");
        }
        nothing_wrong_is_stored(&app).await;
        app.hub.heal();
        assert_eq!(app.anonymous().get(&format!("/v2/{name}/manifests/{}", image.digest)).await.expect(200).body, image.manifest);
    }
}

/// SEC-33: a HEAD made the proxy fetch a page and keep it as the asset.
#[tokio::test]
async fn nexus_31354_a_head_keeps_nothing() {
    let app = App::with_hub(|hub| hub.negative_ttl = Duration::ZERO).await;
    let image = app.hub.image("library/nginx", "latest", &[bytes(1, 5000)]);
    let client = app.anonymous();
    let paths = ["manifests/latest".to_owned(), format!("manifests/{}", image.digest), format!("blobs/{}", image.layers[0])];
    for fault in [Some(Fault::HtmlPage), None] {
        app.hub.heal();
        if let Some(fault) = &fault {
            app.hub.on("/v2/library/nginx/", fault.clone());
        }
        for path in &paths {
            let answer = client.head(&format!("/v2/docker.io/library/nginx/{path}")).await;
            assert_eq!(answer.status, if fault.is_some() { 502 } else { 200 }, "{fault:?} {path}: {answer:?}");
        }
    }
    app.landed().await;
    assert!(app.hub.seen().iter().all(|seen| seen.request.method == "HEAD" || seen.request.path == "/token"), "only heads are asked for");
    assert_eq!(app.registry().index().totals().await.unwrap().blobs, 0);
    assert_eq!(client.pull("nginx", "latest").await.digest, image.digest);
}

/// SEC-34: coded bytes were kept and served as plain ones, for the header that told was lost.
#[tokio::test]
async fn artifact_keeper_2920_nothing_coded_is_asked_for_or_taken() {
    let app = App::start().await;
    let image = app.hub.image("library/nginx", "latest", &[bytes(1, 5000)]);
    let blob = format!("/v2/nginx/blobs/{}", image.layers[0]);
    app.hub.on("/v2/library/nginx/manifests/", Fault::Coded);
    app.anonymous().get("/v2/nginx/manifests/latest").await.expect(502);
    app.hub.heal();
    app.anonymous().get("/v2/nginx/manifests/latest").await.expect(200);
    app.hub.on("/cdn/", Fault::Coded);
    app.anonymous().get(&blob).await.expect(502);
    app.hub.heal();
    let gzip = [("accept-encoding", "gzip, br, zstd")];
    let answer = app.anonymous().send(reqwest::Method::GET, &blob, &gzip, "".into()).await.expect(200);
    assert_eq!((answer.header("content-encoding"), &answer.body), ("", &bytes(1, 5000)));
    for seen in app.hub.seen() {
        assert_eq!(seen.request.header("accept-encoding"), Some("identity"), "{seen:?}");
    }
}

/// SEC-34: what is never unpacked needs nothing that unpacks.
#[test]
fn rustsec_2025_0111_nothing_here_unpacks_archives() {
    let lock = include_str!("../../../Cargo.lock");
    for unpacks in ["tar", "astral-tokio-tar", "tokio-tar", "zip", "flate2", "zstd", "brotli", "xz2", "async-compression"] {
        assert!(!lock.contains(&format!("name = \"{unpacks}\"\n")), "{unpacks} is among the dependencies");
    }
}

/// SEC-39: a manifest of an old kind passed by what held the others back.
#[tokio::test]
async fn artifact_keeper_3024_what_is_too_new_is_held_back_whatever_kind_it_is() {
    let kinds = [
        (
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            r#"{"schemaVersion":1,"name":"library/nginx","tag":"latest","fsLayers":[],"history":[],"signatures":[]}"#,
        ),
        (
            "application/vnd.docker.distribution.manifest.v1+json",
            r#"{"schemaVersion":1,"name":"library/nginx","tag":"latest","fsLayers":[],"history":[]}"#,
        ),
        ("application/vnd.example.unknown+json", r#"{"schemaVersion":2,"mediaType":"application/vnd.example.unknown+json"}"#),
        (
            "application/vnd.oci.image.index.v1+json",
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#,
        ),
    ];
    for (kind, text) in kinds {
        let app = App::with_hub(|hub| (hub.tag_ttl, hub.cooldown) = (Duration::ZERO, DAY)).await;
        let old = app.hub.image("library/nginx", "latest", &[bytes(1, 100)]);
        app.anonymous().pull("nginx", "latest").await;
        let new = app.hub.manifest("library/nginx", "latest", kind, text);
        held_back(&app, &old, &new).await;
    }
}

/// SEC-39: that the new bytes were pushed here, or pulled by their digest, made them old enough.
#[tokio::test]
async fn ghsa_4j4m_what_is_known_here_by_another_way_is_no_older_for_it() {
    let app = App::with_hub(|hub| (hub.tag_ttl, hub.cooldown) = (Duration::ZERO, DAY)).await;
    let old = app.hub.image("library/nginx", "latest", &[bytes(1, 100)]);
    app.anonymous().pull("nginx", "latest").await;
    let image = build("new", &[bytes(2, 100)]);
    for blob in image.blobs() {
        app.hub.blob("library/nginx", blob.clone());
    }
    // Pushed here before the upstream has it, and pulled by its digest.
    app.user("alice").push("team/nginx", "latest", &image).await;
    app.hub.manifest("library/nginx", "latest", IMAGE, image.manifest.clone());
    app.anonymous().pull("docker.io/library/nginx", &image.digest().to_string()).await;
    held_back(&app, &old, &image.digest()).await;
}

/// Under no shape of the name, by GET and HEAD, is the tag what its upstream says.
async fn held_back(app: &App, old: &Image, new: &Digest) {
    for client in [app.anonymous(), app.anonymous().through("docker.io"), app.user("admin")] {
        for name in ["library/nginx", "docker.io/library/nginx"] {
            if name.starts_with("docker.io") && client.get("/v2/nginx/manifests/latest").await.header("oci-namespace") == "docker.io" {
                continue;
            }
            let path = format!("/v2/{name}/manifests/latest");
            assert_eq!(client.get(&path).await.expect(200).body, old.manifest, "{path}, not {new}");
            assert_eq!(client.head(&path).await.expect(200).header("docker-content-digest"), old.digest.to_string());
        }
    }
}
