//! `/v2/NAME/manifests/REFERENCE`

use std::time::{Duration, UNIX_EPOCH};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, WARNING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::access::Wish;
use super::answers::Refusal;
use super::{Server, audit};
use crate::auth::Action;
use crate::oci::{InvalidRoute, MAX_MANIFEST, PathName, Reference, RepositoryName, Tag};
use crate::registry::{Error, Found, Kind, Target, Want};

pub const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub const NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
const TAG: HeaderName = HeaderName::from_static("oci-tag");

/// The most tags that one push names.
const TAGS: usize = 100;

impl Server {
    pub async fn manifest(&self, parts: &Parts, name: &PathName, reference: &Reference, body: Body) -> Result<Response, Refusal> {
        match parts.method {
            Method::PUT => self.put_manifest(parts, name, reference, body).await,
            Method::DELETE => self.delete_manifest(parts, name, reference).await,
            _ => self.get_manifest(parts, name, reference).await,
        }
    }

    async fn get_manifest(&self, parts: &Parts, name: &PathName, reference: &Reference) -> Result<Response, Refusal> {
        let ns = namespace(parts);
        let target = self.registry.target(name.as_str(), ns.as_deref())?;
        let wish = Wish { action: Action::Pull, target: &target, written: name, namespaced: ns.is_some() };
        let caller = self.admit(parts, &wish).await?;
        let reader = self.reader(parts, &caller, &wish, false);
        let want = if parts.method == Method::HEAD { Want::Head } else { Want::Bytes };
        let asked = self.registry.manifest(&target, reference, &reader, want).await;
        let (found, ticket) = asked.map_err(|error| wish.refused(error))?;
        let headers = headers(&found, ns.as_deref())?;
        if want == Want::Bytes {
            self.keep_hot(parts, &wish, &headers, &found, ticket);
        }
        let mut response = Response::new(match (want, found.bytes) {
            (Want::Bytes, Some(bytes)) => Body::from(bytes),
            _ => Body::empty(),
        });
        *response.headers_mut() = headers;
        Ok(response)
    }

    async fn put_manifest(&self, parts: &Parts, name: &PathName, reference: &Reference, body: Body) -> Result<Response, Refusal> {
        let (hosted, caller) = self.admit_write(parts, name, Action::Push).await?;
        let target = Target::Group(hosted.clone());
        let wish = Wish { action: Action::Shadow, target: &target, written: name, namespaced: false };
        let shadows = self.admit_shadow(&caller, &hosted, &wish).await?;
        let tags = tag_parameters(parts, reference)?;
        let bytes = whole(body, MAX_MANIFEST).await?;
        let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let content_type = content_type.split(';').next().unwrap_or("").trim();
        let reader = self.reader(parts, &caller, &wish, false);
        let published = self.registry.put_manifest(&hosted, reference, &tags, content_type, bytes, &reader).await?;
        audit::pushed(parts, &caller, &hosted, reference, &published, shadows);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::CREATED;
        let headers = response.headers_mut();
        headers.insert(LOCATION, text(&format!("/v2/{name}/manifests/{reference}"))?);
        headers.insert(CONTENT_DIGEST, text(&published.digest.to_string())?);
        for tag in &tags {
            headers.append(TAG, text(tag.as_str())?);
        }
        if let Some(subject) = published.subject {
            headers.insert(HeaderName::from_static("oci-subject"), text(&subject.to_string())?);
        }
        Ok(response)
    }

    async fn delete_manifest(&self, parts: &Parts, name: &PathName, reference: &Reference) -> Result<Response, Refusal> {
        let (hosted, caller) = self.admit_write(parts, name, Action::Delete).await?;
        let gone = self.registry.delete_manifest(&hosted, reference, &caller.who).await?;
        audit::deleted(parts, &caller, &hosted, reference, &gone);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::ACCEPTED;
        Ok(response)
    }

