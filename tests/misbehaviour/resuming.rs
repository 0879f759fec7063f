//! A download that is cut goes on: at the same endpoint through a new redirect, or at another one, by Range.

use super::app::*;
use futures_util::future::join_all;

const SIZE: usize = 2 << 20;

/// What the registry's CDN does with the first, second, … request for the blob.
async fn pull(faults: &[Fault]) -> (Answer, usize, bytes::Bytes) {
    let app = App::with_hub(|hub| hub.prefetch_layers = false).await;
    let layer = bytes(1, SIZE);
    let image = app.hub.image("library/app", "latest", std::slice::from_ref(&layer));
    let client = app.anonymous();
    client.get("/v2/app/manifests/latest").await.expect(200);
    for (nth, fault) in faults.iter().enumerate() {
        app.hub.on_nth("/cdn/", nth as u64 + 1, fault.clone());
    }
    let answer = client.get(&format!("/v2/app/blobs/{}", image.layers[0])).await;
    (answer, app.fetches(&image.layers[0]), layer)
}

#[tokio::test]
async fn a_cut_download_survives_what_follows() {
    let followed = [
        vec![],
        // The signed address has ended.
        vec![Fault::BareForbidden],
        vec![Fault::Status(403)],
        vec![Fault::Status(503)],
        vec![Fault::Status(500), Fault::Status(502), Fault::Status(504)],
        vec![Fault::TooMany { retry_after: None }],
        vec![Fault::Reset],
        vec![Fault::Reset, Fault::Raw(String::new()), Fault::Reset],
        vec![Fault::NoAnswer],
        vec![Fault::CutAfter(0), Fault::CutAfter(0)],
        vec![Fault::CutAfter(1), Fault::CutAfter(1), Fault::CutAfter(1), Fault::CutAfter(1), Fault::CutAfter(1), Fault::CutAfter(1)],
        vec![Fault::RefuseRanges],
        vec![Fault::Latency { ms: 50 }],
    ];
    let runs = followed.into_iter().map(async |after| {
        let faults: Vec<_> = std::iter::once(Fault::CutAfter(SIZE as u64 / 2)).chain(after.iter().cloned()).collect();
        let (answer, fetches, layer) = pull(&faults).await;
        assert!(answer.status == 200 && answer.whole && answer.body == layer, "{after:?}: {} of {SIZE}", answer.body.len());
        let harmless = after.iter().filter(|fault| matches!(fault, Fault::RefuseRanges | Fault::Latency { .. })).count();
        assert_eq!(fetches, after.len() - harmless + 2, "{after:?}");
    });
    join_all(runs).await;
}

#[tokio::test]
async fn a_cut_download_ends_where_what_follows_cannot_be_its_rest() {
    let followed = [Fault::WrongRange, Fault::HtmlPage, Fault::EmptyOk, Fault::Coded, Fault::Status(404), Fault::Append(1)];
    let runs = followed.into_iter().map(async |after| {
        let (answer, fetches, layer) = pull(&[Fault::CutAfter(SIZE as u64 / 2), after.clone()]).await;
        assert!(!answer.whole && layer.starts_with(&answer.body), "{after:?}: {}", answer.body.len());
        assert!(fetches >= 2, "{after:?}");
    });
    join_all(runs).await;
}

#[tokio::test]
async fn what_one_endpoint_began_another_finishes_by_range() {
    let cuts = [Fault::CutAfter(SIZE as u64 / 3), Fault::StallAfter(SIZE as u64 / 3)];
    let runs = cuts.into_iter().map(async |cut| {
        let second = FaultUpstream::start().await;
        let app = App::with_hub(|hub| hub.endpoints.extend(second.upstream_settings("docker.io").endpoints)).await;
        let layer = bytes(2, SIZE);
        let image = app.hub.image("library/app", "latest", std::slice::from_ref(&layer));
        second.image("library/app", "latest", std::slice::from_ref(&layer));
        let client = app.anonymous();
        client.get("/v2/app/manifests/latest").await.expect(200);
        app.hub.on("/cdn/", cut.clone());
        assert!(client.blob("app", &image.layers[0]).await == layer, "{cut:?}");
        assert_eq!((app.fetches(&image.layers[0]), second.blob_gets(&image.layers[0])), (1, 1), "{cut:?}");
        let asked = second.seen().into_iter().find_map(|seen| seen.request.header("range").map(str::to_owned)).expect("a range");
        assert!(asked.starts_with("bytes=") && asked != "bytes=0-", "{cut:?}: {asked}");
        let moved = app.hub.blob_bytes(&image.layers[0]) + second.blob_bytes(&image.layers[0]);
        assert!(moved <= SIZE as u64 / 20 * 21, "{cut:?}: {moved} bytes for {SIZE}");
    });
    join_all(runs).await;
}

#[tokio::test]
async fn a_blob_that_is_rotten_at_one_endpoint_comes_from_the_other_next_time() {
    let second = FaultUpstream::start().await;
    let app = App::with_hub(|hub| hub.endpoints.extend(second.upstream_settings("docker.io").endpoints)).await;
    let layer = bytes(3, SIZE);
    let image = app.hub.image("library/app", "latest", std::slice::from_ref(&layer));
    second.image("library/app", "latest", std::slice::from_ref(&layer));
    let client = app.anonymous();
    client.get("/v2/app/manifests/latest").await.expect(200);
    app.hub.on("/cdn/", Fault::Flip);
    assert!(!client.get(&format!("/v2/app/blobs/{}", image.layers[0])).await.whole);
    // What is here by now says that the endpoint is well, but not for this blob.
    client.blob("app", &image.config).await;
    assert!(client.blob("app", &image.layers[0]).await == layer);
    assert_eq!((app.fetches(&image.layers[0]), second.blob_gets(&image.layers[0])), (1, 1));
}
