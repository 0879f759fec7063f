//! Listening sockets, and how many sockets this process may hold.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tracing::debug;

/// Connections that may wait while the accept loop is busy.
const BACKLOG: i32 = 4096;
/// Bytes that may wait unsent in the kernel: enough to keep a fast client busy, little enough for thousands of slow ones.
const NOT_SENT: u32 = 128 << 10;
/// Silence after which the kernel asks whether the peer is still there: a request may wait long for an upstream.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Listens on `address`. The error is a sentence that names the address and what to do.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    listening(address).map_err(|error| {
        let port = address.port();
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("another program listens there (ss -ltnp 'sport = :{port}' shows which): end it, or choose another with --listen")
            }
            io::ErrorKind::PermissionDenied => {
                format!("port {port} needs a right that this user lacks: choose one from 1024 on with --listen")
            }
            io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address: choose another with --listen".to_owned(),
            _ => "choose another address with --listen".to_owned(),
        };
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}; {remedy}"))
    })
}

fn listening(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Sets up an accepted connection. A socket that refuses works all the same, so that is no failure.
pub(super) fn tune(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let done = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_notsent_lowat(NOT_SENT))
        .and_then(|()| socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE)));
    if let Err(error) = done {
        debug!(%error, "a connection keeps the system's socket options");
    }
}

/// Raises the soft limit of open files to the hard one; the number of files that may be open.
pub(super) fn raise_file_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_in_use_says_which_and_what_to_do() {
        let taken = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind(address).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        for part in [address.to_string(), format!(":{}'", address.port()), "--listen".to_owned()] {
            assert!(error.to_string().contains(&part), "{error}");
        }
    }
}
