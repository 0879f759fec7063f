//! Measures a cold pull of an image of 1 GB through entrepot against a direct one, both by three connections as Docker's, where the
//! upstream gives each connection 25 MB/s.
//!
//! `cargo run --release --example measure_segments [BYTES_A_SECOND]` prints both times and their ratio, with the built-in number of
//! segments and with one. With a large number it tells what segments cost where nothing throttles.

#[path = "../tests/support/fault_upstream/mod.rs"]
mod fault_upstream;

use std::time::{Duration, Instant};

use bytes::Bytes;
use entrepot::config::Settings;
use entrepot::oci::Digest;
use entrepot::registry::flight::Tuning;
use fault_upstream::{Fault, FaultUpstream};
use futures_util::StreamExt;
use futures_util::future::join_all;

const LAYERS: [usize; 3] = [500_000_000, 300_000_000, 200_000_000];
const ROUNDS: usize = 3;

#[tokio::main]
async fn main() {
    let rate = std::env::args().nth(1).map_or(25_000_000, |text| text.parse().expect("bytes a second"));
    let hub = FaultUpstream::start().await;
    hub.behave(|behaviour| behaviour.redirect = true).on("/cdn/", Fault::Bandwidth { bytes_per_second: rate });
    let layers = LAYERS.map(|size| Bytes::from(vec![7; size]));
    let layers = hub.image("library/large", "latest", &layers).layers;
    for segments in [Settings::builtin().upstreams[0].segments, 1] {
        for _ in 0..ROUNDS {
            let direct = pull(hub.url().as_str(), &layers).await;
            hub.forget();
            let through = cold(&hub, segments, &layers).await;
            let ratio = direct.as_secs_f64() / through.as_secs_f64();
            let (sent, parts) = (hub.bytes_sent() as f64 / 1e9, hub.seen().iter().filter(|seen| seen.cdn).count());
            println!(
                "{segments} segments: direct {direct:.1?}, through entrepot {through:.1?} ({sent:.3} GB in {parts} parts): {ratio:.2}"
            );
        }
    }
}

/// A pull through a server that has nothing yet.
async fn cold(hub: &FaultUpstream, segments: usize, layers: &[Digest]) -> Duration {
    let data = tempfile::tempdir().expect("a folder");
    let mut settings = Settings::builtin();
    settings.server.listen = vec![([127, 0, 0, 1], 0).into()];
    settings.storage.data = data.path().join("data");
    settings.upstreams = vec![hub.upstream_settings("docker.io")];
    settings.upstreams[0].segments = segments;
    let started = entrepot::app::start(&settings, Default::default(), Tuning::default(), Default::default()).await;
    let running = started.expect("the server starts");
    let url = format!("http://{}/", running.addresses().expect("an address")[0]);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(async move { running.serve(&settings, async { drop(stopped.await) }).await });
    let time = pull(&url, layers).await;
    drop(stop);
    serving.await.expect("it ends").expect("it ends well");
    time
}

/// Fetches all layers at once, as far as the connections go.
async fn pull(registry: &str, layers: &[Digest]) -> Duration {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let began = Instant::now();
    let fetches = layers.iter().map(async |digest| {
        let answer = http.get(format!("{registry}v2/library/large/blobs/{digest}")).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let (mut body, mut size) = (answer.bytes_stream(), 0);
        while let Some(chunk) = body.next().await {
            size += chunk.expect("the body goes on").len();
        }
        size
    });
    assert_eq!(join_all(fetches).await, LAYERS);
    began.elapsed()
}
