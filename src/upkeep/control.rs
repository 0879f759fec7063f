//! The control socket: how a command finds the running server of its data folder and has it do the work.
//!
//! One line of JSON asks, lines of JSON answer, then the connection closes. Who may use it is the socket file's mode: its owner alone.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::request::{Reply, Request, carry_out};
use crate::registry::Registry;

/// The longest request that is read, in bytes.
const LONGEST: u64 = 16 << 20;

/// Replies that may wait for a slow reader.
const QUEUE: usize = 256;

/// Where the socket of a data folder is.
pub fn path(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// The longest path that a Unix socket's address holds, in bytes.
const LONGEST_PATH: usize = 107;

/// Takes the place of a socket that a killed server left. The caller holds the data folder's lock.
///
/// # Errors
/// [`io::ErrorKind::InvalidFilename`] when the path is longer than a socket's may be; the server can do without.
pub fn bind(data: &Path) -> io::Result<UnixListener> {
    let path = path(data);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let length = path.as_os_str().len();
    if length > LONGEST_PATH {
        let text = format!("{} has {length} bytes, a socket's path at most {LONGEST_PATH}: choose a shorter data path", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidFilename, text));
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers commands until it is dropped.
pub async fn serve(listener: UnixListener, registry: Arc<Registry>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(answer(stream, registry.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "the control socket cannot be read");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }
    }
}

async fn answer(stream: UnixStream, registry: Arc<Registry>) {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    if BufReader::new(reader.take(LONGEST)).read_line(&mut line).await.is_err() {
        return;
    }
    let mut replies = match serde_json::from_str::<Request>(&line) {
        Ok(request) => carry_out(registry, request),
        Err(_) => {
            let why = format!("the running server is entrepot {} and does not know this command", env!("CARGO_PKG_VERSION"));
            let _ = writer.write_all(on_a_line(&Reply::Failed(why)).as_bytes()).await;
            return;
        }
    };
    while let Some(reply) = replies.recv().await {
        if writer.write_all(on_a_line(&reply).as_bytes()).await.is_err() {
            return;
        }
    }
}

fn on_a_line(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("requests and replies are plain data") + "\n"
}

/// Asks the running server; `None` when there is none.
///
/// # Errors
/// The socket is there and cannot be used: of another user, or broken.
pub async fn ask(data: &Path, request: &Request) -> io::Result<Option<mpsc::Receiver<Reply>>> {
    let path = path(data);
    if path.as_os_str().len() > LONGEST_PATH {
        return Ok(None);
    }
    let mut stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => return Ok(None),
        Err(error) => return Err(error),
    };
    stream.write_all(on_a_line(request).as_bytes()).await?;
    let (replies, told) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let Ok(reply) = serde_json::from_str(&line) else { return };
            if replies.send(reply).await.is_err() {
                return;
            }
        }
    });
    Ok(Some(told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_path_too_long_for_a_socket_is_told_with_its_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("d".repeat(120));
        std::fs::create_dir(&data).unwrap();
        let error = bind(&data).unwrap_err();
        assert!(error.kind() == io::ErrorKind::InvalidFilename && error.to_string().contains("shorter data path"), "{error}");
        let order = crate::upkeep::Order { images: Vec::new(), platforms: Vec::new(), jobs: 1 };
        assert!(ask(&data, &Request::Prefetch(order)).await.unwrap().is_none(), "nobody listens there");
    }
}
