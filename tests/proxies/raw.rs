//! Requests byte by byte, as no client library would send them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::app::*;

/// All that the server says to these bytes until it closes the connection; the client's side stays open.
pub async fn said_to(app: &App, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    // A server that refuses early may reset what is still on its way.
    let _ = stream.write_all(bytes).await;
    let mut said = Vec::new();
    timeout(LONG, async { while stream.read_buf(&mut said).await.is_ok_and(|count| count > 0) {} }).await.expect("the connection ends");
    String::from_utf8_lossy(&said).into_owned()
}

/// The values of a header in an answer.
pub fn header<'a>(answer: &'a str, name: &str) -> Vec<&'a str> {
    let head = answer.split("\r\n\r\n").next().unwrap_or("");
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}
