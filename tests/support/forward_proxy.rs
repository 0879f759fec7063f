//! A forward proxy that counts: `CONNECT` for https, absolute addresses for http.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A running proxy; it stops when dropped.
pub struct ForwardProxy {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    _task: JoinSet<()>,
}

/// One request that came to the proxy.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// `HOST:PORT` that was wanted.
    pub host: String,
    /// What `Proxy-Authorization` said; empty for none.
    pub authorization: String,
}

impl ForwardProxy {
    pub async fn start() -> ForwardProxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (mut task, seen) = (JoinSet::new(), asked.clone());
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, seen.clone()));
            }
        });
        ForwardProxy { address, asked, _task: task }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How often this address was wanted.
    pub fn wanted(&self, host: SocketAddr) -> usize {
        self.asked().iter().filter(|asked| asked.host == host.to_string()).count()
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<Asked>>>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let text = String::from_utf8(head).expect("a request without a body is text");
    let (line, rest) = text.split_once("\r\n").unwrap();
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let bare = target.strip_prefix("http://").unwrap_or(target);
    let (host, path) = bare.split_at(bare.find('/').unwrap_or(bare.len()));
    let field = |line: &str| {
        line.split_once(':').filter(|(key, _)| key.eq_ignore_ascii_case("proxy-authorization")).map(|(_, v)| v.trim().to_owned())
    };
    let authorization = rest.lines().find_map(field).unwrap_or_default();
    seen.lock().unwrap().push(Asked { method: method.to_owned(), host: host.to_owned(), authorization });
    let Ok(mut other) = TcpStream::connect(host).await else { return };
    let begun = match method {
        "CONNECT" => stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await,
        // One request for each connection, as the next may be for another host.
        _ => other.write_all(format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n{rest}").as_bytes()).await,
    };
    if begun.is_ok() {
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut other).await;
    }
}
