//! Bodies as the accept loop hands them on: a request's that may not stall, an answer's that tells whether its client takes it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use super::pulse::Running;

/// What a client sends. It fails when nothing comes for as long as a slow client may take.
pub struct RequestBody {
    inner: Incoming,
    patience: Duration,
    /// Runs while the service waits for the client.
    silence: Option<Pin<Box<Sleep>>>,
}

/// Why a request's body broke off.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    #[error("the client sent nothing for {0:?}")]
    Stalled(Duration),
    #[error("the client's connection broke")]
    Broken(#[source] hyper::Error),
}

impl RequestBody {
    pub(super) fn new(inner: Incoming, patience: Duration) -> RequestBody {
        RequestBody { inner, patience, silence: None }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            self.silence = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(RequestBodyError::Broken)));
        }
        let patience = self.patience;
        let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(patience)));
        silence.as_mut().poll(cx).map(|()| Some(Err(RequestBodyError::Stalled(patience))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// What the service answers. Between a frame given and the next one asked for, the client is not taking what is ready.
pub(super) struct ResponseBody<B> {
    inner: B,
    running: Running,
}

impl<B> ResponseBody<B> {
    pub(super) fn new(inner: B, running: Running) -> ResponseBody<B> {
        ResponseBody { inner, running }
    }
}

impl<B: Body + Unpin> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.running.hand(false, Instant::now());
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if matches!(frame, Poll::Ready(Some(Ok(_)))) {
            self.running.hand(true, Instant::now());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
