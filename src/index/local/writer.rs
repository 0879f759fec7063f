//! The one writer: takes what is queued as a group, judges it in order, appends what is accepted, syncs once, makes it
//! visible, then answers. Nothing is acknowledged before, and no table has what the journal has not.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;

use super::judge::{Judged, judge};
use super::refill::{Refill, no_room};
use super::serving::{Serving, State};
use super::{Options, mark};
use crate::index::journal::{self, Journal};
use crate::index::lease::Leases;
use crate::index::table::{Batch, Disk, Table, TableError};
use crate::index::{Change, CommitError, Expect, Promise};

/// Commits in one group: bounds how long the first waits for the last.
const GROUP: usize = 256;
/// When what was appended without a promise is synced.
const SYNC_AFTER: Duration = Duration::from_secs(1);

/// What a caller wants made.
#[derive(Debug)]
pub struct Commit {
    pub expects: Vec<Expect>,
    pub changes: Vec<Change>,
    pub promise: Promise,
}

/// How the answer reaches a caller.
type Answer = oneshot::Sender<Result<(), CommitError>>;

/// What the writer is told.
pub enum Message {
    Commit(Commit, Answer),
    /// A reader found sled failing.
    GiveUp(Arc<Disk>, TableError, oneshot::Sender<()>),
    /// A refill ended: the folder's number and the sled in it.
    Refilled(Result<(u64, Arc<Disk>), TableError>),
    Close(oneshot::Sender<()>),
    Stop,
}

pub struct Writer {
    pub(super) options: Options,
    pub(super) journal: Journal,
    pub(super) serving: Arc<Serving>,
    leases: Leases,
    pub(super) messages: flume::Sender<Message>,
    pub(super) refill: Option<Refill>,
    /// The number of the folder of the sled that serves.
    pub(super) folder: u64,
    sync_at: Option<Instant>,
    merging: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the writer's thread, which first finds or fills a table.
    pub fn start(
        options: Options,
        journal: Journal,
        serving: Arc<Serving>,
        leases: Leases,
        messages: flume::Sender<Message>,
        received: flume::Receiver<Message>,
    ) -> io::Result<()> {
        let writer = Writer { options, journal, serving, leases, messages, refill: None, folder: 0, sync_at: None, merging: None };
        std::thread::Builder::new().name("index-writer".into()).spawn(move || writer.run(&received)).map(drop)
    }

    fn run(mut self, received: &flume::Receiver<Message>) {
        if !self.trust_sled() {
            self.fill();
            self.start_refill();
        }
        let mut left_over = None;
        while let Some(message) = left_over.take().or_else(|| self.next(received)) {
            match message {
                Message::Commit(commit, answer) => left_over = self.group(commit, answer, received),
                Message::GiveUp(disk, error, answer) => {
                    if matches!(self.serving.now(), State::Sled(serving) if Arc::ptr_eq(&serving, &disk)) {
                        self.give_up(&error);
                    }
                    let _ = answer.send(());
                }
                Message::Refilled(Ok((number, disk))) => self.take_over(number, disk),
                Message::Refilled(Err(error)) => self.log_given_up(&error),
                Message::Close(answer) => {
                    self.close();
                    drop(self);
                    let _ = answer.send(());
                    return;
                }
                Message::Stop => {
                    self.serving.set(State::Broken("it is closed".into()));
                    return self.merging.take().into_iter().for_each(|merge| drop(merge.join()));
                }
            }
        }
    }

