//! The clock of one connection: what it waits for, and when that has lasted too long.
//!
//! Time in which the service has nothing to send never counts against a client. All times are given from outside.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::places::Place;
use crate::config::Limits;

/// How long a connection without a request may stay once the server is leaving: enough for a last frame to go out.
const LEAVING: Duration = Duration::from_secs(1);

/// Silence after which a connection gives back its buffers.
const REST: Duration = Duration::from_secs(1);

/// Shared by the stream, the running answers and the task of one connection.
pub(super) struct Pulse {
    idle: Duration,
    headers: Duration,
    slow: Duration,
    slow_rate: u64,
    place: Place,
    state: Mutex<State>,
}

struct State {
    /// Requests whose answers are not finished.
    running: usize,
    /// When the last answer ended, or its last bytes left.
    quiet_since: Instant,
    /// When the first byte came of a request whose headers are not complete.
    headers_since: Option<Instant>,
    /// HTTP/2 sends bytes that belong to no request, so only its idle time is watched.
    multiplexed: bool,
    /// The kernel takes no more bytes.
    blocked: bool,
    /// Answers that gave a frame and were not asked for the next: their client's window is full.
    handed: usize,
    /// Since when bytes are ready that the client does not take.
    ready_since: Option<Instant>,
    /// For how long they were before that, and how much was taken, since the client last had done its duty.
    waited: Duration,
    taken: u64,
    leaving: bool,
    too_slow: bool,
}

/// What to do about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is asked of the client.
    Fine,
    /// Look again then.
    Until(Instant),
    /// Nothing is on the way in either direction, and nothing was for a while.
    Rest,
    Cut(&'static str),
}

impl Pulse {
    /// `place` tells whether it is crowded; it is given back with the connection.
    pub(super) fn new(limits: &Limits, place: Place, multiplexed: bool, now: Instant) -> Arc<Pulse> {
        let state = State {
            running: 0,
            quiet_since: now,
            headers_since: (!multiplexed).then_some(now),
            multiplexed,
            blocked: false,
            handed: 0,
            ready_since: None,
            waited: Duration::ZERO,
            taken: 0,
            leaving: false,
            too_slow: false,
        };
        let Limits { idle, headers, slow, slow_rate, .. } = *limits;
        Arc::new(Pulse { idle, headers, slow, slow_rate, place, state: Mutex::new(state) })
    }

