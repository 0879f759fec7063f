//! Clients that do nothing wrong: how long they wait, and how much they get.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::server::{Server, get};

/// Clients that ask now and then.
const CLIENTS: usize = 8;
/// Between two requests of one of them.
const PAUSE: Duration = Duration::from_millis(4);

/// How long requests took, in milliseconds.
#[derive(Default)]
pub struct Times {
    sorted: Vec<f64>,
    pub failed: usize,
}

impl Times {
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    pub fn p99(&self) -> f64 {
        let at = self.sorted.len() * 99 / 100;
        self.sorted.get(at).copied().unwrap_or(f64::INFINITY)
    }
}

/// Sends a request and reads its answer to the end. The bytes of the body.
pub async fn ask(stream: &mut TcpStream, request: &[u8]) -> io::Result<usize> {
    stream.write_all(request).await?;
    let mut head = Vec::with_capacity(1024);
    let end = loop {
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let text = String::from_utf8_lossy(&head[..end]).to_lowercase();
    let length: usize = text.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse().ok()).unwrap_or(0);
    let mut left = length - (head.len() - end).min(length);
    let mut room = vec![0; left.clamp(1, 256 << 10)];
    while left > 0 {
        let count = stream.read(&mut room).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left -= count;
    }
    if text.starts_with("http/1.1 2") { Ok(length) } else { Err(io::Error::other(text)) }
}

/// What a few clients wait for an answer until `end` is over.
pub async fn until(server: &Server, end: impl Future<Output = ()>) -> Times {
    let mut clients = JoinSet::new();
    let over = tokio_util::sync::CancellationToken::new();
    for _ in 0..CLIENTS {
        let (address, over) = (server.address, over.clone());
        clients.spawn(async move {
            let mut times = Times::default();
            let mut stream = None;
            while !over.is_cancelled() {
                let began = Instant::now();
                let asked = async {
                    let mut open = match stream.take() {
                        Some(open) => open,
                        None => TcpStream::connect(address).await?,
                    };
                    ask(&mut open, &get("/healthz")).await?;
                    Ok::<_, io::Error>(open)
                };
                match tokio::time::timeout(Duration::from_secs(10), asked).await {
                    Ok(Ok(open)) => {
                        times.sorted.push(began.elapsed().as_secs_f64() * 1000.0);
                        stream = Some(open);
                    }
                    _ => times.failed += 1,
                }
                tokio::time::sleep(PAUSE).await;
            }
            times
        });
    }
    end.await;
    over.cancel();
    let mut all = Times::default();
    while let Some(Ok(times)) = clients.join_next().await {
        all.sorted.extend(times.sorted);
        all.failed += times.failed;
    }
    all.sorted.sort_by(f64::total_cmp);
    all
}

/// The same while nothing else happens.
pub async fn beside(server: &Server) -> Times {
    until(server, tokio::time::sleep(Duration::from_secs(1))).await;
    until(server, tokio::time::sleep(Duration::from_secs(3))).await
}

/// MiB a second that a hundred clients get of a blob, each again and again, for so long.
pub async fn throughput(server: &Server, path: &str, lasts: Duration) -> f64 {
    let got = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..100 {
        let (address, request, got) = (server.address, get(path), got.clone());
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            while let Ok(count) = ask(&mut stream, &request).await {
                got.fetch_add(count as u64, Ordering::Relaxed);
            }
            io::Result::Ok(())
        });
    }
    let began = Instant::now();
    tokio::time::sleep(lasts).await;
    let rate = got.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64() / f64::from(1 << 20);
    clients.shutdown().await;
    rate
}
