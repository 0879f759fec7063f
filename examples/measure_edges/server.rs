//! The server as a process of its own: where it is, and how large it is.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::others::ask;

/// A running server; it is ended when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Server {
    /// With these lines in `[server.limits]`, and where everybody may push.
    pub async fn start(program: &str, limits: &str) -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let data = folder.path().join("data");
        let config = folder.path().join("config.toml");
        let text = format!(
            "[server]\nlisten = [\"{free}\"]\n[server.limits]\n{limits}\n[storage]\ndata = \"{}\"\n[cache]\noffline = true\n\
             [auth]\nanonymous = [\"pull\", \"push\"]\n[log]\nlevel = \"error\"\nrequests = \"off\"\n",
            data.display()
        );
        std::fs::write(&config, text).expect("the configuration is written");
        let mut command = Command::new(program);
        command.arg("serve").arg("--config").arg(&config).stdout(Stdio::null());
        let child =
            command.spawn().unwrap_or_else(|error| panic!("{program} does not start: {error}; build it with cargo build --release"));
        let server = Server { child, address: free, _folder: folder };
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if let Ok(mut stream) = TcpStream::connect(free).await
                && ask(&mut stream, &get("/readyz")).await.is_ok()
            {
                return server;
            }
            assert!(Instant::now() < end, "{program} does not answer at {free}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Pushes a blob of so many bytes; its path.
    pub async fn push(&self, size: usize) -> String {
        let bytes = vec![7; size];
        let digest = entrepot::oci::Digest::of(&bytes);
        let mut stream = TcpStream::connect(self.address).await.expect("the server listens");
        let head = format!("POST /v2/team/app/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("it takes the head");
        stream.write_all(&bytes).await.expect("it takes the blob");
        ask(&mut stream, b"").await.expect("it has taken the blob");
        format!("/v2/team/app/blobs/{digest}")
    }

    /// A connection from 127.0.0.`last`.
    pub async fn connect(&self, last: u8) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into())?;
        socket.connect(self.address).await
    }

    /// Its resident memory in MiB.
    pub fn resident(&self) -> f64 {
        resident(self.child.id()) as f64 / 1024.0
    }

    /// Watches how large it becomes.
    pub fn watch(&self) -> Peak {
        let (pid, most) = (self.child.id(), Arc::new(AtomicU64::new(0)));
        let seen = most.clone();
        let watching = tokio::spawn(async move {
            loop {
                seen.fetch_max(resident(pid), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Peak { before: self.resident(), most, watching }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In KiB; nothing for a process that has ended.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// The largest that a server was.
pub struct Peak {
    before: f64,
    most: Arc<AtomicU64>,
    watching: JoinHandle<()>,
}

impl Peak {
    /// MiB more than at the beginning.
    pub fn growth(&self) -> f64 {
        self.most.load(Ordering::Relaxed) as f64 / 1024.0 - self.before
    }
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// A request without a body, on a connection that goes on.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}
