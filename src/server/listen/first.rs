//! The first bytes of a connection: which protocol the client speaks, and the short answer to those that cannot be served.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What a client that knows we speak HTTP/2 sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The content type of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 0x16;
/// How long a refused client may take to read why.
const FAREWELL: Duration = Duration::from_secs(1);
/// How much of a refused client's request is read away.
const FAREWELL_BYTES: usize = 64 << 10;

/// Begins with `HTTP/`: Docker 29 and containerd fall back from TLS to HTTP only then.
pub(super) const NO_TLS: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 61\r\n\r\n\
    This port speaks plain HTTP, not TLS: use http:// to reach it";
pub(super) const TOO_MANY: &str = "HTTP/1.1 503 Service Unavailable\r\nDocker-Distribution-API-Version: registry/2.0\r\n\
    Content-Type: application/json\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 114\r\n\r\n\
    {\"errors\":[{\"code\":\"TOOMANYREQUESTS\",\"message\":\"too many connections are open: close some, or try again later\"}]}\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
    Tls,
}

/// Reads until the protocol is certain; `read` keeps what was read. `None`: the client left or was too slow.
/// The first byte may take `idle`, the rest `headers`.
pub(super) async fn protocol(stream: &mut TcpStream, read: &mut Vec<u8>, idle: Duration, headers: Duration) -> Option<Protocol> {
    timeout(idle, more(stream, read)).await.ok()??;
    if read[0] == TLS_HANDSHAKE {
        return Some(Protocol::Tls);
    }
    let rest = async {
        while read.len() < PREFACE.len() && PREFACE.starts_with(read) {
            more(stream, read).await?;
        }
        Some(if read == PREFACE { Protocol::Http2 } else { Protocol::Http1 })
    };
    timeout(headers, rest).await.ok()?
}

/// Reads at least one byte, and never more than the preface is long.
async fn more(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<()> {
    let mut room = [0; PREFACE.len()];
    let count = stream.read(&mut room[read.len()..]).await.ok().filter(|count| *count > 0)?;
    read.extend_from_slice(&room[read.len()..][..count]);
    Some(())
}

/// Sends `text` and ends the connection so that the client gets it: closing with unread bytes would reset it.
pub(super) async fn farewell(mut stream: impl AsyncRead + AsyncWrite + Unpin, text: &str) {
    let said = async {
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await?;
        let mut drained = 0;
        let mut room = [0; 4096];
        while drained < FAREWELL_BYTES {
            match stream.read(&mut room).await? {
                0 => break,
                count => drained += count,
            }
        }
        std::io::Result::Ok(())
    };
    // Whether the client heard it or left before is the same to us.
    drop(timeout(FAREWELL, said).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lengths_are_right() {
        for text in [NO_TLS, TOO_MANY] {
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let length = head.split("Content-Length: ").nth(1).unwrap().lines().next().unwrap();
            assert_eq!(body.len().to_string(), length, "{text}");
        }
    }
}
