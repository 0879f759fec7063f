//! Upload sessions: bytes on their way into the hosted store, in one request or many, over a restart if need be.
//!
//! A session belongs to one repository and one user; to anybody else it does not exist.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::time::sleep;

use super::{Error, Kind, Registry, now, to_the_end};
use crate::auth::Who;
use crate::index::{Change, Promise, UploadRow};
use crate::oci::{Digest, Repository, RepositoryName};
use crate::store::{Draft, DraftName, StoreError};

/// Bytes gathered before they are hashed and written, on another thread: handing them over costs as much for few as for many.
pub(super) const BATCH: usize = 256 << 10;

/// How long a batch waits for the rest of its bytes.
const PATIENCE: Duration = Duration::from_millis(5);

/// A request's body.
pub type Body = BoxStream<'static, std::io::Result<Bytes>>;

/// How far an upload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub id: String,
    /// Bytes received.
    pub received: u64,
}

/// How long after its last byte an unfinished upload is kept, in milliseconds.
const KEPT: u64 = 24 * 3600 * 1000;

/// Drafts that stay open while nobody writes them.
const IDLE: usize = 1000;

/// Bytes received, before that is known.
const UNKNOWN: u64 = u64::MAX;

pub struct Sessions {
    all: Mutex<HashMap<String, Arc<Session>>>,
    /// Uploads from before that have had until then, Unix milliseconds.
    since: u64,
}

impl Default for Sessions {
    fn default() -> Sessions {
        Sessions { all: Mutex::default(), since: now() }
    }
}

struct Session {
    row: UploadRow,
    /// `None` until it is needed again.
    draft: tokio::sync::Mutex<Option<Draft>>,
    /// Known without the draft, which a dead connection may hold.
    received: AtomicU64,
    /// When the last byte came, Unix milliseconds.
    last: AtomicU64,
}

impl Session {
    fn new(row: UploadRow, draft: Option<Draft>) -> Session {
        let received = AtomicU64::new(draft.as_ref().map_or(UNKNOWN, Draft::len));
        Session { row, draft: tokio::sync::Mutex::new(draft), received, last: AtomicU64::new(now()) }
    }

    fn saw(&self, received: u64) {
        self.received.store(received, Ordering::Relaxed);
        self.last.store(now(), Ordering::Relaxed);
    }
}

impl Registry {
    /// Opens an upload into a hosted repository.
    pub async fn start_upload(&self, name: &RepositoryName, who: &Who) -> Result<Progress, Error> {
        let hosted = Repository::hosted(name);
        self.writable(&hosted)?;
        let (this, id) = (self.this(), random_id());
        let row = UploadRow { repository: hosted, user: who.name().to_owned(), started: now() };
        to_the_end(async move {
            let draft = this.store.draft(DraftName::Upload(id.clone())).await?;
            let change = Change::Upload { id: id.clone(), row: row.clone() };
            if let Err(error) = this.commit(Vec::new(), vec![change], Promise::Appended).await {
                this.store.discard(&id).await?;
                return Err(error.into());
            }
            this.uploads.insert(&id, Session::new(row, Some(draft)));
            Ok(Progress { id, received: 0 })
        })
        .await
    }

    pub async fn upload_status(&self, name: &RepositoryName, id: &str, who: &Who) -> Result<Progress, Error> {
        let session = self.session(name, id, who).await?;
        if let Ok(mut slot) = session.draft.try_lock() {
            let received = self.opened(id, &mut slot).await?.settle().await;
            session.received.store(received, Ordering::Relaxed);
        }
        match session.received.load(Ordering::Relaxed) {
            UNKNOWN => Err(busy(id)),
            received => Ok(Progress { id: id.to_owned(), received }),
        }
    }

    /// Appends the body. `at` is where the client believes it goes.
    pub async fn append_upload(&self, name: &RepositoryName, id: &str, who: &Who, at: Option<u64>, body: Body) -> Result<Progress, Error> {
        let session = self.session(name, id, who).await?;
        let mut slot = session.draft.try_lock().map_err(|_| busy(id))?;
        let draft = self.opened(id, &mut slot).await?;
        append(draft, at, body, |received| session.saw(received)).await?;
        Ok(Progress { id: id.to_owned(), received: draft.len() })
    }

