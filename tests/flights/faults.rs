//! An upstream that cuts, lies or falls silent in the middle of a blob.

use futures_util::future::join_all;

use super::Reader;
use super::app::*;

const SIZE: usize = 2 << 20;

async fn one_layer() -> (App, bytes::Bytes, Image, String) {
    let app = App::start().await;
    let layer = bytes(7, SIZE);
    let image = app.hub.image("library/big", "latest", std::slice::from_ref(&layer));
    let path = format!("/v2/library/big/blobs/{}", image.layers[0]);
    (app, layer, image, path)
}

#[tokio::test]
async fn a_fetch_that_is_cut_anywhere_goes_on_where_it_was() {
    for sixteenth in 0..16 {
        let (app, layer, image, path) = one_layer().await;
        app.hub.rule(Rule { times: Some(1), ..Rule::new("/cdn/", Fault::CutAfter((SIZE / 16 * sixteenth) as u64)) });
        assert!(Reader::open(app.address(), &path, None).await.comes_whole(&layer).await, "cut at {sixteenth}/16");
        assert!(app.hub.blob_bytes(&image.layers[0]) <= SIZE as u64 / 20 * 21, "cut at {sixteenth}/16");
    }
}

#[tokio::test]
async fn a_fetch_that_is_cut_at_every_sixteenth_comes_whole() {
    let (app, layer, image, path) = one_layer().await;
    app.hub.rule(Rule { times: Some(15), ..Rule::new("/cdn/", Fault::CutAfter(SIZE as u64 / 16)) });
    assert!(Reader::open(app.address(), &path, None).await.comes_whole(&layer).await);
    assert!(app.hub.blob_bytes(&image.layers[0]) <= SIZE as u64 / 20 * 21);
}

#[tokio::test]
async fn wrong_bytes_end_as_a_cut_body_for_everybody_and_are_not_stored() {
    for fault in [Fault::Flip, Fault::Swap] {
        let (app, layer, image, path) = one_layer().await;
        app.anonymous().get("/v2/library/big/manifests/latest").await.expect(200);
        app.hub.on("/cdn/", fault.clone());
        app.hub.rule(Rule::new("/cdn/", Fault::Bandwidth { bytes_per_second: 8 << 20 }));
        let client = app.anonymous();
        let answers = join_all((0..10).map(|_| client.get(&path))).await;
        for answer in &answers {
            assert_eq!(answer.status, 200, "{fault:?}");
            assert!(!answer.whole, "{fault:?}: a wrong blob came whole");
            assert!(answer.body.len() <= SIZE - (64 << 10), "{fault:?}: the end came before the proof");
        }
        app.landed().await;
        assert!(app.registry().index().blob(&image.layers[0]).await.unwrap().is_none());
        assert!(
            !app.data()
                .join(format!("blobs/sha256/{}", &image.layers[0].to_string()[7..9]))
                .join(&image.layers[0].to_string()[7..])
                .exists()
        );
        app.hub.heal();
        assert!(Reader::open(app.address(), &path, None).await.comes_whole(&layer).await, "{fault:?}: healed, it comes");
    }
}

#[tokio::test]
async fn a_small_blob_that_is_wrong_is_an_error_for_everybody() {
    let app = App::start().await;
    let image = app.hub.image("library/small", "latest", &[bytes(8, 5000)]);
    app.anonymous().get("/v2/library/small/manifests/latest").await.expect(200);
    let path = format!("/v2/library/small/blobs/{}", image.layers[0]);
    app.hub.on("/cdn/", Fault::Swap);
    app.hub.rule(Rule::new("/cdn/", Fault::Latency { ms: 50 }));
    let client = app.anonymous();
    let answers = join_all((0..10).map(|_| client.get(&path))).await;
    for answer in &answers {
        assert_eq!((answer.status, answer.message()), (502, answers[0].message()));
        assert!(answer.message().contains("docker.io"), "{}", answer.message());
    }
    app.hub.heal();
    app.anonymous().blob("library/small", &image.layers[0]).await;
}

#[tokio::test]
async fn a_length_that_is_not_the_manifests_is_refused_before_any_byte() {
    for fault in [Fault::Truncate(1), Fault::Append(1)] {
        let (app, _, _, path) = one_layer().await;
        app.anonymous().get("/v2/library/big/manifests/latest").await.expect(200);
        app.hub.on("/cdn/", fault.clone());
        let refused = app.anonymous().get(&path).await.expect(502);
        assert!(refused.message().contains("docker.io"), "{fault:?}: {}", refused.message());
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_ranges_costs_bytes_but_no_client() {
    let (app, layer, _, path) = one_layer().await;
    app.hub.rule(Rule::new("/cdn/", Fault::RefuseRanges));
    app.hub.rule(Rule { times: Some(1), ..Rule::new("/cdn/", Fault::CutAfter(SIZE as u64 / 2)) });
    assert!(Reader::open(app.address(), &path, None).await.comes_whole(&layer).await);
}

#[tokio::test]
async fn a_blob_of_unknown_length_is_served_and_proved_all_the_same() {
    let (app, layer, _, path) = one_layer().await;
    app.hub.on("/cdn/", Fault::Chunked);
    let answer = app.anonymous().get(&path).await.expect(200);
    assert!(answer.whole && answer.body == layer);
    app.hub.heal();
    let (app, _, _, path) = one_layer().await;
    app.hub.on("/cdn/", Fault::Chunked);
    app.hub.rule(Rule::new("/cdn/", Fault::Flip));
    let answer = app.anonymous().get(&path).await;
    assert!(!answer.whole || answer.status == 502);
}

#[tokio::test]
async fn a_head_of_a_blob_has_its_length_always() {
    let (app, layer, _, path) = one_layer().await;
    app.hub.on("*/blobs/", Fault::Chunked);
    for _ in 0..2 {
        let head = app.anonymous().head(&path).await.expect(200);
        assert_eq!(head.header("content-length"), layer.len().to_string());
    }
}
