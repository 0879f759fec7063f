//! The private registry: what is pushed is taken whole or refused with the reason, and comes back byte for byte.

mod keeping;
mod policy;
mod rules;
mod tag_parameters;
mod wire;

use crate::app::*;
use bytes::Bytes;
use entrepot::oci::Digest;
use serde_json::json;

fn layer() -> Bytes {
    bytes(1, 300_000)
}

#[tokio::test]
async fn a_blob_can_be_pushed_in_every_way_and_comes_back() {
    let app = App::start().await;
    let alice = app.user("alice");
    let layer = layer();
    let digest = Digest::of(&layer);

    let whole = alice.post(&format!("/v2/a/whole/blobs/uploads/?digest={digest}"), layer.clone()).await.expect(201);
    assert_eq!(whole.header("location"), format!("/v2/a/whole/blobs/{digest}"));
    assert_eq!(whole.header("docker-content-digest"), digest.to_string());

    alice.push_blob("a/put", &layer).await;

    let location = alice.begin("a/chunks").await;
    let (first, second) = (layer.slice(..100_000), layer.slice(100_000..200_000));
    let answer = alice.patch(&location, &[("content-range", "0-99999")], first).await.expect(202);
    assert_eq!(answer.header("range"), "0-99999");
    let answer = alice.patch(answer.header("location"), &[("content-range", "100000-199999")], second).await.expect(202);
    assert_eq!(answer.header("range"), "0-199999");
    let location = answer.header("location");
    alice.put(&format!("{location}?digest={digest}"), layer.slice(200_000..)).await.expect(201);

    let location = alice.begin("a/streamed").await;
    let answer = alice.patch(&location, &[], layer.clone()).await.expect(202);
    assert_eq!(answer.header("range"), "0-299999");
    alice.put(&format!("{location}?digest={digest}"), "").await.expect(201);

    for name in ["a/whole", "a/put", "a/chunks", "a/streamed"] {
        assert_eq!(app.anonymous().blob(name, &digest).await, layer, "{name}");
    }
    assert_eq!(app.hub.requests(), 0);
}

#[tokio::test]
async fn a_chunk_at_the_wrong_offset_is_416_and_tells_where_to_go_on() {
    let app = App::start().await;
    let alice = app.user("alice");
    let location = alice.begin("team/app").await;
    alice.patch(&location, &[("content-range", "0-9")], "0123456789").await.expect(202);
    for range in ["0-9", "20-29"] {
        let refused = alice.patch(&location, &[("content-range", range)], "abcdefghij").await.expect(416);
        assert_eq!(refused.header("range"), "0-9");
        assert!(refused.message().contains("10 bytes are here"), "{}", refused.message());
    }
    let status = alice.get(&location).await.expect(204);
    assert_eq!(status.header("range"), "0-9");
    assert_eq!(status.header("location"), location);
    let digest = Digest::of(b"0123456789abc");
    alice.put(&format!("{location}?digest={digest}"), "abc").await.expect(201);
    alice.get(&location).await.expect(404);
}

#[tokio::test]
async fn a_wrong_digest_is_400_and_nothing_is_kept() {
    let app = App::start().await;
    let alice = app.user("alice");
    let digest = Digest::of(b"what was meant");
    let location = alice.begin("team/app").await;
    let refused = alice.put(&format!("{location}?digest={digest}"), "what was sent").await.expect(400);
    assert_eq!(refused.code(), "DIGEST_INVALID");
    let refused = alice.post(&format!("/v2/team/app/blobs/uploads/?digest={digest}"), "what was sent").await.expect(400);
    assert_eq!(refused.code(), "DIGEST_INVALID");
    for digest in [digest, Digest::of(b"what was sent")] {
        alice.pushing().head(&format!("/v2/team/app/blobs/{digest}")).await.expect(404);
    }
    alice.get(&location).await.expect(404);
    assert_eq!(app.registry().index().totals().await.unwrap().blobs, 0);
}

