//! Push: "Pushing Manifests", with a subject, with tags as parameters, with what is not there.

use bytes::Bytes;
use entrepot::oci::Digest;
use serde_json::json;

use crate::app::*;
use crate::places::*;

const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";

impl Desk {
    pub async fn push_manifest(&self, reference: impl std::fmt::Display, kind: &str, bytes: &Bytes) -> Answer {
        self.client.put_manifest(&self.name, &reference.to_string(), kind, bytes.clone()).await
    }

    /// An image whose blobs are here and whose manifest is not.
    pub async fn half_pushed(&self, comment: &str) -> Built {
        let image = build(comment, &[bytes(21, 3000)]);
        for blob in image.blobs() {
            self.client.push_blob(&self.name, blob).await;
        }
        image
    }
}

/// A manifest of this kind that nobody would write so: its bytes must come back as they are.
fn odd(kind: &str, fields: &str) -> Bytes {
    format!("{{\n\t\"mediaType\" :\"{kind}\", \"schemaVersion\":  2{fields}\r\n }}\n\n").into()
}

/// A descriptor of these bytes.
fn part(kind: &str, bytes: &[u8]) -> serde_json::Value {
    json!({"mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len()})
}

#[tokio::test]
async fn pushing_manifests_keeps_the_very_bytes_and_the_type() {
    on_every_desk(async |desk| {
        let image = desk.half_pushed("verbatim").await;
        let (config, layer) = (part("application/vnd.oci.image.config.v1+json", &image.config), part("a/layer", &image.layers[0]));
        let child = part(IMAGE, &image.manifest);
        desk.push_manifest("child", IMAGE, &image.manifest).await.expect(201);
        let nested = odd(INDEX, &format!(", \"manifests\": [{child}]"));
        for (kind, manifest) in [
            (INDEX, nested.clone()),
            (INDEX, odd(INDEX, &format!(", \"manifests\": [{}, {child}]", part(INDEX, &nested)))),
            (INDEX, odd(INDEX, ", \"manifests\": []")),
            (IMAGE, odd(IMAGE, &format!(", \"config\": {config}, \"layers\": [{layer}], \"x-mine\": [1, {{}}]"))),
            (IMAGE, odd(IMAGE, &format!(", \"artifactType\": \"a/b\", \"config\": {config}, \"layers\": []"))),
            (DOCKER, odd(DOCKER, &format!(", \"config\": {config}, \"layers\": [{layer}]"))),
            (LIST, odd(LIST, &format!(", \"manifests\": [{child}]"))),
        ] {
            let digest = Digest::of(&manifest);
            for reference in ["odd".to_owned(), digest.to_string()] {
                let answer = desk.push_manifest(&reference, kind, &manifest).await.expect(201);
                assert_eq!(answer.header("docker-content-digest"), digest.to_string());
                desk.leads_to(&answer, &manifest).await;
                let found = desk.client.get(&desk.manifest(&reference)).await.expect(200);
                assert_eq!((found.header("content-type"), &found.body), (kind, &manifest));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn pushing_manifests_of_a_type_that_nobody_knows_is_taken_or_refused_with_400() {
    on_every_desk(async |desk| {
        for kind in [ARTIFACT, "application/vnd.example.thing+json"] {
            let manifest = odd(kind, "");
            let answer = desk.push_manifest("thing", kind, &manifest).await;
            if desk.sparse.is_some() || answer.status == 201 {
                answer.expect(201);
                let found = desk.client.get(&desk.manifest("thing")).await.expect(200);
                assert_eq!((found.header("content-type"), &found.body), (kind, &manifest));
            } else {
                answer.expect(400);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn pushing_manifests_ignores_parameters_of_the_content_type() {
    on_every_desk(async |desk| {
        let image = desk.half_pushed("parameters").await;
        desk.push_manifest("v1", &format!("{IMAGE}; charset=utf-8"), &image.manifest).await.expect(201);
        assert_eq!(desk.client.get(&desk.manifest("v1")).await.expect(200).header("content-type"), IMAGE);
    })
    .await;
}

#[tokio::test]
async fn pushing_manifests_by_a_digest_that_is_not_theirs_is_400() {
    on_every_desk(async |desk| {
        let image = desk.half_pushed("digest").await;
        for digest in [&*Digest::of(b"another").to_string(), "sha256:baddigest", "md5:d41d8cd98f00b204e9800998ecf8427e"] {
            desk.push_manifest(digest, IMAGE, &image.manifest).await.expect(400);
        }
        desk.client.get(&desk.manifest(image.digest())).await.expect(404);
    })
    .await;
}

#[tokio::test]
async fn pushing_manifests_takes_four_megabytes_and_refuses_too_much_with_413() {
    on_every_desk(async |desk| {
        let of_length = |length: usize| {
            let start = format!("{{\"schemaVersion\":2,\"mediaType\":\"{INDEX}\",\"manifests\":[],\"annotations\":{{\"x\":\"");
            let filling = "x".repeat(length - start.len() - 3);
            Bytes::from(format!("{start}{filling}\"}}}}"))
        };
        let large = of_length(4 << 20);
        desk.push_manifest("large", INDEX, &large).await.expect(201);
        assert_eq!(desk.client.get(&desk.manifest("large")).await.expect(200).body, large);
        if desk.sparse.is_some() {
            desk.push_manifest("larger", INDEX, &of_length((4 << 20) + 1)).await.expect(413);
        }
    })
    .await;
}

#[tokio::test]
async fn pushing_manifests_with_absent_blobs_is_201_or_names_them() {
    on_every_desk(async |desk| {
        let image = build("absent", &[bytes(22, 1000), bytes(23, 1000)]);
        desk.client.push_blob(&desk.name, &image.config).await;
        desk.client.push_blob(&desk.name, &image.layers[0]).await;
        let answer = desk.push_manifest("v1", IMAGE, &image.manifest).await;
        match desk.sparse {
            Some(sparse) => assert_eq!(answer.status == 201, sparse, "{answer:?}"),
            None => assert!(matches!(answer.status, 201 | 400 | 404), "{answer:?}"),
        }
        if answer.status != 201 {
            assert_eq!(answer.code(), "MANIFEST_BLOB_UNKNOWN");
            assert!(answer.message().contains(&Digest::of(&image.layers[1]).to_string()) || desk.sparse.is_none());
            desk.client.get(&desk.manifest("v1")).await.expect(404);
        }
    })
    .await;
}

#[tokio::test]
async fn pushing_manifests_whose_parts_may_be_elsewhere_needs_no_parts() {
    on_every_desk(async |desk| {
        let image = desk.half_pushed("elsewhere").await;
        let config = part("application/vnd.oci.image.config.v1+json", &image.config);
        let mut with_urls = part("application/vnd.oci.image.layer.v1.tar", b"not here");
        with_urls["urls"] = json!(["https://example.com/layer"]);
        let named = part("application/vnd.oci.image.layer.nondistributable.v1.tar", b"not here");
        let absent_child = part(IMAGE, b"not here");
        for (kind, manifest) in [
            (IMAGE, json!({"schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": [named]})),
            (IMAGE, json!({"schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": [with_urls]})),
            (INDEX, json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [absent_child]})),
        ] {
            let answer = desk.push_manifest("v1", kind, &manifest.to_string().into()).await;
            assert!(answer.status == 201 || desk.sparse.is_none() && answer.code() == "MANIFEST_BLOB_UNKNOWN", "{answer:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn pushing_manifests_with_subject_says_so_and_needs_no_subject() {
    on_every_desk(async |desk| {
        let image = desk.half_pushed("subject").await;
        for subject in [image.manifest.clone(), Bytes::from("not here")] {
            let config = part("application/vnd.oci.empty.v1+json", &image.config);
            let manifest =
                json!({"schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": [], "subject": part(IMAGE, &subject)});
            let answer = desk.push_manifest("about", IMAGE, &manifest.to_string().into()).await.expect(201);
            assert_eq!(answer.header("oci-subject"), Digest::of(&subject).to_string());
        }
    })
    .await;
}

#[tokio::test]
async fn pushing_manifests_by_digest_with_tags_makes_each_tag_that_it_names() {
    on_every_desk(async |desk| {
        let image = desk.half_pushed("tags").await;
        let tags: Vec<_> = (0..12).map(|number| format!("1.{number}")).collect();
        let query: Vec<_> = tags.iter().map(|tag| format!("tag={tag}")).collect();
        let answer = desk.push_manifest(format!("{}?{}", image.digest(), query.join("&")), IMAGE, &image.manifest).await.expect(201);
        let told: Vec<_> = answer.headers.get_all("oci-tag").iter().flat_map(|value| value.to_str().unwrap().split(',')).collect();
        let told: Vec<_> = told.into_iter().map(str::trim).collect();
        assert!(told == tags || desk.sparse.is_none() && told.is_empty(), "{told:?}");
        for tag in told {
            assert_eq!(desk.client.get(&desk.manifest(tag)).await.expect(200).body, image.manifest);
        }
        desk.client.get(&desk.manifest(image.digest())).await.expect(200);
    })
    .await;
}

#[tokio::test]
async fn pushing_manifests_with_too_many_tags_or_a_wrong_one_makes_none() {
    on_every_desk(async |desk| {
        if desk.sparse.is_none() {
            return;
        }
        let image = desk.half_pushed("too many").await;
        let many: Vec<_> = (0..101).map(|number| format!("tag=t{number}")).collect();
        for (query, status) in [(many.join("&"), 414), ("tag=good&tag=.bad".to_owned(), 400)] {
            let refused = desk.push_manifest(format!("{}?{query}", image.digest()), IMAGE, &image.manifest).await.expect(status);
            assert!(refused.headers.get("oci-tag").is_none());
        }
        for reference in ["good", "t0", &image.digest().to_string()] {
            desk.client.get(&desk.manifest(reference)).await.expect(404);
        }
    })
    .await;
}