    /// TLS is agreed upon: the first request may take as long to come as one after another.
    pub(super) fn greeted(&self, multiplexed: bool, now: Instant) {
        let mut state = self.state();
        (state.multiplexed, state.headers_since, state.quiet_since) = (multiplexed, None, now);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came from the client.
    pub(super) fn heard(&self, now: Instant) {
        let mut state = self.state();
        if state.running == 0 && !state.multiplexed {
            state.headers_since.get_or_insert(now);
        }
    }

    /// The kernel took `count` bytes for the client.
    pub(super) fn wrote(&self, count: usize, now: Instant) {
        let mut state = self.state();
        state.blocked = false;
        state.quiet_since = now;
        state.taken = state.taken.saturating_add(count as u64);
        if state.taken as f64 >= self.slow_rate as f64 * self.slow.as_secs_f64() {
            (state.taken, state.waited) = (0, Duration::ZERO);
            state.ready_since = state.ready_since.map(|_| now);
        }
        state.settle(now);
    }

    /// The kernel has no room: the client does not read.
    pub(super) fn blocked(&self, now: Instant) {
        let mut state = self.state();
        state.blocked = true;
        state.settle(now);
    }

    /// A request's headers are complete.
    pub(super) fn begin(self: &Arc<Pulse>) -> Running {
        let mut state = self.state();
        state.running += 1;
        state.headers_since = None;
        Running { pulse: self.clone(), handed: false }
    }

    /// The server is going: the end of the running answers is the end of the connection.
    pub(super) fn leave(&self) {
        self.state().leaving = true;
    }

    /// The client did not read, so what it has not read is of no use to it.
    pub(super) fn was_too_slow(&self) -> bool {
        self.state().too_slow
    }

    /// Whether the connection may go on.
    pub(super) fn verdict(&self, now: Instant) -> Verdict {
        let mut state = self.state();
        if let Some(since) = state.ready_since {
            let waited = state.waited + now.duration_since(since);
            // Looked at in fifths, because a crowd may gather while this connection stands still.
            let fifth = (self.slow / 5).max(Duration::from_millis(1));
            let patience = if waited >= fifth && waited < self.slow && self.place.places().crowded() { fifth } else { self.slow };
            if waited >= patience && (state.taken as f64) < self.slow_rate as f64 * waited.as_secs_f64() {
                state.too_slow = true;
                return Verdict::Cut("the client reads too slowly");
            }
            let over = Duration::from_nanos((waited.as_nanos() % fifth.as_nanos()) as u64);
            return Verdict::Until(now + (fifth - over));
        }
        if state.running > 0 {
            return Verdict::Fine;
        }
        let rest = state.quiet_since + REST.min(self.idle / 4);
        if !state.multiplexed && !state.leaving && state.headers_since.is_none() {
            return if now >= rest { Verdict::Rest } else { Verdict::Until(rest) };
        }
        self.deadline(&state, now)
    }

    /// When a connection must go on which rests until its client speaks again.
    pub(super) fn idle_until(&self) -> Instant {
        self.state().quiet_since + self.idle
    }

    fn deadline(&self, state: &State, now: Instant) -> Verdict {
        let (since, patience, why) = match state.headers_since {
            Some(since) => (since, self.headers, "the request's headers did not come in time"),
            None => (state.quiet_since, self.idle, "no request came in time"),
        };
        let end = since + if state.leaving { patience.min(LEAVING) } else { patience };
        if now >= end { Verdict::Cut(why) } else { Verdict::Until(end) }
    }
}

impl State {
    /// Starts or stops the clock of the slow reader.
    fn settle(&mut self, now: Instant) {
        let ready = self.blocked || self.handed > 0;
        match self.ready_since {
            None if ready => self.ready_since = Some(now),
            Some(since) if !ready => {
                self.waited += now.duration_since(since);
                self.ready_since = None;
            }
            _ => {}
        }
    }
}

/// A request that is being answered, until it is dropped.
pub(super) struct Running {
    pulse: Arc<Pulse>,
    handed: bool,
}

impl Running {
    /// The answer gave bytes away (`true`), or was asked for more.
    pub(super) fn hand(&mut self, given: bool, now: Instant) {
        if self.handed == given {
            return;
        }
        self.handed = given;
        let mut state = self.pulse.state();
        if given {
            state.handed += 1
        } else {
            state.handed -= 1
        }
        state.settle(now);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let now = Instant::now();
        self.hand(false, now);
        let mut state = self.pulse.state();
        state.running -= 1;
        state.quiet_since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::super::places::Places;
    use super::*;
    use crate::config::Networks;

    const SECOND: Duration = Duration::from_secs(1);

    fn pulse(places: &Arc<Places>) -> (Arc<Pulse>, Instant) {
        let limits = Limits {
            connections: 0,
            connections_per_address: 0,
            idle: 60 * SECOND,
            headers: 10 * SECOND,
            slow: 300 * SECOND,
            slow_rate: 1024,
            shutdown: SECOND,
        };
        let place = places.take("192.0.2.1".parse().unwrap()).unwrap();
        let now = Instant::now();
        (Pulse::new(&limits, place, false, now), now)
    }

    fn is_cut(pulse: &Pulse, at: Instant) -> bool {
        matches!(pulse.verdict(at), Verdict::Cut(_))
    }

    #[test]
    fn headers_and_idle_time_have_deadlines_of_their_own() {
        let (pulse, start) = pulse(&Places::new(10, 10, Networks::default()));
        pulse.heard(start + 9 * SECOND);
        assert_eq!(pulse.verdict(start), Verdict::Until(start + 10 * SECOND), "dripping moves no deadline");
        assert!(is_cut(&pulse, start + 10 * SECOND));
        let running = pulse.begin();
        assert_eq!(pulse.verdict(start + 9000 * SECOND), Verdict::Fine, "waiting on the service does not count");
        drop(running);
        let after = Instant::now();
        assert!(matches!(pulse.verdict(after), Verdict::Until(_)));
        assert_eq!(pulse.verdict(after + SECOND), Verdict::Rest);
        assert!(pulse.idle_until() <= after + 60 * SECOND);
        pulse.heard(after + 50 * SECOND);
        assert!(!is_cut(&pulse, after + 59 * SECOND));
        assert!(is_cut(&pulse, after + 60 * SECOND));
    }

    #[test]
    fn who_takes_less_than_the_rate_is_cut_and_who_takes_it_is_not() {
        let (pulse, start) = pulse(&Places::new(10, 10, Networks::default()));
        let _running = pulse.begin();
        let mut now = start;
        for _ in 0..1000 {
            pulse.blocked(now);
            now += 3 * SECOND;
            assert!(!is_cut(&pulse, now));
            pulse.wrote(4 << 10, now);
        }
        pulse.blocked(now);
        let mut lived = Duration::ZERO;
        while !is_cut(&pulse, now) {
            pulse.wrote(1000, now);
            pulse.blocked(now);
            now += SECOND;
            lived += SECOND;
        }
        assert!(lived > 290 * SECOND && lived <= 600 * SECOND, "{lived:?}");
        assert!(pulse.was_too_slow());
    }

    #[test]
    fn time_without_anything_to_send_does_not_count() {
        let (pulse, start) = pulse(&Places::new(10, 10, Networks::default()));
        let mut running = pulse.begin();
        let mut now = start;
        for _ in 0..4 {
            running.hand(true, now);
            now += 70 * SECOND;
            assert!(!is_cut(&pulse, now));
            running.hand(false, now);
            now += 9000 * SECOND;
            assert_eq!(pulse.verdict(now), Verdict::Fine);
        }
        running.hand(true, now);
        assert!(!is_cut(&pulse, now + 19 * SECOND));
        assert!(is_cut(&pulse, now + 20 * SECOND));
    }

    #[test]
    fn a_crowd_shortens_the_patience() {
        let places = Places::new(5, 10, Networks::default());
        let (pulse, start) = pulse(&places);
        let _running = pulse.begin();
        pulse.blocked(start);
        assert_eq!(pulse.verdict(start), Verdict::Until(start + 60 * SECOND));
        assert!(!is_cut(&pulse, start + 60 * SECOND));
        let _others: Vec<_> = (0..4).map(|_| places.take("192.0.2.2".parse().unwrap()).unwrap()).collect();
        assert!(!is_cut(&pulse, start + 59 * SECOND));
        assert!(is_cut(&pulse, start + 60 * SECOND));
    }
}