/// SEC-20: an upload that one repository had begun could be used through another's address.
#[tokio::test]
async fn artifact_keeper_1317_an_upload_is_its_owners_and_can_be_cancelled() {
    let app = App::start().await;
    let alice = app.user("alice");
    let location = alice.begin("team/app").await;
    let elsewhere = location.replace("team/app", "team/other");
    let closing = format!("?digest={}", Digest::of(b"x"));
    for (client, location) in [(app.user("bob"), &location), (app.user("admin"), &location), (app.user("alice"), &elsewhere)] {
        assert_eq!(client.get(location).await.expect(404).code(), "BLOB_UPLOAD_UNKNOWN");
        client.patch(location, &[], "x").await.expect(404);
        client.put(&format!("{location}{closing}"), "x").await.expect(404);
        client.delete(location).await.expect(404);
    }
    assert_eq!(alice.get(&location).await.expect(204).header("range"), "0-0");
    alice.delete(&location).await.expect(204);
    assert_eq!(alice.patch(&location, &[], "x").await.expect(404).code(), "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn a_blob_can_be_mounted_from_hosted_and_from_cached_repositories() {
    let app = App::start().await;
    let alice = app.user("alice");
    let layer = layer();
    let digest = alice.push_blob("team/app", &layer).await;
    let mount = |to: &str, digest: &Digest, from: &str| format!("/v2/{to}/blobs/uploads/?mount={digest}&from={from}");
    let mounted = alice.post(&mount("team/other", &digest, "team/app"), "").await.expect(201);
    assert_eq!(mounted.header("location"), format!("/v2/team/other/blobs/{digest}"));
    assert_eq!(alice.blob("team/other", &digest).await, layer);

    let image = app.hub.image("library/nginx", "latest", &[bytes(2, 5000)]);
    app.anonymous().pull("nginx", "latest").await;
    app.landed().await;
    let requests = app.hub.requests();
    alice.post(&mount("team/web", &image.layers[0], "nginx"), "").await.expect(201);
    alice.post(&mount("team/web", &image.config, "docker.io/library/nginx"), "").await.expect(201);
    assert_eq!(alice.blob("team/web", &image.layers[0]).await, bytes(2, 5000));
    assert_eq!(app.hub.requests(), requests);

    let nowhere = Digest::of(b"nowhere");
    let upload = alice.post(&mount("team/other", &nowhere, "team/app"), "").await.expect(202);
    alice.put(&format!("{}?digest={nowhere}", upload.header("location")), "nowhere").await.expect(201);
}

#[tokio::test]
async fn a_blob_is_served_whole_and_in_ranges() {
    let app = App::start().await;
    let layer = layer();
    let digest = app.user("alice").push_blob("team/app", &layer).await;
    let (client, path) = (app.anonymous(), format!("/v2/team/app/blobs/{digest}"));
    let head = client.head(&path).await.expect(200);
    assert_eq!((head.header("content-length"), head.header("accept-ranges")), ("300000", "bytes"));
    assert_eq!(head.header("docker-content-digest"), digest.to_string());
    for (asked, told, part) in [
        ("bytes=0-9", "bytes 0-9/300000", 0..10),
        ("bytes=299990-", "bytes 299990-299999/300000", 299_990..300_000),
        ("bytes=-5", "bytes 299995-299999/300000", 299_995..300_000),
        ("bytes=100000-999999", "bytes 100000-299999/300000", 100_000..300_000),
    ] {
        let answer = client.range(&path, asked).await.expect(206);
        assert_eq!(answer.header("content-range"), told);
        assert!(answer.body == layer.slice(part), "{asked}");
    }
    let beyond = client.range(&path, "bytes=300000-").await.expect(416);
    assert_eq!(beyond.header("content-range"), "bytes */300000");
    assert!(client.range(&path, "lines=1-2").await.expect(200).body == layer);
}

#[tokio::test]
async fn a_manifest_comes_back_verbatim_by_tag_and_by_digest() {
    let app = App::start().await;
    let image = build("one", &[layer()]);
    let alice = app.user("alice");
    assert_eq!(alice.push("team/app", "v1", &image).await, 2);
    for reference in ["v1".to_owned(), image.digest().to_string()] {
        let path = format!("/v2/team/app/manifests/{reference}");
        for answer in [app.anonymous().get(&path).await, app.anonymous().get(&path).await, app.anonymous().head(&path).await] {
            let answer = answer.expect(200);
            assert_eq!(answer.header("content-type"), IMAGE);
            assert_eq!(answer.header("docker-content-digest"), image.digest().to_string());
            assert_eq!(answer.header("content-length"), image.manifest.len().to_string());
            assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
        }
        assert_eq!(app.anonymous().get(&path).await.body, image.manifest);
    }
    let pulled = app.anonymous().pull("team/app", "v1").await;
    assert_eq!(pulled.blobs, [layer(), image.config]);
    assert_eq!(app.hub.requests(), 0);
}

#[tokio::test]
async fn a_manifest_that_cannot_be_kept_is_refused_with_the_reason() {
    let app = App::start().await;
    let alice = app.user("alice");
    let image = build("one", &[layer()]);
    alice.push_blob("team/app", &image.config).await;
    let refused = alice.put_manifest("team/app", "v1", IMAGE, image.manifest.clone()).await.expect(400);
    assert_eq!(refused.code(), "MANIFEST_BLOB_UNKNOWN");
    let missing = Digest::of(&layer()).to_string();
    assert!(refused.message().contains(&missing) && !refused.message().contains(&Digest::of(&image.config).to_string()));
    assert!(refused.json()["errors"][0]["detail"].to_string().contains(&missing));

    let child = json!({"mediaType": IMAGE, "digest": Digest::of(b"child"), "size": 5});
    let schema1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    for (kind, document, reason) in [
        (INDEX, json!({"schemaVersion": 2, "layers": [], "manifests": []}), "image and index in one"),
        (INDEX, json!({"schemaVersion": 2, "layers": [child]}), "image and index in one"),
        (IMAGE, json!({"schemaVersion": 2, "manifests": [child]}), "image and index in one"),
        (IMAGE, json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}), "was sent as"),
        (IMAGE, json!([2, null, null, null, null, null, null, null, null, null]), "no object"),
        (IMAGE, json!("no manifest"), "no object"),
        ("manifest", json!({"schemaVersion": 2}), "no media type"),
        (schema1, json!({"schemaVersion": 1, "name": "team/app", "tag": "v1", "fsLayers": [], "history": []}), "schema 1"),
        ("", json!({"schemaVersion": 1, "fsLayers": []}), "schema 1"),
    ] {
        let refused = alice.put_manifest("team/app", "v1", kind, document.to_string()).await.expect(400);
        assert_eq!(refused.code(), "MANIFEST_INVALID", "{document}");
        assert!(refused.message().contains(reason), "{}", refused.message());
    }
    let large = format!("{{\"schemaVersion\":2,\"x\":\"{}\"}}", "x".repeat(4 << 20));
    assert_eq!(alice.put_manifest("team/app", "v1", IMAGE, large).await.expect(413).code(), "SIZE_INVALID");
    let other = Digest::of(b"another manifest").to_string();
    assert_eq!(alice.put_manifest("team/app", &other, IMAGE, image.manifest.clone()).await.expect(400).code(), "DIGEST_INVALID");
    app.anonymous().get("/v2/team/app/tags/list").await.expect(404);
}

