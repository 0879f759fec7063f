//! `/v2/NAME/blobs/uploads/…`: monolithic, chunked, streamed and mounted uploads.

use axum::body::Body;
use axum::response::Response;
use futures_util::{StreamExt, TryStreamExt};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE};
use http::request::Parts;
use http::{HeaderName, Method, StatusCode};

use super::Server;
use super::access::{Caller, Wish};
use super::answers::Refusal;
use super::manifests::{CONTENT_DIGEST, parameter, text};
use crate::auth::{Action, Verdict, Who};
use crate::oci::{Algorithm, Digest, PathName, RepositoryName, parse_upload_range, upload_range};
use crate::registry::{self, Error, Kind, Progress, Target};
use crate::telemetry;

const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");

impl Server {
    /// POST: opens an upload, takes a whole blob, or mounts one.
    pub async fn begin_upload(&self, parts: &Parts, name: &PathName, body: Body) -> Result<Response, Refusal> {
        let (hosted, caller) = self.admit_write(parts, name, Action::Push).await?;
        let target = Target::Group(hosted.clone());
        let wish = Wish { action: Action::Shadow, target: &target, written: name, namespaced: false };
        self.admit_shadow(&caller, &hosted, &wish).await?;
        if let Some(digest) = parameter(parts, "mount") {
            let digest = digest.parse().map_err(invalid_digest)?;
            if self.mount(parts, &hosted, &digest, &caller).await? {
                return created(name, &digest);
            }
        } else if let Some(digest) = parameter(parts, "digest") {
            let digest = digest.parse().map_err(invalid_digest)?;
            self.registry.upload_whole(&hosted, &digest, stream(body)).await?;
            return created(name, &digest);
        }
        // The digest at the end decides which algorithm it is; one that nobody could finish with is refused before the bytes come.
        if let Some(algorithm) = parameter(parts, "digest-algorithm") {
            algorithm.parse::<Algorithm>().map_err(invalid_digest)?;
        }
        let progress = self.registry.start_upload(&hosted, &caller.who).await?;
        open(name, &progress, StatusCode::ACCEPTED)
    }

    /// Everything that is done to an open upload.
    pub async fn upload(&self, parts: &Parts, name: &PathName, id: &str, body: Body) -> Result<Response, Refusal> {
        let (hosted, caller) = self.admit_write(parts, name, Action::Push).await?;
        match self.go_on(parts, name, &hosted, &caller, id, body).await {
            Err(Refusal::Registry(error)) if error.kind == Kind::UploadRange => {
                // Whoever went wrong is told where to go on.
                let mut response = Refusal::from(error).into_response("", &parts.method);
                if let Ok(progress) = self.registry.upload_status(&hosted, id, &caller.who).await {
                    place(&mut response, name, &progress)?;
                }
                Ok(response)
            }
            done => done,
        }
    }

    async fn go_on(
        &self,
        parts: &Parts,
        name: &PathName,
        hosted: &RepositoryName,
        caller: &Caller,
        id: &str,
        body: Body,
    ) -> Result<Response, Refusal> {
        match parts.method {
            Method::PATCH => {
                let at = offset(parts)?;
                let progress = self.registry.append_upload(hosted, id, &caller.who, at, stream(body)).await?;
                open(name, &progress, StatusCode::ACCEPTED)
            }
            Method::PUT => {
                let digest = parameter(parts, "digest").unwrap_or_default();
                let digest: Digest = digest.parse().map_err(invalid_digest)?;
                let at = offset(parts)?;
                self.registry.finish_upload(hosted, id, &caller.who, &digest, at, stream(body)).await?;
                created(name, &digest)
            }
            Method::DELETE => {
                self.registry.cancel_upload(hosted, id, &caller.who).await?;
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                Ok(response)
            }
            _ => open(name, &self.registry.upload_status(hosted, id, &caller.who).await?, StatusCode::NO_CONTENT),
        }
    }

    /// Mounts from what `from` names, else from wherever the blob lies, as far as the caller may read it.
    /// What he may not read is no error, but an ordinary upload.
    async fn mount(&self, parts: &Parts, hosted: &RepositoryName, digest: &Digest, caller: &Caller) -> Result<bool, Refusal> {
        let targets = match parameter(parts, "from") {
            Some(from) => self.registry.target(&from, None).into_iter().collect(),
            None => self.registry.holders(digest).await?,
        };
        let readable = targets.iter().filter_map(|target| Some((target, self.mounts_as(caller, target)?)));
        let sources: Vec<_> = readable.flat_map(|(target, who)| self.registry.mount_sources(target, &who)).collect();
        Ok(self.registry.mount(hosted, digest, &sources).await?)
    }

    /// A mount is judged by the token's scopes plus what anonymous may.
    fn mounts_as(&self, caller: &Caller, source: &Target) -> Option<Who> {
        let allowed = |who: &Who| self.verdict(who, Action::Pull, source) == Verdict::Allowed;
        let by_token = caller.claims.as_ref().is_none_or(|claims| claims.grants(&source.judged(), Action::Pull));
        match allowed(&caller.who) && by_token {
            true => Some(caller.who.clone()),
            false => Some(Who::Anonymous).filter(allowed),
        }
    }
}

/// Where the client says its chunk begins; a chunk whose length is not that of its range is refused before a byte is taken.
fn offset(parts: &Parts) -> Result<Option<u64>, Refusal> {
    let Some(header) = parts.headers.get(CONTENT_RANGE) else { return Ok(None) };
    let wrong = |message: &str| Refusal::from(Error::new(Kind::UploadRange, message));
    let range = header.to_str().ok().and_then(|value| parse_upload_range(value).ok());
    let range = range.ok_or_else(|| wrong("the Content-Range of an upload is FIRST-LAST, in bytes"))?;
    let length = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|value| value.parse::<u64>().ok());
    match length {
        Some(length) if length != range.end - range.start => Err(wrong("Content-Range and Content-Length do not agree")),
        _ => Ok(Some(range.start)),
    }
}

fn stream(body: Body) -> registry::Body {
    let counted = body.into_data_stream().inspect_ok(|bytes| telemetry::metrics::bytes_in(bytes.len() as u64));
    counted.map_err(std::io::Error::other).boxed()
}

fn invalid_digest(error: crate::oci::InvalidDigest) -> Refusal {
    Refusal::Malformed { code: "DIGEST_INVALID", message: error.to_string() }
}

fn created(name: &PathName, digest: &Digest) -> Result<Response, Refusal> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(LOCATION, text(&format!("/v2/{name}/blobs/{digest}"))?);
    response.headers_mut().insert(CONTENT_DIGEST, text(&digest.to_string())?);
    Ok(response)
}

fn open(name: &PathName, progress: &Progress, status: StatusCode) -> Result<Response, Refusal> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    place(&mut response, name, progress)?;
    Ok(response)
}

/// Says where the upload is, and how far.
fn place(response: &mut Response, name: &PathName, progress: &Progress) -> Result<(), Refusal> {
    let headers = response.headers_mut();
    headers.insert(LOCATION, text(&format!("/v2/{name}/blobs/uploads/{}", progress.id))?);
    headers.insert(RANGE, text(&upload_range(progress.received))?);
    headers.insert(UPLOAD_ID, text(&progress.id)?);
    Ok(())
}
