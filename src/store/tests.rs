//! Promises of the file store that only its files show.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, TryStreamExt};
use proptest::prelude::*;
use tempfile::TempDir;

use super::suite::{self, collect, pattern, put};
use super::{BlobStore, DraftName, FileStore, StoreError};
use crate::oci::Digest;

struct Fresh {
    data: TempDir,
    store: FileStore,
}

impl Fresh {
    fn new() -> Fresh {
        let data = TempDir::new().unwrap();
        let store = FileStore::open(data.path(), 0).unwrap();
        Fresh { data, store }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.data.path().join("blobs").join(digest.algorithm().as_str()).join(&hex[..2]).join(hex)
    }

    fn staged(&self) -> usize {
        fs::read_dir(self.data.path().join("staging")).unwrap().count()
    }

    fn restart(self) -> Fresh {
        drop(self.store);
        Fresh { store: FileStore::open(self.data.path(), 0).unwrap(), data: self.data }
    }

    /// Removal of dropped drafts happens on the blocking pool.
    async fn staging_empties(&self) {
        for _ in 0..500 {
            if self.staged() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("a dropped draft stays in staging");
    }
}

#[tokio::test]
async fn the_file_store_keeps_what_every_store_promises() {
    let data = TempDir::new().unwrap();
    let count = std::cell::Cell::new(0);
    suite::all(|| {
        count.set(count.get() + 1);
        FileStore::open(&data.path().join(format!("{}/new/folders", count.get())), 0).unwrap()
    })
    .await;
}

#[tokio::test]
async fn a_new_push_heals_a_truncated_file() {
    let fresh = Fresh::new();
    let bytes = pattern(100_000);
    let digest = Digest::of(&bytes);
    put(&fresh.store, &bytes, &digest).await;
    let reader = fresh.store.read(&digest, 0..100_000).await.unwrap().unwrap();
    fs::File::options().write(true).open(fresh.path(&digest)).unwrap().set_len(99_999).unwrap();
    assert!(collect(reader).await.is_err(), "a shorter file must not end cleanly");
    assert!(fresh.store.read(&digest, 0..100_000).await.is_err());
    put(&fresh.store, &bytes, &digest).await;
    assert_eq!(collect(fresh.store.read(&digest, 0..100_000).await.unwrap().unwrap()).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_planted_symlink_is_not_followed_and_gives_way_to_a_push() {
    let fresh = Fresh::new();
    let bytes = pattern(10);
    let digest = Digest::of(&bytes);
    let secret = fresh.data.path().join("secret");
    fs::write(&secret, "0123456789").unwrap();
    fs::create_dir_all(fresh.path(&digest).parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&secret, fresh.path(&digest)).unwrap();
    assert_eq!(fresh.store.stat(&digest).await.unwrap(), None);
    assert!(fresh.store.read(&digest, 0..10).await.unwrap().is_none());
    assert_eq!(fresh.store.list(None, 10).await.unwrap(), []);
    put(&fresh.store, &bytes, &digest).await;
    assert_eq!(fresh.store.stat(&digest).await.unwrap(), Some(10));
    assert_eq!(fs::read(secret).unwrap(), b"0123456789");
}

#[tokio::test]
async fn a_planted_shard_symlink_is_not_followed() {
    let fresh = Fresh::new();
    let digest = Digest::of(b"x");
    let elsewhere = TempDir::new().unwrap();
    fs::write(elsewhere.path().join(digest.hex()), "x").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), fresh.path(&digest).parent().unwrap()).unwrap();
    assert!(fresh.store.read(&digest, 0..1).await.is_err());
    assert!(fresh.store.remove(&digest).await.is_err());
    assert!(elsewhere.path().join(digest.hex()).exists());
}

#[tokio::test]
async fn a_start_clears_staging_of_all_but_uploads() {
    let fresh = Fresh::new();
    let mut draft = fresh.store.draft(DraftName::Upload("kept".into())).await.unwrap();
    draft.append(vec![pattern(5000)]).await.unwrap();
    drop(draft);
    let staging = fresh.data.path().join("staging");
    fs::write(staging.join("fetch-0"), "left by a kill").unwrap();
    fs::write(staging.join("upload-no.id"), "").unwrap();
    fs::create_dir_all(staging.join("upload-folder/inside")).unwrap();
    std::os::unix::fs::symlink("/", staging.join("upload-link")).unwrap();
    let fresh = fresh.restart();
    assert_eq!(fresh.staged(), 1);
    assert_eq!(fresh.store.uploads().await.unwrap(), ["kept"]);
    let draft = fresh.store.reopen("kept").await.unwrap().unwrap();
    draft.prove(&Digest::of(&pattern(5000)), Some(5000)).await.unwrap();
}

#[tokio::test]
async fn a_fetch_that_is_not_admitted_goes_with_its_last_handle() {
    let fresh = Fresh::new();
    let mut draft = fresh.store.draft(DraftName::Fetch).await.unwrap();
    draft.append(vec![Bytes::from_static(b"x")]).await.unwrap();
    let view = draft.view();
    drop(draft);
    assert_eq!(fresh.staged(), 1);
    drop(view);
    fresh.staging_empties().await;
}

#[tokio::test]
async fn an_append_whose_future_is_dropped_still_counts() {
    let fresh = Fresh::new();
    let mut draft = fresh.store.draft(DraftName::Fetch).await.unwrap();
    let _ = draft.append(vec![pattern(3_000_000)]).now_or_never();
    assert_eq!(draft.settle().await, 3_000_000);
    draft.append(vec![Bytes::from_static(b"end")]).await.unwrap();
    let whole = [&pattern(3_000_000)[..], b"end"].concat();
    draft.prove(&Digest::of(&whole), None).await.unwrap();
}

#[test]
fn a_second_process_is_refused() {
    let fresh = Fresh::new();
    let Err(error) = FileStore::open(fresh.data.path(), 0) else { panic!("two stores in one folder") };
    assert!(error.to_string().contains(&format!("another process uses {}", fresh.data.path().display())), "{error}");
    fresh.restart();
}

#[test]
fn a_folder_that_cannot_be_written_names_the_remedy() {
    let refusal = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let text = super::fs::explain("/srv/images".as_ref(), refusal).to_string();
    assert!(text.ends_with(&format!("run: chown -R {uid}:{gid} /srv/images")), "{text}");
    assert!(text.starts_with(&format!("the data folder /srv/images cannot be written by uid {uid}")), "{text}");
}

#[tokio::test]
async fn nothing_is_written_below_the_reserve() {
    let data = TempDir::new().unwrap();
    let store = FileStore::open(data.path(), u64::MAX / 2).unwrap();
    assert_eq!(store.room(), 0);
    let mut draft = store.draft(DraftName::Fetch).await.unwrap();
    assert!(matches!(draft.append(vec![Bytes::from_static(b"x")]).await, Err(StoreError::Full)));
    assert_eq!(draft.len(), 0);
    draft.append(vec![]).await.unwrap();
    draft.prove(&Digest::of(b""), Some(0)).await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_range_read_is_exact(blocks in 0usize..20, around in 0usize..3, from in 0.0f64..=1.0, to in 0.0f64..=1.0, held in any::<bool>()) {
        let len = (blocks * 32 * 1024 + around).saturating_sub(1);
        let (from, to) = ((len as f64 * from) as usize, (len as f64 * to) as usize);
        let range = from.min(to)..from.max(to);
        let bytes = pattern(len);
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let fresh = Fresh::new();
            put(&fresh.store, &bytes, &Digest::of(&bytes)).await;
            let chunks = fresh.store.read(&Digest::of(&bytes), range.start as u64..range.end as u64).await.unwrap().unwrap();
            assert_eq!(chunks.len(), range.len() as u64);
            // Held chunks must never be written over by later ones.
            let read = match held {
                true => chunks.try_collect::<Vec<Bytes>>().await.unwrap().concat(),
                false => collect(chunks).await.unwrap().to_vec(),
            };
            assert_eq!(read, bytes[range.clone()]);
        });
    }
}