#[tokio::test]
async fn tags_are_listed_page_by_page() {
    let app = App::start().await;
    let alice = app.user("alice");
    let image = build("one", &[]);
    for tag in ["v3", "v1", "latest", "v2"] {
        alice.push("team/app", tag, &image).await;
    }
    let tags = async |path: &str| {
        let answer = app.anonymous().get(path).await.expect(200);
        assert_eq!(answer.json()["name"], "team/app");
        let link = answer.header("link").trim_end_matches(">; rel=\"next\"").trim_start_matches('<').to_owned();
        (answer.json()["tags"].clone(), link)
    };
    assert_eq!(tags("/v2/team/app/tags/list").await, (json!(["latest", "v1", "v2", "v3"]), String::new()));
    let (first, next) = tags("/v2/team/app/tags/list?n=3").await;
    assert_eq!(first, json!(["latest", "v1", "v2"]));
    assert_eq!(tags(&next).await, (json!(["v3"]), String::new()));
    assert_eq!(tags("/v2/team/app/tags/list?last=v1&n=1").await.0, json!(["v2"]));
    assert_eq!(tags("/v2/team/app/tags/list?n=0").await.0, json!([]));
    for n in ["some", "-1", "1.5", "1e400", ""] {
        let refused = app.anonymous().get(&format!("/v2/team/app/tags/list?n={n}")).await.expect(400);
        assert!(refused.message().contains("no number"), "{}", refused.message());
        app.anonymous().get(&format!("/v2/_catalog?n={n}")).await.expect(400);
    }
    for n in ["2147483648", "9223372036854775808", "99999999999999999999999999"] {
        assert_eq!(tags(&format!("/v2/team/app/tags/list?n={n}")).await.0.as_array().unwrap().len(), 4);
    }
    assert_eq!(app.hub.requests(), 0);
    assert_eq!(app.anonymous().get("/v2/team/none/tags/list").await.expect(404).code(), "NAME_UNKNOWN");
}

