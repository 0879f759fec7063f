//! One reader's own way upstream, when nothing more may be stored.
//!
//! Who reads the whole blob gets its end only when the digest over all of it is right.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::sleep;

use super::demand::Demand;
use super::fetch::Flight;
use super::intake::{Intake, failed};
use super::places::Place;
use super::{HELD_BACK, Source, Tuning, Wish};
use crate::oci::{Digest, Hasher};
use crate::upstream::{Cause, Refusal};

pub(super) struct Passage {
    source: Arc<dyn Source>,
    digest: Digest,
    tuning: Tuning,
    demand: Arc<Demand>,
    /// What is still to come from upstream; to the end of the blob when its end is beyond it.
    rest: Range<u64>,
    total: Option<u64>,
    /// The hash of everything before `rest`; `None` for a part of the blob, which proves nothing.
    hasher: Option<Hasher>,
    held: VecDeque<Bytes>,
    held_bytes: u64,
    body: Option<(Intake, Place)>,
    tries: u32,
    complete: bool,
}

impl Passage {
    /// The way on for a reader of `range` at `position`; without an end, the range goes to the end of the blob.
    pub(super) async fn after(
        flight: &Flight,
        source: &Arc<dyn Source>,
        tuning: Tuning,
        range: &Range<u64>,
        position: u64,
    ) -> io::Result<Passage> {
        let total = flight.progress.borrow().total;
        let to_the_end = range.end == u64::MAX || total.is_some_and(|total| range.end >= total);
        let hasher = match range.start == 0 && to_the_end {
            true => Some(flight.hashed(position).await?),
            false => None,
        };
        let demand = Arc::new(Demand::new());
        demand.add(Wish::Client);
        Ok(Passage {
            source: source.clone(),
            digest: flight.digest,
            tuning,
            demand,
            rest: position..range.end,
            total,
            hasher,
            held: VecDeque::new(),
            held_bytes: 0,
            body: None,
            tries: 0,
            complete: false,
        })
    }

    pub(super) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.release() {
                return Ok(Some(bytes));
            }
            if self.complete {
                return Ok(None);
            }
            match self.draw().await.map_err(io::Error::other)? {
                Some(bytes) => self.hold(bytes),
                None => self.finish().map_err(io::Error::other)?,
            }
        }
    }

    /// Held bytes that may go.
    fn release(&mut self) -> Option<Bytes> {
        let keep = if self.complete || self.hasher.is_none() { 0 } else { HELD_BACK };
        let spare = usize::try_from(self.held_bytes.saturating_sub(keep)).unwrap_or(usize::MAX);
        let front = self.held.front_mut().filter(|_| spare > 0)?;
        let bytes = front.split_to(spare.min(front.len()));
        if front.is_empty() {
            self.held.pop_front();
        }
        self.held_bytes -= bytes.len() as u64;
        Some(bytes)
    }

    fn hold(&mut self, mut bytes: Bytes) {
        bytes.truncate(usize::try_from(self.rest.end - self.rest.start).unwrap_or(usize::MAX));
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes);
        }
        self.rest.start += bytes.len() as u64;
        self.held_bytes += bytes.len() as u64;
        self.held.push_back(bytes);
    }

    /// The next bytes from upstream, resumed where they break off; `None` at the end.
    async fn draw(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            if self.rest.start >= self.rest.end.min(self.total.unwrap_or(u64::MAX)) {
                return Ok(None);
            }
            let refusal = match self.open().await {
                Ok(intake) => match intake.next().await {
                    Some(Ok(bytes)) => {
                        self.tries = 0;
                        return Ok(Some(bytes));
                    }
                    Some(Err(cause)) => failed(&*self.source, cause),
                    None => return Ok(None),
                },
                Err(refusal) => refusal,
            };
            self.body = None;
            self.tries += 1;
            if self.tries >= self.tuning.tries || !matches!(refusal, Refusal::Failed { .. }) {
                return Err(refusal);
            }
            sleep(self.tuning.pause(self.tries)).await;
        }
    }

    async fn open(&mut self) -> Result<&mut Intake, Refusal> {
        if self.body.is_none() {
            let place = self.source.places().take(&self.demand).await;
            let budget = self.tuning.budget();
            let intake = Intake::open(&*self.source, &self.digest, self.rest.start, None, self.total, budget).await?;
            self.total = intake.total;
            self.body = Some((intake, place));
        }
        let (intake, _) = self.body.as_mut().expect("opened above");
        Ok(intake)
    }

    /// The end of what was asked for; of the whole blob only when it is right.
    fn finish(&mut self) -> Result<(), Refusal> {
        let body = self.body.take();
        if let Some(hasher) = self.hasher.take()
            && hasher.finish() != self.digest
        {
            let cause = Cause::WrongBytes(self.digest);
            body.iter().for_each(|(intake, _)| intake.blame()(&cause));
            return Err(failed(&*self.source, cause));
        }
        self.complete = true;
        Ok(())
    }
}