    /// Appends the rest, checks the digest, and makes the blob readable in the repository.
    pub async fn finish_upload(
        &self,
        name: &RepositoryName,
        id: &str,
        who: &Who,
        digest: &Digest,
        at: Option<u64>,
        body: Body,
    ) -> Result<(), Error> {
        let session = self.session(name, id, who).await?;
        let mut slot = session.draft.try_lock().map_err(|_| busy(id))?;
        append(self.opened(id, &mut slot).await?, at, body, |received| session.saw(received)).await?;
        let draft = slot.take().ok_or_else(|| ended(id))?;
        let (this, hosted, id, digest) = (self.this(), session.row.repository.clone(), id.to_owned(), *digest);
        to_the_end(async move {
            let done = this.admit_draft(&hosted, draft, &digest, Some(&id)).await;
            this.uploads.remove(&id);
            if done.is_err() {
                this.forget(&id).await?;
            }
            done
        })
        .await
    }

    /// A whole blob in one request.
    pub async fn upload_whole(&self, name: &RepositoryName, digest: &Digest, body: Body) -> Result<(), Error> {
        self.writable(&Repository::hosted(name))?;
        let mut draft = self.store.draft(DraftName::Fetch).await?;
        append(&mut draft, None, body, |_| ()).await?;
        let (this, hosted, digest) = (self.this(), Repository::hosted(name), *digest);
        to_the_end(async move { this.admit_draft(&hosted, draft, &digest, None).await }).await
    }

    pub async fn cancel_upload(&self, name: &RepositoryName, id: &str, who: &Who) -> Result<(), Error> {
        let session = self.session(name, id, who).await?;
        session.draft.try_lock().map_err(|_| busy(id))?.take();
        self.uploads.remove(id);
        self.forget(id).await
    }

    async fn admit_draft(&self, hosted: &Repository, draft: Draft, digest: &Digest, upload: Option<&str>) -> Result<(), Error> {
        let proved = draft.prove(digest, None).await?;
        let size = proved.len();
        let lease = self.index.claim(&[*digest]).await?;
        self.store.admit(proved).await?;
        let mut changes = vec![Change::Live { digest: *digest, size }, Change::Link { repository: hosted.clone(), digest: *digest }];
        changes.extend(upload.map(|id| Change::EndUpload { id: id.to_owned() }));
        self.commit(Vec::new(), changes, Promise::Durable).await?;
        self.index.lease_for(digest, self.lease);
        drop(lease);
        Ok(())
    }

    async fn forget(&self, id: &str) -> Result<(), Error> {
        self.store.discard(id).await?;
        Ok(self.commit(Vec::new(), vec![Change::EndUpload { id: id.to_owned() }], Promise::Appended).await?)
    }

    /// The session, from before a restart if need be.
    async fn session(&self, name: &RepositoryName, id: &str, who: &Who) -> Result<Arc<Session>, Error> {
        let session = match self.uploads.get(id) {
            Some(session) => session,
            None => {
                let row = self.index.upload(id).await?.ok_or_else(|| ended(id))?;
                self.uploads.insert(id, Session::new(row, None))
            }
        };
        let mine = session.row.repository == Repository::hosted(name) && session.row.user == who.name();
        if mine { Ok(session) } else { Err(ended(id)) }
    }

