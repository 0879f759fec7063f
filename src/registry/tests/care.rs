//! What looking after the store promises, where a test needs the clock or the index to be other than a server's.

use super::*;
use crate::oci::MAX_MANIFEST;

/// A registry whose leases last that long.
pub(super) async fn house(options: impl FnOnce(&std::path::Path) -> Options, lease: Duration) -> House {
    let data = tempfile::tempdir().unwrap();
    let store = Arc::new(FileStore::open(data.path(), 0).unwrap());
    let index = Arc::new(Local::open(options(data.path())).await.unwrap());
    let tuning = flight::Tuning { lease, ..flight::Tuning::default() };
    let settings = config::Settings::builtin();
    let policy = Arc::new(Policy::open(data.path(), &settings.auth).unwrap());
    House { registry: Registry::new(&settings, index, store, Vec::new(), Deadlines::default(), tuning, policy), data }
}

/// One whose leases are over at once.
async fn hasty() -> House {
    house(Options::new, Duration::ZERO).await
}

pub(super) fn body(bytes: &Bytes) -> Body {
    futures_util::stream::iter([Ok(bytes.clone())]).boxed()
}

/// A manifest with these layers.
pub(super) fn image(what: &str, layers: &[Bytes]) -> String {
    let layer = |bytes: &Bytes| {
        let digest = Digest::of(bytes);
        format!(r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{digest}","size":{}}}"#, bytes.len())
    };
    let layers: Vec<_> = layers.iter().map(layer).collect();
    format!(r#"{{"schemaVersion":2,"mediaType":"{TYPE}","annotations":{{"is":"{what}"}},"layers":[{}]}}"#, layers.join(","))
}

/// An index of these manifests.
fn index_of(children: &[&str]) -> String {
    let child = |text: &&str| format!(r#"{{"mediaType":"{TYPE}","digest":"{}","size":{}}}"#, Digest::of(text.as_bytes()), text.len());
    let children: Vec<_> = children.iter().map(child).collect();
    format!(r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{}]}}"#, children.join(","))
}

/// Collects, as if everything had been pushed `wait` milliseconds later than it may have been to go now.
pub(super) async fn collect(house: &House, sweep: Sweep, wait: u64) -> Collected {
    let mut collection = house.registry.collect(sweep).await.unwrap();
    collection.wait = wait;
    while collection.step().await.unwrap() {}
    collection.collected
}

const DAY: u64 = 24 * 3600 * 1000;

async fn by_digest(house: &House, repository: &RepositoryName, text: &str, kind: &str) -> Digest {
    let digest = Digest::of(text.as_bytes());
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    assert!(bytes.len() < MAX_MANIFEST);
    house.registry.put_manifest(repository, &Reference::Digest(digest), &[], kind, bytes, &anonymous()).await.unwrap();
    digest
}

#[tokio::test]
async fn a_blob_without_a_manifest_stays_for_a_day_and_goes_then() {
    let (house, app) = (hasty().await, name("team/app"));
    let layer = Bytes::from_static(b"layer");
    let digest = Digest::of(&layer);
    house.registry.upload_whole(&app, &digest, body(&layer)).await.unwrap();
    let waiting = Collected { waiting: 1, ..Collected::default() };
    assert_eq!(collect(&house, Sweep::default(), DAY).await, waiting);
    house.put(&app, "v1", &image("one", std::slice::from_ref(&layer))).await.expect("the slow pusher's blob is here");
    assert_eq!(collect(&house, Sweep::default(), 0).await, Collected::default(), "its manifest keeps it");

    let alone = Bytes::from_static(b"never used");
    house.registry.upload_whole(&app, &Digest::of(&alone), body(&alone)).await.unwrap();
    assert_eq!(collect(&house, Sweep { dry_run: true, ..Sweep::default() }, 0).await.blobs, 1);
    assert!(house.file(&Digest::of(&alone)).exists(), "a dry run removes nothing");
    assert_eq!(collect(&house, Sweep::default(), 0).await, Collected { blobs: 1, bytes: 10, ..Collected::default() });
    assert!(!house.file(&Digest::of(&alone)).exists() && house.file(&digest).exists());
}

#[tokio::test]
async fn what_a_pusher_was_told_is_here_stays_for_its_lease() {
    let (house, app) = (house(Options::new, Duration::from_secs(3600)).await, name("team/app"));
    let layer = Bytes::from_static(b"layer");
    house.registry.upload_whole(&app, &Digest::of(&layer), body(&layer)).await.unwrap();
    assert_eq!(collect(&house, Sweep::default(), 0).await, Collected { waiting: 1, ..Collected::default() });
    house.put(&app, "v1", &image("one", &[layer])).await.unwrap();
}

#[tokio::test]
async fn an_open_download_finishes_though_the_blob_is_removed() {
    let (house, app) = (hasty().await, name("team/app"));
    let layer = Bytes::from((0..1_000_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
    let digest = Digest::of(&layer);
    house.registry.upload_whole(&app, &digest, body(&layer)).await.unwrap();
    house.put(&app, "v1", &image("one", std::slice::from_ref(&layer))).await.unwrap();
    let target = house.registry.target("team/app", None).unwrap();
    let blob = house.registry.blob(&target, &digest, &anonymous(), Want::Bytes).await.unwrap();
    let mut stream = house.registry.blob_bytes(blob, None).await.unwrap();
    let mut read = stream.next().await.unwrap().unwrap().to_vec();
    house.registry.delete_repository("team/app").await.unwrap();
    assert_eq!(collect(&house, Sweep::default(), DAY).await.blobs, 2);
    assert!(!house.file(&digest).exists());
    while let Some(bytes) = stream.next().await {
        read.extend_from_slice(&bytes.unwrap());
    }
    assert_eq!(Digest::of(&read), digest);
}

#[tokio::test]
async fn what_a_kill_left_doomed_is_removed_and_can_be_pushed_again() {
    let (house, app) = (hasty().await, name("team/app"));
    let layer = Bytes::from_static(b"layer");
    let digest = Digest::of(&layer);
    house.registry.upload_whole(&app, &digest, body(&layer)).await.unwrap();
    let unlink = Change::Unlink { repository: Repository::hosted(&app), digest };
    house.registry.commit(Vec::new(), vec![unlink, Change::Doom { digest }], Promise::Durable).await.unwrap();
    let (registry, again) = (house.registry.clone(), body(&layer));
    let pushing = tokio::spawn(async move { registry.upload_whole(&name("team/app"), &digest, again).await });
    house.registry.bury_doomed().await.unwrap();
    pushing.await.unwrap().unwrap();
    assert_eq!(house.registry.index.doomed(1).await.unwrap(), []);
    assert!(house.file(&digest).exists(), "what was pushed after the doom is no part of it");
    house.put(&app, "v1", &image("one", &[layer])).await.unwrap();
}

#[tokio::test]
async fn untagged_manifests_go_when_asked_for_and_a_dry_run_counts_the_same() {
    let (house, app) = (hasty().await, name("team/app"));
    let layers = [Bytes::from_static(b"kept"), Bytes::from_static(b"shared"), Bytes::from_static(b"going")];
    for layer in &layers {
        house.registry.upload_whole(&app, &Digest::of(layer), body(layer)).await.unwrap();
    }
    let [kept, old] = [image("kept", &layers[..2]), image("old", &layers[1..])];
    house.put(&app, "v1", &kept).await.unwrap();
    let old_digest = by_digest(&house, &app, &old, TYPE).await;
    let index = index_of(&[&old]);
    let index_digest = by_digest(&house, &app, &index, "application/vnd.oci.image.index.v1+json").await;
    let signature = manifest("signature").replacen(
        '{',
        &format!(r#"{{"subject":{{"mediaType":"{TYPE}","digest":"{old_digest}","size":{}}},"#, old.len()),
        1,
    );
    let signature = by_digest(&house, &app, &signature, TYPE).await;

    let untagged = Sweep { untagged: true, ..Sweep::default() };
    assert_eq!(collect(&house, Sweep::default(), 0).await, Collected::default(), "they may be pinned by digest");
    assert_eq!(collect(&house, untagged, DAY).await, Collected::default(), "their tag may be on its way");
    let foreseen = collect(&house, Sweep { dry_run: true, ..untagged }, 0).await;
    assert_eq!((foreseen.manifests, foreseen.blobs), (3, 4), "index, image, signature and a layer");
    assert_eq!(collect(&house, untagged, 0).await, foreseen);
    for digest in [old_digest, index_digest, signature, Digest::of(&layers[2])] {
        assert!(!house.file(&digest).exists(), "{digest}");
    }
    assert_eq!(house.pull("team/app:v1").await.unwrap().digest, Digest::of(kept.as_bytes()));
    assert!(layers[..2].iter().all(|layer| house.file(&Digest::of(layer)).exists()));
}

#[tokio::test]
async fn what_a_tagged_index_leads_to_stays() {
    let (house, app) = (hasty().await, name("team/app"));
    let child = image("child", &[]);
    by_digest(&house, &app, &child, TYPE).await;
    let index = Bytes::from(index_of(&[&child]));
    let kind = "application/vnd.oci.image.index.v1+json";
    house.registry.put_manifest(&app, &tagged("v1"), &[], kind, index, &anonymous()).await.unwrap();
    assert_eq!(collect(&house, Sweep { untagged: true, dry_run: false }, 0).await, Collected::default());
    let target = house.registry.target("team/app", None).unwrap();
    let digest = Reference::Digest(Digest::of(child.as_bytes()));
    house.registry.manifest(&target, &digest, &anonymous(), Want::Bytes).await.unwrap();
}
