//! One HTTP exchange with its redirects. Credentials never leave the scheme, host and port they were meant for, no
//! hop goes to a forbidden address, and none from https to http unless the upstream is `insecure`.

use std::error::Error as _;
use std::sync::OnceLock;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use reqwest::{Certificate, Client, NoProxy, Proxy, Response, redirect};
use url::Url;

use super::{Cause, Deadlines, addresses};
use crate::config;

const REDIRECTS: usize = 5;
/// Idle connections are dropped before common servers drop them, lest a request meets the end of one.
const IDLE: std::time::Duration = std::time::Duration::from_secs(30);
/// Bodies of refusals and redirects are read to this length, so that the connection can be used again.
const SHORT_BODY: usize = 16 << 10;

/// Which connections: blobs go over HTTP/1.1, one connection each; everything else over HTTP/2 where offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Api,
    Blobs,
}

pub(super) struct Wire {
    connect: std::time::Duration,
    insecure: bool,
    certificates: Vec<Certificate>,
    /// `None`: the environment's.
    proxy: Option<Proxy>,
    pub(super) resolver: addresses::Resolver,
    /// Made when first needed: reading the system's certificates takes a while, and may fail where nothing is fetched.
    clients: OnceLock<Result<[Client; 2], String>>,
}

/// What is asked.
pub(super) struct Question<'a> {
    pub(super) lane: Lane,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) authorization: Option<&'a HeaderValue>,
}

/// The last answer of a chain of redirects.
pub(super) struct Arrived {
    pub(super) response: Response,
    /// It came from another scheme, host or port than was asked: no credentials were shown there.
    pub(super) strayed: bool,
}

impl Wire {
    pub(super) fn new(settings: &config::Upstream, deadlines: &Deadlines) -> Result<Wire, String> {
        let certificates = match &settings.ca_file {
            Some(path) => {
                let pem = std::fs::read(path).map_err(|e| format!("ca_file {}: {e}", path.display()))?;
                let found = Certificate::from_pem_bundle(&pem).map_err(|e| format!("ca_file {}: {}", path.display(), innermost(&e)))?;
                if found.is_empty() {
                    return Err(format!("ca_file {}: there is no certificate in it", path.display()));
                }
                found
            }
            None => Vec::new(),
        };
        let proxy = match &settings.proxy {
            config::Proxy::Environment => None,
            config::Proxy::Direct => Some(Proxy::custom(|_| None::<Url>)),
            config::Proxy::At { url, except } => {
                let proxy = Proxy::all(url.clone()).map_err(|e| format!("proxy: {}", innermost(&e)))?;
                Some(proxy.no_proxy(NoProxy::from_string(&except.join(","))))
            }
        };
        let (connect, insecure, resolver) = (deadlines.connect, settings.insecure, addresses::Resolver::default());
        Ok(Wire { connect, insecure, certificates, proxy, resolver, clients: OnceLock::new() })
    }

    fn client(&self, lane: Lane) -> Result<&Client, Cause> {
        let clients = self.clients.get_or_init(|| {
            let both = self.build(Lane::Api).and_then(|api| Ok([api, self.build(Lane::Blobs)?]));
            both.map_err(|error| innermost(&error))
        });
        match clients {
            Ok(clients) => Ok(&clients[lane as usize]),
            Err(text) => Err(Cause::Unreachable(text.clone())),
        }
    }

    fn build(&self, lane: Lane) -> reqwest::Result<Client> {
        let mut builder = Client::builder()
            .user_agent(concat!("entrepot/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(self.connect)
            .pool_idle_timeout(IDLE)
            .dns_resolver(self.resolver)
            .tls_certs_merge(self.certificates.iter().cloned())
            .tls_danger_accept_invalid_certs(self.insecure);
        if let Some(proxy) = &self.proxy {
            builder = builder.proxy(proxy.clone());
        }
        if lane == Lane::Blobs {
            builder = builder.http1_only();
        }
        builder.build()
    }

    /// Asks, following redirects. All headers but Authorization are kept on the way.
    pub(super) async fn send(&self, question: Question<'_>) -> Result<Arrived, Cause> {
        let client = self.client(question.lane)?;
        let home = question.url.origin();
        let mut url = question.url;
        let mut strayed = false;
        for _ in 0..=REDIRECTS {
            addresses::check_literal(&url).map_err(Cause::Unreachable)?;
            let mut request = client.request(question.method.clone(), url.clone()).headers(question.headers.clone());
            request = request.header(ACCEPT_ENCODING, "identity");
            if let Some(authorization) = question.authorization.filter(|_| !strayed) {
                request = request.header(AUTHORIZATION, authorization);
            }
            let response = request.send().await.map_err(|error| self.cause(error, &url, strayed))?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(Arrived { response, strayed });
            }
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let next = next_hop(&url, location, self.insecure)?;
            read_short(response).await;
            strayed |= next.origin() != home;
            url = next;
        }
        Err(Cause::Malformed { what: "answer", text: format!("it redirects more than {REDIRECTS} times") })
    }

    /// Sends a form that nobody else may see: a redirect ends it.
    pub(super) async fn post(&self, (url, form): (Url, String)) -> Result<Arrived, Cause> {
        addresses::check_literal(&url).map_err(Cause::Unreachable)?;
        let request = self.client(Lane::Api)?.post(url.clone()).header(ACCEPT_ENCODING, "identity");
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        let response = request.send().await.map_err(|error| self.cause(error, &url, false))?;
        Ok(Arrived { strayed: response.status().is_redirection(), response })
    }

    /// What went wrong on the way to `url`, which whoever asked does not know when it is where a redirect led.
    fn cause(&self, error: reqwest::Error, url: &Url, strayed: bool) -> Cause {
        let host = || url.port().map_or_else(|| host_of(url).to_owned(), |port| format!("{}:{port}", host_of(url)));
        let reached = |text: String| Cause::Unreachable(if strayed { format!("{} (where it redirects to): {text}", host()) } else { text });
        match tls_error(&error) {
            Some(rustls::Error::InvalidCertificate(wrong)) => return Cause::Certificate { host: host(), text: certificate_text(wrong) },
            Some(rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion) | rustls::Error::PeerIncompatible(_)) => {
                return reached("it speaks neither TLS 1.2 nor TLS 1.3".to_owned());
            }
            _ => {}
        }
        match error {
            error if error.is_timeout() => Cause::Timeout(self.connect),
            error if error.is_connect() => reached(innermost(&error)),
            error => broken(error),
        }
    }
}

