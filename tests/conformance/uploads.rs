//! Push: "Pushing blobs", in one request, in two, in chunks, by a mount.

use bytes::Bytes;
use entrepot::oci::{Algorithm, Digest, Hasher};

use crate::app::*;
use crate::places::*;

fn sha512(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(bytes);
    hasher.finish()
}

/// One chunk, where it begins, and how it is answered.
async fn chunk(desk: &Desk, place: &str, first: usize, bytes: &Bytes) -> Answer {
    let range = format!("{first}-{}", first + bytes.len() - 1);
    let headers = [("content-type", "application/octet-stream"), ("content-range", &*range)];
    desk.client.patch(place, &headers, bytes.clone()).await
}

#[tokio::test]
async fn pushing_a_blob_by_post_then_put_answers_202_then_201_with_their_locations() {
    on_every_desk(async |desk| {
        for blob in [bytes(1, 100_000), Bytes::new()] {
            let place = desk.begin().await;
            let done = desk.client.put(&closing(&place, Digest::of(&blob)), blob.clone()).await.expect(201);
            desk.leads_to(&done, &blob).await;
            desk.has_blob(&blob).await;
        }
    })
    .await;
}

#[tokio::test]
async fn pushing_a_blob_opens_each_time_an_upload_of_its_own() {
    on_every_desk(async |desk| {
        let places = [desk.begin().await, desk.begin().await];
        assert_ne!(places[0], places[1]);
        let (one, two) = (bytes(2, 50_000), bytes(3, 50_000));
        chunk(desk, &places[0], 0, &one).await.expect(202);
        let done = desk.client.put(&closing(&places[1], Digest::of(&two)), two.clone()).await.expect(201);
        desk.leads_to(&done, &two).await;
    })
    .await;
}

#[tokio::test]
async fn pushing_a_blob_by_a_single_post_is_201_or_goes_on_with_put() {
    on_every_desk(async |desk| {
        let blob = bytes(4, 70_000);
        let digest = Digest::of(&blob);
        let path = format!("/v2/{}/blobs/uploads/?digest={digest}", desk.name);
        let mut answer = desk.client.post(&path, blob.clone()).await;
        if answer.status == 202 {
            answer = desk.client.put(&closing(&answer.location(), digest), blob.clone()).await;
        }
        desk.leads_to(&answer.expect(201), &blob).await;
    })
    .await;
}

#[tokio::test]
async fn pushing_a_blob_in_chunks_tells_after_each_how_far_it_is() {
    on_every_desk(async |desk| {
        let blob = bytes(5, 90_000);
        for last_by_put in [false, true] {
            let mut place = desk.begin().await;
            let patched = if last_by_put { 2 } else { 3 };
            for first in (0..patched).map(|part| part * 30_000) {
                let answer = chunk(desk, &place, first, &blob.slice(first..first + 30_000)).await.expect(202);
                assert_eq!(answer.header("range"), format!("0-{}", first + 29_999));
                place = answer.location();
            }
            let rest = blob.slice(patched * 30_000..);
            let range = format!("{}-89999", patched * 30_000);
            let headers: &[_] = if last_by_put { &[("content-range", &*range)] } else { &[] };
            let path = closing(&place, Digest::of(&blob));
            let done = desk.client.send(reqwest::Method::PUT, &path, headers, rest).await.expect(201);
            desk.leads_to(&done, &blob).await;
        }
    })
    .await;
}

#[tokio::test]
async fn pushing_a_blob_in_chunks_names_a_least_length_that_is_a_number_or_none() {
    on_every_desk(async |desk| {
        let answer = desk.client.post(&format!("/v2/{}/blobs/uploads/", desk.name), "").await.expect(202);
        let least = answer.header("oci-chunk-min-length");
        assert!(least.is_empty() || least.parse::<u64>().is_ok(), "{least}");
    })
    .await;
}

#[tokio::test]
async fn pushing_a_blob_as_one_stream_needs_no_range() {
    on_every_desk(async |desk| {
        let blob = bytes(6, 120_000);
        let answer = desk.client.patch(&desk.begin().await, &[], blob.clone()).await.expect(202);
        assert_eq!(answer.header("range"), "0-119999");
        let done = desk.client.put(&closing(&answer.location(), Digest::of(&blob)), "").await.expect(201);
        desk.leads_to(&done, &blob).await;
    })
    .await;
}