#[tokio::test]
async fn the_catalog_lists_hosted_names_and_cached_ones() {
    let app = App::start().await;
    app.hub.image("library/nginx", "latest", &[]);
    app.hub.image("grafana/grafana", "latest", &[]);
    app.anonymous().pull("nginx", "latest").await;
    app.anonymous().pull("grafana/grafana", "latest").await;
    for name in ["team/app", "mine", "library/other"] {
        app.user("alice").push(name, "v1", &build(name, &[])).await;
    }
    let names = async |path: &str| app.anonymous().get(path).await.expect(200).json()["repositories"].clone();
    assert_eq!(names("/v2/_catalog").await, json!(["grafana/grafana", "mine", "nginx", "other", "team/app"]));
    assert_eq!(names("/v2/_catalog?source=hosted").await, json!(["mine", "other", "team/app"]));
    assert_eq!(names("/v2/_catalog?n=2&last=mine").await, json!(["nginx", "other"]));
    let link = app.anonymous().get("/v2/_catalog?n=2&source=hosted").await.header("link").to_owned();
    assert_eq!(link, "</v2/_catalog?n=2&last=other&source=hosted>; rel=\"next\"");
}

#[tokio::test]
async fn tags_manifests_and_blobs_can_be_deleted() {
    let app = App::start().await;
    let alice = app.user("alice");
    let image = build("one", &[layer()]);
    alice.push("team/app", "v1", &image).await;
    alice.push("team/app", "v2", &image).await;
    let by_digest = format!("/v2/team/app/manifests/{}", image.digest());
    app.anonymous().get("/v2/team/app/manifests/v1").await.expect(200);

    app.anonymous().delete("/v2/team/app/manifests/v1").await.expect(401);
    alice.delete("/v2/team/app/manifests/v1").await.expect(403);
    app.user("admin").delete("/v2/team/app/manifests/v1").await.expect(202);
    assert_eq!(app.anonymous().get("/v2/team/app/manifests/v1").await.expect(404).code(), "MANIFEST_UNKNOWN");
    app.anonymous().get("/v2/team/app/manifests/v2").await.expect(200);
    app.user("admin").delete(&by_digest).await.expect(202);
    for path in ["/v2/team/app/manifests/v2", &by_digest] {
        app.anonymous().get(path).await.expect(404);
    }
    app.user("admin").delete(&by_digest).await.expect(404);

    let blob = format!("/v2/team/app/blobs/{}", Digest::of(&layer()));
    app.anonymous().get(&blob).await.expect(200);
    app.user("admin").delete(&blob).await.expect(202);
    assert_eq!(app.anonymous().get(&blob).await.expect(404).code(), "BLOB_UNKNOWN");
}

