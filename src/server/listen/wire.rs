//! A TCP connection that tells its clock what passes, and begins with the bytes that were read to learn the protocol.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::pulse::Pulse;

pub(super) struct Wire {
    inner: TcpStream,
    /// What was read already, to be read again.
    first: Vec<u8>,
    pulse: Arc<Pulse>,
}

impl Wire {
    pub(super) fn new(inner: TcpStream, first: Vec<u8>, pulse: Arc<Pulse>) -> Wire {
        Wire { inner, first, pulse }
    }

    /// Puts bytes back that were read too early.
    pub(super) fn unread(&mut self, bytes: &[u8]) {
        self.first.extend_from_slice(bytes);
        if !bytes.is_empty() {
            self.pulse.heard(Instant::now());
        }
    }

    pub(super) fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Waits for the client to speak; `false`: it left.
    pub(super) async fn wake(&mut self) -> bool {
        let mut room = [0; 64];
        while self.first.is_empty() {
            match self.inner.read(&mut room).await {
                Ok(count) if count > 0 => self.unread(&room[..count]),
                _ => return false,
            }
        }
        true
    }

    fn watch(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(count)) => self.pulse.wrote(*count, Instant::now()),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.pulse.blocked(Instant::now()),
        }
        written
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let count = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first[..count]);
            match count == self.first.len() {
                true => self.first = Vec::new(),
                false => drop(self.first.drain(..count)),
            }
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.pulse.heard(Instant::now());
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.watch(written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.watch(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl Drop for Wire {
    /// Resets the connection of a reader that was too slow: else the kernel would keep its unread bytes for minutes.
    fn drop(&mut self) {
        if self.pulse.was_too_slow() {
            // Without it the kernel gives up later; there is nobody to tell.
            drop(SockRef::from(&self.inner).set_linger(Some(Duration::ZERO)));
        }
    }
}