    /// The next message; meanwhile, syncs what is due.
    fn next(&mut self, received: &flume::Receiver<Message>) -> Option<Message> {
        loop {
            let Some(at) = self.sync_at else { return received.recv().ok() };
            match received.recv_timeout(at.saturating_duration_since(Instant::now())) {
                Ok(message) => return Some(message),
                Err(flume::RecvTimeoutError::Timeout) => self.sync(),
                Err(flume::RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn sync(&mut self) {
        self.sync_at = None;
        // A failure is logged, and made good, by the journal.
        let _ = self.journal.sync();
        self.look_after_journal();
    }

    /// Makes one group, beginning with this commit; returns the message that ended it.
    fn group(&mut self, commit: Commit, answer: Answer, received: &flume::Receiver<Message>) -> Option<Message> {
        let (mut commits, mut answers, mut left_over) = (vec![commit], vec![answer], None);
        while commits.len() < GROUP {
            match received.try_recv() {
                Ok(Message::Commit(commit, answer)) => {
                    commits.push(commit);
                    answers.push(answer);
                }
                Ok(other) => {
                    left_over = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        let verdicts = self.make(&Arc::from(commits));
        self.leases.decided();
        for (answer, verdict) in answers.into_iter().zip(verdicts) {
            // Who has left needs no answer.
            let _ = answer.send(verdict);
        }
        self.look_after_journal();
        if self.sync_at.is_some_and(|at| at <= Instant::now()) {
            self.sync();
        }
        left_over
    }

    fn make(&mut self, commits: &Arc<[Commit]>) -> Vec<Result<(), CommitError>> {
        let all = |error: CommitError| commits.iter().map(|_| Err(error.clone())).collect();
        let at = now();
        let Judged { verdicts, batch } = match self.judge(at, commits) {
            Ok(judged) => judged,
            Err(error) => return all(crate::index::Unavailable::Broken(error.0).into()),
        };
        let mut durable = false;
        let accepted = || commits.iter().zip(&verdicts).filter(|(_, verdict)| verdict.is_ok()).map(|(commit, _)| commit);
        for commit in accepted().filter(|commit| !commit.changes.is_empty()) {
            // The bytes of a doomed blob go next, whatever was asked.
            let doom = commit.changes.iter().any(|change| matches!(change, Change::Doom { .. }));
            durable |= doom || commit.promise == Promise::Durable;
            self.journal.stage(at, &commit.changes);
        }
        if batch.is_empty() {
            return verdicts;
        }
        if let Err(error) = self.journal.write(durable) {
            // Also those that were refused: what they were refused for may just have failed.
            return all(CommitError::NotWritten(error.to_string()));
        }
        self.apply(batch);
        verdicts
    }

    fn judge(&mut self, at: u64, commits: &Arc<[Commit]>) -> Result<Judged, TableError> {
        let dooms = commits.iter().flat_map(|commit| &commit.changes).filter_map(|change| match change {
            Change::Doom { digest } => Some(*digest),
            _ => None,
        });
        let unleased = commits.iter().flat_map(|commit| &commit.expects).filter_map(|expect| match expect {
            Expect::Unleased(digest) => Some(*digest),
            _ => None,
        });
        let leased: HashSet<_> = dooms.chain(unleased).filter(|digest| !self.leases.try_doom(digest)).collect();
        if matches!(self.serving.now(), State::Sled(_)) && !(self.options.roomy)() {
            self.give_up(&no_room());
        }
        if let State::Sled(disk) = self.serving.now() {
            let (commits, leased) = (Arc::clone(commits), leased.clone());
            match disk.look(move |table| judge(table, at, &commits, &leased)) {
                Ok(judged) => return Ok(judged),
                Err(error) => self.give_up(&error),
            }
        }
        match self.serving.now() {
            State::Memory(memory) => judge(&*memory, at, commits, &leased),
            State::Broken(reason) => Err(TableError(reason)),
            State::Filling | State::Sled(_) => unreachable!("filling and giving up end in memory or broken"),
        }
    }

    /// Makes what was written visible.
    fn apply(&mut self, batch: Batch) {
        let position = self.journal.position();
        match self.serving.now() {
            State::Sled(disk) => {
                if let Err(error) = disk.apply(batch, position) {
                    // Filled from the journal, memory has this batch too.
                    self.give_up(&error);
                }
            }
            State::Memory(memory) => match &self.refill {
                None => memory.take(batch, position),
                Some(refill) => {
                    memory.apply(&batch, position).expect("memory does not fail");
                    refill.queue(batch);
                }
            },
            State::Filling | State::Broken(_) => {}
        }
    }

    /// After a group: what the journal wants synced, merged, or known.
    fn look_after_journal(&mut self) {
        match self.journal.unsynced() {
            true => self.sync_at = self.sync_at.or_else(|| Some(Instant::now() + SYNC_AFTER)),
            false => self.sync_at = None,
        }
        if let Some(reason) = self.journal.read_only() {
            self.serving.set_read_only(reason);
            self.sync_at = None;
        }
        if self.journal.rotated() && self.merging.as_ref().is_none_or(JoinHandle::is_finished) {
            self.start_merge();
        }
    }

    fn start_merge(&mut self) {
        let Some(end) = self.journal.active() else { return };
        let (folder, least) = (self.journal.folder().to_owned(), self.options.merge_size);
        let run = move || {
            let merged = journal::is_due(&folder, end, least).and_then(|due| if due { journal::merge(&folder, end) } else { Ok(()) });
            if let Err(error) = merged {
                tracing::warn!(%error, "no snapshot could be made of the journal; it is tried again later");
            }
        };
        match std::thread::Builder::new().name("index-merge".into()).spawn(run) {
            Ok(thread) => self.merging = Some(thread),
            Err(error) => tracing::warn!(%error, "no thread for a snapshot of the journal"),
        }
    }

    fn close(&mut self) {
        let _ = self.journal.sync();
        let state = self.serving.now();
        self.serving.set(State::Broken("it is closed".into()));
        let State::Sled(disk) = state else { return };
        let flushed = disk.apply(Batch::new(), self.journal.position()).and_then(|()| disk.flush());
        let closed = match flushed {
            Ok(()) if self.journal.is_sound() && (self.options.roomy)() => Disk::close(disk),
            Ok(()) => return,
            Err(error) => {
                disk.abandon();
                Err(error)
            }
        };
        let marked = closed.and_then(|()| mark::put(&self.options.tables(), self.folder).map_err(|error| TableError(error.to_string())));
        if let Err(error) = marked {
            tracing::warn!(%error, "the index could not be closed; it is read back from the journal at the next start");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Whatever ended the writer, nobody waits for it.
        self.leases.decided();
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
