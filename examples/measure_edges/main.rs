//! Measures what hostile clients cost the server, and what others notice: C1, C2, C4 and C6 of the promises, and a flood of manifests.
//!
//! `cargo build --release --bins --examples && target/release/examples/measure_edges [PROGRAM]` starts PROGRAM (else
//! `target/release/entrepot`) on a free port with an empty folder, prints a line for each figure with its target, and ends with 1
//! where a target was missed. It takes two minutes and wants 21,000 open files, and a machine that does nothing else.

#[path = "../../tests/support/http2_flood.rs"]
mod http2_flood;

mod floods;
mod idlers;
mod others;
mod readers;
mod server;

use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The server takes half as many connections: ten thousand of attackers, and others.
const FILES: u64 = 21_000;

/// What was measured, and whether it was good enough.
#[derive(Default)]
pub struct Report {
    missed: usize,
}

impl Report {
    /// One figure.
    pub fn line(&mut self, holds: bool, what: &str, measured: &str, target: &str) {
        println!("{} {what}: {measured} ({target})", if holds { "ok    " } else { "MISSED" });
        self.missed += usize::from(!holds);
    }

    /// How much larger the server became, in MiB.
    pub fn growth(&mut self, what: &str, grown: f64, most: f64) {
        self.line(grown <= most, what, &format!("{grown:+.1} MiB"), &format!("at most {most:+} MiB"));
    }

    /// What others noticed. Attackers, clients and server share the cores here, so a few milliseconds are the machine's.
    pub fn others(&mut self, what: &str, before: &others::Times, during: &others::Times) {
        const SHARE: f64 = 10.0;
        let (beside, with) = (before.p99(), during.p99());
        let holds = during.failed == 0 && with <= (2.0 * beside).max(SHARE);
        let measured = format!("p99 {with:.2} ms in {} requests, {} failed; beside {beside:.2} ms", during.count(), during.failed);
        self.line(holds, what, &measured, &format!("at most twice as long, or {SHARE} ms, and none fails"));
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let files = raise_file_limit();
    if files < FILES {
        println!("{files} open files are allowed: fewer connections are tried than with {FILES} (ulimit -Hn {FILES})");
    }
    let program = std::env::args().nth(1).unwrap_or_else(|| "target/release/entrepot".to_owned());
    let mut report = Report::default();
    idlers::measure(&program, files, &mut report).await;
    readers::measure(&program, &mut report).await;
    floods::measure(&program, &mut report).await;
    println!("{} missed", report.missed);
    if report.missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// For this process and the server, which inherits it.
fn raise_file_limit() -> u64 {
    let hard = getrlimit(Resource::Nofile).maximum;
    let most = hard.map(|hard| hard.max(FILES));
    match setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }) {
        Ok(()) => most.unwrap_or(u64::MAX),
        // To raise the hard limit is a right of its own.
        Err(_) => setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard }).map_or(0, |()| hard.unwrap_or(u64::MAX)),
    }
}
