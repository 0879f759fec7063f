//! An upstream that follows a script and counts what it is asked for.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::watch;

use crate::oci::{Digest, Repository};
use crate::registry::flight::{Places, Source};
use crate::upstream::{BlobAnswer, Budget, Cause, Refusal};

/// How the upstream behaves.
#[derive(Clone)]
pub(super) struct Script {
    pub(super) latency: Duration,
    pub(super) chunk: usize,
    /// Before each chunk.
    pub(super) pause: Duration,
    /// Bytes that each open sends before its connection breaks; none when empty.
    pub(super) cuts: Vec<usize>,
    pub(super) ranges: bool,
    pub(super) segments: usize,
    /// The ETags of the answers in turn, the last one of all that follow.
    pub(super) tags: Vec<String>,
    /// What it says the size is.
    pub(super) total: Option<u64>,
    pub(super) answer: Option<Refusal>,
    pub(super) head: Option<Refusal>,
    pub(super) panics: bool,
}

pub(super) struct Scripted {
    pub(super) digest: Digest,
    pub(super) edge: Option<u64>,
    pub(super) bytes: Bytes,
    pub(super) script: Mutex<Script>,
    /// Where each open began.
    pub(super) opens: Mutex<Vec<u64>>,
    pub(super) confirms: AtomicUsize,
    pub(super) sent: Arc<AtomicUsize>,
    /// One for each body under way, and how many there were at most.
    bodies: Arc<()>,
    most: AtomicUsize,
    /// Offset up to which bytes are sent; further ones wait.
    pub(super) gate: watch::Sender<usize>,
    repository: Repository,
    places: Arc<Places>,
}

impl Scripted {
    /// A well-behaved upstream that has these bytes under `name`.
    pub(super) fn new(name: &str, bytes: &Bytes) -> Scripted {
        let script = Script {
            latency: Duration::ZERO,
            chunk: 16 << 10,
            pause: Duration::ZERO,
            cuts: Vec::new(),
            ranges: true,
            segments: 1,
            tags: Vec::new(),
            total: Some(bytes.len() as u64),
            answer: None,
            head: None,
            panics: false,
        };
        Scripted {
            digest: Digest::of(bytes),
            edge: Some(bytes.len() as u64),
            bytes: bytes.clone(),
            script: Mutex::new(script),
            opens: Mutex::default(),
            confirms: AtomicUsize::new(0),
            sent: Arc::default(),
            bodies: Arc::default(),
            most: AtomicUsize::new(0),
            gate: watch::Sender::new(usize::MAX),
            repository: Repository::upstream("registry.test", &name.parse().unwrap()),
            places: Places::new(16),
        }
    }

    pub(super) fn with(self, change: impl FnOnce(&mut Script)) -> Scripted {
        change(&mut self.script.lock().unwrap());
        self
    }

    /// Without an edge that tells the size.
    pub(super) fn unlisted(mut self) -> Scripted {
        self.edge = None;
        self
    }

    pub(super) fn gated(self, offset: usize) -> Scripted {
        self.gate.send_replace(offset);
        self
    }

    pub(super) fn at(mut self, places: &Arc<Places>) -> Scripted {
        self.places = places.clone();
        self
    }

    /// Sends other bytes than the digest's, differing at `offset`.
    pub(super) fn lying(mut self, offset: usize) -> Scripted {
        let mut bytes = self.bytes.to_vec();
        bytes[offset] ^= 1;
        self.bytes = bytes.into();
        self
    }

    pub(super) fn opens(&self) -> usize {
        self.opens.lock().unwrap().len()
    }

    /// Bodies under way at once, at most.
    pub(super) fn most_at_once(&self) -> usize {
        self.most.load(SeqCst)
    }

    pub(super) fn confirms(&self) -> usize {
        self.confirms.load(SeqCst)
    }
}

pub(super) fn absent() -> Refusal {
    Refusal::Absent { source_name: "registry.test".into() }
}

pub(super) fn outage(status: u16) -> Refusal {
    Refusal::Failed { source_name: "registry.test".into(), cause: Cause::Status { status, text: String::new() } }
}

#[async_trait]
impl Source for Scripted {
    fn repository(&self) -> &Repository {
        &self.repository
    }

    fn places(&self) -> &Arc<Places> {
        &self.places
    }

    fn segments(&self) -> usize {
        self.script.lock().unwrap().segments
    }

    async fn open(&self, digest: &Digest, from: u64, until: Option<u64>, _budget: Budget) -> Result<BlobAnswer, Refusal> {
        assert_eq!(digest, &self.digest);
        self.opens.lock().unwrap().push(from);
        let (script, cut, tag) = {
            let mut script = self.script.lock().unwrap();
            let cut = (!script.cuts.is_empty()).then(|| script.cuts.remove(0));
            let tag = script.tags.first().cloned();
            if script.tags.len() > 1 {
                script.tags.remove(0);
            }
            (script.clone(), cut, tag)
        };
        // A sleep of no time still lets others run, and what must not be asked is refused without a pause.
        if let Some(refusal) = script.answer.clone().filter(|_| script.latency.is_zero()) {
            return Err(refusal);
        }
        tokio::time::sleep(script.latency).await;
        assert!(!script.panics, "as the script says");
        if let Some(refusal) = script.answer {
            return Err(refusal);
        }
        let start = if script.ranges { from as usize } else { 0 };
        let end = until.filter(|_| script.ranges).map_or(self.bytes.len(), |until| until as usize);
        let end = cut.map_or(end, |cut| end.min(start + cut));
        let (bytes, sent, gate) = (self.bytes.clone(), self.sent.clone(), self.gate.subscribe());
        let body = self.bodies.clone();
        self.most.fetch_max(Arc::strong_count(&body) - 1, SeqCst);
        let whole = stream::unfold((start, gate), move |(at, mut gate)| {
            let _under_way = &body;
            let (bytes, sent) = (bytes.clone(), sent.clone());
            async move {
                if at == end {
                    return None;
                }
                if !script.pause.is_zero() {
                    tokio::time::sleep(script.pause).await;
                }
                let allowed = *gate.wait_for(|allowed| at < *allowed).await.ok()?;
                let next = (at + script.chunk).min(end).min(allowed);
                sent.fetch_add(next - at, SeqCst);
                Some((Ok(bytes.slice(at..next)), (next, gate)))
            }
        });
        let broken = stream::iter(cut.map(|_| Err(Cause::Broken("cut".into()))));
        Ok(BlobAnswer { start: start as u64, total: script.total, tag, body: whole.chain(broken).boxed(), blame: Arc::new(|_| {}) })
    }

    async fn confirm(&self, _digest: &Digest, _budget: Budget) -> Result<Option<u64>, Refusal> {
        self.confirms.fetch_add(1, SeqCst);
        let script = self.script.lock().unwrap().clone();
        tokio::time::sleep(script.latency).await;
        script.head.or(script.answer).map_or(Ok(script.total), Err)
    }
}
