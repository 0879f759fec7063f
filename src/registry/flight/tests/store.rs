//! TEMP memory store
use crate::oci::Digest;
use crate::store::*;
use async_trait::async_trait;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, RwLock};

#[derive(Default)]
pub(super) struct Cellar {
    blobs: Mutex<HashMap<Digest, Arc<RwLock<Vec<u8>>>>>,
    limit: Mutex<Option<u64>>,
    pub(super) room: AtomicU64,
}
impl Cellar {
    pub(super) async fn new() -> Cellar {
        Cellar { room: AtomicU64::new(u64::MAX), ..Cellar::default() }
    }
    pub(super) fn fill_up(&self) {
        self.room.store(0, SeqCst)
    }
    /// new drafts are full after so many bytes
    pub(super) fn fills_after(&self, n: u64) {
        *self.limit.lock().unwrap() = Some(n)
    }
}
#[async_trait]
impl BlobStore for Cellar {
    async fn draft(&self, _: DraftName) -> Result<Draft, StoreError> {
        Ok(Draft(Default::default(), *self.limit.lock().unwrap()))
    }
    async fn reopen(&self, _: &str) -> Result<Option<Draft>, StoreError> {
        unimplemented!()
    }
    async fn discard(&self, _: &str) -> Result<(), StoreError> {
        unimplemented!()
    }
    async fn uploads(&self) -> Result<Vec<String>, StoreError> {
        unimplemented!()
    }
    async fn admit(&self, sealed: Sealed) -> Result<(), StoreError> {
        self.blobs.lock().unwrap().insert(sealed.1, sealed.0);
        Ok(())
    }
    async fn read(&self, digest: &Digest, range: Range<u64>) -> Result<Option<Chunks>, StoreError> {
        Ok(self.blobs.lock().unwrap().get(digest).map(|b| Chunks(b.clone(), range)))
    }
    async fn stat(&self, digest: &Digest) -> Result<Option<u64>, StoreError> {
        Ok(self.blobs.lock().unwrap().get(digest).map(|b| b.read().unwrap().len() as u64))
    }
    async fn remove(&self, _: &Digest) -> Result<bool, StoreError> {
        unimplemented!()
    }
    async fn list(&self, _: Option<&Digest>, _: usize) -> Result<Vec<(Digest, u64)>, StoreError> {
        unimplemented!()
    }
    fn room(&self) -> u64 {
        self.room.load(SeqCst)
    }
}
