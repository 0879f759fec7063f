//! Many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;

use super::app::*;
use super::{CHALLENGE, Reader};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_clients_on_one_cold_blob_are_one_fetch() {
    let app = App::start().await;
    let layer = bytes(1, 64 << 20);
    let image = app.hub.image("library/big", "latest", std::slice::from_ref(&layer));
    let path = format!("/v2/library/big/blobs/{}", image.layers[0]);
    let readers = (0..200).map(|_| {
        let (layer, path, address) = (layer.clone(), path.clone(), app.address());
        tokio::spawn(async move { Reader::open(address, &path, None).await.comes_whole(&layer).await })
    });
    let whole = join_all(readers).await.into_iter().filter(|whole| *whole.as_ref().unwrap()).count();
    assert_eq!(whole, 200);
    assert_eq!(app.fetches(&image.layers[0]), 1);
    assert!(app.hub.blob_bytes(&image.layers[0]) < layer.len() as u64 + CHALLENGE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_at_the_moment_of_landing_is_served_too() {
    let app = App::start().await;
    let layer = bytes(2, 300 << 10);
    let image = app.hub.image("library/big", "latest", std::slice::from_ref(&layer));
    app.hub.rule(Rule::new("/cdn/", Fault::Bandwidth { bytes_per_second: 1 << 20 }));
    let path = format!("/v2/library/big/blobs/{}", image.layers[0]);
    let first = tokio::spawn({
        let (layer, path, address) = (layer.clone(), path.clone(), app.address());
        async move { Reader::open(address, &path, None).await.comes_whole(&layer).await }
    });
    let sent = Arc::new(AtomicUsize::new(0));
    let mut joiners = Vec::new();
    // They come one after the other while it lands, some before and some after.
    until("the blob is nearly here", async || app.hub.blob_bytes(&image.layers[0]) > 250 << 10).await;
    for _ in 0..300 {
        let (layer, path, address, sent) = (layer.clone(), path.clone(), app.address(), sent.clone());
        joiners.push(tokio::spawn(async move {
            sent.fetch_add(1, Ordering::Relaxed);
            Reader::open(address, &path, None).await.comes_whole(&layer).await
        }));
        tokio::time::sleep(std::time::Duration::from_micros(300)).await;
    }
    assert!(first.await.unwrap());
    assert!(join_all(joiners).await.into_iter().all(|whole| whole.unwrap()));
    assert_eq!(sent.load(Ordering::Relaxed), 300);
    assert_eq!(app.fetches(&image.layers[0]), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_layer_under_five_names_at_once_is_one_fetch() {
    let app = App::start().await;
    let layer = bytes(3, 2 << 20);
    let names = ["org/a", "org/b", "org/c", "org/d", "org/e"];
    let images = names.map(|name| app.hub.image(name, "latest", std::slice::from_ref(&layer)));
    let digest = images[0].layers[0];
    app.hub.rule(Rule::new("/cdn/", Fault::Bandwidth { bytes_per_second: 10 << 20 }));
    let readers = names.map(|name| {
        let (layer, address) = (layer.clone(), app.address());
        tokio::spawn(async move { Reader::open(address, &format!("/v2/{name}/blobs/{digest}"), None).await.comes_whole(&layer).await })
    });
    assert!(join_all(readers).await.into_iter().all(|whole| whole.unwrap()));
    assert!(app.hub.blob_bytes(&digest) < layer.len() as u64 + CHALLENGE);
    assert_eq!(app.fetches(&digest), 1);
    app.landed().await;
    app.hub.on("/", Fault::Reset);
    for name in names {
        assert_eq!(app.anonymous().blob(name, &digest).await, layer, "{name} has a link of its own");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_have_a_blob_does_not_get_it_from_anothers_flight() {
    let app = App::start().await;
    let layer = bytes(4, 2 << 20);
    let image = app.hub.image("org/has", "latest", std::slice::from_ref(&layer));
    app.hub.image("org/not", "latest", &[]);
    app.hub.rule(Rule::new("/cdn/", Fault::Bandwidth { bytes_per_second: 4 << 20 }));
    let mut first = Reader::open(app.address(), &format!("/v2/org/has/blobs/{}", image.layers[0]), None).await;
    assert!(first.follow(&layer, 1).await);
    app.anonymous().get(&format!("/v2/org/not/blobs/{}", image.layers[0])).await.expect(404);
    assert!(first.comes_whole(&layer).await);
    app.anonymous().get(&format!("/v2/org/not/blobs/{}", image.layers[0])).await.expect(404);
}

#[tokio::test]
async fn manifests_asked_for_by_many_at_once_are_one_question() {
    let app = App::start().await;
    let image = app.hub.image("library/nginx", "latest", &[]);
    app.hub.rule(Rule::new("/v2/library/nginx/manifests/", Fault::Latency { ms: 100 }));
    let bare = app.anonymous().bare();
    let answers = join_all((0..100).map(|_| bare.get("/v2/nginx/manifests/latest"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == image.manifest));
    assert_eq!(app.hub.count("GET", "/v2/library/nginx/manifests/latest"), 2, "the first without a token, the second with one");
}

#[tokio::test]
async fn layers_that_nobody_asked_for_start_once_the_first_blob_comes() {
    let app = App::start().await;
    let image = app.hub.image("library/app", "v1", &[bytes(1, 1000), bytes(2, 1000)]);
    app.anonymous().get("/v2/library/app/manifests/v1").await.expect(200);
    app.hub.on(&format!("/v2/library/app/blobs/{}", image.config), Fault::NoAnswer);
    let waited = app.anonymous().get(&format!("/v2/library/app/blobs/{}", image.config)).await;
    assert!(waited.status >= 500, "{}", waited.status);
    let others = || image.layers.iter().map(|layer| app.hub.blob_gets(layer)).sum::<usize>();
    assert_eq!(others(), 0, "they would take the link from what is waited for");
    app.hub.heal();
    app.landed().await;
    app.anonymous().blob("library/app", &image.config).await;
    until("the others start", async || image.layers.iter().all(|layer| app.fetches(layer) == 1)).await;
}
