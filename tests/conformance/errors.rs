//! "Determining Support", "Error Codes", the grammar of names, and "Registry Proxying".

use entrepot::oci::Digest;

use crate::app::*;
use crate::places::*;

const CODES: [&str; 14] = [
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "DENIED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
];

#[tokio::test]
async fn determining_support_is_200_at_the_base() {
    on_every_desk(async |desk| {
        desk.client.get("/v2/").await.expect(200);
    })
    .await;
}

#[tokio::test]
async fn error_codes_are_those_of_the_specification() {
    on_every_desk(async |desk| {
        let (name, client) = (&desk.name, &desk.client);
        client.push_blob(name, &bytes(41, 100)).await;
        let upload = desk.begin().await;
        for answer in [
            client.get(&desk.manifest("none")).await,
            client.get(&desk.manifest(Digest::of(b"none"))).await,
            client.get(&desk.manifest("sha256:short")).await,
            client.get(&desk.blob(&Digest::of(b"none"))).await,
            client.get(&format!("/v2/{name}/blobs/sha256:short")).await,
            client.get(&format!("/v2/{name}/blobs/uploads/none")).await,
            client.get(&format!("/v2/{}/tags/list", desk.other)).await,
            client.get("/v2/NOT/a/name/tags/list").await,
            client.put_manifest(name, "v1", IMAGE, "no manifest").await,
            client.put_manifest(name, ".v1", IMAGE, "{}").await,
            client.put_manifest(name, &Digest::of(b"none").to_string(), INDEX, "{\"schemaVersion\":2,\"manifests\":[]}").await,
            client.patch(&upload, &[("content-range", "5-9")], "later").await,
            client.put(&closing(&upload, Digest::of(b"none")), "other").await,
        ] {
            assert!((400..500).contains(&answer.status), "{answer:?}");
            if answer.header("content-type").starts_with("application/json") {
                assert!(CODES.contains(&&*answer.code()), "{}", answer.code());
            } else {
                assert!(desk.sparse.is_none(), "{answer:?}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn names_that_the_grammar_allows_can_be_pushed_to() {
    on_every_desk(async |desk| {
        let deep = format!("{}{}", desk.name, "/x".repeat(60));
        for name in ["a.b", "a_b", "a__b", "a-b", "a---b", "0/1", "blobs/uploads", "tags/list", "manifests"] {
            let name = format!("{}/{name}", desk.name);
            let blob = name.clone().into();
            desk.client.push_blob(&name, &blob).await;
            desk.client.get(&format!("/v2/{name}/blobs/{}", Digest::of(&blob))).await.expect(200);
        }
        desk.client.push_blob(&deep, &bytes(42, 10)).await;
        if desk.sparse.is_some() {
            let longest = format!("{}/{}", desk.name, "x".repeat(254 - desk.name.len()));
            desk.client.push_blob(&longest, &bytes(43, 10)).await;
            desk.client.post(&format!("/v2/{longest}x/blobs/uploads/"), "").await.expect(400);
        }
    })
    .await;
}

#[tokio::test]
async fn names_that_the_grammar_does_not_allow_are_refused() {
    on_every_desk(async |desk| {
        for name in ["A", "a..b", "a___b", "a._b", "-a", "a-", "_a", "a_", ".a", "a.", "a//b", "a%2fb", "%41", "é", "a%00"] {
            let answer = desk.client.post(&format!("/v2/{}/{name}/blobs/uploads/", desk.name), "").await;
            assert!((300..500).contains(&answer.status), "{name}: {}", answer.status);
        }
    })
    .await;
}

#[tokio::test]
async fn proxying_with_ns_names_it_in_the_answer() {
    on_every_shelf(async |shelf| {
        let Some(name) = shelf.name.strip_prefix("docker.io/") else { return };
        let blob = format!("/v2/{name}/blobs/{}", Digest::of(&shelf.image.config));
        for path in [format!("/v2/{name}/manifests/v1"), blob] {
            for answer in [shelf.client.through("docker.io").get(&path).await, shelf.client.through("docker.io").head(&path).await] {
                assert_eq!(answer.expect(200).header("oci-namespace"), "docker.io");
            }
        }
    })
    .await;
}
