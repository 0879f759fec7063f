//! What goes wrong, where and when: an ordered list of rules, each with its own count of the requests it met.

use std::sync::Mutex;

use serde::Deserialize;

/// One way to misbehave. Several may apply to one request.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The answer comes later.
    Latency {
        ms: u64,
    },
    /// The body comes no faster.
    Bandwidth {
        bytes_per_second: u64,
    },
    /// The body comes so many bytes at a time.
    Drip {
        bytes: usize,
        every_ms: u64,
    },
    /// The connection ends after so many bytes of the body.
    CutAfter(u64),
    /// Nothing more comes after so many bytes of the body.
    StallAfter(u64),
    /// The connection is reset as soon as the request was read.
    Reset,
    /// The request is read and never answered.
    NoAnswer,
    /// With a registry's error body.
    Status(u16),
    /// `Retry-After` as given, where it is.
    TooMany {
        retry_after: Option<String>,
    },
    /// 403 without a registry's body.
    BareForbidden,
    /// 200 with a page, as a captive portal answers.
    HtmlPage,
    EmptyOk,
    /// One bit in the middle of the body is wrong.
    Flip,
    /// The last bytes are missing and not declared.
    Truncate(u64),
    /// More bytes than there are, and declared so.
    Append(u64),
    /// Other bytes of the same length.
    Swap,
    /// A range is answered with everything.
    RefuseRanges,
    /// A range is answered with another one.
    WrongRange,
    /// Without Content-Length.
    Chunked,
    /// With `Content-Encoding: gzip`.
    Coded,
    /// Content-Length is off by so much.
    LengthLie(i64),
    /// Without Docker-Content-Digest.
    NoDigest,
    /// Redirects to this URL.
    RedirectTo(String),
    /// Another answer, with this status, type and body.
    Instead(u16, String, String),
    /// A header that is replaced or added.
    Header(String, String),
    /// These bytes and the end of the connection, whatever they are.
    Raw(String),
}

/// Where and when a fault applies.
#[derive(Clone, Debug, Deserialize)]
pub struct Rule {
    /// The path begins with it; `*/blobs/`: it has `/blobs/` in it. `/cdn/` is the second address.
    pub path: String,
    pub method: Option<String>,
    /// So many requests are spared first.
    #[serde(default)]
    pub skip: u64,
    /// Then so many meet it; `None`: all.
    pub times: Option<u64>,
    pub fault: Fault,
}

impl Rule {
    /// Every request to `path` meets `fault`.
    pub fn new(path: &str, fault: Fault) -> Rule {
        Rule { path: path.to_owned(), method: None, skip: 0, times: None, fault }
    }

    fn covers(&self, method: &str, path: &str) -> bool {
        let place = match self.path.strip_prefix('*') {
            Some(part) => path.contains(part),
            None => path.starts_with(&self.path),
        };
        place && self.method.as_ref().is_none_or(|wanted| wanted == method)
    }
}

#[derive(Default)]
pub struct Script(Mutex<Vec<(Rule, u64)>>);

impl Script {
    pub fn add(&self, rule: Rule) {
        self.0.lock().unwrap().push((rule, 0));
    }

    pub fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    /// What this request meets. Counts it.
    pub fn faults(&self, method: &str, path: &str) -> Vec<Fault> {
        let mut rules = self.0.lock().unwrap();
        let met = rules.iter_mut().filter(|(rule, _)| rule.covers(method, path)).filter_map(|(rule, seen)| {
            *seen += 1;
            let number = *seen - 1;
            let applies = number >= rule.skip && rule.times.is_none_or(|times| number < rule.skip + times);
            applies.then(|| rule.fault.clone())
        });
        met.collect()
    }
}
