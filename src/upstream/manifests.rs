//! Manifests and what a HEAD tells of them. What is handed out is JSON of a manifest's type, as it came, byte for byte;
//! asked for by digest, it has that digest.

use http::Method;
use http::header::{ACCEPT, CONTENT_LENGTH, ETAG, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::client::{Asking, Kind, Upstream};
use super::endpoints::Endpoint;
use super::request::Ask;
use super::verdict::{Trouble, media_type};
use super::wire::read_all;
use super::{Budget, Cause, HeadAnswer, ManifestAnswer, Refusal};
use crate::oci::{Digest, Reference, RepositoryName};

const LONGEST_MANIFEST: usize = 4 << 20;
/// A longer one is not worth its memory.
const LONGEST_ETAG: usize = 512;
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Always all of them, whatever the client accepts: what comes is kept for every client.
const TYPES: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.oci.artifact.manifest.v1+json, */*";

impl Upstream {
    /// What a HEAD tells. It costs no pull where pulls are counted.
    ///
    /// # Errors
    /// As [`Refusal`] says.
    pub async fn head_manifest(&self, name: &RepositoryName, reference: &Reference, budget: Budget) -> Result<HeadAnswer, Refusal> {
        self.ask(&asking(Kind::Head, name, reference), budget, |endpoint| self.head_from(endpoint, name, reference, false)).await
    }

    /// Whether someone without credentials may read it: a HEAD without any, on every endpoint in turn.
    ///
    /// # Errors
    /// [`Refusal::Failed`]: the question could not be answered. [`Refusal::Absent`]: it is not there for someone without
    /// credentials, which tells nothing of what else is in the repository.
    pub async fn anonymous_may_read(&self, name: &RepositoryName, reference: &Reference, budget: Budget) -> Result<bool, Refusal> {
        match self.ask(&asking(Kind::Visibility, name, reference), budget, |endpoint| self.head_from(endpoint, name, reference, true)).await
        {
            Ok(_) => Ok(true),
            Err(Refusal::Denied { .. }) => Ok(false),
            Err(refusal @ (Refusal::Absent { .. } | Refusal::Failed { .. })) => Err(refusal),
        }
    }

    /// The manifest itself, at most 4 MiB.
    ///
    /// # Errors
    /// As [`Refusal`] says; a page, an empty answer or other bytes than the digest names are failures.
    pub async fn manifest(&self, name: &RepositoryName, reference: &Reference, budget: Budget) -> Result<ManifestAnswer, Refusal> {
        self.ask(&asking(Kind::Manifest, name, reference), budget, |endpoint| self.manifest_from(endpoint, name, reference)).await
    }

    async fn head_from(
        &self,
        endpoint: &Endpoint,
        name: &RepositoryName,
        reference: &Reference,
        anonymous: bool,
    ) -> Result<HeadAnswer, Trouble> {
        let kind = if anonymous { Kind::Visibility } else { Kind::Head };
        let ask = question(kind, Method::HEAD, name, reference, anonymous);
        let reply = self.request(endpoint, &ask).await?;
        let headers = reply.response.headers();
        let media_type = media_type(headers).unwrap_or_default();
        if media_type.starts_with("text/html") {
            return Err(malformed("it is a page").into());
        }
        let told = told_digest(headers);
        if media_type.is_empty() && told.is_none() {
            return Err(malformed("it has neither a type nor a digest").into());
        }
        let digest = match (reference, told) {
            (Reference::Digest(asked), Some(told)) if told.algorithm() == asked.algorithm() && told != *asked => {
                return Err(Cause::WrongBytes(*asked).into());
            }
            (Reference::Digest(asked), _) => Some(*asked),
            (Reference::Tag(_), told) => told,
        };
        let size = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(HeadAnswer { digest, etag: strong_etag(headers), media_type, size })
    }

    async fn manifest_from(&self, endpoint: &Endpoint, name: &RepositoryName, reference: &Reference) -> Result<ManifestAnswer, Trouble> {
        let ask = question(Kind::Manifest, Method::GET, name, reference, false);
        let reply = self.request(endpoint, &ask).await?;
        let sent_type = media_type(reply.response.headers());
        let (told, etag) = (told_digest(reply.response.headers()), strong_etag(reply.response.headers()));
        let bytes = read_all(reply.response, LONGEST_MANIFEST).await?.ok_or_else(|| malformed("it is larger than 4 MiB"))?;
        let media_type = type_of(sent_type.as_deref(), &bytes)?;
        let expected = match reference {
            Reference::Digest(digest) => Some(*digest),
            Reference::Tag(_) => told,
        };
        match expected {
            Some(digest) if !digest.matches(&bytes) => Err(Cause::WrongBytes(digest).into()),
            Some(digest) => Ok(ManifestAnswer { bytes, media_type, digest, etag }),
            None => Ok(ManifestAnswer { digest: Digest::of(&bytes), bytes, media_type, etag }),
        }
    }
}

fn malformed(text: &str) -> Cause {
    Cause::Malformed { what: "manifest", text: text.to_owned() }
}

fn asking<'a>(kind: Kind, name: &'a RepositoryName, reference: &Reference) -> Asking<'a> {
    Asking::new(kind, name, format!("manifests/{reference}"))
}

fn question<'a>(kind: Kind, method: Method, name: &'a RepositoryName, reference: &Reference, anonymous: bool) -> Ask<'a> {
    let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(TYPES))]);
    Ask { kind, method, name, what: format!("manifests/{reference}"), query: String::new(), headers, anonymous }
}

fn told_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get("docker-content-digest")?.to_str().ok()?.parse().ok()
}

/// A weak one does not say that the bytes are the same.
fn strong_etag(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(ETAG)?.to_str().ok()?;
    (text.starts_with('"') && text.len() <= LONGEST_ETAG).then(|| text.to_owned())
}

/// As much of a manifest as tells its type.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    media_type: Option<String>,
    manifests: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    config: Option<IgnoredAny>,
}

/// The media type: what the header says, or what the bytes say where the header says nothing much.
fn type_of(sent: Option<&str>, bytes: &[u8]) -> Result<String, Cause> {
    if bytes.is_empty() {
        return Err(malformed("it is empty"));
    }
    let outline: Outline = serde_json::from_slice(bytes).map_err(|_| malformed("it is not JSON"))?;
    match sent {
        None | Some("application/json" | "application/octet-stream" | "binary/octet-stream" | "text/plain") => {}
        Some(sent) if sent.starts_with("application/") => return Ok(sent.to_owned()),
        Some(other) => return Err(malformed(&format!("its type is {other}"))),
    }
    match outline {
        Outline { media_type: Some(media_type), .. } => Ok(media_type),
        Outline { manifests: Some(_), layers: None, config: None, .. } => Ok(OCI_INDEX.to_owned()),
        Outline { manifests: None, layers: Some(_), config: Some(_), .. } => Ok(OCI_MANIFEST.to_owned()),
        _ => Err(malformed("nothing tells its type")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifests_type_comes_from_the_header_else_from_its_bytes() {
        let docker = "application/vnd.docker.distribution.manifest.v2+json";
        let typed = format!(r#"{{"mediaType":"{docker}","config":{{}},"layers":[]}}"#);
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        let image = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;
        for (sent, bytes, want) in [
            (Some(docker), typed.as_str(), Some(docker)),
            (Some(OCI_INDEX), index, Some(OCI_INDEX)),
            (Some("application/json"), &typed, Some(docker)),
            (Some("text/plain"), &typed, Some(docker)),
            (None, index, Some(OCI_INDEX)),
            (None, image, Some(OCI_MANIFEST)),
            (None, r#"{"manifests":[],"layers":[],"config":{}}"#, None),
            (Some("application/json"), "{}", None),
            (Some("text/html"), &typed, None),
            (Some(OCI_INDEX), "", None),
            (Some(OCI_INDEX), "<html>", None),
            (Some(OCI_INDEX), "[]", None),
            (Some(OCI_INDEX), "3", None),
        ] {
            assert_eq!(type_of(sent, bytes.as_bytes()).ok().as_deref(), want, "{sent:?} {bytes}");
        }
    }
}
