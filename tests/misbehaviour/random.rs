//! Everything at random for a while: what comes whole is right, nothing hangs, no outage is told as "not found".

use std::hash::{BuildHasher, RandomState};

use futures_util::future::join_all;
use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::app::*;

const IMAGES: u64 = 6;
const CLIENTS: u64 = 8;
const ROUNDS: u64 = 25;

/// Rolls that the seed repeats.
fn seeded(seed: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

/// What never says that something is not there.
fn fault(dice: &mut TestRng) -> Fault {
    let size = dice.random_range(0..200_000);
    match dice.random_range(0..16) {
        0 => Fault::Status(500 + dice.random_range(0..5) as u16),
        1 => Fault::TooMany { retry_after: None },
        2 => Fault::Reset,
        3 => Fault::CutAfter(size),
        4 => Fault::Flip,
        5 => Fault::Swap,
        6 => Fault::Truncate(1 + size / 100),
        7 => Fault::Append(1 + size / 100),
        8 => Fault::Chunked,
        9 => Fault::RefuseRanges,
        10 => Fault::WrongRange,
        11 => Fault::HtmlPage,
        12 => Fault::EmptyOk,
        13 => Fault::BareForbidden,
        14 => Fault::LengthLie(dice.random_range(0..2000) as i64 - 1000),
        _ => Fault::Latency { ms: dice.random_range(0..40) },
    }
}

#[tokio::test]
async fn whatever_happens_in_whatever_order() {
    let seed =
        std::env::var("ENTREPOT_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| RandomState::new().hash_one(0) | 1);
    // Shown when it fails, and enough to have the same faults again.
    eprintln!("ENTREPOT_TEST_SEED={seed}");
    let mirror = FaultUpstream::start().await;
    let app = App::with_hub(|hub| {
        hub.endpoints.extend(mirror.upstream_settings("docker.io").endpoints);
        hub.tag_ttl = std::time::Duration::from_millis(20);
    })
    .await;
    let images: Vec<_> = (0..IMAGES).map(|n| (format!("app{n}"), bytes(seed ^ n, 150_000 + 10_000 * n as usize))).collect();
    let made: Vec<_> =
        images.iter().map(|(name, layer)| app.hub.image(&format!("library/{name}"), "latest", std::slice::from_ref(layer))).collect();
    for (name, layer) in &images {
        mirror.image(&format!("library/{name}"), "latest", std::slice::from_ref(layer));
    }
    let mut dice = seeded(seed | 1);
    for _ in 0..200 {
        let (place, skip) =
            (["/v2/", "/cdn/", "/token", "*/blobs/", "*/manifests/"][dice.random_range(0..5) as usize], dice.random_range(0..150));
        let rule = Rule { skip, times: Some(1 + dice.random_range(0..3)), ..Rule::new(place, fault(&mut dice)) };
        if dice.random_range(0..2) == 0 {
            app.hub.rule(rule)
        } else {
            mirror.rule(rule)
        };
    }
    let client = |number: u64| {
        let (app, images, made) = (&app, &images, &made);
        let mut dice = seeded(seed.rotate_left(number as u32 + 1) | 1);
        async move {
            for _ in 0..ROUNDS {
                let at = dice.random_range(0..IMAGES) as usize;
                let ((name, layer), image) = (&images[at], &made[at]);
                let (path, right) = match dice.random_range(0..3) {
                    0 => (format!("/v2/{name}/manifests/latest"), &image.manifest),
                    1 => (format!("/v2/docker.io/library/{name}/manifests/{}", image.digest), &image.manifest),
                    _ => (format!("/v2/{name}/blobs/{}", image.layers[0]), layer),
                };
                let answer = tokio::time::timeout(2 * LONG, app.anonymous().attempt(reqwest::Method::GET, &path)).await;
                let Some(answer) = answer.unwrap_or_else(|_| panic!("seed {seed}: {path} hangs")) else { continue };
                match answer.status {
                    200 => assert!(!answer.whole || answer.body == right, "seed {seed}: {path} came whole and wrong"),
                    status => assert!(status >= 500 || status == 429, "seed {seed}: {path} is {status}"),
                }
            }
        }
    };
    join_all((0..CLIENTS).map(client)).await;
    app.hub.heal();
    mirror.heal();
    for ((name, _), image) in images.iter().zip(&made) {
        let path = format!("/v2/{name}/manifests/{}", image.digest);
        until("all is well again", async || app.anonymous().get(&path).await.status == 200).await;
        let blob = format!("/v2/{name}/blobs/{}", image.layers[0]);
        until("its layer too", async || {
            let got = app.anonymous().attempt(reqwest::Method::GET, &blob).await;
            got.is_some_and(|got| got.status == 200 && got.whole)
        })
        .await;
        assert_eq!(app.anonymous().pull(name, &image.digest.to_string()).await.digest, image.digest, "seed {seed}");
    }
}
