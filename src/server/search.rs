//! Docker's old search protocol: what `docker search HOST/TERM` and `podman search HOST/TERM` ask.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::request::Parts;
use serde_json::json;

use super::Server;
use super::answers::Refusal;
use super::lists::number;
use super::manifests::parameter;
use crate::registry::{Reader, Sight};

/// Results of one page: how many there are when nobody says, and at most.
const PAGE: usize = 25;
const MOST: usize = 100;

impl Server {
    /// `/v1/_ping`: a registry that can be searched.
    pub fn ping(&self) -> Response {
        let mut response = Json(json!({ "version": env!("CARGO_PKG_VERSION"), "standalone": true })).into_response();
        response.headers_mut().insert("x-docker-registry-standalone", HeaderValue::from_static("true"));
        response
    }

    /// `/v1/search?q=TERM&n=25&page=1`
    pub async fn search(&self, parts: &Parts) -> Result<Response, Refusal> {
        let caller = self.admit_listing(parts).await?;
        let term = parameter(parts, "q").unwrap_or_default();
        let size = number(parts, "n", PAGE)?.clamp(1, MOST);
        let page = number(parts, "page", 1)?.max(1);
        let reader = Reader::new(caller.who.clone(), Sight::Everything);
        let found = self.registry.search(&term, &reader).await?;
        let results: Vec<_> = found.iter().skip((page - 1).saturating_mul(size)).take(size).collect();
        let answer = json!({
            "query": term,
            "num_results": found.len(),
            "num_pages": found.len().div_ceil(size),
            "page": page,
            "page_size": size,
            "results": results,
        });
        Ok(Json(answer).into_response())
    }
}
