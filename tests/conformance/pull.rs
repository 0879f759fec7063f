//! Pull: "Pulling manifests", "Pulling blobs", "Checking if content exists in the registry".

use bytes::Bytes;
use entrepot::oci::Digest;

use crate::app::*;
use crate::places::*;

impl Shelf {
    /// Both manifests by tag and by digest: path, type, bytes.
    fn manifests(&self) -> Vec<(String, &'static str, &Bytes)> {
        let (image, index) = (&self.image.manifest, &self.index);
        let names = [("v1".to_owned(), IMAGE, image), ("all".to_owned(), INDEX, index)];
        let digests = [(Digest::of(image).to_string(), IMAGE, image), (Digest::of(index).to_string(), INDEX, index)];
        let path = |reference: String| format!("/v2/{}/manifests/{reference}", self.name);
        names.into_iter().chain(digests).map(|(reference, kind, bytes)| (path(reference), kind, bytes)).collect()
    }

    fn absent(&self) -> [String; 3] {
        let digest = Digest::of(b"nowhere");
        let name = &self.name;
        [format!("/v2/{name}/manifests/nowhere"), format!("/v2/{name}/manifests/{digest}"), format!("/v2/{name}/blobs/{digest}")]
    }
}

#[tokio::test]
async fn pulling_manifests_gives_the_bytes_their_type_and_their_digest() {
    on_every_shelf(async |shelf| {
        for (path, kind, bytes) in shelf.manifests() {
            let answer = shelf.client.get(&path).await.expect(200);
            assert_eq!(answer.body, bytes, "{path}");
            assert_eq!(answer.header("content-type"), kind, "{path}");
            assert_eq!(answer.header("docker-content-digest"), Digest::of(bytes).to_string(), "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn pulling_blobs_gives_the_bytes_and_their_digest() {
    on_every_shelf(async |shelf| {
        for blob in shelf.image.blobs() {
            let digest = Digest::of(blob);
            let answer = shelf.client.get(&format!("/v2/{}/blobs/{digest}", shelf.name)).await.expect(200);
            assert_eq!((answer.body, answer.whole), (blob.clone(), true));
            assert_eq!(answer.headers["docker-content-digest"], digest.to_string());
        }
    })
    .await;
}

#[tokio::test]
async fn pulling_what_is_not_in_the_repository_is_404() {
    on_every_shelf(async |shelf| {
        shelf.client.get(&shelf.manifests()[0].0).await.expect(200);
        for path in shelf.absent() {
            shelf.client.get(&path).await.expect(404);
        }
    })
    .await;
}

#[tokio::test]
async fn pulling_from_a_repository_that_is_not_there_is_404() {
    on_every_shelf(async |shelf| {
        for path in shelf.absent() {
            let (before, after) = path.rsplit_once(&shelf.name).unwrap();
            shelf.client.get(&format!("{before}{}-none{after}", shelf.name)).await.expect(404);
        }
    })
    .await;
}

#[tokio::test]
async fn pulling_by_what_is_neither_tag_nor_digest_finds_nothing() {
    on_every_shelf(async |shelf| {
        for reference in [".v1", "-v1", "v1:x", "sha256:abc", "v+1", &"v".repeat(129)] {
            let answer = shelf.client.get(&format!("/v2/{}/manifests/{reference}", shelf.name)).await;
            assert!(matches!(answer.status, 400 | 404), "{reference}: {}", answer.status);
        }
    })
    .await;
}

#[tokio::test]
async fn pulling_blobs_honours_ranges() {
    on_every_shelf(async |shelf| {
        let blob = &shelf.image.layers[0];
        let path = format!("/v2/{}/blobs/{}", shelf.name, Digest::of(blob));
        for (range, part) in [
            ("bytes=0-0", 0..1),
            ("bytes=500-1499", 500..1500),
            ("bytes=500-", 500..2048),
            ("bytes=-500", 1548..2048),
            ("bytes=2000-5000", 2000..2048),
            ("bytes=-5000", 0..2048),
        ] {
            let answer = shelf.client.range(&path, range).await.expect(206);
            assert_eq!(answer.header("content-range"), format!("bytes {}-{}/2048", part.start, part.end - 1), "{range}");
            assert_eq!(answer.body, blob.slice(part), "{range}");
        }
        for range in ["bytes=2048-", "bytes=5000-10000", "bytes=-0"] {
            let answer = shelf.client.range(&path, range).await.expect(416);
            assert_eq!(answer.header("content-range"), "bytes */2048", "{range}");
        }
        // What is no range may be refused or ignored.
        for range in ["bytes=500-0", "bytes=a-b", "lines=1-2"] {
            let answer = shelf.client.range(&path, range).await;
            assert!(answer.status == 416 || answer.status == 200 && answer.body == blob, "{range}: {}", answer.status);
        }
    })
    .await;
}

#[tokio::test]
async fn checking_if_content_exists_tells_digest_and_length_and_no_bytes() {
    on_every_shelf(async |shelf| {
        let blobs = shelf.image.blobs().map(|blob| (format!("/v2/{}/blobs/{}", shelf.name, Digest::of(blob)), blob));
        let manifests = shelf.manifests();
        for (path, bytes) in manifests.iter().map(|(path, _, bytes)| (path.clone(), *bytes)).chain(blobs) {
            let answer = shelf.client.head(&path).await.expect(200);
            assert_eq!(answer.header("docker-content-digest"), Digest::of(bytes).to_string(), "{path}");
            assert_eq!(answer.header("content-length"), bytes.len().to_string(), "{path}");
            assert!(answer.body.is_empty(), "{path}");
        }
        for path in shelf.absent() {
            assert!(shelf.client.head(&path).await.expect(404).body.is_empty());
        }
    })
    .await;
}
