//! Attacks and accidents that others have had, done again to this server: each test is named after the advisory or the issue that
//! it replays, and says which requirement it stands for.
//!
//! More of them lie where their subject is tested: `grep -rE 'fn (cve|ghsa|rustsec|sec|[a-z_]+[0-9]{4,5})_'` finds all.

mod access;
mod deleted;
mod immutable;
mod integrity;
mod limits;
mod parsing;
mod ranges;

use std::net::SocketAddr;

use crate::app::{LONG, password};
use base64::Engine as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A request whose path is sent as it is written, which client libraries do not do; `user` shows name and password.
/// The status, and all that came.
async fn raw(address: SocketAddr, method: &str, path: &str, user: Option<&str>, more: &str) -> (u16, String) {
    let login = user.map(|name| base64::engine::general_purpose::STANDARD.encode(format!("{name}:{}", password(name))));
    let login = login.map(|login| format!("Authorization: Basic {login}\r\n")).unwrap_or_default();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{login}{more}\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(LONG, socket.read_to_end(&mut answer)).await.expect("an answer in time").expect("an answer");
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("{method} {path}: {text:?}")), text)
}
