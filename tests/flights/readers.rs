//! Readers of a growing blob: those who leave, those who sleep, and those who want a part.

use super::app::*;
use super::{CHALLENGE, Reader};

/// An image of one layer that grows until it is let go on.
async fn growing(app: &App, layer: &bytes::Bytes, stops_at: u64) -> (Image, String) {
    let image = app.hub.image("library/big", "latest", std::slice::from_ref(layer));
    app.hub.rule(Rule { times: Some(1), ..Rule::new("/cdn/", Fault::StallAfter(stops_at)) });
    let path = format!("/v2/library/big/blobs/{}", image.layers[0]);
    (image, path)
}

#[tokio::test]
async fn the_first_byte_comes_before_the_last_has_left() {
    let app = App::start().await;
    let layer = bytes(1, 8 << 20);
    let (_, path) = growing(&app, &layer, 2 << 20).await;
    let mut reader = Reader::open(app.address(), &path, None).await;
    assert!(reader.follow(&layer, 1 << 20).await);
    // The silent connection is given up after a while, and the rest comes by another.
    assert!(reader.comes_whole(&layer).await);
    assert!(app.hub.bytes_sent() < (layer.len() + layer.len() / 20) as u64);
}

#[tokio::test]
async fn a_client_that_leaves_stops_nothing() {
    let app = App::start().await;
    let layer = bytes(2, 4 << 20);
    let (image, path) = growing(&app, &layer, 1 << 20).await;
    let mut leader = Reader::open(app.address(), &path, None).await;
    assert!(leader.follow(&layer, 1000).await);
    let follower = Reader::open(app.address(), &path, None).await;
    drop(leader);
    assert!(follower.comes_whole(&layer).await);
    app.landed().await;
    let gets = app.fetches(&image.layers[0]);
    assert!(Reader::open(app.address(), &path, None).await.comes_whole(&layer).await);
    assert_eq!(app.fetches(&image.layers[0]), gets);
}

#[tokio::test]
async fn a_flight_that_everybody_left_lands_all_the_same() {
    let app = App::start().await;
    let layer = bytes(3, 4 << 20);
    let (_, path) = growing(&app, &layer, 1 << 20).await;
    let mut only = Reader::open(app.address(), &path, None).await;
    assert!(only.follow(&layer, 1000).await);
    drop(only);
    app.landed().await;
    app.hub.on("/", Fault::Reset);
    assert!(Reader::open(app.address(), &path, None).await.comes_whole(&layer).await);
}

#[tokio::test]
async fn a_reader_that_never_reads_holds_nobody_up() {
    let app = App::start().await;
    let layer = bytes(4, 32 << 20);
    let (image, path) = growing(&app, &layer, 0).await;
    let mut sleeper = Reader::open(app.address(), &path, None).await;
    let awake = Reader::open(app.address(), &path, None).await;
    assert!(awake.comes_whole(&layer).await);
    app.landed().await;
    assert!(Reader::open(app.address(), &path, None).await.comes_whole(&layer).await);
    assert!(app.hub.blob_bytes(&image.layers[0]) < layer.len() as u64 + CHALLENGE);
    // And when it wakes up, everything is there for it.
    assert!(sleeper.follow(&layer, layer.len()).await);
}

#[tokio::test]
async fn a_range_of_a_growing_blob_comes_as_soon_as_its_bytes_do() {
    let app = App::start().await;
    let layer = bytes(5, 4 << 20);
    let (image, path) = growing(&app, &layer, 2 << 20).await;
    let whole = Reader::open(app.address(), &path, None).await;
    let parts =
        [("bytes=0-999", 0..1000), ("bytes=1000000-1999999", 1_000_000..2_000_000), ("bytes=-1000", layer.len() - 1000..layer.len())];
    for (asked, part) in parts {
        let mut reader = Reader::open(app.address(), &path, Some(asked)).await;
        assert_eq!(reader.status, 206);
        let told = format!("content-range: bytes {}-{}/{}\r\n", part.start, part.end - 1, layer.len());
        assert!(reader.head.contains(&told), "{}", reader.head);
        assert!(reader.follow(&layer.slice(part.clone()), part.len()).await, "{asked}");
    }
    let beyond = app.anonymous().range(&path, &format!("bytes={}-", layer.len())).await;
    assert_eq!(beyond.status, 416);
    assert!(whole.comes_whole(&layer).await);
    assert!(app.hub.blob_bytes(&image.layers[0]) <= layer.len() as u64 / 20 * 21);
}

#[tokio::test]
async fn a_blob_can_be_had_before_its_manifest_and_by_a_range_first() {
    let app = App::start().await;
    let layer = bytes(6, 1 << 20);
    let image = app.hub.image("library/big", "latest", std::slice::from_ref(&layer));
    let path = format!("/v2/library/big/blobs/{}", image.layers[0]);
    let part = app.anonymous().range(&path, "bytes=500000-500099").await.expect(206);
    assert!(part.body == layer.slice(500_000..500_100));
    assert_eq!(app.anonymous().blob("library/big", &image.layers[0]).await, layer);
    assert_eq!(app.fetches(&image.layers[0]), 1);
    let head = app.anonymous().head(&path).await.expect(200);
    assert_eq!(head.header("content-length"), layer.len().to_string());
}

#[tokio::test]
async fn an_images_layers_start_with_the_first_blob_of_its_manifest() {
    let app = App::start().await;
    let image = app.hub.image("library/nginx", "latest", &[bytes(1, 1000), bytes(2, 1000), bytes(3, 1000)]);
    let client = app.anonymous();
    client.get("/v2/nginx/manifests/latest").await.expect(200);
    client.blob("nginx", &image.config).await;
    until("the layers come by themselves", async || image.layers.iter().all(|layer| app.fetches(layer) == 1)).await;
    app.landed().await;
    app.hub.on("/", Fault::Reset);
    client.pull("nginx", "latest").await;
}

#[tokio::test]
async fn who_reads_manifests_alone_downloads_no_image() {
    let app = App::start().await;
    let image = app.hub.image("library/nginx", "latest", &[bytes(1, 1000)]);
    let index = index_of(&[("linux/amd64", &image.manifest)]);
    app.hub.manifest("library/nginx", "index", INDEX, index);
    for reference in ["index".to_owned(), "latest".to_owned(), image.digest.to_string()] {
        for client in [app.anonymous(), app.anonymous().through("docker.io")] {
            client.head(&format!("/v2/library/nginx/manifests/{reference}")).await.expect(200);
            client.get(&format!("/v2/library/nginx/manifests/{reference}")).await.expect(200);
        }
    }
    app.landed().await;
    assert_eq!(app.fetches(&image.config) + app.fetches(&image.layers[0]), 0);
}
