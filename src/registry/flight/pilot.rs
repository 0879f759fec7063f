//! The pilot: fills a flight's draft from its sources in turn, until the bytes are proved and landed or all have failed.
//!
//! A write is never dropped half-way; between writes the pilot may stop, leave its place, or change its source.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until};

use super::board::Board;
use super::fetch::Flight;
use super::intake::{Gathered, Intake, failed};
use super::landing::{Aboard, land};
use super::progress::End;
use super::segments::Segments;
use super::{FetchError, Source};
use crate::store::{Draft, DraftName, Extents, Proved, SealError, StoreError};
use crate::upstream::{Blame, Cause, Refusal};

/// Starts the flight's pilot. The flight leaves the board when the pilot ends, however it ends.
pub(super) fn launch(board: &Arc<Board>, flight: Arc<Flight>) {
    let mut aboard = Aboard::new(board.clone(), flight);
    tokio::spawn(async move {
        let mut pilot = Pilot::new(&aboard);
        let end = pilot.fly().await.unwrap_or_else(End::Failed);
        pilot.shelve(&end);
        aboard.leave(end);
    });
}

struct Pilot {
    board: Arc<Board>,
    flight: Arc<Flight>,
    draft: Option<Draft>,
    /// Bytes that the followers were not told of yet, and when they were told last.
    untold: u64,
    told_at: Instant,
    /// Bytes at the last break: no byte since then is no progress.
    broke_at: u64,
    total: Option<u64>,
    /// Whom to tell that the bytes were wrong: the last one who sent some.
    blame: Option<Blame>,
    /// When to look whether anybody follows.
    watch: Interval,
}

/// Why a lap with one source ended before the blob did.
enum Stop {
    /// Somebody wanted needs the place.
    Recalled,
    Refused(Refusal),
    Full,
    Failed(FetchError),
}

impl Pilot {
    fn new(aboard: &Aboard) -> Pilot {
        let mut watch = interval((aboard.board.tuning.linger / 4).max(Duration::from_millis(1)));
        watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let total = aboard.flight.progress.borrow().total;
        Pilot {
            board: aboard.board.clone(),
            flight: aboard.flight.clone(),
            draft: None,
            untold: 0,
            told_at: Instant::now(),
            broke_at: 0,
            total,
            blame: None,
            watch,
        }
    }

    async fn fly(&mut self) -> Result<End, FetchError> {
        // A row whose bytes are gone or cut is no reason to believe that they are here.
        if let Some(row) = self.board.index.blob(&self.flight.digest).await?
            && self.board.store.stat(&self.flight.digest).await? == Some(row.size)
        {
            self.flight.progress.send_modify(|progress| progress.total = Some(row.size));
            return Ok(End::Landed);
        }
        self.begin();
        let (proved, size) = loop {
            let Some(source) = self.flight.roster().current() else {
                return Err(self.flight.roster().verdict().unwrap_or(FetchError::Lost(self.flight.digest)));
            };
            match self.lap(&source).await {
                Ok(()) => break self.prove(&*source).await?,
                Err(Stop::Recalled) => {}
                Err(Stop::Refused(refusal)) => self.refused(refusal).await?,
                Err(Stop::Full) => {
                    self.tell();
                    // Not for this flight: room is seen again only after a while.
                    self.board.clear_shelf();
                    return Ok(End::Passing);
                }
                Err(Stop::Failed(error)) => return Err(error),
            }
        };
        land(&self.board, &self.flight, proved, size).await?;
        Ok(End::Landed)
    }

    /// Goes on where an earlier flight stopped, if one did.
    fn begin(&mut self) {
        if let Some((draft, total)) = self.board.unshelve(&self.flight.digest, self.total) {
            self.total = self.total.or(total);
            self.hold(draft);
            self.tell();
        }
        self.flight.progress.send_modify(|progress| progress.begun = true);
    }

    fn hold(&mut self, draft: Draft) {
        if self.flight.view.set(draft.view()).is_ok() {
            self.draft = Some(draft);
        }
    }

    /// What is written.
    fn here(&self) -> Extents {
        self.draft.as_ref().map(|draft| draft.extents().clone()).unwrap_or_default()
    }

    /// Fetches from one source until the blob is whole.
    async fn lap(&mut self, source: &Arc<dyn Source>) -> Result<(), Stop> {
        let flight = self.flight.clone();
        let place = self.patiently(source.places().take(&flight.demand)).await?;
        let (here, total, budget) = (self.here(), self.total, self.board.tuning.budget());
        let from = here.prefix();
        let until = here.gap(from, here.end()).map(|gap| gap.end);
        let opening = async {
            tokio::select! {
                biased;
                () = place.recalled() => Err(Stop::Recalled),
                opened = Intake::open(&**source, &flight.digest, from, until, total, budget) => opened.map_err(Stop::Refused),
            }
        };
        let intake = self.patiently(opening).await??;
        flight.roster().confirm_current();
        self.blame = Some(intake.blame());
        self.total = intake.total;
        let total = self.total;
        flight.progress.send_modify(|progress| (progress.opened, progress.total) = (true, total));
        self.make_room().await?;
        let mut segments = Segments::new(source, flight.digest, intake, place, &here, self.board.tuning);
        self.draw(&mut segments).await
    }

    /// Waits for something, unless the flight is abandoned meanwhile.
    async fn patiently<T>(&mut self, waiting: impl Future<Output = T>) -> Result<T, Stop> {
        let mut waiting = pin!(waiting);
        loop {
            tokio::select! {
                biased;
                out = &mut waiting => return Ok(out),
                _ = self.watch.tick() => self.look_back()?,
            }
        }
    }

