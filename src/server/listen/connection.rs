//! One connection from its first byte to its end.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::graceful::GracefulConnection;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};
use tracing::debug;

use super::super::tls::{self, Tls};
use super::body::{RequestBody, ResponseBody};
use super::first::{self, Protocol};
use super::handshake::handshake;
use super::places::Place;
use super::pulse::{Pulse, Verdict};
use super::stream::Stream;
use super::wire::Wire;
use crate::config::Limits;

/// Read and write buffers of a connection, and the largest header list, in bytes.
const BUFFER: usize = 64 << 10;
/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 100;

/// Who sent a request: in the extensions of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub SocketAddr);

/// The request came by TLS: in the extensions of each that did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secure;

/// The user that the client's certificate names: in the extensions of each request of a client that has shown one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateUser(pub Arc<str>);

/// Serves a connection until it ends, breaks a deadline, or is at rest after `leave`.
pub(super) async fn serve<S, B>(
    mut stream: TcpStream,
    client: SocketAddr,
    place: Place,
    service: S,
    limits: Limits,
    tls: Option<Arc<Tls>>,
    leave: CancellationToken,
) where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut read = Vec::new();
    let first = first::protocol(&mut stream, &mut read, limits.idle, limits.headers);
    let Some(Some(protocol)) = leave.run_until_cancelled(first).await else { return };
    let pulse = Pulse::new(&limits, place, protocol == Protocol::Http2, Instant::now());
    let wire = Wire::new(stream, read, pulse.clone());
    let stream = match (protocol, tls) {
        (Protocol::Http1 | Protocol::Http2, _) => Stream::Plain(wire),
        // Boxed, because what they need would be part of every connection.
        (Protocol::Tls, None) => return Box::pin(first::farewell(wire, first::NO_TLS)).await,
        (Protocol::Tls, Some(tls)) => {
            let shaking = Box::pin(handshake(wire, tls.config(), limits.headers, client));
            let Some(Some(stream)) = leave.run_until_cancelled(shaking).await else { return };
            stream
        }
    };
    let secure = protocol == Protocol::Tls;
    let protocol = if secure { stream.agreed() } else { protocol };
    let user = stream.client_certificate().and_then(tls::user).map(|user| CertificateUser(user.into()));
    let answering = pulse.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let running = answering.begin();
        request.extensions_mut().insert(ClientAddress(client));
        if secure {
            request.extensions_mut().insert(Secure);
        }
        if let Some(user) = &user {
            request.extensions_mut().insert(user.clone());
        }
        let answer = service.clone().oneshot(request.map(|body| RequestBody::new(body, limits.slow)));
        async move { answer.await.map(|response| response.map(|body| ResponseBody::new(body, running))) }
    });
    let end = match protocol {
        Protocol::Http2 => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.max_header_list_size(BUFFER as u32).max_send_buf_size(BUFFER).max_concurrent_streams(STREAMS);
            let mut connection = Box::pin(builder.serve_connection(TokioIo::new(stream), service));
            drive(connection.as_mut(), &pulse, &leave).await
        }
        _ => http1(stream, service, &pulse, &leave).await,
    };
    if let End::Cut(reason) = end {
        debug!(%client, reason, "connection closed");
    }
}

/// How a connection, or a part of its life, ended.
enum End {
    Closed,
    Rest,
    Cut(&'static str),
}

/// Serves HTTP/1. A connection that rests keeps its socket alone: hyper's buffers are some 16 KiB, and thousands of clients rest.
async fn http1<S, B>(mut stream: Stream, service: S, pulse: &Pulse, leave: &CancellationToken) -> End
where
    S: HttpService<Incoming, ResBody = ResponseBody<B>, Error = Infallible> + Clone,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut builder = http1::Builder::new();
    // The clock watches the headers too: hyper's own timer knows no difference between them and idle time.
    builder.max_buf_size(BUFFER).max_header_size(BUFFER).header_read_timeout(None);
    loop {
        let mut connection = Box::new(builder.serve_connection(TokioIo::new(stream), service.clone()));
        match drive(Pin::new(&mut *connection), pulse, leave).await {
            End::Rest => {}
            end => return end,
        }
        let parts = connection.into_parts();
        stream = parts.io.into_inner();
        stream.unread(&parts.read_buf);
        drop((parts.read_buf, parts.service));
        match leave.run_until_cancelled(timeout_at(pulse.idle_until(), stream.wake())).await {
            Some(Ok(true)) => {}
            Some(Err(_)) => return End::Cut("no request came in time"),
            Some(Ok(false)) | None => return End::Closed,
        }
    }
}

/// Runs a connection under its clock until it closes, rests, or must be closed.
async fn drive<C: GracefulConnection>(mut connection: Pin<&mut C>, pulse: &Pulse, leave: &CancellationToken) -> End {
    let mut timer = Box::pin(sleep_until(Instant::now()));
    let mut leave = pin!(leave.cancelled());
    let mut leaving = false;
    poll_fn(|cx| {
        if !leaving && leave.as_mut().poll(cx).is_ready() {
            leaving = true;
            pulse.leave();
            connection.as_mut().graceful_shutdown();
        }
        // How a client breaks a connection is nobody's concern: the service sees it where it matters.
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(End::Closed);
        }
        loop {
            match pulse.verdict(Instant::now()) {
                Verdict::Fine => return Poll::Pending,
                Verdict::Rest => return Poll::Ready(End::Rest),
                Verdict::Cut(reason) => return Poll::Ready(End::Cut(reason)),
                Verdict::Until(at) => {
                    if timer.deadline() != at {
                        timer.as_mut().reset(at);
                    }
                    if timer.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    })
    .await
}
