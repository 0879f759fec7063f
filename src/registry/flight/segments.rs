//! The connections by which one blob comes from one source.
//!
//! Each has a stretch of its own: what is here, or on its way by another, is asked for by none. One that breaks leaves the
//! rest of its stretch to the others; only the last one's end is the end of all.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use super::intake::Intake;
use super::pace::Pace;
use super::places::Place;
use super::{HELD_BACK, Source, Tuning};
use crate::oci::Digest;
use crate::store::Extents;
use crate::upstream::Refusal;

pub(super) struct Segments {
    source: Arc<dyn Source>,
    digest: Digest,
    total: Option<u64>,
    /// Of the body that came first.
    tag: Option<String>,
    tuning: Tuning,
    running: Vec<Segment>,
    /// The flight's own, and one more for each segment beyond the first.
    place: Place,
    extras: Vec<Place>,
    /// Segments at once, at most.
    most: usize,
    pace: Pace,
    /// Bytes that came, and those that were here before.
    come: Extents,
    /// Where readers wait.
    calls: VecDeque<u64>,
    /// Who is looked at first, so that a fast one hides nobody.
    turn: usize,
}

struct Segment {
    /// From the next byte on.
    stretch: Range<u64>,
    body: Body,
    /// A byte came.
    brought: bool,
    /// A reader waits for it.
    called: bool,
}

enum Body {
    Opening(BoxFuture<'static, Result<Intake, Refusal>>),
    Open(Intake),
}

/// What the next segment is to fetch.
struct Task {
    stretch: Range<u64>,
    /// Where its body ends: it goes on beyond the stretch while nobody else fetches what is there.
    until: u64,
    called: bool,
    /// Whose end it takes over.
    of: Option<usize>,
}

impl Segments {
    /// Goes on from the first body, which begins where the bytes that are here end.
    pub(super) fn new(source: &Arc<dyn Source>, digest: Digest, first: Intake, place: Place, here: &Extents, tuning: Tuning) -> Segments {
        let large = first.is_exact() && first.total.is_some_and(|total| total >= tuning.large);
        let from = here.prefix();
        let mut segments = Segments {
            source: source.clone(),
            digest,
            total: first.total,
            tag: first.tag().cloned(),
            tuning,
            place,
            extras: Vec::new(),
            most: if large { source.segments().max(1) } else { 1 },
            pace: Pace::new(tuning.measure),
            come: here.clone(),
            calls: VecDeque::new(),
            turn: 0,
            running: vec![Segment { stretch: from..from, body: Body::Open(first), brought: false, called: false }],
        };
        segments.extend(0);
        segments
    }

    /// The next bytes of any segment, and where they belong; `None` when all are there. Nothing follows an error.
    /// May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Option<Result<(u64, Bytes), Refusal>> {
        poll_fn(|context| self.poll(context)).await
    }

    /// Whether every byte came.
    pub(super) fn is_complete(&self) -> bool {
        self.total.is_some_and(|total| self.come.prefix() == total)
    }

    /// So long nothing else was to do than to wait for bytes.
    pub(super) fn waited(&mut self, time: Duration) {
        self.pace.waited(time);
    }

    /// Is told when somebody wanted needs a place.
    pub(super) fn recall(&self) -> Arc<Notify> {
        self.place.recall()
    }

    /// Whether somebody wanted needs the flight's own place.
    pub(super) fn is_recalled(&self) -> bool {
        self.place.is_recalled()
    }

    /// Gives back the places of segments that somebody wanted needs.
    pub(super) fn give_back(&mut self) {
        while let Some(at) = self.extras.iter().position(Place::is_recalled) {
            if let Some(last) = self.last(|_| true).filter(|_| self.running.len() > self.extras.len()) {
                self.running.swap_remove(last);
            }
            self.extras.swap_remove(at);
        }
    }