    /// A write goes to the hosted store: a name of an upstream's is refused.
    pub async fn admit_write(
        &self,
        parts: &Parts,
        name: &PathName,
        action: Action,
    ) -> Result<(RepositoryName, super::access::Caller), Refusal> {
        let ns = namespace(parts);
        let target = self.registry.target(name.as_str(), ns.as_deref())?;
        let wish = Wish { action, target: &target, written: name, namespaced: ns.is_some() };
        let caller = self.admit(parts, &wish).await?;
        match target {
            Target::Group(hosted) => Ok((hosted, caller)),
            Target::Upstream(repository) => {
                let origin = &repository.origin;
                let (kind, text) = match action {
                    Action::Delete => (
                        Kind::Unsupported,
                        format!(
                            "{repository} is cached from {origin} and cannot be deleted here; an administrator can purge it from the cache"
                        ),
                    ),
                    _ => (
                        Kind::Denied,
                        format!(
                            "{repository} belongs to {origin} and cannot be pushed to here; push under a name of your own, such as team/{}",
                            repository.name.last()
                        ),
                    ),
                };
                Err(Error::new(kind, text).into())
            }
        }
    }

    /// Pushing what hides an upstream's image from every client needs a right of its own; whether this does.
    pub async fn admit_shadow(&self, caller: &super::access::Caller, hosted: &RepositoryName, wish: &Wish<'_>) -> Result<bool, Refusal> {
        if !self.registry.shadows(hosted).await? {
            return Ok(false);
        }
        self.judge(caller, wish).map_err(|refusal| match refusal {
            Refusal::Denied(_) => Refusal::denied(format!(
                "{hosted} is also an upstream's image, and pushing it changes what every client gets: push to team/{}, or have an administrator grant you shadow",
                hosted.last()
            )),
            other => other,
        })?;
        Ok(true)
    }
}

/// The `ns` parameter: the registry that the client means.
pub fn namespace(parts: &Parts) -> Option<String> {
    parameter(parts, "ns")
}

/// One query parameter, decoded; the first of its name.
pub fn parameter(parts: &Parts, name: &str) -> Option<String> {
    parameters(parts, name).next()
}

/// Every query parameter of that name, decoded.
fn parameters(parts: &Parts, name: &str) -> impl Iterator<Item = String> {
    let pairs = url::form_urlencoded::parse(parts.uri.query().unwrap_or("").as_bytes());
    pairs.filter(move |(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The tags that a push by digest names besides; with a push by tag they mean nothing.
fn tag_parameters(parts: &Parts, reference: &Reference) -> Result<Vec<Tag>, Refusal> {
    let mut tags = Vec::new();
    if matches!(reference, Reference::Digest(_)) {
        for text in parameters(parts, "tag") {
            let tag: Tag = text.parse().map_err(|_| InvalidRoute::Tag)?;
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
    }
    match tags.len() > TAGS {
        true => Err(Error::new(Kind::TooManyTags, format!("one push names at most {TAGS} tags; push the others after it")).into()),
        false => Ok(tags),
    }
}

/// The whole body, if it is not longer than `limit`.
pub async fn whole(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let too_large = || Error::new(Kind::ManifestTooLarge, format!("this is larger than the {limit} bytes that are taken"));
    // Who says so beforehand is told so beforehand.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large().into());
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large().into()),
        Err(_) => Err(Refusal::Malformed { code: "MANIFEST_INVALID", message: "the request broke off; send it again".into() }),
    }
}

/// A header's value.
pub fn text(value: &str) -> Result<HeaderValue, Refusal> {
    HeaderValue::from_str(value).map_err(|_| Error::new(Kind::Internal, "an answer could not be written as a header").into())
}

fn headers(found: &Found, ns: Option<&str>) -> Result<HeaderMap, Refusal> {
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(CONTENT_TYPE, text(&found.media_type)?);
    headers.insert(CONTENT_DIGEST, text(&found.digest.to_string())?);
    if let Some(size) = found.size {
        headers.insert(CONTENT_LENGTH, size.into());
    }
    if let Some(ns) = ns {
        headers.insert(NAMESPACE, text(ns)?);
    }
    if let Some(age) = found.stale {
        let warning = format!("110 entrepot \"the upstream could not be asked, this tag was confirmed {} s ago\"", age.as_secs());
        headers.insert(WARNING, text(&warning)?);
    }
    if let Some(held) = &found.held {
        let date = |at| httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(at));
        let (origin, digest) = (&found.repository.origin, held.digest);
        let warning =
            format!("299 - \"{origin} names {digest} since {}, which is held back here until {}\"", date(held.since), date(held.until));
        headers.append(WARNING, text(&warning)?);
    }
    Ok(headers)
}
