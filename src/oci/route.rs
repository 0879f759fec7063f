//! What a request under `/v2/` or `/v1/` asks for: method and raw path become one typed value.
//!
//! Percent-encoding is undone exactly once, and only of what names, tags and digests are made of: some clients write `sha256%3A…`.
//! No encoded byte separates, ends or climbs, so what a path means does not depend on who decoded it before.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{Digest, InvalidName, PathName, Reference};

/// One endpoint of the distribution specification with its parsed values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/v2/` or `/v2`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v1/_ping`
    Ping,
    /// `/v1/search`
    Search,
    /// `/v2/NAME/tags/list`
    Tags { name: PathName },
    /// `/v2/NAME/manifests/REFERENCE`
    Manifest { name: PathName, reference: Reference },
    /// `/v2/NAME/blobs/DIGEST`
    Blob { name: PathName, digest: Digest },
    /// `/v2/NAME/blobs/uploads/`, with or without the slash at its end
    Uploads { name: PathName },
    /// `/v2/NAME/blobs/uploads/ID`
    Upload { name: PathName, id: UploadId },
    /// `/v2/NAME/referrers/DIGEST`
    Referrers { name: PathName, digest: Digest },
}

/// Why a request names no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRoute {
    #[error("there is nothing at this path: the registry's API is /v2/NAME/(manifests|blobs|tags|referrers)/…")]
    NotFound,
    #[error(
        "a path under /v2/ may have letters, digits, and . _ - : percent-encoded, and nothing else: write names, tags and digests as they are"
    )]
    Encoded,
    #[error("a path under /v2/ has no empty parts, no . or .. parts, no backslash and no control characters")]
    Malformed,
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error(transparent)]
    Digest(#[from] super::InvalidDigest),
    /// A tag that cannot be pushed.
    #[error("a tag has letters, digits, _ . -, at most 128, and begins with none of . and -")]
    Tag,
    /// A tag that cannot exist was asked for.
    #[error("there is no such tag: a tag has letters, digits, _ . -, at most 128, and begins with none of . and -")]
    UnknownTag,
    #[error("there is no such upload: begin one with POST …/blobs/uploads/")]
    UploadId,
    #[error("this path does not take that method, but {}", allow.join(", "))]
    Method { allow: &'static [&'static str] },
}

impl InvalidRoute {
    /// The code that the registry's JSON error carries.
    pub fn code(&self) -> &'static str {
        match self {
            InvalidRoute::NotFound | InvalidRoute::Method { .. } => "UNSUPPORTED",
            InvalidRoute::Encoded | InvalidRoute::Malformed | InvalidRoute::Name(_) | InvalidRoute::Tag => "NAME_INVALID",
            InvalidRoute::Digest(_) => "DIGEST_INVALID",
            InvalidRoute::UnknownTag => "MANIFEST_UNKNOWN",
            InvalidRoute::UploadId => "BLOB_UPLOAD_UNKNOWN",
        }
    }
}

/// What names an upload: `[A-Za-z0-9_-]{1,64}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadId(Arc<str>);

impl UploadId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UploadId {
    type Err = InvalidRoute;

    fn from_str(text: &str) -> Result<UploadId, InvalidRoute> {
        let good = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if good { Ok(UploadId(text.into())) } else { Err(InvalidRoute::UploadId) }
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Route {
    /// Reads a request's method and its raw path, without the query.
    pub fn parse(method: &str, path: &str) -> Result<Route, InvalidRoute> {
        let route = match path {
            "/v1/_ping" => Route::Ping,
            "/v1/search" => Route::Search,
            "/v2" | "/v2/" => Route::Base,
            _ => Route::of_registry(path.strip_prefix("/v2/").ok_or(InvalidRoute::NotFound)?, method == "PUT")?,
        };
        match route.methods() {
            allow if allow.contains(&method) => Ok(route),
            allow => Err(InvalidRoute::Method { allow }),
        }
    }

    fn of_registry(rest: &str, writes: bool) -> Result<Route, InvalidRoute> {
        let rest = &*decoded(rest)?;
        check_spelling(rest)?;
        match rest {
            "_catalog" => Ok(Route::Catalog),
            // Kept by the specification for extensions; no repository begins so.
            _ if rest.starts_with('_') => Err(InvalidRoute::NotFound),
            _ => Route::of_repository(rest, writes),
        }
    }

    /// Reads from the end, because a repository may be called `blobs/uploads`.
    fn of_repository(rest: &str, writes: bool) -> Result<Route, InvalidRoute> {
        if let Some(name) = rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads")) {
            return Ok(Route::Uploads { name: name.parse()? });
        }
        let (before, last) = rest.rsplit_once('/').ok_or(InvalidRoute::NotFound)?;
        let (before, noun) = before.rsplit_once('/').unwrap_or(("", before));
        match noun {
            "tags" if last == "list" => Ok(Route::Tags { name: before.parse()? }),
            "manifests" => Ok(Route::Manifest { name: before.parse()?, reference: reference(last, writes)? }),
            "blobs" => Ok(Route::Blob { name: before.parse()?, digest: last.parse()? }),
            "referrers" => Ok(Route::Referrers { name: before.parse()?, digest: last.parse()? }),
            "uploads" => {
                let name = before.strip_suffix("/blobs").ok_or(InvalidRoute::NotFound)?;
                Ok(Route::Upload { name: name.parse()?, id: last.parse()? })
            }
            _ => Err(InvalidRoute::NotFound),
        }
    }

    /// The methods that the route takes: the `Allow` of a 405.
    pub fn methods(&self) -> &'static [&'static str] {
        match self {
            Route::Base | Route::Catalog | Route::Ping | Route::Search => &["GET", "HEAD"],
            Route::Tags { .. } | Route::Referrers { .. } => &["GET", "HEAD"],
            Route::Manifest { .. } => &["GET", "HEAD", "PUT", "DELETE"],
            Route::Blob { .. } => &["GET", "HEAD", "DELETE"],
            Route::Uploads { .. } => &["POST"],
            Route::Upload { .. } => &["GET", "HEAD", "PATCH", "PUT", "DELETE"],
        }
    }