    /// The draft, opened and hashed again if it was closed.
    async fn opened<'a>(&self, id: &str, slot: &'a mut Option<Draft>) -> Result<&'a mut Draft, Error> {
        if slot.is_none() {
            *slot = match self.store.reopen(id).await {
                Err(StoreError::Io(error)) if error.kind() == std::io::ErrorKind::ResourceBusy => return Err(busy(id)),
                reopened => reopened?,
            };
        }
        slot.as_mut().ok_or_else(|| ended(id))
    }

    /// Ends what a kill left in halves: `drafts` were there before anybody could open an upload.
    pub async fn mend_uploads(&self, drafts: &[String]) -> Result<(), Error> {
        let rows: HashMap<_, _> = self.index.uploads().await?.into_iter().collect();
        for id in drafts.iter().filter(|id| !rows.contains_key(*id)) {
            self.store.discard(id).await?;
        }
        for (id, _) in rows.iter().filter(|(id, row)| row.started < self.uploads.since && !drafts.contains(id)) {
            self.forget(id).await?;
        }
        Ok(())
    }

    /// Ends the uploads whose last byte came too long ago.
    pub async fn end_old_uploads(&self) -> Result<(), Error> {
        for (id, row) in self.index.uploads().await? {
            let session = self.uploads.get(&id);
            let last = session.as_ref().map_or(row.started.max(self.uploads.since), |open| open.last.load(Ordering::Relaxed));
            if now().saturating_sub(last) < KEPT {
                continue;
            }
            let slot = session.as_ref().map(|open| open.draft.try_lock());
            if let Some(Err(_)) = slot {
                continue;
            }
            self.uploads.remove(&id);
            self.forget(&id).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
impl Sessions {
    /// As after a restart: the draft is opened again by whoever comes first. Tells what was received.
    pub fn close(&self, id: &str) -> impl Fn() -> u64 + use<> {
        let session = self.get(id).expect("it is open");
        *session.draft.try_lock().expect("nobody writes it") = None;
        move || session.received.load(Ordering::Relaxed)
    }
}

impl Sessions {
    fn get(&self, id: &str) -> Option<Arc<Session>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Whoever comes second gets the session of the first.
    fn insert(&self, id: &str, session: Session) -> Arc<Session> {
        let mut open = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        close_idle(&open);
        open.entry(id.to_owned()).or_insert_with(|| Arc::new(session)).clone()
    }

    fn remove(&self, id: &str) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// Gives back the handles of the longest idle when there are too many; their drafts are opened again when bytes come.
fn close_idle(sessions: &HashMap<String, Arc<Session>>) {
    if sessions.len() <= IDLE {
        return;
    }
    let mut idle: Vec<_> = sessions.values().filter_map(|session| Some((session, session.draft.try_lock().ok()?))).collect();
    idle.retain(|(_, slot)| slot.is_some());
    if idle.len() > IDLE {
        idle.sort_by_key(|(session, _)| session.last.load(Ordering::Relaxed));
        idle.iter_mut().take(IDLE / 10).for_each(|(_, slot)| **slot = None);
    }
}

/// Writes one batch while the next one comes in.
async fn append(draft: &mut Draft, at: Option<u64>, mut body: Body, saw: impl Fn(u64)) -> Result<(), Error> {
    let here = draft.settle().await;
    if let Some(at) = at
        && at != here
    {
        let text = format!("the chunk begins at byte {at}, but {here} bytes are here; go on from there");
        return Err(Error::new(Kind::UploadRange, text));
    }
    let mut ready = batch(&mut body).await;
    while !ready.0.is_empty() {
        let chunks = std::mem::take(&mut ready.0);
        let writing = async {
            let written = draft.append(chunks).await;
            saw(draft.len());
            written
        };
        let (written, next) = match ready.1 {
            None => tokio::join!(writing, batch(&mut body)),
            Some(_) => (writing.await, (Vec::new(), ready.1.take())),
        };
        written?;
        ready = next;
    }
    match ready.1 {
        Some(End::Broken(why)) => {
            Err(Error::new(Kind::UploadInvalid, format!("the upload broke off: {why}; go on with it or start again")))
        }
        Some(End::Clean) | None => Ok(()),
    }
}

enum End {
    Clean,
    Broken(std::io::Error),
}

/// What comes of the body until it is about a batch, pauses or ends, and its end when that is reached.
async fn batch(body: &mut Body) -> (Vec<Bytes>, Option<End>) {
    let (mut chunks, mut size) = (Vec::new(), 0);
    let mut patience = pin!(sleep(PATIENCE));
    while size < BATCH {
        let next = tokio::select! {
            biased;
            next = body.next() => next,
            () = &mut patience, if !chunks.is_empty() => break,
        };
        match next {
            None => return (chunks, Some(End::Clean)),
            Some(Err(error)) => return (chunks, Some(End::Broken(error))),
            Some(Ok(bytes)) => {
                size += bytes.len();
                chunks.push(bytes);
            }
        }
    }
    (chunks, None)
}

fn ended(id: &str) -> Error {
    Error::new(Kind::UploadUnknown, format!("there is no upload {id} of yours in this repository; start a new one"))
}

fn busy(id: &str) -> Error {
    Error::new(Kind::UploadInvalid, format!("another request is writing the upload {id}"))
}

/// A random UUID (version 4).
fn random_id() -> String {
    let mut bytes = [0u8; 16];
    let filled = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
    assert_eq!(filled, Ok(bytes.len()), "the kernel gives 16 random bytes at once");
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