#[tokio::test]
async fn pushing_a_chunk_out_of_order_is_416_and_the_upload_goes_on() {
    on_every_desk(async |desk| {
        let blob = bytes(7, 60_000);
        let part = |first: usize, end: usize| blob.slice(first..end);
        let mut place = desk.begin().await;
        chunk(desk, &place, 1, &part(1, 20_000)).await.expect(416);
        place = chunk(desk, &place, 0, &part(0, 20_000)).await.expect(202).location();
        for (first, end) in [(0, 20_000), (19_999, 40_000), (20_001, 40_000), (40_000, 60_000)] {
            chunk(desk, &place, first, &part(first, end)).await.expect(416);
        }
        let path = closing(&place, Digest::of(&blob));
        let late = desk.client.send(reqwest::Method::PUT, &path, &[("content-range", "40000-59999")], part(40_000, 60_000)).await;
        late.expect(416);
        place = desk.client.get(&place).await.expect(204).location();
        let done = desk.client.put(&closing(&place, Digest::of(&blob)), part(20_000, 60_000)).await.expect(201);
        desk.leads_to(&done, &blob).await;
    })
    .await;
}

#[tokio::test]
async fn asking_for_the_status_of_an_upload_is_204_and_tells_how_far_it_is() {
    on_every_desk(async |desk| {
        let place = chunk(desk, &desk.begin().await, 0, &bytes(8, 12_345)).await.expect(202).location();
        let answer = desk.client.get(&place).await.expect(204);
        assert_eq!(answer.header("range"), "0-12344");
        assert!(answer.headers.contains_key("location"), "{answer:?}");
    })
    .await;
}

#[tokio::test]
async fn cancelling_an_upload_is_204_and_ends_it() {
    on_every_desk(async |desk| {
        let place = desk.begin().await;
        let answer = desk.client.delete(&place).await;
        if !desk.lacks(&answer) {
            answer.expect(204);
            desk.client.get(&place).await.expect(404);
            desk.client.patch(&place, &[], "more").await.expect(404);
        }
    })
    .await;
}

#[tokio::test]
async fn pushing_a_blob_with_a_digest_that_is_wrong_or_of_no_known_algorithm_is_400() {
    on_every_desk(async |desk| {
        let hex = "d41d8cd98f00b204e9800998ecf8427e";
        for digest in [&*format!("md5:{hex}"), "sha256:baddigest", "nothing", "", &Digest::of(b"other bytes").to_string()] {
            let place = desk.begin().await;
            desk.client.put(&closing(&place, digest), "bytes").await.expect(400);
            let answer = desk.client.post(&format!("/v2/{}/blobs/uploads/?digest={digest}", desk.name), "bytes").await;
            assert!(answer.status == 400 || desk.sparse.is_none() && answer.status == 202, "{digest}: {}", answer.status);
        }
        let answer = desk.client.post(&format!("/v2/{}/blobs/uploads/?digest-algorithm=md5", desk.name), "").await;
        assert!(answer.status == 400 || desk.sparse.is_none(), "{}", answer.status);
        desk.client.get(&desk.blob(&Digest::of(b"bytes"))).await.expect(404);
    })
    .await;
}

#[tokio::test]
async fn pushing_a_blob_by_another_algorithm_keeps_it_under_that_digest() {
    on_every_desk(async |desk| {
        let blob = bytes(9, 40_000);
        let digest = sha512(&blob);
        let path = format!("/v2/{}/blobs/uploads/?digest-algorithm=sha512", desk.name);
        let place = desk.client.post(&path, "").await.expect(202).location();
        let place = chunk(desk, &place, 0, &blob).await.expect(202).location();
        let done = desk.client.put(&closing(&place, digest), "").await.expect(201);
        desk.leads_to(&done, &blob).await;
        let found = desk.client.get(&desk.blob(&digest)).await.expect(200);
        assert_eq!((found.header("docker-content-digest"), &found.body), (&*digest.to_string(), &blob));
    })
    .await;
}

#[tokio::test]
async fn mounting_a_blob_from_another_repository_is_201_and_needs_no_bytes() {
    on_every_desk(async |desk| {
        for from in [format!("&from={}", desk.other), String::new()] {
            let blob = Bytes::from(format!("a blob for {} {from}", desk.name));
            let digest = desk.client.push_blob(&desk.other, &blob).await;
            let answer = desk.client.post(&format!("/v2/{}/blobs/uploads/?mount={digest}{from}", desk.name), "").await;
            if desk.sparse.is_some() || answer.status != 202 {
                desk.leads_to(&answer.expect(201), &blob).await;
                desk.has_blob(&blob).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn mounting_a_blob_that_cannot_be_had_is_202_and_the_upload_goes_on() {
    on_every_desk(async |desk| {
        let blob = bytes(10, 30_000);
        let digest = Digest::of(&blob);
        for from in [format!("&from={}", desk.other), "&from=conformance/none".to_owned(), String::new()] {
            let answer = desk.client.post(&format!("/v2/{}/blobs/uploads/?mount={digest}{from}", desk.name), "").await.expect(202);
            assert!(answer.headers.contains_key("location"), "{answer:?}");
        }
        let answer = desk.client.post(&format!("/v2/{}/blobs/uploads/?mount={digest}&from={}", desk.name, desk.other), "").await;
        let done = desk.client.put(&closing(&answer.location(), digest), blob.clone()).await.expect(201);
        desk.leads_to(&done, &blob).await;
    })
    .await;
}
