//! C6: floods of HTTP/2 frames; and manifests of a gibibyte.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::http2_flood::Flood;
use super::server::Server;
use super::{Report, others};

/// How long each lasts; the promise speaks of 60 s.
const LASTS: Duration = Duration::from_secs(8);
/// Attackers at once, each with one connection, and those who open streams.
const ATTACKERS: usize = 4;
const OPENERS: usize = 10;
/// Batches of 200 frames in which an opener opens its streams: 10,000 in all.
const OPENED: u32 = 5;
const LARGE: usize = 64 << 20;
const MANIFESTS: usize = 64;

pub async fn measure(program: &str, report: &mut Report) {
    let server = Server::start(program, "").await;
    let large = server.push(LARGE).await;
    let before = others::beside(&server).await;
    for kind in Flood::ALL {
        let peak = server.watch();
        let (count, path) = if kind == Flood::Streams { (OPENERS, large.as_str()) } else { (ATTACKERS, "/healthz") };
        let during = others::until(&server, async {
            let mut attackers = JoinSet::new();
            for _ in 0..count {
                attackers.spawn(attack(kind, server.address, path.to_owned()));
            }
            sleep(LASTS).await;
            attackers.shutdown().await;
        })
        .await;
        report.growth(&format!("C6 memory in {} s of {kind:?}", LASTS.as_secs()), peak.growth(), 64.0);
        report.others(&format!("C6 others in {} s of {kind:?}", LASTS.as_secs()), &before, &during);
        // What a flood leaves behind is not held against the next one.
        sleep(Duration::from_secs(1)).await;
    }

    let peak = server.watch();
    let mut senders = JoinSet::new();
    for _ in 0..MANIFESTS {
        let mut stream = server.connect(2).await.expect("a connection");
        senders.spawn(async move {
            let kind = "application/vnd.oci.image.index.v1+json";
            let head =
                format!("PUT /v2/team/app/manifests/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", 1 << 30);
            let (piece, mut sent) = (vec![b' '; 1 << 20], 0_usize);
            let _ = stream.write_all(head.as_bytes()).await;
            while sent < 1 << 30 && stream.write_all(&piece).await.is_ok() {
                sent += piece.len();
            }
        });
    }
    let all = timeout(Duration::from_secs(30), senders.join_all()).await;
    report.growth(&format!("SEC-40 memory with {MANIFESTS} manifests of 1 GiB"), peak.growth(), 16.0);
    report.line(all.is_ok(), "SEC-40 their senders", if all.is_ok() { "are all refused" } else { "go on" }, "refused within 30 s");
}

/// Floods the server, and comes again whenever it closes.
async fn attack(kind: Flood, address: SocketAddr, path: String) {
    loop {
        if let Ok(stream) = tokio::net::TcpStream::connect(address).await {
            let (mut reader, mut writer) = stream.into_split();
            let drain = async {
                let mut room = vec![0; 64 << 10];
                while kind.reads() && reader.read(&mut room).await.is_ok_and(|count| count > 0) {}
                std::future::pending::<()>().await;
            };
            let send = async {
                let mut next = writer.write_all(&kind.opening(&path)).await;
                let most = if kind == Flood::Streams { OPENED } else { 1_000_000 };
                for turn in 0..most {
                    if next.is_err() {
                        return;
                    }
                    next = writer.write_all(&kind.batch(turn, &path)).await;
                }
                std::future::pending::<()>().await;
            };
            tokio::select! { () = drain => {}, () = send => {} }
        }
        sleep(Duration::from_millis(10)).await;
    }
}
