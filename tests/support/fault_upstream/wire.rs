//! HTTP/1.1 on a raw socket: reads requests, writes replies, and spoils them as told.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::Instant;

use super::Body;
use super::script::Fault;

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Box<dyn AsyncRead + Send + Unpin>,
    /// Of the body; a HEAD's reply has the length that a GET's would have.
    pub length: u64,
}

impl Reply {
    pub fn new(status: u16, kind: &str, body: impl Into<Bytes>) -> Reply {
        let body: Bytes = body.into();
        let length = body.len() as u64;
        Reply { status, headers: vec![("Content-Type".into(), kind.into())], body: Box::new(io::Cursor::new(body)), length }
    }

    /// A registry's error.
    pub fn error(status: u16, code: &str) -> Reply {
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"{}"}}]}}"#, code.to_lowercase().replace('_', " "));
        Reply::new(status, "application/json", body)
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Reply {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// Reads up to the empty line; gives the lines and what was read beyond them.
pub async fn read_head(stream: &mut TcpStream, mut buffer: Vec<u8>) -> io::Result<Option<(String, Vec<u8>)>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = buffer.split_off(end + 4);
            return Ok(Some((String::from_utf8_lossy(&buffer).into_owned(), rest)));
        }
        // A TLS hello has no end that could be waited for.
        let foreign = buffer.first().is_some_and(|byte| !byte.is_ascii_uppercase());
        if foreign || stream.read_buf(&mut buffer).await? == 0 {
            return Ok(None);
        }
    }
}

pub fn headers_of(head: &str) -> Vec<(String, String)> {
    head.lines().skip(1).filter_map(|line| line.split_once(':')).map(|(key, value)| (key.into(), value.trim().into())).collect()
}

/// The next request, with what was read beyond it.
pub async fn read_request(stream: &mut TcpStream, buffer: Vec<u8>) -> io::Result<Option<(Request, Vec<u8>)>> {
    let Some((head, mut rest)) = read_head(stream, buffer).await? else { return Ok(None) };
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request { method, path: path.into(), query: query.into(), headers: headers_of(&head), body: Vec::new() };
    let length: usize = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    while rest.len() < length {
        if stream.read_buf(&mut rest).await? == 0 {
            return Ok(None);
        }
    }
    let beyond = rest.split_off(length);
    request.body = rest;
    Ok(Some((request, beyond)))
}

/// Changes what a reply says, not yet how it comes.
pub fn spoil(reply: Reply, faults: &[Fault]) -> Reply {
    faults.iter().fold(reply, |mut reply, fault| match fault {
        Fault::Status(code) => Reply::error(*code, "FAULT"),
        Fault::TooMany { retry_after: None } => Reply::error(429, "TOOMANYREQUESTS"),
        Fault::TooMany { retry_after: Some(text) } => Reply::error(429, "TOOMANYREQUESTS").with("Retry-After", text),
        Fault::BareForbidden => Reply::new(403, "text/plain", "forbidden\n"),
        Fault::HtmlPage => Reply::new(200, "text/html; charset=utf-8", "<!doctype html><title>Log in</title>"),
        Fault::EmptyOk => Reply { headers: Vec::new(), ..Reply::new(200, "", "") },
        Fault::RedirectTo(url) => Reply::new(307, "text/plain", "").with("Location", url),
        Fault::Swap => {
            let zeros = tokio::io::repeat(0).take(reply.length);
            Reply { body: Box::new(zeros), ..reply }
        }
        Fault::Truncate(bytes) => {
            reply.length = reply.length.saturating_sub(*bytes);
            let short = reply.body.take(reply.length);
            Reply { body: Box::new(short), ..reply }
        }
        Fault::Append(bytes) => {
            let longer = reply.body.chain(tokio::io::repeat(0).take(*bytes));
            Reply { status: reply.status, headers: reply.headers, body: Box::new(longer), length: reply.length + bytes }
        }
        Fault::WrongRange if reply.status == 206 => {
            reply.headers.retain(|(key, _)| key != "Content-Range");
            reply.with("Content-Range", "bytes 0-0/1")
        }
        Fault::Coded => reply.with("Content-Encoding", "gzip"),
        Fault::Instead(status, kind, body) => Reply::new(*status, kind, body.clone()),
        Fault::Header(name, value) => {
            reply.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
            reply.with(name, value)
        }
        Fault::NoDigest => {
            reply.headers.retain(|(key, _)| key != "Docker-Content-Digest");
            reply
        }
        _ => reply,
    })
}

