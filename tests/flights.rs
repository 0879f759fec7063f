//! Flights over HTTP: a byte crosses the uplink once, nothing wrong is served whole, and no client is in another's way.

#[path = "support/app/mod.rs"]
mod app;

#[path = "flights/faults.rs"]
mod faults;
#[path = "flights/herd.rs"]
mod herd;
#[path = "flights/readers.rs"]
mod readers;
#[path = "flights/segments.rs"]
mod segments;

use std::net::SocketAddr;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// More bytes than the refusals weigh that come before an upstream's token.
const CHALLENGE: u64 = 1024;

/// A reader that compares what comes with what should, as fast as the socket gives it. A small blob's worth of memory serves hundreds.
struct Reader {
    stream: TcpStream,
    /// Bytes of the body that came and were right.
    seen: usize,
    /// What came of the body with the headers.
    ahead: Vec<u8>,
    status: u16,
    head: String,
}

impl Reader {
    /// Asks, and waits for the headers.
    async fn open(address: SocketAddr, path: &str, range: Option<&str>) -> Reader {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let range = range.map(|range| format!("Range: {range}\r\n")).unwrap_or_default();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{range}\r\n").as_bytes()).await.unwrap();
        let mut head = Vec::new();
        let end = loop {
            if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(stream.read_buf(&mut head).await.unwrap() > 0, "no headers came");
        };
        let ahead = head.split_off(end);
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reader { stream, seen: 0, ahead, status, head }
    }

    /// Reads on until `upto` bytes have come or the connection ends. Whether all of them came.
    async fn follow(&mut self, right: &Bytes, upto: usize) -> bool {
        let mut buffer = std::mem::take(&mut self.ahead);
        let mut filled = buffer.len();
        buffer.resize(filled.max(128 << 10), 0);
        loop {
            assert!(buffer[..filled] == right[self.seen..self.seen + filled], "wrong bytes after {}", self.seen);
            self.seen += filled;
            if self.seen >= upto {
                return true;
            }
            filled = match self.stream.read(&mut buffer).await {
                Ok(read) if read > 0 => read,
                _ => return false,
            };
        }
    }

    /// Reads to the end; whether exactly these bytes came.
    async fn comes_whole(mut self, right: &Bytes) -> bool {
        assert_eq!(self.status, 200, "{}", self.head);
        assert!(self.head.contains(&format!("content-length: {}\r\n", right.len())), "{}", self.head);
        self.follow(right, right.len()).await
    }
}
