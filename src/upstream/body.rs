//! A blob's bytes as they come. The stream ends after its first error; silence, a trickle, and fewer or more bytes than
//! were declared are errors. Time that the reader takes is not held against the upstream.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use reqwest::Response;

use super::wire::broken;
use super::{Cause, Deadlines};

struct Body {
    response: Response,
    /// Bytes still to come, where they were declared.
    left: Option<u64>,
    deadlines: Deadlines,
    /// Time waited, and bytes that came, since the window began.
    waited: Duration,
    arrived: u64,
}

/// The stream of `response`'s body, `length` bytes where that is known.
pub(super) fn body(response: Response, length: Option<u64>, deadlines: Deadlines) -> BoxStream<'static, Result<Bytes, Cause>> {
    let body = Body { response, left: length, deadlines, waited: Duration::ZERO, arrived: 0 };
    stream::unfold(Some(body), |body| async move {
        let mut body = body?;
        match body.next().await {
            Ok(Some(chunk)) => Some((Ok(chunk), Some(body))),
            Ok(None) => None,
            Err(cause) => Some((Err(cause), None)),
        }
    })
    .boxed()
}

impl Body {
    async fn next(&mut self) -> Result<Option<Bytes>, Cause> {
        let began = Instant::now();
        let stall = self.deadlines.stall;
        let chunk = tokio::time::timeout(stall, self.response.chunk()).await;
        let chunk = chunk.map_err(|_| Cause::Broken(format!("not one byte came in {stall:?}")))?.map_err(broken)?;
        let Some(chunk) = chunk else {
            return match self.left {
                Some(left) if left > 0 => Err(Cause::Broken(format!("it ended {left} bytes early"))),
                _ => Ok(None),
            };
        };
        let length = chunk.len() as u64;
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(length).ok_or_else(|| Cause::Broken("more bytes came than were declared".to_owned()))?;
        }
        self.measure(began.elapsed(), length)?;
        Ok(Some(chunk))
    }

    fn measure(&mut self, waited: Duration, arrived: u64) -> Result<(), Cause> {
        self.waited += waited;
        self.arrived += arrived;
        if self.waited < self.deadlines.window {
            return Ok(());
        }
        let enough = self.deadlines.rate as f64 * self.waited.as_secs_f64();
        if (self.arrived as f64) < enough {
            return Err(Cause::Broken(format!("only {} bytes came in {:?}", self.arrived, self.waited)));
        }
        (self.waited, self.arrived) = (Duration::ZERO, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting() -> Body {
        let response = Response::from(http::Response::new(""));
        Body { response, left: None, deadlines: Deadlines::default(), waited: Duration::ZERO, arrived: 0 }
    }

    #[test]
    fn ten_gib_at_eight_kib_a_second_may_take_their_two_weeks() {
        let mut body = waiting();
        for _ in 0..(10_u64 << 30) / 8192 {
            body.measure(Duration::from_secs(1), 8192).unwrap();
        }
    }

    #[test]
    fn a_trickle_ends_with_its_window() {
        let mut body = waiting();
        assert_eq!((0..100).take_while(|_| body.measure(Duration::from_secs(1), 1000).is_ok()).count(), 29);
    }
}
