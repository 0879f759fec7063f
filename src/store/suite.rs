//! What every blob store promises, as functions over the trait: each backend runs all of them.

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;

use super::{BlobStore, Chunks, DraftName, SealError};
use crate::oci::{Algorithm, Digest, Hasher};

/// Runs the whole suite on empty stores.
pub(super) async fn all<S: BlobStore>(empty: impl Fn() -> S) {
    an_admitted_blob_reads_back(&empty()).await;
    an_empty_blob_works(&empty()).await;
    a_sha512_blob_works(&empty()).await;
    wrong_bytes_do_not_enter(&empty()).await;
    a_draft_is_read_while_it_grows_and_after(&empty()).await;
    a_reader_goes_on_after_removal(&empty()).await;
    a_range_outside_is_an_error(&empty()).await;
    the_list_is_in_order_and_goes_on_behind(&empty()).await;
    an_upload_outlives_its_handle(&empty()).await;
    an_upload_has_one_writer(&empty()).await;
    an_id_cannot_leave_staging(&empty()).await;
}

pub(super) fn sha512(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(bytes);
    hasher.finish()
}

/// Bytes in which no two neighbouring blocks are alike.
pub(super) fn pattern(len: usize) -> Bytes {
    (0..len).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

pub(super) async fn put(store: &dyn BlobStore, bytes: &Bytes, digest: &Digest) {
    let mut draft = store.draft(DraftName::Fetch).await.unwrap();
    draft.append(vec![bytes.clone()]).await.unwrap();
    let proved = draft.prove(digest, Some(bytes.len() as u64)).await.unwrap();
    store.admit(proved).await.unwrap();
}

pub(super) async fn collect(chunks: Chunks) -> std::io::Result<BytesMut> {
    chunks
        .try_fold(BytesMut::new(), async |mut all, chunk| {
            Ok({
                all.extend_from_slice(&chunk);
                all
            })
        })
        .await
}

async fn read(store: &dyn BlobStore, digest: &Digest, range: std::ops::Range<u64>) -> Option<BytesMut> {
    let chunks = store.read(digest, range).await.unwrap()?;
    Some(collect(chunks).await.unwrap())
}

async fn an_admitted_blob_reads_back(store: &dyn BlobStore) {
    let bytes = pattern(700_001);
    let digest = Digest::of(&bytes);
    assert_eq!(store.stat(&digest).await.unwrap(), None);
    assert!(read(store, &digest, 0..1).await.is_none());
    put(store, &bytes, &digest).await;
    put(store, &bytes, &digest).await;
    assert_eq!(store.stat(&digest).await.unwrap(), Some(700_001));
    assert_eq!(read(store, &digest, 0..700_001).await.unwrap(), bytes);
    assert_eq!(store.read(&digest, 5..10).await.unwrap().unwrap().len(), 5);
    assert!(store.remove(&digest).await.unwrap());
    assert!(!store.remove(&digest).await.unwrap());
    assert_eq!(store.stat(&digest).await.unwrap(), None);
}

async fn an_empty_blob_works(store: &dyn BlobStore) {
    let digest = Digest::of(b"");
    let draft = store.draft(DraftName::Fetch).await.unwrap();
    store.admit(draft.prove(&digest, Some(0)).await.unwrap()).await.unwrap();
    assert_eq!(store.stat(&digest).await.unwrap(), Some(0));
    assert_eq!(read(store, &digest, 0..0).await.unwrap(), b""[..]);
}

async fn a_sha512_blob_works(store: &dyn BlobStore) {
    let bytes = pattern(300_000);
    let digest = sha512(&bytes);
    put(store, &bytes, &digest).await;
    assert_eq!(read(store, &digest, 1..300_000).await.unwrap(), bytes[1..]);
    assert_eq!(store.stat(&Digest::of(&bytes)).await.unwrap(), None);
}

async fn wrong_bytes_do_not_enter(store: &dyn BlobStore) {
    let (right, wrong) = (Digest::of(b"right"), Digest::of(b"wrong"));
    for (digest, size) in [(wrong, Some(5)), (sha512(b"wrong"), None), (right, Some(4)), (right, Some(6))] {
        let mut draft = store.draft(DraftName::Upload("wrong".into())).await.unwrap();
        draft.append(vec![Bytes::from_static(b"ri"), Bytes::from_static(b"ght")]).await.unwrap();
        match draft.prove(&digest, size).await.map(|_| ()).unwrap_err() {
            SealError::Digest { expected, .. } => assert_eq!(expected, digest),
            SealError::Length { expected, actual } => assert_eq!((Some(expected), actual), (size, 5)),
            SealError::Store(error) => panic!("{error}"),
        }
        assert_eq!(store.stat(&digest).await.unwrap(), None);
        assert_eq!(store.uploads().await.unwrap(), [""; 0]);
        assert!(store.reopen("wrong").await.unwrap().is_none());
    }
}

async fn a_draft_is_read_while_it_grows_and_after(store: &dyn BlobStore) {
    let bytes = pattern(200_000);
    let digest = Digest::of(&bytes);
    let mut draft = store.draft(DraftName::Fetch).await.unwrap();
    let view = draft.view();
    draft.append(vec![bytes.slice(..150_000)]).await.unwrap();
    assert_eq!(collect(view.chunks(10..150_000)).await.unwrap(), bytes[10..150_000]);
    assert!(collect(view.chunks(0..150_001)).await.is_err());
    draft.append(vec![bytes.slice(150_000..)]).await.unwrap();
    let proved = draft.prove(&digest, None).await.unwrap();
    assert_eq!(collect(view.chunks(0..200_000)).await.unwrap(), bytes);
    store.admit(proved).await.unwrap();
    store.remove(&digest).await.unwrap();
    assert_eq!(collect(view.clone().chunks(0..200_000)).await.unwrap(), bytes);
}

async fn a_reader_goes_on_after_removal(store: &dyn BlobStore) {
    let bytes = pattern(900_000);
    let digest = Digest::of(&bytes);
    put(store, &bytes, &digest).await;
    let mut chunks = store.read(&digest, 0..900_000).await.unwrap().unwrap();
    let mut all = BytesMut::from(&chunks.try_next().await.unwrap().unwrap()[..]);
    assert!(store.remove(&digest).await.unwrap());
    all.extend_from_slice(&collect(chunks).await.unwrap());
    assert_eq!(all, bytes);
}

async fn a_range_outside_is_an_error(store: &dyn BlobStore) {
    let bytes = pattern(100);
    put(store, &bytes, &Digest::of(&bytes)).await;
    assert!(store.read(&Digest::of(&bytes), 50..101).await.is_err());
    assert!(store.read(&Digest::of(&bytes), u64::MAX - 1..u64::MAX).await.is_err());
}

async fn the_list_is_in_order_and_goes_on_behind(store: &dyn BlobStore) {
    let mut expected = Vec::new();
    for size in 0..40 {
        let bytes = pattern(size);
        let digest = if size % 4 == 0 { sha512(&bytes) } else { Digest::of(&bytes) };
        put(store, &bytes, &digest).await;
        expected.push((digest, size as u64));
    }
    expected.sort_unstable();
    assert_eq!(store.list(None, 1000).await.unwrap(), expected);
    let mut found: Vec<(Digest, u64)> = Vec::new();
    loop {
        let page = store.list(found.last().map(|(digest, _)| digest), 7).await.unwrap();
        assert!(page.len() <= 7);
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    assert_eq!(found, expected);
}

async fn an_upload_outlives_its_handle(store: &dyn BlobStore) {
    let bytes = pattern(400_000);
    let mut draft = store.draft(DraftName::Upload("a-1".into())).await.unwrap();
    draft.append(vec![bytes.slice(..300_000)]).await.unwrap();
    drop(draft);
    assert_eq!(store.uploads().await.unwrap(), ["a-1"]);
    let mut draft = store.reopen("a-1").await.unwrap().unwrap();
    assert_eq!(draft.len(), 300_000);
    draft.append(vec![bytes.slice(300_000..)]).await.unwrap();
    let digest = Digest::of(&bytes);
    store.admit(draft.prove(&digest, None).await.unwrap()).await.unwrap();
    assert_eq!(read(store, &digest, 0..400_000).await.unwrap(), bytes);
    assert_eq!(store.uploads().await.unwrap(), [""; 0]);

    drop(store.draft(DraftName::Upload("b".into())).await.unwrap());
    store.discard("b").await.unwrap();
    store.discard("b").await.unwrap();
    assert!(store.reopen("b").await.unwrap().is_none());
}

async fn an_upload_has_one_writer(store: &dyn BlobStore) {
    let draft = store.draft(DraftName::Upload("one".into())).await.unwrap();
    assert!(store.reopen("one").await.is_err());
    assert!(store.draft(DraftName::Upload("one".into())).await.is_err());
    drop(draft);
    assert!(store.draft(DraftName::Upload("one".into())).await.is_err());
    assert!(store.reopen("one").await.unwrap().is_some());
}

async fn an_id_cannot_leave_staging(store: &dyn BlobStore) {
    for id in ["", "..", "../x", "a/b", "/etc/passwd", "a.b", "é", "a\0b", &"a".repeat(129)] {
        assert!(store.draft(DraftName::Upload(id.into())).await.is_err(), "{id:?}");
        assert!(store.reopen(id).await.unwrap().is_none(), "{id:?}");
        store.discard(id).await.unwrap();
    }
}
