//! The edge: sockets in, requests out. Every wait for a client has an end, and every client has a bound on what it may hold.
//!
//! `axum::serve` never closes a silent connection; this loop does. It knows nothing of registries.

mod bind;
mod body;
mod connection;
mod first;
mod handshake;
mod places;
mod pulse;
mod stream;
mod wire;

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body::Body;
use hyper::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;
use tracing::{debug, warn};

pub use self::bind::bind;
pub use self::body::{RequestBody, RequestBodyError};
pub use self::connection::{CertificateUser, ClientAddress, Secure};
use self::places::Places;
use super::tls::Tls;
use crate::config::{Limits, Networks};

/// How many refused clients are told why at the same time; more are refused without a word.
const REFUSALS: usize = 64;
/// How long to wait when the system has no socket to give.
const BREATH: Duration = Duration::from_millis(50);

/// What all accept loops share.
struct Edge<S> {
    service: S,
    limits: Limits,
    tls: Option<Arc<Tls>>,
    places: Arc<Places>,
    refusals: Arc<Semaphore>,
    connections: TaskTracker,
    /// Idle connections go, others after their answer.
    leave: CancellationToken,
    /// All go.
    cut: CancellationToken,
}

/// Serves `service` on `listeners` until `shutdown`, then lets running answers finish for at most `limits.shutdown`. Connections of
/// `proxies` are not counted by address. Returns how many connections were cut after that. Each request carries a [`ClientAddress`],
/// one that came by TLS [`Secure`] too and, where the client has shown a certificate, a [`CertificateUser`].
pub async fn serve<S, B>(
    listeners: Vec<TcpListener>,
    service: S,
    limits: Limits,
    proxies: Networks,
    tls: Option<Arc<Tls>>,
    shutdown: impl Future<Output = ()>,
) -> usize
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let edge = Edge::new(service, limits, proxies, tls);
    let accepting = async {
        join_all(listeners.into_iter().map(|listener| edge.accept(listener))).await;
        std::future::pending::<()>().await;
    };
    // Whichever ends takes the listeners with it.
    tokio::select! { () = accepting => {}, () = shutdown => {} }
    edge.leave.cancel();
    edge.connections.close();
    if timeout(edge.limits.shutdown, edge.connections.wait()).await.is_ok() {
        return 0;
    }
    let left = edge.connections.len();
    edge.cut.cancel();
    edge.connections.wait().await;
    left
}

impl<S> Edge<S> {
    fn new(service: S, limits: Limits, proxies: Networks, tls: Option<Arc<Tls>>) -> Edge<S> {
        let files = bind::raise_file_limit();
        // The other half is for blobs, drafts, the index and upstreams.
        let connections = limits.connections.min(files / 2);
        if connections < limits.connections {
            debug!(connections, files, "fewer connections than configured, because the limit of open files is low");
        }
        Edge {
            places: Places::new(connections, limits.connections_per_address, proxies),
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            connections: TaskTracker::new(),
            leave: CancellationToken::new(),
            cut: CancellationToken::new(),
            service,
            limits,
            tls,
        }
    }

    /// Accepts for ever.
    async fn accept<B>(&self, listener: TcpListener)
    where
        S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        loop {
            let (stream, mut client) = match listener.accept().await {
                Ok(accepted) => accepted,
                // The client left before it was accepted.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => continue,
                Err(error) => {
                    warn!(%error, "cannot accept connections");
                    sleep(BREATH).await;
                    continue;
                }
            };
            client.set_ip(client.ip().to_canonical());
            let Some(place) = self.places.take(client.ip()) else {
                self.refuse(stream);
                continue;
            };
            bind::tune(&stream);
            let (service, limits, tls) = (self.service.clone(), self.limits.clone(), self.tls.clone());
            let served = connection::serve(stream, client, place, service, limits, tls, self.leave.clone());
            let cut = self.cut.clone();
            self.connections.spawn(async move {
                cut.run_until_cancelled(served).await;
            });
        }
    }

    fn refuse(&self, stream: TcpStream) {
        if let Ok(permit) = self.refusals.clone().try_acquire_owned() {
            self.connections.spawn(async move {
                first::farewell(stream, first::TOO_MANY).await;
                drop(permit);
            });
        }
    }
}
