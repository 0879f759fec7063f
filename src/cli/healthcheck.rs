//! `entrepot healthcheck`: asks the running server whether it is well, for Docker's HEALTHCHECK.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::config::Settings;

const PATIENCE: Duration = Duration::from_secs(3);

/// Succeeds when `/healthz` answers 200.
pub async fn run(settings: Settings) -> Result<(), String> {
    let mut address = *settings.server.listen.first().ok_or("no address to ask: server.listen is empty")?;
    address = reachable(address);
    match tokio::time::timeout(PATIENCE, ask(address)).await {
        Ok(Ok(status)) if status.starts_with("HTTP/1.1 200") => Ok(()),
        Ok(Ok(status)) => Err(format!("http://{address}/healthz answers {status}")),
        Ok(Err(error)) => Err(format!("http://{address}/healthz cannot be asked: {error}")),
        Err(_) => Err(format!("http://{address}/healthz does not answer within {} s", PATIENCE.as_secs())),
    }
}

/// A server that listens on every address is asked on this machine's own.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    Ok(text.lines().next().unwrap_or("nothing").to_owned())
}
