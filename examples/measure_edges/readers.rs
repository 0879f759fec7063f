//! C2: downloads of which nothing is read.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::server::{Server, get};
use super::{Report, others};

const STALLED: usize = 1000;
/// Bytes of what they ask for, and of what others do.
const LARGE: usize = 64 << 20;
const SMALL: usize = 1 << 20;
const LASTS: Duration = Duration::from_secs(5);
/// A deadline that can be waited for, in seconds, and how much later it may be seen.
const SLOW: u64 = 4;
const LATE: f64 = 3.0;

pub async fn measure(program: &str, report: &mut Report) {
    let server = Server::start(program, "").await;
    let (large, small) = (server.push(LARGE).await, server.push(SMALL).await);
    others::throughput(&server, &small, LASTS / 2).await;
    let before = others::throughput(&server, &small, LASTS).await;
    let peak = server.watch();
    let stalled = stall(&server, &large).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let grown = peak.growth();
    let during = others::throughput(&server, &small, LASTS).await;
    drop(stalled);
    report.growth(&format!("C2 memory with {STALLED} stalled downloads"), grown, 160.0);
    let share = during / before;
    let measured = format!("{share:.2} of what they got before ({during:.0} of {before:.0} MiB/s)");
    report.line(share >= 0.8, "C2 a hundred others meanwhile", &measured, "at least 0.80");
    drop(server);

    let server = Server::start(program, &format!("slow = \"{SLOW}s\"")).await;
    let large = server.push(LARGE).await;
    let stalled = stall(&server, &large).await;
    let began = Instant::now();
    // A reset shows as an error of the socket, without a byte being read.
    let mut left = stalled.len();
    while left > 0 && began.elapsed().as_secs_f64() < SLOW as f64 + 2.0 * LATE {
        tokio::time::sleep(Duration::from_millis(100)).await;
        left -= stalled.iter().filter(|stream| matches!(stream.take_error(), Ok(Some(_)))).count();
    }
    let took = began.elapsed().as_secs_f64();
    let what = format!("C2 {STALLED} stalled downloads are aborted with slow = {SLOW} s");
    let measured = format!("{} within {took:.1} s", STALLED - left);
    report.line(left == 0 && took <= SLOW as f64 + LATE, &what, &measured, &format!("all, within {SLOW} s"));
}

/// Clients that ask and read nothing.
async fn stall(server: &Server, path: &str) -> Vec<TcpStream> {
    let mut stalled = Vec::with_capacity(STALLED);
    for _ in 0..STALLED {
        let mut stream = server.connect(2).await.expect("a connection");
        stream.write_all(&get(path)).await.expect("it takes the request");
        stalled.push(stream);
    }
    stalled
}
