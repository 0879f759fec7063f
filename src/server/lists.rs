//! Lists over HTTP: tags, referrers and the catalog, page by page.

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue, LINK, WARNING};
use http::request::Parts;
use serde_json::json;

use super::access::{Caller, Wish};
use super::answers::Refusal;
use super::manifests::{namespace, parameter, text};
use super::{Server, audit};
use crate::auth::{Action, Fault, Verdict, Who, judge_listing};
use crate::oci::{Digest, PathName, Referrer, Scope};
use crate::registry::{Page, Reader, Sight, Wanted};
use crate::telemetry;

/// The most entries of one page, and how many there are when nobody says.
const PAGE: usize = 1000;

impl Server {
    /// `/v2/`: without valid credentials always the challenge, so that log-ins tell the truth.
    pub async fn base_route(&self, parts: &Parts) -> Result<Response, Refusal> {
        let caller = self.caller(parts, false, &[]).await?;
        if caller.claims.is_none() && (caller.who == Who::Anonymous || !caller.presented) {
            return Err(Refusal::challenge("this is a registry: clients get a token (an anonymous one will do) and come back", &[], None));
        }
        if caller.claims.is_none() {
            telemetry::audit::logged_in(audit::by(parts, caller.who.name()));
        }
        Ok(Json(json!({})).into_response())
    }

    pub async fn tags(&self, parts: &Parts, name: &PathName) -> Result<Response, Refusal> {
        let ns = namespace(parts);
        let target = self.registry.target(name.as_str(), ns.as_deref())?;
        let wish = Wish { action: Action::Pull, target: &target, written: name, namespaced: ns.is_some() };
        let caller = self.admit(parts, &wish).await?;
        let reader = Reader::new(caller.who, Sight::Everything);
        let (limit, last) = (number(parts, "n", PAGE)?.min(PAGE), parameter(parts, "last"));
        let page = self.registry.tags(&target, last.as_deref(), limit, &reader).await.map_err(|error| wish.refused(error))?;
        let tags: Vec<_> = page.entries.iter().map(|tag| tag.as_str()).collect();
        let next = tags.last().map(|last| vec![("n", limit.to_string()), ("last", (*last).to_owned())]);
        let same = ns.map(|ns| ("ns", ns));
        let response = Json(json!({ "name": name.as_str(), "tags": tags })).into_response();
        listed(response, &page, &format!("/v2/{name}/tags/list"), next.into_iter().flatten().chain(same))
    }

    pub async fn catalog(&self, parts: &Parts) -> Result<Response, Refusal> {
        let caller = self.admit_listing(parts).await?;
        let hosted_only = match parameter(parts, "source").as_deref() {
            None => false,
            Some("hosted") => true,
            Some(other) => return Err(unusable(format!("source={other}: the one source that can be asked for is source=hosted"))),
        };
        let (limit, last) = (number(parts, "n", PAGE)?.min(PAGE), parameter(parts, "last"));
        let reader = Reader::new(caller.who.clone(), Sight::Everything);
        let page = self.registry.catalog(last.as_deref(), limit, hosted_only, &reader).await?;
        let next = page.entries.last().map(|last| vec![("n", limit.to_string()), ("last", last.clone())]);
        let same = hosted_only.then(|| ("source", "hosted".to_owned()));
        let response = Json(json!({ "repositories": page.entries })).into_response();
        listed(response, &page, "/v2/_catalog", next.into_iter().flatten().chain(same))
    }

    /// The manifests that name this one as their subject, as an image index.
    pub async fn referrers(&self, parts: &Parts, name: &PathName, digest: &Digest) -> Result<Response, Refusal> {
        let ns = namespace(parts);
        let target = self.registry.target(name.as_str(), ns.as_deref())?;
        let wish = Wish { action: Action::Pull, target: &target, written: name, namespaced: ns.is_some() };
        let caller = self.admit(parts, &wish).await?;
        let reader = Reader::new(caller.who, Sight::Everything);
        let filter = parameter(parts, "artifactType");
        let after = parameter(parts, "last").map(|text| text.parse());
        let after = after.transpose().map_err(|why| unusable(format!("last={}: {why}", parameter(parts, "last").unwrap_or_default())))?;
        let wanted = Wanted { artifact_type: filter.as_deref(), after, limit: number(parts, "n", PAGE)?.min(PAGE) };
        let page = self.registry.referrers(&target, digest, wanted, &reader).await.map_err(|error| wish.refused(error))?;
        let mut response = Response::new(Body::from(Referrer::index(&page.entries)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Referrer::INDEX));
        if filter.is_some() {
            response.headers_mut().insert("oci-filters-applied", HeaderValue::from_static("artifactType"));
        }
        let next = page.entries.last().map(|last| vec![("n", wanted.limit.to_string()), ("last", last.digest.to_string())]);
        let same = filter.clone().map(|filter| ("artifactType", filter)).into_iter().chain(ns.map(|ns| ("ns", ns)));
        listed(response, &page, &format!("/v2/{name}/referrers/{digest}"), next.into_iter().flatten().chain(same))
    }

    /// Who may list repositories: a token that was made for it, or for nothing in particular, and whoever may pull.
    pub async fn admit_listing(&self, parts: &Parts) -> Result<Caller, Refusal> {
        let lenient = judge_listing(&self.policy.rules(), &Who::Anonymous) == Verdict::Allowed;
        let caller = self.caller(parts, lenient, &[Scope::catalog()]).await?;
        if judge_listing(&self.policy.rules(), &caller.who) != Verdict::Allowed {
            let text = "listing repositories needs a log-in: docker login HOST, then try again";
            return Err(Refusal::challenge(text, &[Scope::catalog()], None));
        }
        if caller.claims.as_ref().is_some_and(|claims| !claims.grants_listing()) {
            let text = "the token was not made for listing repositories; ask for another one";
            return Err(Refusal::challenge(text, &[Scope::catalog()], Some(Fault::InsufficientScope)));
        }
        Ok(caller)
    }
}

/// A parameter that is a number; `otherwise` where it is not there.
pub fn number(parts: &Parts, name: &str, otherwise: usize) -> Result<usize, Refusal> {
    let Some(text) = parameter(parts, name) else { return Ok(otherwise) };
    // What is too large for a number is no less clear.
    match !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit()) {
        true => Ok(text.parse().unwrap_or(usize::MAX)),
        false => Err(unusable(format!("{name}={text} is no number: ask with {name}=100, or without {name}"))),
    }
}

fn unusable(message: String) -> Refusal {
    Refusal::Malformed { code: "PAGINATION_NUMBER_INVALID", message }
}

/// The answer with the address of the next page, where there is one, and a warning where entries may be missing.
fn listed<T>(
    mut response: Response,
    page: &Page<T>,
    path: &str,
    next: impl Iterator<Item = (&'static str, String)>,
) -> Result<Response, Refusal> {
    let headers = response.headers_mut();
    if page.more {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(next).finish();
        headers.insert(LINK, text(&format!("<{path}?{query}>; rel=\"next\""))?);
    }
    if page.stale {
        let warning = "110 entrepot \"the upstream could not be asked: this list has what is known here\"";
        headers.insert(WARNING, HeaderValue::from_static(warning));
    }
    Ok(response)
}