fn host_of(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

/// What TLS says of a failure, where it was TLS that failed.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    // The source of an I/O error is what comes after the error that it carries.
    match error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref()) {
        Some(carried) => tls_error(carried),
        None => error.source().and_then(tls_error),
    }
}

/// What is wrong with a certificate, and what helps.
fn certificate_text(wrong: &rustls::CertificateError) -> String {
    use rustls::CertificateError::*;
    let text = match wrong {
        Expired | ExpiredContext { .. } => "has expired; it must be renewed there, if this machine's clock is right",
        NotValidYet | NotValidYetContext { .. } => "is not valid yet; is this machine's clock right?",
        NotValidForName | NotValidForNameContext { .. } => "is for another name",
        UnknownIssuer => "comes from nobody who is trusted here; name its CA's certificate in ca_file",
        Revoked => "has been revoked",
        wrong if format!("{wrong:?}").contains("CaUsedAsEndEntity") => {
            "is self-signed as an authority's; it needs one from a CA, which ca_file can name"
        }
        wrong => return format!("is refused: {wrong}"),
    };
    text.to_owned()
}

/// Where a redirect leads, without a name and password that it may bring.
fn next_hop(from: &Url, location: &str, insecure: bool) -> Result<Url, Cause> {
    let refuse = |text: &str| Cause::Malformed { what: "redirect", text: text.to_owned() };
    let mut next =
        Some(location).filter(|text| !text.is_empty()).and_then(|text| from.join(text).ok()).ok_or_else(|| refuse("it leads nowhere"))?;
    match (from.scheme(), next.scheme()) {
        (_, "https") | ("http", "http") => {}
        ("https", "http") if insecure => {}
        _ => return Err(refuse("it leads away from https")),
    }
    let stripped = next.set_username("").and_then(|()| next.set_password(None));
    stripped.map_err(|()| refuse("it has no host"))?;
    Ok(next)
}

/// A connection that broke in the middle.
pub(super) fn broken(error: reqwest::Error) -> Cause {
    Cause::Broken(innermost(&error))
}

/// The innermost error says what happened, and never has the URL with its signature in it.
fn innermost(error: &reqwest::Error) -> String {
    let mut inner: Option<&dyn std::error::Error> = error.source();
    while let Some(next) = inner.and_then(|e| e.source()) {
        inner = Some(next);
    }
    match inner {
        Some(inner) => inner.to_string(),
        None if error.is_builder() => "it is malformed".to_owned(),
        None => "the exchange failed".to_owned(),
    }
}

/// Scheme, host and path of a URL, for messages: its query may hold secrets.
pub(super) fn without_query(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// The whole body; `None` when it is longer than `limit`.
pub(super) async fn read_all(response: Response, limit: usize) -> Result<Option<Bytes>, Cause> {
    let mut response = response;
    let mut bytes = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if bytes.len() + chunk.len() > limit {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes.freeze()))
}

/// A short body, or nothing where it is long, of unknown length or breaks.
pub(super) async fn read_short(response: Response) -> Bytes {
    let long = response.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok()).is_some_and(|n| n > SHORT_BODY);
    match long || response.status() == StatusCode::NO_CONTENT {
        true => Bytes::new(),
        false => read_all(response, SHORT_BODY).await.ok().flatten().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_redirect_leads_away_from_https() {
        let hop = |from: &str, to: &str, insecure| next_hop(&from.parse().unwrap(), to, insecure).ok().map(String::from);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(hop("https://a/v2/x", "/y?z", false), some("https://a/y?z"));
        assert_eq!(hop("https://a/v2/x", "https://b/y", false), some("https://b/y"));
        assert_eq!(hop("http://a/v2/x", "https://b/y", false), some("https://b/y"));
        assert_eq!(hop("http://a/v2/x", "http://b/y", false), some("http://b/y"));
        assert_eq!(hop("https://a/v2/x", "http://b/y", true), some("http://b/y"));
        assert_eq!(hop("https://a/v2/x", "https://u:p@b/y", false), some("https://b/y"));
        for (to, insecure) in [("http://a/y", false), ("ftp://a/y", true), ("file:///etc/passwd", true), ("", true), ("http://", true)] {
            assert_eq!(hop("https://a/v2/x", to, insecure), None, "{to}");
        }
    }
}
