//! What a refused request still sends is read and dropped, so that its client gets the answer and can go on with the connection.
//!
//! A connection that is closed while its client still writes is reset, and the answer is lost with it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::header::{CONNECTION, EXPECT};
use http::request::Parts;
use http::{HeaderValue, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;

/// The most that is read for nothing, in bytes.
const MOST: usize = 16 << 20;

/// And the longest.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where a body comes back to when nobody reads it any more.
#[derive(Clone, Default)]
pub struct Returned(Arc<Mutex<Option<Body>>>);

struct Lent {
    body: Body,
    back: Returned,
}

impl Returned {
    /// The body, as the one who answers gets it.
    pub fn lend(&self, body: Body) -> Body {
        match body.is_end_stream() {
            true => body,
            false => Body::new(Lent { body, back: self.clone() }),
        }
    }

    /// Reads what was left of it. The connection ends with this answer when that is too much.
    pub async fn finish(self, parts: &Parts, response: &mut Response) {
        let Some(mut rest) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        // A client that asked whether it may send has sent nothing yet, and reading would tell it to.
        let most = if parts.headers.contains_key(EXPECT) { 0 } else { MOST };
        let read = tokio::time::timeout(PATIENCE, async {
            let mut left = most;
            while left > 0 {
                let Some(Ok(frame)) = rest.frame().await else { return true };
                left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            }
            false
        });
        if parts.version < Version::HTTP_2 && !read.await.unwrap_or(false) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            let body = std::mem::take(&mut self.body);
            *self.back.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
