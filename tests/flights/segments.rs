//! Large blobs by several connections: an upstream that throttles each is outrun, and nothing that one of them does or
//! suffers is seen by a client.

use super::Reader;
use super::app::*;
use bytes::Bytes;
use entrepot::config::Upstream;

const SIZE: usize = 12 << 20;

/// What each connection brings, in bytes a second.
const SLOW: Fault = Fault::Bandwidth { bytes_per_second: 8 << 20 };

/// A throttled upstream with one large layer.
struct Throttled {
    app: App,
    layer: Bytes,
    image: Image,
    path: String,
}

impl Throttled {
    async fn start(seed: u64) -> Throttled {
        Throttled::with(seed, |_| {}).await
    }

    async fn with(seed: u64, change: impl FnOnce(&mut Upstream)) -> Throttled {
        let app = App::with_hub(|hub| {
            hub.segments = 4;
            change(hub);
        })
        .await;
        app.hub.on("/cdn/", SLOW);
        let layer = bytes(seed, SIZE);
        let image = app.hub.image("library/big", "latest", std::slice::from_ref(&layer));
        let path = format!("/v2/library/big/blobs/{}", image.layers[0]);
        Throttled { app, layer, image, path }
    }

    async fn comes_whole(&self) -> bool {
        Reader::open(self.app.address(), &self.path, None).await.comes_whole(&self.layer).await
    }

    /// How many parts were asked for of the CDN.
    fn parts(&self) -> usize {
        self.app.fetches(&self.image.layers[0])
    }

    /// Bytes that the upstream sent, beyond those that there are, in percent of these.
    fn excess(&self) -> i64 {
        (self.app.hub.blob_bytes(&self.image.layers[0]) as i64 - SIZE as i64) * 100 / SIZE as i64
    }
}

#[tokio::test]
async fn a_throttled_layer_comes_by_several_connections_and_each_byte_once() {
    let throttled = Throttled::start(1).await;
    assert!(throttled.comes_whole().await);
    assert!(throttled.parts() > 1, "{} parts", throttled.parts());
    assert!(throttled.app.hub.most_bodies() > 1);
    assert!(throttled.app.hub.most_bodies() <= 4, "{} at once", throttled.app.hub.most_bodies());
    assert!(throttled.excess() < 5, "{} %", throttled.excess());
    throttled.app.landed().await;
    throttled.app.hub.on("/", Fault::Reset);
    assert!(throttled.comes_whole().await, "it is stored");
}

#[tokio::test]
async fn one_segment_is_one_connection() {
    let throttled = Throttled::with(2, |hub| hub.segments = 1).await;
    assert!(throttled.comes_whole().await);
    assert_eq!((throttled.parts(), throttled.app.hub.most_bodies()), (1, 1));
}

#[tokio::test]
async fn whichever_segment_is_cut_no_byte_comes_twice() {
    for nth in 1..=6 {
        let throttled = Throttled::start(3).await;
        throttled.app.hub.on_nth("/cdn/", nth, Fault::CutAfter(400_000));
        assert!(throttled.comes_whole().await, "cut of part {nth}");
        assert!(throttled.excess() < 5, "cut of part {nth}: {} %", throttled.excess());
    }
}

#[tokio::test]
async fn cuts_of_all_segments_again_and_again_cost_no_byte() {
    let throttled = Throttled::start(4).await;
    throttled.app.hub.rule(Rule { times: Some(12), ..Rule::new("/cdn/", Fault::CutAfter(600_000)) });
    assert!(throttled.comes_whole().await);
    assert!(throttled.excess() < 5, "{} %", throttled.excess());
}

#[tokio::test]
async fn where_ranges_are_refused_or_answered_with_others_one_connection_brings_it() {
    let grown = Fault::Append(1000);
    let lies = [Fault::RefuseRanges, Fault::WrongRange, grown, Fault::Truncate(1000), Fault::Status(416), Fault::HtmlPage];
    for lie in lies {
        let throttled = Throttled::start(5).await;
        throttled.app.hub.rule(Rule { skip: 1, ..Rule::new("/cdn/", lie.clone()) });
        assert!(throttled.comes_whole().await, "{lie:?}");
        assert_eq!(throttled.parts(), 2, "{lie:?}: one more was tried, and no other");
        assert!(throttled.excess() < 5, "{lie:?}: {} %", throttled.excess());
    }
}

#[tokio::test]
async fn parts_with_another_etag_are_left() {
    let throttled = Throttled::start(6).await;
    throttled.app.hub.rule(Rule { times: Some(1), ..Rule::new("/cdn/", Fault::Header("ETag".into(), "\"one\"".into())) });
    throttled.app.hub.rule(Rule { skip: 1, ..Rule::new("/cdn/", Fault::Header("ETag".into(), "\"two\"".into())) });
    throttled.app.hub.rule(Rule { skip: 1, ..Rule::new("/cdn/", Fault::Swap) });
    assert!(throttled.comes_whole().await);
    assert_eq!(throttled.parts(), 2);
}

