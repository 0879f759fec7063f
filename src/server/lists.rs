//! Lists over HTTP: the base route, tags, referrers and the catalog, page by page.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::LINK;
use http::request::Parts;
use serde_json::json;

use super::Server;
use super::access::Wish;
use super::answers::Refusal;
use super::manifests::{namespace, parameter, text};
use crate::auth::{Action, Fault, Verdict, Who, judge_listing};
use crate::oci::{Digest, PathName, Scope};
use crate::registry::{Reader, Sight};

/// The most entries of one page, and how many there are when nobody says.
const PAGE: usize = 1000;

impl Server {
    /// `/v2/`: without valid credentials always the challenge, so that log-ins tell the truth.
    pub async fn base_route(&self, parts: &Parts) -> Result<Response, Refusal> {
        let caller = self.caller(parts, false, &[]).await?;
        if caller.claims.is_none() && caller.who == Who::Anonymous {
            return Err(Refusal::challenge("this is a registry: clients get a token (an anonymous one will do) and come back", &[], None));
        }
        Ok(Json(json!({})).into_response())
    }

    pub async fn tags(&self, parts: &Parts, name: &PathName) -> Result<Response, Refusal> {
        let ns = namespace(parts);
        let target = self.registry.target(name.as_str(), ns.as_deref())?;
        let wish = Wish { action: Action::Pull, target: &target, written: name, namespaced: ns.is_some() };
        let caller = self.admit(parts, &wish).await?;
        let reader = Reader::new(caller.who, Sight::Everything);
        let (limit, last) = (limit(parts)?, parameter(parts, "last"));
        let page = match limit {
            0 => self
                .registry
                .tags(&target, last.as_deref(), 1, &reader)
                .await
                .map(|page| crate::registry::Page { entries: Vec::new(), ..page }),
            limit => self.registry.tags(&target, last.as_deref(), limit, &reader).await,
        }?;
        let tags: Vec<_> = page.entries.iter().map(|tag| tag.as_str()).collect();
        let same = ns.map(|ns| format!("&ns={ns}")).unwrap_or_default();
        let next = tags.last().filter(|_| page.more).map(|last| format!("/v2/{name}/tags/list?n={limit}&last={last}{same}"));
        listed(json!({ "name": name.as_str(), "tags": tags }), next)
    }

    pub async fn catalog(&self, parts: &Parts) -> Result<Response, Refusal> {
        let lenient = judge_listing(&self.rules, &Who::Anonymous) == Verdict::Allowed;
        let caller = self.caller(parts, lenient, &[Scope::catalog()]).await?;
        if judge_listing(&self.rules, &caller.who) != Verdict::Allowed {
            return Err(Refusal::challenge(
                "listing repositories needs a log-in: docker login HOST, then try again",
                &[Scope::catalog()],
                None,
            ));
        }
        if caller.claims.as_ref().is_some_and(|claims| !claims.grants_listing()) {
            let text = "the token was not made for listing repositories; ask for another one";
            return Err(Refusal::challenge(text, &[Scope::catalog()], Some(Fault::InsufficientScope)));
        }
        let hosted_only = parameter(parts, "source").as_deref() == Some("hosted");
        let reader = Reader::new(caller.who, Sight::Everything);
        let (limit, last) = (limit(parts)?, parameter(parts, "last"));
        let page = self.registry.catalog(last.as_deref(), limit, hosted_only, &reader).await?;
        let source = if hosted_only { "&source=hosted" } else { "" };
        let next = page.entries.last().filter(|_| page.more).map(|last| format!("/v2/_catalog?n={limit}&last={last}{source}"));
        listed(json!({ "repositories": page.entries }), next)
    }

    /// The manifests that name this one as their subject, as an image index.
    pub async fn referrers(&self, parts: &Parts, name: &PathName, digest: &Digest) -> Result<Response, Refusal> {
        let ns = namespace(parts);
        let target = self.registry.target(name.as_str(), ns.as_deref())?;
        let wish = Wish { action: Action::Pull, target: &target, written: name, namespaced: ns.is_some() };
        let caller = self.admit(parts, &wish).await?;
        let reader = Reader::new(caller.who, Sight::Everything);
        let filter = parameter(parts, "artifactType");
        let found = self.registry.referrers(&target, digest, filter.as_deref(), &reader).await?;
        let manifests: Vec<_> = found
            .iter()
            .map(|(digest, row)| {
                let mut entry = json!({ "mediaType": row.media_type, "digest": digest, "size": row.size });
                if let Some(artifact_type) = &row.artifact_type {
                    entry["artifactType"] = json!(artifact_type);
                }
                if !row.annotations.is_empty() {
                    entry["annotations"] =
                        row.annotations.iter().map(|(key, value)| (key.clone(), json!(value))).collect::<serde_json::Map<_, _>>().into();
                }
                entry
            })
            .collect();
        let index = "application/vnd.oci.image.index.v1+json";
        let mut response = Json(json!({ "schemaVersion": 2, "mediaType": index, "manifests": manifests })).into_response();
        response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(index));
        if filter.is_some() {
            response.headers_mut().insert("oci-filters-applied", http::HeaderValue::from_static("artifactType"));
        }
        Ok(response)
    }
}

fn limit(parts: &Parts) -> Result<usize, Refusal> {
    match parameter(parts, "n") {
        None => Ok(PAGE),
        Some(text) => match text.parse::<u64>() {
            Ok(n) => Ok((n as usize).min(PAGE)),
            Err(_) => Err(Refusal::Malformed { code: "PAGINATION_NUMBER_INVALID", message: format!("n={text} is no number of entries") }),
        },
    }
}

fn listed(list: serde_json::Value, next: Option<String>) -> Result<Response, Refusal> {
    let mut response = Json(list).into_response();
    if let Some(next) = next {
        response.headers_mut().insert(LINK, text(&format!("<{next}>; rel=\"next\""))?);
    }
    Ok(response)
}
