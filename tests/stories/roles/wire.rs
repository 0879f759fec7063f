//! A client that sends a path byte for byte as it was told: any other one tidies it first.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// One connection, kept as long as the server keeps it.
pub struct Wire {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Wire {
    pub fn to(address: SocketAddr) -> Wire {
        Wire { address, stream: None }
    }

    /// The status of the answer, whose body is read to its end.
    pub async fn ask(&mut self, method: &str, target: &str, authorization: &str) -> u16 {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => BufReader::new(TcpStream::connect(self.address).await.unwrap()),
        };
        let authorization = if authorization.is_empty() { String::new() } else { format!("authorization: {authorization}\r\n") };
        let head = format!("{method} {target} HTTP/1.1\r\nhost: {}\r\n{authorization}content-length: 0\r\n\r\n", self.address);
        stream.write_all(head.as_bytes()).await.unwrap();
        let status: u16 = line(&mut stream).await.split(' ').nth(1).expect("a status line").parse().unwrap();
        let (mut length, mut closes) = (None, false);
        loop {
            let header = line(&mut stream).await.to_ascii_lowercase();
            let Some((key, value)) = header.split_once(':') else { break };
            match key {
                "content-length" => length = Some(value.trim().parse::<u64>().unwrap()),
                "connection" => closes = value.contains("close"),
                _ => {}
            }
        }
        if method != "HEAD" && status != 204 {
            match length {
                Some(length) => drop(tokio::io::copy(&mut (&mut stream).take(length), &mut tokio::io::sink()).await.unwrap()),
                None => chunks(&mut stream).await,
            }
        }
        self.stream = (!closes).then_some(stream);
        status
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    line.trim_end().to_owned()
}

async fn chunks(stream: &mut BufReader<TcpStream>) {
    loop {
        let length = u64::from_str_radix(&line(stream).await, 16).expect("a chunk's length");
        tokio::io::copy(&mut (&mut *stream).take(length), &mut tokio::io::sink()).await.unwrap();
        line(stream).await;
        if length == 0 {
            return;
        }
    }
}
