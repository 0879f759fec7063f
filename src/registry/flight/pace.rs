//! How many segments are worth their connections: twice as many, as long as bytes are what is waited for and the last
//! doubling has paid.

use std::time::{Duration, Instant};

/// By how much a doubling must have made it faster.
const PAYS: f64 = 1.25;

pub(super) struct Pace {
    /// Over how long it is measured.
    measure: Duration,
    crew: usize,
    /// Bytes a second before the last doubling.
    before: f64,
    /// Since when all of the crew send; what came and what was waited since then.
    since: Option<Instant>,
    bytes: u64,
    waited: Duration,
}

impl Pace {
    pub(super) fn new(measure: Duration) -> Pace {
        Pace { measure, crew: 1, before: 0.0, since: None, bytes: 0, waited: Duration::ZERO }
    }

    /// How many segments there should be.
    pub(super) fn crew(&self) -> usize {
        self.crew
    }

    /// There are as many now, for another reason.
    pub(super) fn at_least(&mut self, crew: usize) {
        self.crew = self.crew.max(crew);
    }

    /// So long nothing else was to do than to wait for bytes.
    pub(super) fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    /// Bytes came while so many segments send.
    pub(super) fn came(&mut self, bytes: u64, flowing: usize) {
        if self.since.is_none() && flowing >= self.crew {
            (self.since, self.bytes, self.waited) = (Some(Instant::now()), 0, Duration::ZERO);
        }
        self.bytes += bytes;
        if let Some(time) = self.since.map(|since| since.elapsed()).filter(|time| *time >= self.measure) {
            self.judge(time);
        }
    }

    fn judge(&mut self, time: Duration) {
        let rate = self.bytes as f64 / time.as_secs_f64().max(f64::EPSILON);
        let idle = self.waited * 2 >= time;
        self.since = None;
        if idle && rate >= self.before * PAYS {
            (self.before, self.crew) = (rate, self.crew * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The crew after seconds with that many bytes each, waiting or not.
    fn after(seconds: &[(u64, bool)]) -> usize {
        let mut pace = Pace::new(SECOND);
        for (bytes, waiting) in seconds {
            pace.bytes = *bytes;
            pace.waited = if *waiting { SECOND } else { Duration::ZERO };
            pace.judge(SECOND);
        }
        pace.crew()
    }

    #[test]
    fn it_grows_while_it_pays() {
        assert_eq!(after(&[(100, true)]), 2);
        assert_eq!(after(&[(100, true), (200, true), (390, true)]), 8);
    }

    #[test]
    fn it_stays_when_another_one_did_not_help() {
        assert_eq!(after(&[(100, true), (101, true), (99, true), (110, true)]), 2);
        assert_eq!(after(&[(100, true), (101, true), (150, true)]), 4, "it helps after all");
    }

    #[test]
    fn who_is_busy_with_what_came_asks_for_no_more() {
        assert_eq!(after(&[(100, false), (200, false)]), 1);
        assert_eq!(after(&[(100, true), (200, false), (200, true)]), 4);
    }

    #[test]
    fn nothing_is_measured_before_all_of_them_send() {
        let mut pace = Pace { crew: 4, ..Pace::new(SECOND) };
        pace.came(1 << 30, 3);
        assert!(pace.since.is_none());
        pace.came(1000, 4);
        assert!(pace.since.is_some() && pace.bytes == 1000);
        pace.came(1000, 3);
        assert_eq!(pace.bytes, 2000, "one that is opened again stops no measuring");
    }
}