    /// The repository that the request is about.
    pub fn name(&self) -> Option<&PathName> {
        match self {
            Route::Base | Route::Catalog | Route::Ping | Route::Search => None,
            Route::Tags { name } | Route::Uploads { name } | Route::Manifest { name, .. } => Some(name),
            Route::Blob { name, .. } | Route::Upload { name, .. } | Route::Referrers { name, .. } => Some(name),
        }
    }
}

fn decoded(rest: &str) -> Result<Cow<'_, str>, InvalidRoute> {
    let mut pieces = rest.split('%');
    let mut text = Cow::Borrowed(pieces.next().unwrap_or_default());
    for piece in pieces {
        let byte = piece.get(..2).and_then(|digits| hex::decode(digits).ok()).map(|bytes| bytes[0]);
        let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-:".contains(byte);
        text.to_mut().push(byte.filter(harmless).ok_or(InvalidRoute::Encoded)?.into());
        text.to_mut().push_str(&piece[2..]);
    }
    Ok(text)
}

fn check_spelling(rest: &str) -> Result<(), InvalidRoute> {
    let parts = if rest.ends_with("/blobs/uploads/") { &rest[..rest.len() - 1] } else { rest };
    let strange = |part: &str| matches!(part, "" | "." | "..");
    let bad = rest.contains(|c: char| c == '\\' || c.is_control()) || (!parts.is_empty() && parts.split('/').any(strange));
    if bad { Err(InvalidRoute::Malformed) } else { Ok(()) }
}

