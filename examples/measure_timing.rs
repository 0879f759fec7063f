//! Measures what the time of an answer tells a stranger: whether a digest exists elsewhere (SEC-10), whether a user exists (SEC-21).
//!
//! `cargo run --release --example measure_timing` prints the medians and how far they are apart, and ends with 1 where that is too far.

#[path = "../tests/support/app/mod.rs"]
mod app;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use app::{App, Client, bytes};
use entrepot::oci::Digest;

const PROBES: usize = 10_000;
const LOG_INS: usize = 2000;
/// How far the medians of probes may be apart, and those of log-ins, as a share.
const APART: Duration = Duration::from_millis(1);
const SHARE: f64 = 0.05;

#[tokio::main]
async fn main() -> ExitCode {
    let app = App::with(|settings| settings.cache.offline = true).await;
    let digest = app.user("alice").push_blob("team/secret", &bytes(1, 5000)).await;
    app.user("alice").push_blob("team/other", &bytes(2, 5000)).await;
    let client = app.user("bob").basic();
    let mut good = true;
    let path = |digest: &Digest| format!("/v2/team/other/blobs/{digest}");
    let mount = |digest: &Digest| format!("/v2/team/other/blobs/uploads/?mount={digest}&from=team/none");
    for (what, method) in [("GET", reqwest::Method::GET), ("HEAD", reqwest::Method::HEAD), ("mount", reqwest::Method::POST)] {
        // A mount opens an upload, and waits for the disk.
        let probes = if what == "mount" { PROBES / 10 } else { PROBES };
        let (mut elsewhere, mut nowhere) = (Vec::new(), Vec::new());
        for number in 0..probes {
            // Turn by turn, so that what else happens on the machine meets both.
            for (digest, times) in [(digest, &mut elsewhere), (Digest::of(&number.to_le_bytes()), &mut nowhere)] {
                let path = if what == "mount" { mount(&digest) } else { path(&digest) };
                times.push(timed(&client, &method, &path).await);
            }
        }
        let (elsewhere, nowhere) = (median(elsewhere), median(nowhere));
        let apart = elsewhere.abs_diff(nowhere);
        good &= apart < APART;
        println!("{what} of a digest that exists elsewhere {elsewhere:?}, nowhere {nowhere:?}: {apart:?} apart (less than {APART:?})");
    }
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for number in 0..LOG_INS {
        for (user, times) in [("alice", &mut known), ("nobody", &mut unknown)] {
            // A new password each time, for what was wrong once is remembered.
            let client = app.login(user, &format!("wrong-{number}")).basic();
            times.push(timed(&client, &reqwest::Method::GET, "/v2/team/other/manifests/none").await);
        }
    }
    let (known, unknown) = (median(known), median(unknown));
    let share = known.abs_diff(unknown).as_secs_f64() / known.as_secs_f64();
    good &= share < SHARE;
    println!("a wrong password {known:?}, an unknown user {unknown:?}: {:.1} % apart (less than {:.0} %)", share * 100.0, SHARE * 100.0);
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn timed(client: &Client, method: &reqwest::Method, path: &str) -> Duration {
    let began = Instant::now();
    client.send(method.clone(), path, &[], "".into()).await;
    began.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