#[tokio::test]
async fn an_upstreams_name_can_be_neither_pushed_nor_deleted() {
    let app = App::start().await;
    let alice = app.user("alice");
    let refused = alice.post("/v2/docker.io/library/nginx/blobs/uploads/", "").await.expect(403);
    assert_eq!(refused.code(), "DENIED");
    assert!(refused.message().contains("team/"), "{}", refused.message());
    let refused = alice.put_manifest("docker.io/library/nginx", "latest", IMAGE, build("x", &[]).manifest).await.expect(403);
    assert!(refused.message().contains("docker.io"), "{}", refused.message());
    let refused = app.user("admin").delete("/v2/docker.io/library/nginx/manifests/latest").await.expect(405);
    assert!(refused.message().contains("purge"), "{}", refused.message());
}

#[tokio::test]
async fn referrers_are_listed_for_their_subject() {
    let app = App::start().await;
    let alice = app.user("alice");
    let image = build("one", &[]);
    alice.push("team/app", "v1", &image).await;
    let empty = Bytes::from("{}");
    alice.push_blob("team/app", &empty).await;
    let config = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(&empty), "size": 2});
    let subject = json!({"mediaType": IMAGE, "digest": image.digest(), "size": image.manifest.len()});
    let mut digests = Vec::new();
    for kind in ["application/x-signature", "application/x-sbom"] {
        let manifest = Bytes::from(
            json!({"schemaVersion": 2, "mediaType": IMAGE, "artifactType": kind, "config": config, "layers": [], "subject": subject,
                   "annotations": {"about": kind}})
            .to_string(),
        );
        let digest = Digest::of(&manifest);
        let answer = alice.put_manifest("team/app", &digest.to_string(), IMAGE, manifest).await.expect(201);
        assert_eq!(answer.header("oci-subject"), image.digest().to_string());
        digests.push(digest);
    }
    let path = format!("/v2/team/app/referrers/{}", image.digest());
    let all = app.anonymous().get(&path).await.expect(200);
    assert_eq!(all.header("content-type"), INDEX);
    assert_eq!(all.json()["manifests"].as_array().unwrap().len(), 2);
    let some = app.anonymous().get(&format!("{path}?artifactType=application/x-sbom")).await.expect(200);
    assert_eq!(some.header("oci-filters-applied"), "artifactType");
    let listed = &some.json()["manifests"];
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["digest"], digests[1].to_string());
    assert_eq!(listed[0]["annotations"]["about"], "application/x-sbom");
    let none = app.anonymous().get(&format!("/v2/team/app/referrers/{}", Digest::of(b"none"))).await.expect(200);
    assert_eq!(none.json()["manifests"], json!([]));
}

#[tokio::test]
async fn nginx_and_library_nginx_are_one_repository() {
    let app = App::start().await;
    let (short, long) = (build("short", &[]), build("long", &[]));
    app.user("alice").push("web", "short", &short).await;
    app.user("alice").push("library/web", "long", &long).await;
    for name in ["web", "library/web"] {
        assert_eq!(app.anonymous().pull(name, "short").await.manifest, short.manifest);
        assert_eq!(app.anonymous().pull(name, "long").await.manifest, long.manifest);
        let tags = app.anonymous().get(&format!("/v2/{name}/tags/list")).await.expect(200).json()["tags"].clone();
        assert_eq!(tags, json!(["long", "short"]));
    }
    assert_eq!(app.anonymous().get("/v2/_catalog").await.json()["repositories"], json!(["web"]));
}

#[tokio::test]
async fn a_blob_that_lies_here_for_another_repository_is_not_readable() {
    let app = App::start().await;
    let digest = app.user("alice").push_blob("team/secret", &layer()).await;
    assert_eq!(app.anonymous().get(&format!("/v2/team/other/blobs/{digest}")).await.expect(404).code(), "BLOB_UNKNOWN");
}
