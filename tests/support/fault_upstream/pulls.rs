//! A limit of pulls as Docker Hub has it: a GET of a manifest counts one, a HEAD none, and each account has its own.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::tokens::Who;
use super::wire::{Reply, Request};

/// How much is granted.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Limit {
    pub pulls: u64,
    /// Seconds.
    pub window: u64,
    /// Blobs count too.
    pub blobs: bool,
}

/// What was counted, by account and in all.
#[derive(Default)]
pub struct Meters {
    accounts: Mutex<HashMap<Who, Meter>>,
    granted: AtomicU64,
    refused: AtomicU64,
}

struct Meter {
    began: Instant,
    used: u64,
}

/// Which of the headers an answer has.
pub struct Told(Vec<(&'static str, String)>);

impl Told {
    pub fn on(self, reply: Reply) -> Reply {
        self.0.into_iter().fold(reply, |reply, (name, value)| reply.with(name, value))
    }
}

impl Meters {
    /// Pulls so far, granted and refused.
    pub fn pulls(&self) -> (u64, u64) {
        (self.granted.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }

    /// Counts a request that is about to be answered, or refuses it.
    pub fn count(&self, who: Who, request: &Request, limit: Option<Limit>) -> Result<Told, Reply> {
        let manifest = request.path.contains("/manifests/");
        let Some(limit) = limit.filter(|limit| manifest || (limit.blobs && request.path.contains("/blobs/"))) else {
            return Ok(Told(Vec::new()));
        };
        let mut meters = self.accounts.lock().unwrap();
        let meter = meters.entry(who).or_insert_with(|| Meter { began: Instant::now(), used: 0 });
        let window = Duration::from_secs(limit.window);
        if meter.began.elapsed() >= window {
            *meter = Meter { began: Instant::now(), used: 0 };
        }
        let refused = request.method == "GET" && meter.used >= limit.pulls;
        let granted = u64::from(request.method == "GET" && !refused);
        meter.used += granted;
        self.granted.fetch_add(granted, Ordering::Relaxed);
        self.refused.fetch_add(refused.into(), Ordering::Relaxed);
        let told = Told(vec![
            ("RateLimit-Limit", format!("{};w={}", limit.pulls, limit.window)),
            ("RateLimit-Remaining", format!("{};w={}", limit.pulls - meter.used, limit.window)),
        ]);
        match refused {
            false => Ok(told),
            true => {
                let left = window.saturating_sub(meter.began.elapsed()).as_secs() + 1;
                Err(told.on(Reply::error(429, "TOOMANYREQUESTS").with("Retry-After", left.to_string())))
            }
        }
    }
}