    /// Stops a flight that nobody follows and that is not worth finishing.
    fn look_back(&self) -> Result<(), Stop> {
        match self.flight.abandoned(&self.board.tuning) {
            true => Err(Stop::Failed(FetchError::Unfollowed(self.flight.digest))),
            false => Ok(()),
        }
    }

    /// Sees to it that there is a draft, and room for the rest of the blob.
    async fn make_room(&mut self) -> Result<(), Stop> {
        let store = self.board.store.clone();
        let rest = self.total.unwrap_or(0).saturating_sub(self.here().covered());
        if rest > store.room() {
            return Err(Stop::Full);
        }
        if self.draft.is_none() {
            let draft = store.draft(DraftName::Fetch).await.map_err(Stop::from)?;
            self.hold(draft);
        }
        Ok(())
    }

    async fn draw(&mut self, segments: &mut Segments) -> Result<(), Stop> {
        let mut gathered = Gathered::default();
        loop {
            segments.give_back();
            self.flight.calls().into_iter().for_each(|position| segments.call(position));
            let recalled = segments.is_recalled();
            if !gathered.chunks.is_empty() {
                self.write(&mut gathered, segments, recalled).await?;
            } else if let Some(ended) = gathered.ended.take() {
                return ended.map_err(Stop::Refused);
            } else if recalled && !segments.is_complete() {
                return Err(Stop::Recalled);
            } else {
                self.wait(&mut gathered, segments).await?;
            }
        }
    }

    /// Waits for the next bytes.
    async fn wait(&mut self, gathered: &mut Gathered, segments: &mut Segments) -> Result<(), Stop> {
        let due = self.told_at + self.board.tuning.tell_every;
        let (began, recall) = (Instant::now(), segments.recall());
        tokio::select! {
            biased;
            () = recall.notified() => {}
            () = self.flight.called() => {}
            _ = self.watch.tick() => self.look_back()?,
            next = segments.next() => gathered.take(next),
            () = sleep_until(due), if self.untold > 0 => self.tell(),
        }
        segments.waited(began.elapsed());
        Ok(())
    }

    /// Writes what was gathered, and gathers the next bytes while the disk is busy.
    async fn write(&mut self, gathered: &mut Gathered, segments: &mut Segments, last: bool) -> Result<(), Stop> {
        let limit = self.board.tuning.batch;
        let batch = gathered.batch();
        let draft = self.draft.as_mut().expect("a lap begins with a draft");
        let head = draft.len();
        {
            let mut writing = pin!(draft.write(batch.clone()));
            loop {
                let more = !last && gathered.ended.is_none() && gathered.bytes < limit;
                tokio::select! {
                    biased;
                    written = &mut writing => break written?,
                    next = segments.next(), if more => gathered.take(next),
                }
            }
        }
        self.untold += batch.iter().map(|(_, chunk)| chunk.len() as u64).sum::<u64>();
        self.flight.remember(head, batch);
        let tuning = &self.board.tuning;
        if self.untold >= tuning.tell_bytes || self.told_at.elapsed() >= tuning.tell_every {
            self.tell();
        }
        Ok(())
    }

    /// Shows the followers what is written.
    fn tell(&mut self) {
        let here = self.here();
        self.flight.progress.send_modify(|progress| progress.extents = here);
        (self.untold, self.told_at) = (0, Instant::now());
    }

    /// A source refused, broke off, or sent what cannot be. What has not even opened, or cannot change, is not tried again.
    async fn refused(&mut self, refusal: Refusal) -> Result<(), FetchError> {
        let passing = matches!(&refusal, Refusal::Failed { cause, .. } if !matches!(cause, Cause::Malformed { .. }));
        if !passing || !self.flight.roster().current_is_confirmed() {
            self.flight.out(refusal);
            return Ok(());
        }
        let (tuning, here) = (self.board.tuning, self.here().covered());
        let tries = {
            let mut roster = self.flight.roster();
            if here > self.broke_at {
                roster.progressed();
            }
            self.broke_at = here;
            roster.broke(refusal, tuning.tries)
        };
        self.tell();
        match self.patiently(sleep(tuning.pause(tries))).await {
            Err(Stop::Failed(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Checks the whole; then the end is released at once.
    async fn prove(&mut self, source: &dyn Source) -> Result<(Proved, u64), FetchError> {
        self.tell();
        let draft = self.draft.take().expect("a lap begins with a draft");
        let size = draft.len();
        let proved = draft.prove(&self.flight.digest, self.total).await.map_err(|error| match error {
            SealError::Store(error) => FetchError::from(error),
            SealError::Digest { expected, .. } => {
                let cause = Cause::WrongBytes(expected);
                self.blame.iter().for_each(|blame| blame(&cause));
                failed(source, cause).into()
            }
            SealError::Length { .. } => failed(source, Cause::Malformed { what: "blob", text: error.to_string() }).into(),
        })?;
        self.flight.progress.send_modify(|progress| (progress.proved, progress.total) = (true, Some(size)));
        Ok((proved, size))
    }

    /// Keeps what a flight has that an outage or a lack of followers ended. Wrong bytes are gone with their proof.
    fn shelve(&mut self, end: &End) {
        if let (End::Failed(FetchError::Refused(_) | FetchError::Unfollowed(_)), Some(draft)) = (end, self.draft.take())
            && !draft.extents().is_empty()
        {
            self.board.shelve(self.flight.digest, draft, self.total);
        }
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Stop {
        match error {
            StoreError::Full => Stop::Full,
            error => Stop::Failed(error.into()),
        }
    }
}
