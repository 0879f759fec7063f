//! Blobs: whether one is there, and its bytes from any offset. What an answer says about ranges and lengths is
//! checked before a byte is handed out.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, RANGE};
use http::{Method, StatusCode};

use super::body::body;
use super::client::{Asking, Kind, Upstream};
use super::endpoints::Endpoint;
use super::request::Ask;
use super::verdict::{Trouble, media_type};
use super::{BlobAnswer, Budget, Cause, Refusal};
use crate::oci::{Digest, RepositoryName, parse_content_range};

impl Upstream {
    /// Whether the blob is there: its size, or `None` where the upstream does not tell it.
    ///
    /// # Errors
    /// As [`Refusal`] says.
    pub async fn head_blob(&self, name: &RepositoryName, digest: &Digest, budget: Budget) -> Result<Option<u64>, Refusal> {
        self.ask(&asking(Kind::BlobHead, name, digest), budget, |endpoint| self.head_blob_from(endpoint, name, digest)).await
    }

    /// The blob's bytes from the offset `from`, unverified; of `size` bytes in all, where that is known. The budget ends with
    /// the headers; the body has none.
    ///
    /// # Errors
    /// As [`Refusal`] says.
    pub async fn blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: u64,
        size: Option<u64>,
        budget: Budget,
    ) -> Result<BlobAnswer, Refusal> {
        let passed_over = self.wrong.get(digest).unwrap_or(0);
        let asking = Asking { passed_over, goes_on: from > 0, ..asking(Kind::Blob, name, digest) };
        self.ask(&asking, budget, |endpoint| self.blob_from(endpoint, &asking, digest, from..u64::MAX, size)).await
    }

    /// The bytes of `part`, which is not empty and lies within the blob, as [`Upstream::blob`] gives those from an offset.
    ///
    /// # Errors
    /// As [`Refusal`] says.
    pub async fn blob_part(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        part: Range<u64>,
        size: Option<u64>,
        budget: Budget,
    ) -> Result<BlobAnswer, Refusal> {
        let passed_over = self.wrong.get(digest).unwrap_or(0);
        let asking = Asking { passed_over, goes_on: true, ..asking(Kind::Blob, name, digest) };
        self.ask(&asking, budget, |endpoint| self.blob_from(endpoint, &asking, digest, part.clone(), size)).await
    }

    async fn head_blob_from(&self, endpoint: &Endpoint, name: &RepositoryName, digest: &Digest) -> Result<Option<u64>, Trouble> {
        let ask = question(Kind::BlobHead, Method::HEAD, name, digest);
        let reply = self.request(endpoint, &ask).await?;
        refuse_page(reply.response.headers())?;
        match length(reply.response.headers()) {
            Some(0) if !digest.matches(b"") => Err(malformed("it is empty").into()),
            length => Ok(length),
        }
    }

    async fn blob_from(
        &self,
        endpoint: &Endpoint,
        asking: &Asking<'_>,
        digest: &Digest,
        part: Range<u64>,
        size: Option<u64>,
    ) -> Result<BlobAnswer, Trouble> {
        let mut ask = question(Kind::Blob, Method::GET, asking.name, digest);
        let (from, until) = (part.start, Some(part.end).filter(|end| *end < u64::MAX));
        if from > 0 || until.is_some() {
            let last = until.map(|until| (until - 1).to_string()).unwrap_or_default();
            let range = HeaderValue::try_from(format!("bytes={from}-{last}")).expect("digits are a header value");
            ask.headers.insert(RANGE, range);
        }
        let began = Instant::now();
        let reply = self.request(endpoint, &ask).await?;
        refuse_page(reply.response.headers())?;
        let extent = extent(reply.response.status(), reply.response.headers(), from, until)?;
        match (extent.total, size) {
            (Some(0), _) if !digest.matches(b"") => return Err(malformed("it is empty").into()),
            (Some(total), Some(size)) if total != size => return Err(malformed(&format!("it has {total} bytes, not {size}")).into()),
            _ => {}
        }
        let tag = reply.response.headers().get(ETAG).and_then(|value| Some(value.to_str().ok()?.to_owned()));
        let body = body(reply.response, extent.length, self.deadlines);
        let (attempt, wrong, digest) = (self.attempt(asking, endpoint, began), self.wrong.clone(), *digest);
        let blame = move |cause: &Cause| {
            attempt.failed(cause);
            if matches!(cause, Cause::WrongBytes(_) | Cause::Malformed { .. }) {
                wrong.insert(digest, wrong.get(&digest).unwrap_or(0) + 1);
            }
        };
        Ok(BlobAnswer { start: extent.start, total: extent.total, tag, body, blame: Arc::new(blame) })
    }
}

