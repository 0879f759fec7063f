//! Pushes, mounts, pulls, deletions and two collectors at once, over real files and both engines.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::care::{body, collect, house, image};
use super::*;
use crate::index::Engine;

const PUSHERS: u64 = 4;
const ROUNDS: u64 = 60;

/// Few blobs, so that they come and go under each other's feet.
fn pool() -> Vec<Bytes> {
    (0..5u8).map(|number| Bytes::from(vec![number; 2000 + usize::from(number)])).collect()
}

/// Rolls that the seed repeats.
fn seeded(seed: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

/// What one pusher knows to be here: by tag, the manifest and its layers. No other touches these tags.
type Promised = BTreeMap<String, (String, Vec<Bytes>)>;

struct Pusher {
    registry: Arc<Registry>,
    number: u64,
    dice: TestRng,
    promised: Promised,
    /// Pushes that were refused because a blob went before its manifest came: then the client pushes again.
    refused: u64,
}

impl Pusher {
    async fn run(mut self) -> Pusher {
        for round in 0..ROUNDS {
            match self.dice.random_range(0..4) {
                0 => self.delete().await,
                1 => self.look().await,
                _ => self.push(round).await,
            }
            tokio::task::yield_now().await;
        }
        self
    }

    fn repository(&mut self) -> RepositoryName {
        name(["team/app", "other"][self.dice.random_range(0..2) as usize])
    }

    async fn push(&mut self, round: u64) {
        let repository = self.repository();
        let first = self.dice.random_range(0..4) as usize;
        let layers = pool()[first..first + 2].to_vec();
        for layer in &layers {
            self.bring(&repository, layer).await;
        }
        let (tag, text) =
            (format!("p{}-{}", self.number, self.dice.random_range(0..2)), image(&format!("{} {round}", self.number), &layers));
        let pushed = self.registry.put_manifest(&repository, &tagged(&tag), &[], TYPE, text.clone().into(), &anonymous()).await;
        match pushed {
            Ok(_) => drop(self.promised.insert(format!("{repository}:{tag}"), (text, layers))),
            Err(error) if error.kind == Kind::ManifestBlobUnknown => self.refused += 1,
            Err(error) => panic!("{error}"),
        }
    }

    /// As clients do: looks first, mounts where that may help, else sends.
    async fn bring(&mut self, repository: &RepositoryName, layer: &Bytes) {
        let digest = Digest::of(layer);
        let target = self.registry.target(repository.as_str(), None).unwrap();
        let pushing = Reader::new(Who::Anonymous, Sight::Hosted);
        if self.registry.blob(&target, &digest, &pushing, Want::Head).await.is_ok() {
            return;
        }
        let from = [Repository::hosted(&name("team/app")), Repository::hosted(&name("other"))];
        let mounted = match self.dice.random_range(0..2) {
            0 => self.registry.mount(repository, &digest, &from).await.is_ok_and(|mounted| mounted),
            _ => false,
        };
        if !mounted {
            self.registry.upload_whole(repository, &digest, body(layer)).await.unwrap();
        }
    }

    async fn delete(&mut self) {
        let Some((place, (text, _))) = self.promised.pop_first() else { return };
        let (repository, tag) = place.split_once(':').unwrap();
        let reference = match self.dice.random_range(0..2) {
            0 => tagged(tag),
            _ => Reference::Digest(Digest::of(text.as_bytes())),
        };
        self.registry.delete_manifest(&name(repository), &reference, &Who::Anonymous).await.unwrap();
    }

    /// Whatever was promised is whole.
    async fn look(&mut self) {
        for (place, (text, layers)) in &self.promised {
            let (repository, tag) = place.split_once(':').unwrap();
            let target = self.registry.target(repository, None).unwrap();
            let (found, _) = self.registry.manifest(&target, &tagged(tag), &anonymous(), Want::Bytes).await.unwrap();
            assert_eq!(found.bytes.unwrap(), text.as_bytes(), "{place}");
            for layer in layers {
                let blob = self.registry.blob(&target, &Digest::of(layer), &anonymous(), Want::Bytes).await;
                let blob = blob.unwrap_or_else(|error| panic!("{place} misses a layer: {error}"));
                let bytes: Vec<_> = self.registry.blob_bytes(blob, None).await.unwrap().map(Result::unwrap).collect().await;
                assert_eq!(bytes.concat(), layer[..], "{place}");
            }
        }
    }
}

async fn storm(engine: Engine, seed: u64) {
    let options = |data: &std::path::Path| Options { engine, ..Options::new(data) };
    let house = Arc::new(house(options, Duration::from_millis(3)).await);
    let over = Arc::new(AtomicBool::new(false));
    let collectors = [true, false].map(|untagged| {
        let (house, over) = (house.clone(), over.clone());
        tokio::spawn(async move {
            let mut removed = 0;
            while !over.load(Ordering::SeqCst) {
                removed += collect(&house, Sweep { untagged, dry_run: false }, 0).await.blobs;
            }
            removed
        })
    });
    let pushers = (0..PUSHERS).map(|number| {
        let dice = seeded(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (number + 1));
        tokio::spawn(Pusher { registry: house.registry.clone(), number, dice, promised: Promised::new(), refused: 0 }.run())
    });
    let mut refused = 0;
    for pusher in pushers.collect::<Vec<_>>() {
        let mut pusher = pusher.await.unwrap();
        pusher.look().await;
        refused += pusher.refused;
        while !pusher.promised.is_empty() {
            pusher.delete().await;
        }
    }
    over.store(true, Ordering::SeqCst);
    let mut removed = 0;
    for collector in collectors {
        removed += collector.await.unwrap();
    }
    assert!(removed > 0 && refused < PUSHERS * ROUNDS / 2, "{removed} blobs removed, {refused} pushes refused");
    let untagged = Sweep { untagged: true, dry_run: false };
    house.eventually(async || collect(&house, untagged, 0).await == Collected::default()).await;
    assert_eq!(house.registry.index.totals().await.unwrap(), crate::index::Totals::default());
    assert_eq!(house.registry.store.list(None, 9).await.unwrap(), [], "nothing is left of what nobody needs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_acknowledged_manifest_ever_misses_a_blob_and_nothing_unneeded_is_left_in_memory() {
    for seed in 1..=3 {
        storm(Engine::Memory, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_acknowledged_manifest_ever_misses_a_blob_and_nothing_unneeded_is_left_in_sled() {
    for seed in 1..=3 {
        storm(Engine::Sled, seed).await;
    }
}
