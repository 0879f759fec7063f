//! Content Management: "Deleting tags", "Deleting Manifests", "Deleting Blobs".

use entrepot::oci::Digest;

use crate::app::*;
use crate::places::*;

#[tokio::test]
async fn deleting_tags_is_202_and_leaves_the_manifest() {
    on_every_desk(async |desk| {
        let image = desk.half_pushed("tag").await;
        for tag in ["v1", "v2"] {
            desk.push_manifest(tag, IMAGE, &image.manifest).await.expect(201);
            desk.client.get(&desk.manifest(tag)).await.expect(200);
        }
        let answer = desk.client.delete(&desk.manifest("v1")).await;
        if !desk.lacks(&answer) {
            answer.expect(202);
            desk.client.get(&desk.manifest("v1")).await.expect(404);
            for reference in ["v2".to_owned(), image.digest().to_string()] {
                desk.client.get(&desk.manifest(reference)).await.expect(200);
            }
            desk.client.delete(&desk.manifest("v1")).await.expect(404);
        }
    })
    .await;
}

#[tokio::test]
async fn deleting_manifests_is_202_and_takes_every_tag_of_theirs() {
    on_every_desk(async |desk| {
        let image = desk.half_pushed("manifest").await;
        for tag in ["v1", "v2"] {
            desk.push_manifest(tag, IMAGE, &image.manifest).await.expect(201);
            desk.client.get(&desk.manifest(tag)).await.expect(200);
        }
        let answer = desk.client.delete(&desk.manifest(image.digest())).await;
        if !desk.lacks(&answer) {
            answer.expect(202);
            for reference in ["v1", "v2", &image.digest().to_string()] {
                desk.client.get(&desk.manifest(reference)).await.expect(404);
            }
            desk.client.delete(&desk.manifest(image.digest())).await.expect(404);
        }
    })
    .await;
}

#[tokio::test]
async fn deleting_blobs_is_202_and_they_are_gone() {
    on_every_desk(async |desk| {
        let digest = desk.client.push_blob(&desk.name, &bytes(31, 5000)).await;
        desk.client.get(&desk.blob(&digest)).await.expect(200);
        let answer = desk.client.delete(&desk.blob(&digest)).await;
        if !desk.lacks(&answer) {
            answer.expect(202);
            desk.client.get(&desk.blob(&digest)).await.expect(404);
            desk.client.head(&desk.blob(&digest)).await.expect(404);
            desk.client.delete(&desk.blob(&digest)).await.expect(404);
        }
    })
    .await;
}

#[tokio::test]
async fn deleting_from_a_repository_that_is_not_there_is_404() {
    on_every_desk(async |desk| {
        let digest = Digest::of(b"nowhere");
        for path in [desk.manifest("v1"), desk.manifest(digest), desk.blob(&digest)] {
            let answer = desk.client.delete(&path).await;
            if !desk.lacks(&answer) {
                answer.expect(404);
            }
        }
    })
    .await;
}
