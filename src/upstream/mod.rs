//! Other registries: endpoints, credentials, tokens, redirects, and what their answers mean.

mod addresses;
mod allowance;
mod blobs;
mod body;
mod budget;
mod challenge;
mod client;
mod credentials;
mod docker_config;
mod endpoints;
mod limits;
mod lists;
mod manifests;
mod realm;
mod request;
mod search;
mod state;
#[cfg(test)]
mod tests;
mod tokens;
mod verdict;
mod wire;

use std::time::Duration;

use bytes::Bytes;

use crate::oci::Digest;

pub use allowance::Scarcity;
pub use budget::{Budget, Purpose};
pub use client::Upstream;
pub use search::Hit;
pub use state::{EndpointState, LimitState, UpstreamState};

/// Every deadline towards upstreams, in one value so that tests can use a tenth of each.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// From the client's request to the headers of the answer: queue, token, redirects, every endpoint.
    pub budget: Duration,
    /// To establish one connection.
    pub connect: Duration,
    /// One hop's headers, while another endpoint is left.
    pub hop: Duration,
    /// The longest silence within a body.
    pub stall: Duration,
    /// Over how long `rate` is measured.
    pub window: Duration,
    /// Bytes a second below which a body is given up (and resumed).
    pub rate: u64,
    /// How long a stale tag's client waits for the upstream.
    pub stale_wait: Duration,
    /// A program that gives a log-in; and how long it rests after it failed.
    pub program: Duration,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        let seconds = Duration::from_secs;
        Deadlines {
            budget: seconds(10),
            connect: seconds(3),
            hop: seconds(5),
            stall: seconds(30),
            window: seconds(30),
            rate: 1024,
            stale_wait: seconds(1),
            program: seconds(30),
        }
    }
}

impl Deadlines {
    /// Every time divided by `divisor`; the rate stays.
    pub fn scaled(self, divisor: u32) -> Deadlines {
        Deadlines {
            budget: self.budget / divisor,
            connect: self.connect / divisor,
            hop: self.hop / divisor,
            stall: self.stall / divisor,
            window: self.window / divisor,
            rate: self.rate,
            stale_wait: self.stale_wait / divisor,
            program: self.program / divisor,
        }
    }
}

/// A manifest as the upstream sent it, verified where it was asked for by digest. An ETag is the strong kind: as long as it is
/// the same, so are the bytes.
#[derive(Clone, Debug)]
pub struct ManifestAnswer {
    pub bytes: Bytes,
    pub media_type: String,
    pub digest: Digest,
    pub etag: Option<String>,
}

/// What a HEAD of a manifest told.
#[derive(Clone, Debug)]
pub struct HeadAnswer {
    /// `None` where the upstream does not say: compare the ETag, or ask with GET.
    pub digest: Option<Digest>,
    pub etag: Option<String>,
    pub media_type: String,
    pub size: Option<u64>,
}

/// Why an upstream did not give what was asked. `source` is the registry's name and the endpoint that spoke.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// Every endpoint that could be asked said 404.
    #[error("{source_name} does not have it")]
    Absent { source_name: String },
    /// 401 or 403 with a registry's error body after a token was granted, or the same from the token service without credentials.
    #[error("it does not exist at {source_name} or needs a log-in there")]
    Denied { source_name: String },
    /// Everything else: an outage, a limit, a lie. Never "not found".
    #[error("{source_name}: {cause}")]
    Failed { source_name: String, cause: Cause },
}

impl Refusal {
    /// How little is left, where nothing was asked because of that.
    pub fn spared(&self) -> Option<&Scarcity> {
        match self {
            Refusal::Failed { cause: Cause::Spared(scarcity), .. } => Some(scarcity),
            _ => None,
        }
    }
}

/// What went wrong at an upstream.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Cause {
    #[error("no answer within {:.1} s", .0.as_secs_f64())]
    Timeout(Duration),
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("is not trusted: the certificate of {host} {text}")]
    Certificate { host: String, text: String },
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("too many requests{}", .retry_after.map(|t| format!(", try again in {} s", t.as_millis().div_ceil(1000))).unwrap_or_default())]
    RateLimited { retry_after: Option<Duration> },
    /// It was not asked.
    #[error("has {0}")]
    Spared(Scarcity),
    #[error("answered {status} {text}")]
    Status { status: u16, text: String },
    #[error("refuses the configured credentials")]
    Credentials,
    #[error("cannot be shown a log-in: {0}")]
    Login(String),
    #[error("the token service {realm} {text}")]
    Token { realm: String, text: String },
    #[error("the token service {0} is not the registry's own; to trust it with these credentials, add its host to trusted_realms")]
    Realm(String),
    #[error("sent what is no {what}: {text}")]
    Malformed { what: &'static str, text: String },
    #[error("sent bytes that do not match the digest {0}")]
    WrongBytes(Digest),
}

impl Cause {
    /// The cause in one word, as the metrics call it.
    pub fn word(&self) -> &'static str {
        match self {
            Cause::Timeout(_) => "timeout",
            Cause::Unreachable(_) => "unreachable",
            Cause::Broken(_) => "broken",
            Cause::RateLimited { .. } => "limited",
            Cause::Spared(_) => "spared",
            Cause::Certificate { .. } => "certificate",
            Cause::Login(_) => "log-in",
            Cause::Status { .. } => "status",
            Cause::Credentials => "credentials",
            Cause::Token { .. } => "token",
            Cause::Realm(_) => "realm",
            Cause::Malformed { .. } => "malformed",
            Cause::WrongBytes(_) => "wrong-bytes",
        }
    }

    /// Whether there was no answer at all. Whoever answers, however badly, may have a better answer to the next question.
    fn is_silence(&self) -> bool {
        matches!(self, Cause::Timeout(_) | Cause::Unreachable(_) | Cause::Broken(_))
    }
}

/// The bytes of a blob on their way.
pub struct BlobAnswer {
    /// Offset of the first byte: what was asked for, or 0 where the upstream does not honour ranges.
    pub start: u64,
    /// Size of the whole blob, where the upstream tells it.
    pub total: Option<u64>,
    /// The ETag: two parts with different ones are not of the same bytes.
    pub tag: Option<String>,
    /// Ends after the first error. Slower than the minimum rate is an error.
    pub body: futures_util::stream::BoxStream<'static, Result<Bytes, Cause>>,
    /// To be told once what was wrong with the bytes.
    pub blame: Blame,
}

/// Logs and counts what was wrong with the bytes of a blob, so that another endpoint is asked first next time.
pub type Blame = std::sync::Arc<dyn Fn(&Cause) + Send + Sync>;