fn asking<'a>(kind: Kind, name: &'a RepositoryName, digest: &Digest) -> Asking<'a> {
    Asking::new(kind, name, format!("blobs/{digest}"))
}

fn question<'a>(kind: Kind, method: Method, name: &'a RepositoryName, digest: &Digest) -> Ask<'a> {
    Ask { kind, method, name, what: format!("blobs/{digest}"), query: String::new(), headers: HeaderMap::new(), anonymous: false }
}

fn malformed(text: &str) -> Cause {
    Cause::Malformed { what: "blob", text: text.to_owned() }
}

/// A log-in page of a network in between, answered with 200.
fn refuse_page(headers: &HeaderMap) -> Result<(), Cause> {
    match media_type(headers).as_deref() {
        Some("text/html" | "application/xhtml+xml") => Err(malformed("it is a page")),
        _ => Ok(()),
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Which bytes an answer carries.
#[derive(Debug, PartialEq, Eq)]
struct Extent {
    start: u64,
    /// Of this body.
    length: Option<u64>,
    /// Of the whole blob.
    total: Option<u64>,
}

/// Reads status, `Content-Range` and `Content-Length`, and refuses what does not fit what was asked or one another.
fn extent(status: StatusCode, headers: &HeaderMap, from: u64, until: Option<u64>) -> Result<Extent, Cause> {
    let length = length(headers);
    if status == StatusCode::OK {
        return Ok(Extent { start: 0, length, total: length });
    }
    let text = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wrong = || malformed(&format!("asked from byte {from} it answered with Content-Range {text:?}"));
    let (range, total) = parse_content_range(text).ok_or_else(wrong)?;
    let promised = range.end - range.start;
    let asked = (from > 0 || until.is_some()) && range.start == from && until.is_none_or(|until| range.end == until);
    let fits = asked && length.is_none_or(|length| length == promised);
    if fits { Ok(Extent { start: from, length: Some(promised), total }) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = Option<(u64, Option<u64>, Option<u64>)>;

    fn read(status: u16, range: &str, length: Option<&str>, from: u64) -> Read {
        read_part(status, range, length, from, None)
    }

    fn read_part(status: u16, range: &str, length: Option<&str>, from: u64, until: Option<u64>) -> Read {
        let mut headers = HeaderMap::new();
        if !range.is_empty() {
            headers.insert(CONTENT_RANGE, range.parse().unwrap());
        }
        if let Some(length) = length {
            headers.insert(CONTENT_LENGTH, length.parse().unwrap());
        }
        let extent = extent(StatusCode::from_u16(status).unwrap(), &headers, from, until).ok()?;
        Some((extent.start, extent.length, extent.total))
    }

    #[test]
    fn a_range_that_is_not_the_asked_one_is_refused() {
        assert_eq!(read(200, "", Some("10"), 0), Some((0, Some(10), Some(10))));
        assert_eq!(read(200, "", Some("10"), 4), Some((0, Some(10), Some(10))));
        assert_eq!(read(200, "", None, 4), Some((0, None, None)));
        assert_eq!(read(206, "bytes 4-9/10", Some("6"), 4), Some((4, Some(6), Some(10))));
        assert_eq!(read(206, "bytes 4-9/*", None, 4), Some((4, Some(6), None)));
        assert_eq!(read(206, "bytes 4-7/10", Some("4"), 4), Some((4, Some(4), Some(10))));
        assert_eq!(read_part(206, "bytes 4-7/10", Some("4"), 4, Some(8)), Some((4, Some(4), Some(10))));
        assert_eq!(read_part(206, "bytes 0-7/10", Some("8"), 0, Some(8)), Some((0, Some(8), Some(10))));
        for range in ["bytes 4-6/10", "bytes 4-9/10", "bytes 5-7/10", "bytes 0-3/10"] {
            assert_eq!(read_part(206, range, None, 4, Some(8)), None, "{range}");
        }
        for (range, length, from) in [
            ("", Some("6"), 4),
            ("bytes 0-9/10", Some("10"), 4),
            ("bytes 5-9/10", Some("5"), 4),
            ("bytes 4-9/10", Some("7"), 4),
            ("bytes 4-9/9", Some("6"), 4),
            ("bytes 9-4/10", None, 9),
            ("bytes 4-18446744073709551615/*", None, 4),
            ("bytes 0-9/10", Some("10"), 0),
            ("4-9/10", Some("6"), 4),
        ] {
            assert_eq!(read(206, range, length, from), None, "{range}");
        }
    }
}
