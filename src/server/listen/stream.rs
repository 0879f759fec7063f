//! A connection as HTTP reads it: over TLS, or as it comes. The clock watches the wire below.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

use super::first::Protocol;
use super::wire::Wire;

pub(super) enum Stream {
    Plain(Wire),
    Secure {
        /// Boxed, because most connections are plain.
        tls: Box<TlsStream<Wire>>,
        /// What was read already, to be read again.
        first: Vec<u8>,
    },
}

impl Stream {
    pub fn secure(tls: TlsStream<Wire>) -> Stream {
        Stream::Secure { tls: Box::new(tls), first: Vec::new() }
    }

    /// The protocol that was agreed upon within TLS.
    pub fn agreed(&self) -> Protocol {
        match self {
            Stream::Secure { tls, .. } if tls.get_ref().1.alpn_protocol() == Some(b"h2") => Protocol::Http2,
            _ => Protocol::Http1,
        }
    }

    /// The certificate that the client has shown and that was found good.
    pub fn client_certificate(&self) -> Option<&CertificateDer<'static>> {
        match self {
            Stream::Plain(_) => None,
            Stream::Secure { tls, .. } => tls.get_ref().1.peer_certificates()?.first(),
        }
    }

    /// Puts bytes back that were read too early.
    pub fn unread(&mut self, bytes: &[u8]) {
        match self {
            Stream::Plain(wire) => wire.unread(bytes),
            Stream::Secure { tls, first } => {
                first.extend_from_slice(bytes);
                if !bytes.is_empty() {
                    tls.get_ref().0.pulse().heard(Instant::now());
                }
            }
        }
    }

    /// Waits for the client to speak; `false`: it left.
    pub async fn wake(&mut self) -> bool {
        match self {
            Stream::Plain(wire) => wire.wake().await,
            Stream::Secure { first, .. } if !first.is_empty() => true,
            Stream::Secure { tls, .. } => tls.get_mut().0.wake().await,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(wire) => Pin::new(wire).poll_read(cx, buffer),
            Stream::Secure { first, .. } if !first.is_empty() => {
                let count = first.len().min(buffer.remaining());
                buffer.put_slice(&first[..count]);
                first.drain(..count);
                Poll::Ready(Ok(()))
            }
            Stream::Secure { tls, .. } => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(wire) => Pin::new(wire).poll_write(cx, bytes),
            Stream::Secure { tls, .. } => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(wire) => Pin::new(wire).poll_write_vectored(cx, slices),
            Stream::Secure { tls, .. } => Pin::new(tls).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(wire) => Pin::new(wire).poll_flush(cx),
            Stream::Secure { tls, .. } => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(wire) => Pin::new(wire).poll_shutdown(cx),
            Stream::Secure { tls, .. } => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
