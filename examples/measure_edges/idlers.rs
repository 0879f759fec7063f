//! C1 and C4: clients that say nothing, little, or begin and never end.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::server::Server;
use super::{Report, others};

/// Of each kind, at most, and connections that are left for others.
const IDLERS: u64 = 5000;
const OTHERS: u64 = 200;
/// The defaults of `server.limits`: until the first byte, and from it to the end of the headers.
const IDLE: f64 = 30.0;
const HEADERS: f64 = 10.0;
/// How much later a connection may be seen to end.
const LATE: f64 = 3.0;
/// After which nobody is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Who sends large headers, and how large, in bytes.
const LARGE: usize = 500;
const HEADER_BYTES: usize = 380_000;

pub async fn measure(program: &str, files: u64, report: &mut Report) {
    let idlers = IDLERS.min(files.saturating_sub(2 * OTHERS) / 4) as usize;
    let server = Server::start(program, "").await;
    let before = others::beside(&server).await;

    let peak = server.watch();
    let (mut silent, mut dripping) = (Vec::new(), Vec::new());
    let during = others::until(&server, async {
        let mut clients = JoinSet::new();
        for number in 0..idlers {
            for drips in [false, true] {
                let stream = server.connect(2 + (number % 2) as u8 + if drips { 2 } else { 0 }).await.expect("a connection");
                clients.spawn(async move { (drips, tokio::time::timeout(PATIENCE, ends(stream, drips)).await.unwrap_or(f64::INFINITY)) });
            }
        }
        while let Some(Ok((drips, took))) = clients.join_next().await {
            if drips { dripping.push(took) } else { silent.push(took) }
        }
    })
    .await;
    for (times, most, what) in [(&silent, IDLE, "silent"), (&dripping, HEADERS, "dripping")] {
        let latest = times.iter().copied().fold(0.0, f64::max);
        let what = format!("C1 {} {what} connections are closed", times.len());
        report.line(
            latest <= most + LATE && times.len() == idlers,
            &what,
            &format!("after at most {latest:.1} s"),
            &format!("at most {most} s"),
        );
    }
    report.growth("C1 memory meanwhile", peak.growth(), 100.0);
    report.others("C1 others meanwhile", &before, &during);

    let peak = server.watch();
    let line = format!("X-Large: {}\r\n", "x".repeat(989));
    let text = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}", line.repeat(HEADER_BYTES / line.len()));
    let mut clients = JoinSet::new();
    for _ in 0..LARGE {
        let (mut stream, text) = (server.connect(6).await.expect("a connection"), text.clone());
        clients.spawn(async move {
            // The server may close before it has all.
            let _ = stream.write_all(text.as_bytes()).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
        });
    }
    clients.join_all().await;
    report.growth(&format!("C4 memory with {LARGE} unfinished headers of {HEADER_BYTES} bytes"), peak.growth(), 10.0);
}

/// Seconds until the server ends a connection that sends nothing, or a byte of a header each second.
async fn ends(mut stream: TcpStream, drips: bool) -> f64 {
    let began = Instant::now();
    let (mut reader, mut writer) = stream.split();
    let drip = async {
        let mut next: &[u8] = b"GET /healthz HTTP/1.1\r\nX-Drip: ";
        while drips && writer.write_all(next).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            next = b"x";
        }
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    tokio::select! { _ = reader.read_to_end(&mut answer) => {}, () = drip => {} }
    began.elapsed().as_secs_f64()
}