fn reference(text: &str, writes: bool) -> Result<Reference, InvalidRoute> {
    match text.contains(':') {
        true => Ok(Reference::Digest(text.parse()?)),
        false => text.parse().map(Reference::Tag).map_err(|_| if writes { InvalidRoute::Tag } else { InvalidRoute::UnknownTag }),
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Route::Base => write!(f, "/v2/"),
            Route::Catalog => write!(f, "/v2/_catalog"),
            Route::Ping => write!(f, "/v1/_ping"),
            Route::Search => write!(f, "/v1/search"),
            Route::Tags { name } => write!(f, "/v2/{name}/tags/list"),
            Route::Manifest { name, reference } => write!(f, "/v2/{name}/manifests/{reference}"),
            Route::Blob { name, digest } => write!(f, "/v2/{name}/blobs/{digest}"),
            Route::Uploads { name } => write!(f, "/v2/{name}/blobs/uploads/"),
            Route::Upload { name, id } => write!(f, "/v2/{name}/blobs/uploads/{id}"),
            Route::Referrers { name, digest } => write!(f, "/v2/{name}/referrers/{digest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn get(path: &str) -> Result<Route, InvalidRoute> {
        Route::parse("GET", path)
    }

    #[test]
    fn every_endpoint_is_read() {
        let name: PathName = "a/b".parse().unwrap();
        let digest: Digest = DIGEST.parse().unwrap();
        assert_eq!(get("/v2"), Ok(Route::Base));
        assert_eq!(get("/v2/"), Ok(Route::Base));
        assert_eq!(get("/v2/_catalog"), Ok(Route::Catalog));
        assert_eq!(get("/v1/_ping"), Ok(Route::Ping));
        assert_eq!(get("/v1/search"), Ok(Route::Search));
        assert_eq!(get("/v2/a/b/tags/list"), Ok(Route::Tags { name: name.clone() }));
        let reference = Reference::Tag("latest".parse().unwrap());
        assert_eq!(get("/v2/a/b/manifests/latest"), Ok(Route::Manifest { name: name.clone(), reference }));
        let reference = Reference::Digest(digest);
        assert_eq!(get(&format!("/v2/a/b/manifests/{DIGEST}")), Ok(Route::Manifest { name: name.clone(), reference }));
        assert_eq!(get(&format!("/v2/a/b/blobs/{DIGEST}")), Ok(Route::Blob { name: name.clone(), digest }));
        assert_eq!(get(&format!("/v2/a/b/referrers/{DIGEST}")), Ok(Route::Referrers { name: name.clone(), digest }));
        for path in ["/v2/a/b/blobs/uploads", "/v2/a/b/blobs/uploads/"] {
            assert_eq!(Route::parse("POST", path), Ok(Route::Uploads { name: name.clone() }));
        }
        let id = "aZ0_-".parse().unwrap();
        assert_eq!(Route::parse("PATCH", "/v2/a/b/blobs/uploads/aZ0_-"), Ok(Route::Upload { name, id }));
    }

    #[test]
    fn a_repository_may_be_called_as_an_endpoint_is() {
        for (path, name) in [
            ("/v2/blobs/uploads/tags/list", "blobs/uploads"),
            ("/v2/tags/list/tags/list", "tags/list"),
            ("/v2/manifests/manifests/manifests", "manifests"),
            ("/v2/blobs/uploads/manifests/uploads", "blobs/uploads"),
            ("/v2/a/blobs/uploads/blobs/uploads/x", "a/blobs/uploads"),
            ("/v2/a/manifests/tags/list", "a/manifests"),
        ] {
            assert_eq!(get(path).unwrap().name().unwrap().as_str(), name, "{path}");
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_once_where_it_separates_nothing() {
        let plain = format!("/v2/a/b/manifests/{DIGEST}");
        for path in [plain.replace(':', "%3A"), plain.replace(':', "%3a"), plain.replace('b', "%62")] {
            assert_eq!(get(&path), get(&plain), "{path}");
        }
        for code in ["%2f", "%2F", "%5c", "%00", "%0a", "%25", "%2525", "%20", "%3f", "%c3%a9", "%e9", "%", "%2", "%zz", "%+5", "%é"] {
            for path in [format!("/v2/a{code}b/tags/list"), format!("/v2/a/manifests/{code}"), format!("/v2/{code}")] {
                assert_eq!(get(&path), Err(InvalidRoute::Encoded), "{path}");
            }
        }
        for path in ["/v2/%2e%2e/tags/list", "/v2/a/.%2E/b/tags/list", "/v2/a/manifests/%2e%2E", "/v2/%2e/"] {
            assert_eq!(get(path), Err(InvalidRoute::Malformed), "{path}");
        }
        for path in ["/v2/%2F%2F..%2F", "/%76%32/", "/v2%2f"] {
            assert!(get(path).is_err(), "{path}");
        }
    }

    #[test]
    fn paths_that_climb_or_have_holes_are_refused() {
        for path in [
            "/v2//",
            "/v2/a//tags/list",
            "/v2/./a/tags/list",
            "/v2/a/../b/tags/list",
            "/v2/a/tags/list/",
            "/v2/a\\b/tags/list",
            "/v2/a\0/tags/list",
            "/v2//blobs/uploads/",
            "/v2/a/manifests/..",
            "/v2/a/blobs/uploads//",
        ] {
            assert_eq!(get(path), Err(InvalidRoute::Malformed), "{path}");
        }
    }

    #[test]
    fn each_fault_has_its_own_error() {
        for (method, path, code) in [
            ("GET", "/", "UNSUPPORTED"),
            ("GET", "/v3/", "UNSUPPORTED"),
            ("GET", "/v1/", "UNSUPPORTED"),
            ("POST", "/v1/search", "UNSUPPORTED"),
            ("GET", "/v2x", "UNSUPPORTED"),
            ("GET", "/v2/a", "UNSUPPORTED"),
            ("GET", "/v2/_oci/ext/discover", "UNSUPPORTED"),
            ("GET", "/v2/a/uploads/x", "UNSUPPORTED"),
            ("GET", "/v2/A/b/tags/list/", "NAME_INVALID"),
            ("GET", "/v2/a/B/tags/list", "NAME_INVALID"),
            ("GET", "/v2/tags/list", "NAME_INVALID"),
            ("GET", "/v2/a/blobs/sha256:abc", "DIGEST_INVALID"),
            ("GET", "/v2/a/manifests/sha256:abc", "DIGEST_INVALID"),
            ("GET", "/v2/a/referrers/latest", "DIGEST_INVALID"),
            ("PUT", "/v2/a/manifests/.bad", "NAME_INVALID"),
            ("GET", "/v2/a/manifests/.bad", "MANIFEST_UNKNOWN"),
            ("GET", "/v2/a/blobs/uploads/a.b", "BLOB_UPLOAD_UNKNOWN"),
        ] {
            assert_eq!(Route::parse(method, path).unwrap_err().code(), code, "{method} {path}");
        }
        let long = "x".repeat(65);
        assert_eq!(get(&format!("/v2/a/blobs/uploads/{long}")), Err(InvalidRoute::UploadId));
    }

    #[test]
    fn a_method_that_a_route_does_not_take_is_told_which_it_does() {
        assert_eq!(Route::parse("GET", "/v2/a/blobs/uploads/"), Err(InvalidRoute::Method { allow: &["POST"] }));
        assert_eq!(Route::parse("get", "/v2/"), Err(InvalidRoute::Method { allow: &["GET", "HEAD"] }));
        let put = Route::parse("PUT", "/v2/a/tags/list").unwrap_err();
        assert_eq!(put.to_string(), "this path does not take that method, but GET, HEAD");
    }
}
