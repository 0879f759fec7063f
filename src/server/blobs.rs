//! `/v2/NAME/blobs/DIGEST`

use axum::body::Body;
use axum::response::Response;
use futures_util::StreamExt;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, RANGE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::access::Wish;
use super::answers::{Refusal, body};
use super::manifests::{CONTENT_DIGEST, NAMESPACE, namespace, text};
use super::{Server, audit};
use crate::auth::Action;
use crate::oci::{ByteRange, Digest, PathName, content_range};
use crate::registry::{Error, Want};
use crate::telemetry;

impl Server {
    pub async fn blob(&self, parts: &Parts, name: &PathName, digest: &Digest) -> Result<Response, Refusal> {
        if parts.method == Method::DELETE {
            return self.delete_blob(parts, name, digest).await;
        }
        let ns = namespace(parts);
        let target = self.registry.target(name.as_str(), ns.as_deref())?;
        let wish = Wish { action: Action::Pull, target: &target, written: name, namespaced: ns.is_some() };
        let caller = self.admit(parts, &wish).await?;
        let reader = self.reader(parts, &caller, &wish, true);
        let want = if parts.method == Method::HEAD { Want::Head } else { Want::Bytes };
        let blob = self.registry.blob(&target, digest, &reader, want).await.map_err(|error| wish.refused(error))?;

        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(CONTENT_DIGEST, text(&digest.to_string())?);
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        let etag = text(&format!("\"{digest}\""))?;
        if let Some(ns) = &ns {
            headers.insert(NAMESPACE, text(ns)?);
        }
        // A part of something else than the client has is of no use to it.
        let same = parts.headers.get(IF_RANGE).is_none_or(|known| *known == etag);
        headers.insert(ETAG, etag);
        let asked = parts.headers.get(RANGE).filter(|_| want == Want::Bytes && same);
        let asked = asked.and_then(|value| value.to_str().ok()).and_then(ByteRange::parse);
        let range = match (blob.total, asked) {
            (Some(total), Some(asked)) => match asked.resolve(total) {
                Ok(range) => range,
                Err(unsatisfiable) => return Ok(out_of_range(&unsatisfiable)),
            },
            _ => None,
        };
        let mut status = StatusCode::OK;
        if let (Some(range), Some(total)) = (&range, blob.total) {
            status = StatusCode::PARTIAL_CONTENT;
            headers.insert(CONTENT_RANGE, text(&content_range(range, total))?);
            headers.insert(CONTENT_LENGTH, (range.end - range.start).into());
        } else if let Some(total) = blob.total {
            headers.insert(CONTENT_LENGTH, total.into());
        }
        let body = match want {
            Want::Head => Body::empty(),
            Want::Bytes => {
                let bytes = self.registry.blob_bytes(blob, range).await?;
                Body::from_stream(bytes.inspect(|chunk| {
                    if let Ok(chunk) = chunk {
                        telemetry::metrics::bytes_out(chunk.len() as u64);
                    }
                }))
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    async fn delete_blob(&self, parts: &Parts, name: &PathName, digest: &Digest) -> Result<Response, Refusal> {
        let (hosted, caller) = self.admit_write(parts, name, Action::Delete).await?;
        self.registry.delete_blob(&hosted, digest, &caller.who).await.map_err(|error: Error| Refusal::from(error))?;
        telemetry::audit::deleted_blob(audit::by(parts, caller.who.name()), &hosted, *digest);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::ACCEPTED;
        Ok(response)
    }
}

fn out_of_range(unsatisfiable: &crate::oci::Unsatisfiable) -> Response {
    let status = StatusCode::RANGE_NOT_SATISFIABLE;
    let mut response = body(status, "SIZE_INVALID", &unsatisfiable.to_string(), serde_json::Value::Null);
    if let Ok(value) = HeaderValue::from_str(&unsatisfiable.content_range()) {
        response.headers_mut().insert(CONTENT_RANGE, value);
    }
    response
}