#[tokio::test]
async fn a_wrong_byte_in_a_later_segment_is_never_served_whole_and_never_stored() {
    for nth in 2..=4 {
        let throttled = Throttled::start(7).await;
        let Throttled { app, image, path, .. } = &throttled;
        app.anonymous().get("/v2/library/big/manifests/latest").await.expect(200);
        app.hub.on_nth(&format!("/cdn{path}"), nth, Fault::Flip);
        let answer = app.anonymous().get(path).await;
        assert!(answer.status == 200 && !answer.whole, "part {nth}");
        assert!(answer.body.len() <= SIZE - (64 << 10), "part {nth}: the end came before the proof");
        app.landed().await;
        assert!(app.registry().index().blob(&image.layers[0]).await.unwrap().is_none());
        app.hub.heal();
        assert!(throttled.comes_whole().await, "healed, it comes");
    }
}

#[tokio::test]
async fn a_client_that_leaves_stops_no_segment() {
    let throttled = Throttled::start(8).await;
    let mut only = Reader::open(throttled.app.address(), &throttled.path, None).await;
    assert!(only.follow(&throttled.layer, 1 << 20).await);
    until("there is a second part", async || throttled.parts() > 1).await;
    drop(only);
    throttled.app.landed().await;
    assert!(throttled.excess() < 5, "{} %", throttled.excess());
    throttled.app.hub.on("/", Fault::Reset);
    assert!(throttled.comes_whole().await);
}

#[tokio::test]
async fn there_are_never_more_bodies_than_connections() {
    let throttled = Throttled::with(9, |hub| hub.connections = 3).await;
    let Throttled { app, .. } = &throttled;
    let layers = [bytes(10, SIZE), bytes(11, 5 << 20), bytes(12, 300_000)];
    let image = app.hub.image("library/more", "latest", &layers);
    let first = Reader::open(app.address(), &throttled.path, None).await;
    until("one layer has all connections", async || app.hub.bodies() == 3).await;
    let others = image.layers.iter().zip(&layers).map(async |(digest, layer)| {
        let path = format!("/v2/library/more/blobs/{digest}");
        assert!(Reader::open(app.address(), &path, None).await.comes_whole(layer).await);
    });
    let (first, _) = tokio::join!(first.comes_whole(&throttled.layer), futures_util::future::join_all(others));
    assert!(first);
    assert_eq!(app.hub.most_bodies(), 3);
}

#[tokio::test]
async fn a_wanted_blob_does_not_wait_for_the_segments_of_another() {
    let throttled = Throttled::with(13, |hub| hub.connections = 2).await;
    let Throttled { app, .. } = &throttled;
    let small = bytes(14, 100_000);
    let digest = app.hub.blob("library/big", small.clone());
    let large = Reader::open(app.address(), &throttled.path, None).await;
    until("one layer has all connections", async || app.hub.bodies() == 2).await;
    assert!(app.anonymous().blob("library/big", &digest).await == small);
    assert!(app.registry().flights() > 0, "the large one is still under way");
    assert!(large.comes_whole(&throttled.layer).await);
    assert!(throttled.excess() < 5, "{} %", throttled.excess());
}

#[tokio::test]
async fn a_ranged_reader_far_ahead_gets_its_bytes_before_what_lies_between() {
    let throttled = Throttled::start(15).await;
    let Throttled { app, layer, image, path } = &throttled;
    app.hub.heal().on("/cdn/", Fault::Bandwidth { bytes_per_second: 200_000 });
    let mut whole = Reader::open(app.address(), path, None).await;
    assert!(whole.follow(layer, 1000).await);
    let (from, to) = (10 << 20, (10 << 20) + 50_000);
    let mut part = Reader::open(app.address(), path, Some(&format!("bytes={from}-{}", to - 1))).await;
    assert_eq!(part.status, 206);
    assert!(part.follow(&layer.slice(from..to), to - from).await);
    let fetched = app.hub.blob_bytes(&image.layers[0]);
    assert!(fetched < SIZE as u64 / 2, "{fetched} bytes were fetched before it");
}

#[tokio::test]
async fn a_crash_in_the_middle_leaves_nothing_and_the_next_pull_is_right() {
    let mut throttled = Throttled::start(16).await;
    let mut reader = Reader::open(throttled.app.address(), &throttled.path, None).await;
    until("there is a second part", async || throttled.parts() > 1).await;
    assert!(reader.follow(&throttled.layer, 1 << 20).await);
    throttled.app.crash();
    throttled.app.start_again().await;
    assert_eq!(std::fs::read_dir(throttled.app.data().join("staging")).unwrap().count(), 0);
    assert!(throttled.comes_whole().await);
}