    /// A reader waits at that byte, far ahead.
    pub(super) fn call(&mut self, position: u64) {
        if self.most > 1 && self.total.is_some_and(|total| position < total.saturating_sub(HELD_BACK)) {
            self.calls.push_back(position);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<(u64, Bytes), Refusal>>> {
        'anew: loop {
            self.fill();
            let count = self.running.len();
            if count == 0 {
                return Poll::Ready(None);
            }
            self.turn = (self.turn + 1) % count;
            for at in (self.turn..count).chain(0..self.turn) {
                match self.running[at].poll(context, &*self.source) {
                    Poll::Pending => {}
                    Poll::Ready(Some(Ok(chunk))) => return Poll::Ready(Some(Ok(self.took(at, chunk)))),
                    Poll::Ready(Some(Err(refusal))) => match self.broke(at, refusal) {
                        Some(refusal) => return Poll::Ready(Some(Err(refusal))),
                        None => continue 'anew,
                    },
                    Poll::Ready(None) => {
                        self.end(at);
                        continue 'anew;
                    }
                }
            }
            return Poll::Pending;
        }
    }

    /// Counts what came, up to where the segment ends.
    fn took(&mut self, at: usize, mut chunk: Bytes) -> (u64, Bytes) {
        let offset = self.running[at].stretch.start;
        while offset + chunk.len() as u64 > self.running[at].stretch.end && self.extend(at) {}
        let segment = &mut self.running[at];
        chunk.truncate(usize::try_from(segment.stretch.end - offset).unwrap_or(usize::MAX));
        segment.stretch.start += chunk.len() as u64;
        segment.brought = true;
        self.come.insert(offset..segment.stretch.start);
        let flowing = self.running.iter().filter(|segment| segment.brought).count();
        self.pace.came(chunk.len() as u64, flowing);
        if self.running[at].stretch.is_empty() && !self.extend(at) {
            self.end(at);
        }
        (offset, chunk)
    }

    /// Lets a segment go on by the same body, where nobody else fetches what follows.
    fn extend(&mut self, at: usize) -> bool {
        let segment = &self.running[at];
        let Body::Open(intake) = &segment.body else { return false };
        let from = segment.stretch.end;
        let gap = self.taken().gap(from, intake.end().unwrap_or(u64::MAX)).filter(|gap| gap.start == from);
        let Some(gap) = gap else { return false };
        self.running[at].stretch.end = gap.end.min(from.saturating_add(self.tuning.stretch));
        true
    }

    /// Lets a segment go. Its place goes too, so that others who wait are asked before the next one opens.
    fn end(&mut self, at: usize) -> Segment {
        let segment = self.running.swap_remove(at);
        self.extras.truncate(self.running.len().saturating_sub(1));
        segment
    }

    /// A segment broke, or did not even open. The refusal, when it was the last.
    fn broke(&mut self, at: usize, refusal: Refusal) -> Option<Refusal> {
        let broken = self.end(at);
        if self.running.is_empty() {
            return Some(refusal);
        }
        tracing::debug!(digest = %self.digest, from = broken.stretch.start, %refusal, "a segment ended early");
        if !broken.brought {
            self.most = self.running.len();
        }
        None
    }

    /// Opens what is worth it and has a place.
    fn fill(&mut self) {
        loop {
            self.drop_vain_calls();
            let called = !self.calls.is_empty();
            let crew = if called { self.most } else { self.pace.crew().min(self.most) };
            let room = self.running.len() < crew;
            if !room && !called {
                return;
            }
            let Some(task) = self.task(crew == 1) else { return };
            if !(room && self.has_place() || called && self.make_way()) {
                return;
            }
            self.open(task);
        }
    }

    /// Forgets readers whose bytes are here, or come soon anyway.
    fn drop_vain_calls(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let (taken, far) = (self.taken(), self.tuning.far);
        let soon = |at: u64| self.running.iter().any(|segment| segment.stretch.start <= at && at - segment.stretch.start <= far);
        let calls = std::mem::take(&mut self.calls);
        self.calls = calls.into_iter().filter(|at| taken.end_from(*at) == *at && !soon(*at)).collect();
    }

    /// Where a reader waits, else the first bytes that nobody fetches, else half of what the busiest has before it.
    fn task(&self, alone: bool) -> Option<Task> {
        let (total, taken, stretch) = (self.total?, self.taken(), self.tuning.stretch);
        let called = self.calls.front();
        if let Some(gap) = taken.gap(called.copied().unwrap_or(0), total) {
            let end = gap.end.min(gap.start + stretch);
            let until = if alone || called.is_some() { gap.end } else { end };
            return Some(Task { stretch: gap.start..end, until, called: called.is_some(), of: None });
        }
        let left = |segment: &Segment| segment.stretch.end - segment.stretch.start;
        let (at, busiest) = self.running.iter().enumerate().max_by_key(|(_, segment)| left(segment))?;
        let half = left(busiest) / 2;
        let end = busiest.stretch.end;
        (half >= self.tuning.half).then(|| Task { stretch: end - half..end, until: end, called: false, of: Some(at) })
    }

    fn taken(&self) -> Extents {
        let mut taken = self.come.clone();
        self.running.iter().for_each(|segment| taken.insert(segment.stretch.clone()));
        taken
    }

    /// Whether one more may run: the flight's own place is free, or another one is.
    fn has_place(&mut self) -> bool {
        if self.running.len() > self.extras.len() {
            self.extras.extend(self.place.another());
        }
        self.running.len() <= self.extras.len()
    }

    /// Ends the segment that is needed last, unless a reader waits for it or it is the first.
    fn make_way(&mut self) -> bool {
        let Some(last) = self.last(|segment| !segment.called).filter(|_| self.running.len() > 1) else { return false };
        self.running.swap_remove(last);
        true
    }

    fn last(&self, which: impl Fn(&Segment) -> bool) -> Option<usize> {
        let first = self.running.iter().map(|segment| segment.stretch.start).min()?;
        let others = self.running.iter().enumerate().filter(|(_, segment)| segment.stretch.start > first && which(segment));
        others.max_by_key(|(_, segment)| segment.stretch.start).map(|(at, _)| at)
    }

    fn open(&mut self, Task { stretch, until, called, of }: Task) {
        if let Some(at) = of {
            self.running[at].stretch.end = stretch.start;
        }
        if called {
            self.calls.pop_front();
        }
        let (source, digest, total, tag) = (self.source.clone(), self.digest, self.total, self.tag.clone());
        let (from, budget) = (stretch.start, self.tuning.budget());
        let opening = async move {
            let intake = Intake::open(&*source, &digest, from, Some(until), total, budget).await?;
            intake.belongs_to(&*source, tag.as_ref())
        };
        self.running.push(Segment { stretch, body: Body::Opening(opening.boxed()), brought: false, called });
        // Else the one that went to a reader would be the only one when the first breaks.
        self.pace.at_least(self.running.len());
    }
}

impl Segment {
    fn poll(&mut self, context: &mut Context<'_>, source: &dyn Source) -> Poll<Option<Result<Bytes, Refusal>>> {
        if let Body::Opening(opening) = &mut self.body {
            match ready!(opening.poll_unpin(context)) {
                Ok(intake) => self.body = Body::Open(intake),
                Err(refusal) => return Poll::Ready(Some(Err(refusal))),
            }
        }
        let Body::Open(intake) = &mut self.body else { unreachable!("opened above") };
        let next = ready!(pin!(intake.next()).poll(context));
        Poll::Ready(next.map(|next| next.map_err(|cause| super::intake::failed(source, cause))))
    }
}
