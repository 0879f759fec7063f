//! Flights over real files, with an upstream that misbehaves on demand.

mod faults;
mod herd;
mod index;
mod places;
mod readers;
mod repositories;
mod room;
mod segments;
mod source;
mod store;
mod storm;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;

use self::index::Facts;
use self::source::Scripted;
use self::store::Cellar;
use super::{Board, FetchError, FlightBody, Follower, Tuning, Wish};
use crate::index::Index;
use crate::oci::Digest;
use crate::store::BlobStore;
use crate::upstream::Budget;

const MIB: usize = 1 << 20;

/// A board with everything below it.
struct Harbour {
    board: Arc<Board>,
    facts: Arc<Facts>,
    cellar: Arc<Cellar>,
}

impl Harbour {
    async fn new() -> Harbour {
        Harbour::tuned(tuning()).await
    }

    async fn tuned(tuning: Tuning) -> Harbour {
        let (facts, cellar) = (Arc::new(Facts::new().await), Arc::new(Cellar::new()));
        let board = Board::new(cellar.clone(), facts.clone(), tuning);
        Harbour { board, facts, cellar }
    }

    async fn join(&self, source: &Arc<Scripted>) -> Result<Follower, FetchError> {
        self.wish(source, Wish::Client).await
    }

    async fn wish(&self, source: &Arc<Scripted>, wish: Wish) -> Result<Follower, FetchError> {
        self.board.join(&source.digest, source.edge, source.clone(), wish, soon()).await
    }

    /// Joins, and compares all bytes.
    async fn compare(&self, source: &Arc<Scripted>, bytes: &[u8]) -> Result<bool, String> {
        let follower = self.join(source).await.map_err(|error| error.to_string())?;
        follower.head(soon()).await.map_err(|error| error.to_string())?;
        reads(follower.body(None), bytes).await
    }

    /// Joins, and reads to the end or the cut.
    async fn pull(&self, source: &Arc<Scripted>) -> Result<Vec<u8>, String> {
        let follower = self.join(source).await.map_err(|error| error.to_string())?;
        follower.head(soon()).await.map_err(|error| error.to_string())?;
        drain(follower.body(None)).await.map_err(|(_, error)| error)
    }

    /// Waits until nothing is under way.
    async fn quiet(&self) {
        until(|| self.board.under_way() == 0).await;
    }

    /// How many repositories may read it.
    async fn links(&self, bytes: &Bytes) -> usize {
        self.facts.holders(&Digest::of(bytes), 100).await.unwrap().len()
    }

    async fn has(&self, digest: &Digest) -> bool {
        self.facts.blob(digest).await.unwrap().is_some() && self.cellar.stat(digest).await.unwrap().is_some()
    }
}

/// Everything short.
fn tuning() -> Tuning {
    Tuning { backoff: Duration::from_millis(1), linger: Duration::from_millis(40), open: Duration::from_secs(5), ..Tuning::default() }
}

fn soon() -> Budget {
    Budget::lasting(Duration::from_secs(10))
}

/// Bytes of which no two stretches are the same.
fn blob(length: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(length + 32);
    for count in 0..length.div_ceil(32) as u64 {
        bytes.extend_from_slice(Digest::of(&count.to_le_bytes()).as_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

/// All bytes of a body, or those before the cut and why it was cut.
async fn drain(mut body: FlightBody) -> Result<Vec<u8>, (Vec<u8>, String)> {
    let mut bytes = Vec::new();
    while let Some(next) = body.next().await {
        match next {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(error) => return Err((bytes, error.to_string())),
        }
    }
    Ok(bytes)
}

/// Reads on, and compares with what should come, without keeping it.
async fn reads(mut body: FlightBody, bytes: &[u8]) -> Result<bool, String> {
    let (mut at, mut right) = (0, true);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| error.to_string())?;
        right &= bytes.get(at..at + chunk.len()) == Some(&chunk);
        at += chunk.len();
    }
    Ok(right && at == bytes.len())
}

/// As many bytes as asked for, from a body that has more.
async fn take(body: &mut FlightBody, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        bytes.extend_from_slice(&body.next().await.expect("more bytes").unwrap());
    }
    bytes
}

async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it becomes true");
}

/// Whether the body has nothing to give at the moment.
async fn starved(body: &mut FlightBody) -> bool {
    tokio::time::timeout(Duration::from_millis(50), body.next()).await.is_err()
}