/// Writes a reply at the pace that `faults` set. Tells whether the connection can be used again.
pub async fn write(
    stream: &mut TcpStream,
    head: bool,
    reply: Reply,
    faults: &[Fault],
    sent: &AtomicU64,
    body: Option<Body<'_>>,
) -> io::Result<bool> {
    let chunked = !head && faults.contains(&Fault::Chunked);
    let lie = faults.iter().find_map(|fault| if let Fault::LengthLie(by) = fault { Some(*by) } else { None }).unwrap_or(0);
    let mut text = format!("HTTP/1.1 {} Fault\r\nDocker-Distribution-API-Version: registry/2.0\r\n", reply.status);
    for (key, value) in &reply.headers {
        text += &format!("{key}: {value}\r\n");
    }
    text += &match chunked {
        true => "Transfer-Encoding: chunked\r\n\r\n".to_owned(),
        false => format!("Content-Length: {}\r\n\r\n", reply.length.saturating_add_signed(lie)),
    };
    stream.write_all(text.as_bytes()).await?;
    if head {
        return Ok(true);
    }
    let (mut reading, mut writing) = stream.split();
    let sending = send(&mut writing, reply, faults, chunked, sent, body);
    tokio::select! {
        // A body that nobody reads any more must not count as one under way.
        () = closed(&mut reading) => Err(io::ErrorKind::BrokenPipe.into()),
        whole = sending => Ok(whole? && lie == 0),
    }
}

/// Waits until the other side has closed.
async fn closed(reading: &mut ReadHalf<'_>) {
    if !matches!(reading.peek(&mut [0]).await, Ok(0) | Err(_)) {
        std::future::pending::<()>().await;
    }
}

/// Writes the body. Tells whether all of it left.
async fn send(
    writing: &mut WriteHalf<'_>,
    mut reply: Reply,
    faults: &[Fault],
    chunked: bool,
    sent: &AtomicU64,
    mut body: Option<Body<'_>>,
) -> io::Result<bool> {
    let mut pace = Pace::new(faults, reply.length);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let size = pace.next().await.min(buffer.len());
        if size == 0 {
            return Ok(false);
        }
        let read = reply.body.read(&mut buffer[..size]).await?;
        if read == 0 {
            break;
        }
        pace.touch(&mut buffer[..read]);
        // Whoever has the last byte may ask for the next body at once.
        body = body.filter(|_| pace.done < reply.length);
        if chunked {
            writing.write_all(format!("{read:x}\r\n").as_bytes()).await?;
        }
        writing.write_all(&buffer[..read]).await?;
        if chunked {
            writing.write_all(b"\r\n").await?;
        }
        sent.fetch_add(read as u64, Ordering::Relaxed);
    }
    if chunked {
        writing.write_all(b"0\r\n\r\n").await?;
    }
    Ok(true)
}

/// How the bytes of one body leave.
struct Pace<'a> {
    faults: &'a [Fault],
    began: Instant,
    done: u64,
    middle: u64,
}

impl<'a> Pace<'a> {
    fn new(faults: &'a [Fault], length: u64) -> Pace<'a> {
        Pace { faults, began: Instant::now(), done: 0, middle: length / 2 }
    }

    /// Waits until bytes may leave and says how many; 0 ends the connection.
    async fn next(&self) -> usize {
        let mut size = 64 << 10;
        for fault in self.faults {
            match fault {
                Fault::CutAfter(at) => size = size.min(at.saturating_sub(self.done) as usize),
                Fault::StallAfter(at) if *at <= self.done => std::future::pending().await,
                Fault::StallAfter(at) => size = size.min((at - self.done) as usize),
                Fault::Drip { bytes, every_ms } => {
                    tokio::time::sleep(Duration::from_millis(*every_ms)).await;
                    size = size.min(*bytes);
                }
                Fault::Bandwidth { bytes_per_second } => {
                    let due = Duration::from_secs_f64(self.done as f64 / *bytes_per_second as f64);
                    tokio::time::sleep_until(self.began + due).await;
                    size = size.min((bytes_per_second / 100).max(1) as usize);
                }
                _ => {}
            }
        }
        size
    }

    fn touch(&mut self, bytes: &mut [u8]) {
        let here = self.done..self.done + bytes.len() as u64;
        if self.faults.contains(&Fault::Flip) && here.contains(&self.middle) {
            bytes[(self.middle - self.done) as usize] ^= 1;
        }
        self.done = here.end;
    }
}
