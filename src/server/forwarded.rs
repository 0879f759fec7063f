//! Behind a proxy: who asks and how he reached us, as trusted proxies say. Nobody else's word is taken, and what cannot be read
//! is as good as not said. It is settled once, before anything asks who the client is.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use http::{Extensions, HeaderMap, HeaderName, Request, Uri};

use super::listen::{CertificateUser, ClientAddress, Secure};
use crate::config::Networks;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST_BEFORE: HeaderName = HeaderName::from_static("x-forwarded-host");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// The longest name that the DNS has, and a port.
const LONGEST_HOST: usize = 255 + ":65535".len();

/// Proxies that are warned of; who sends headers from more addresses than these needs no further line.
const WARNED: usize = 16;

/// How a client reached the proxy in front; in the extensions of a request where that was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// `http` or `https`.
    scheme: Option<&'static str>,
    /// With its port, where that is not the scheme's own.
    host: Option<String>,
}

/// What is made of a request that came from `peer`: the client's address, and how he reached the proxy that is trusted.
fn read(peer: IpAddr, trusted: &Networks, headers: &HeaderMap) -> (IpAddr, Forwarded) {
    if !trusted.contains(peer) {
        return (peer, Forwarded::default());
    }
    let mut client = peer;
    for hop in values(headers, &FOR).into_iter().rev() {
        let Some(address) = address(hop) else { break };
        client = address;
        // Each hop names the one before it, so the first that is not trusted is the last that is known.
        if !trusted.contains(client) {
            break;
        }
    }
    let scheme = values(headers, &PROTO).last().and_then(|text| ["http", "https"].into_iter().find(|s| s.eq_ignore_ascii_case(text)));
    let host = values(headers, &HOST_BEFORE).last().and_then(|text| host(text)).map(str::to_owned);
    (client, Forwarded { scheme, host })
}

/// All values of a header that is a list, over all its lines, in order.
fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let lines = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or("?"));
    lines.flat_map(|line| line.split(',')).map(str::trim).collect()
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// A host with or without a port, if it is one: it goes into an address, inside of quotes.
fn host(text: &str) -> Option<&str> {
    let plain = text.len() <= LONGEST_HOST && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:[]".contains(&b));
    let authority = plain.then(|| text.parse::<Authority>().ok()).flatten()?;
    let port = text.strip_prefix(authority.host())?;
    let right = port.is_empty() || authority.port_u16().is_some_and(|port| port > 0);
    (right && !authority.host().is_empty()).then_some(text)
}

/// The host that the request itself names. Where there are two, that of its target counts.
fn named<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let text = uri.authority().map(Authority::as_str);
    text.or_else(|| headers.get(HOST).and_then(|value| value.to_str().ok())).and_then(host)
}

/// Whether nobody could read the request on its way here, as far as is known.
pub fn is_secure(parts: &Parts) -> bool {
    scheme(&parts.extensions) == "https"
}

fn scheme(extensions: &Extensions) -> &'static str {
    let came = if extensions.get::<Secure>().is_some() { "https" } else { "http" };
    extensions.get::<Forwarded>().and_then(|forwarded| forwarded.scheme).unwrap_or(came)
}

/// How the client reached us, as a URL without a slash at its end.
pub fn reached(parts: &Parts) -> String {
    url(&parts.uri, &parts.headers, &parts.extensions)
}

fn url(uri: &Uri, headers: &HeaderMap, extensions: &Extensions) -> String {
    let forwarded = extensions.get::<Forwarded>();
    let scheme = scheme(extensions);
    let host = forwarded.and_then(|forwarded| forwarded.host.as_deref()).or_else(|| named(uri, headers));
    format!("{scheme}://{}", host.unwrap_or("localhost"))
}

/// The proxies that are trusted, and what others were warned of.
pub struct Proxies {
    trusted: Networks,
    /// `None` where `external_url` says how clients reach us, whatever proxies do.
    warned: Option<Mutex<BTreeSet<(IpAddr, Doubt)>>>,
}

/// Why what clients are told of the way here may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Doubt {
    /// A proxy is in front that is not believed.
    Unbelieved,
    /// The proxy names another port than the Host that it passes on.
    Port,
}

impl Proxies {
    pub fn new(trusted: Networks, external_url: bool) -> Proxies {
        Proxies { trusted, warned: (!external_url).then(Mutex::default) }
    }

    /// The request, with what its proxies say in the place of what its connection says.
    pub fn settle<B>(&self, mut request: Request<B>) -> Request<B> {
        let Some(peer) = request.extensions().get::<ClientAddress>().map(|client| client.0) else { return request };
        let (client, forwarded) = read(peer.ip(), &self.trusted, request.headers());
        if client != peer.ip() {
            request.extensions_mut().insert(ClientAddress(SocketAddr::new(client, 0)));
        }
        if self.trusted.contains(peer.ip()) {
            // The certificate is the proxy's: it does not say who the client is.
            request.extensions_mut().remove::<CertificateUser>();
        }
        if forwarded != Forwarded::default() {
            request.extensions_mut().insert(forwarded);
        }
        if let Some(warned) = &self.warned
            && let Some(doubt) = self.doubt(peer.ip(), &request)
        {
            let mut warned = warned.lock().unwrap_or_else(PoisonError::into_inner);
            if warned.len() < WARNED && warned.insert((peer.ip(), doubt)) {
                warn(doubt, peer.ip(), &url(request.uri(), request.headers(), request.extensions()));
            }
        }
        request
    }

    fn doubt<B>(&self, peer: IpAddr, request: &Request<B>) -> Option<Doubt> {
        let headers = request.headers();
        if !self.trusted.contains(peer) {
            return [FOR, PROTO, HOST_BEFORE, PORT].iter().any(|name| headers.contains_key(name)).then_some(Doubt::Unbelieved);
        }
        let said: u16 = values(headers, &PORT).last()?.parse().ok()?;
        let url = url::Url::parse(&url(request.uri(), headers, request.extensions())).ok()?;
        (url.port_or_known_default() != Some(said)).then_some(Doubt::Port)
    }
}

fn warn(doubt: Doubt, proxy: IpAddr, told: &str) {
    let why = match doubt {
        Doubt::Unbelieved => "its word is not taken, because it is not in server.trusted_proxies",
        Doubt::Port => "the port in its X-Forwarded-Port is another one",
    };
    tracing::warn!(
        %proxy,
        why,
        "a proxy is in front, and clients are told to log in at {told}/token, which is made of the Host that came: if that is not where \
         they reach this server, set server.external_url to how they do, or add the proxy to server.trusted_proxies and let it pass on \
         Host with its port"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn client(peer: &str, trusted: &[&str], lines: &[(&'static str, &str)]) -> String {
        read(peer.parse().unwrap(), &Networks::new(trusted).unwrap(), &headers(lines)).0.to_string()
    }

    #[test]
    fn the_client_is_the_last_hop_that_no_trusted_proxy_is() {
        let trusted = ["10.0.0.0/8", "127.0.0.1", "fd00::/8"];
        let table: &[(&str, &[&str], &str)] = &[
            ("127.0.0.1", &["192.0.2.1"], "192.0.2.1"),
            // What the client itself sent is to the left, and not believed.
            ("127.0.0.1", &["10.9.9.9, 198.51.100.7, 192.0.2.1"], "192.0.2.1"),
            ("127.0.0.1", &["198.51.100.7", "192.0.2.1, 10.1.1.1"], "192.0.2.1"),
            ("127.0.0.1", &["192.0.2.1,10.1.1.1,fd00::2"], "192.0.2.1"),
            ("127.0.0.1", &["10.1.1.1, 10.1.1.2"], "10.1.1.1"),
            ("127.0.0.1", &["192.0.2.1:4711"], "192.0.2.1"),
            ("127.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("127.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("127.0.0.1", &["::ffff:192.0.2.1"], "192.0.2.1"),
            ("::ffff:127.0.0.1", &["192.0.2.1"], "192.0.2.1"),
            // Garbage ends what is known.
            ("127.0.0.1", &["unknown"], "127.0.0.1"),
            ("127.0.0.1", &["192.0.2.1, unknown, 10.1.1.1"], "10.1.1.1"),
            ("127.0.0.1", &["192.0.2.1, "], "127.0.0.1"),
            ("127.0.0.1", &["999.0.2.1"], "127.0.0.1"),
            ("127.0.0.1", &[], "127.0.0.1"),
            // Nobody else is believed.
            ("127.0.0.2", &["192.0.2.1"], "127.0.0.2"),
            ("198.51.100.7", &["10.1.1.1, 127.0.0.1"], "198.51.100.7"),
        ];
        for (peer, lines, expected) in table {
            let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
            assert_eq!(client(peer, &trusted, &lines), *expected, "{peer} {lines:?}");
            assert_eq!(client(peer, &[], &lines), *peer, "nobody is trusted: {lines:?}");
        }
    }

    #[test]
    fn the_scheme_and_the_host_are_what_the_nearest_proxy_says_if_it_makes_sense() {
        let read = |peer: &str, lines: &[(&'static str, &str)]| {
            read(peer.parse().unwrap(), &Networks::new(&["127.0.0.1"]).unwrap(), &headers(lines)).1
        };
        let said = |scheme, host: Option<&str>| Forwarded { scheme, host: host.map(str::to_owned) };
        let both = [("x-forwarded-proto", "HTTPS"), ("x-forwarded-host", "registry.lan:8443")];
        assert_eq!(read("127.0.0.1", &both), said(Some("https"), Some("registry.lan:8443")));
        assert_eq!(read("127.0.0.2", &both), Forwarded::default());
        let lists = [("x-forwarded-proto", "https, http"), ("x-forwarded-host", "evil.example"), ("x-forwarded-host", "[::1]:5000")];
        assert_eq!(read("127.0.0.1", &lists), said(Some("http"), Some("[::1]:5000")));
        let long = "a".repeat(64 << 10);
        for bad in ["", "a b", "a\"b", "a/b", "me@a", "a:0", "a:99999", "a:b", ":5000", "a\\b", "a;b", "[::1", &long] {
            assert_eq!(read("127.0.0.1", &[("x-forwarded-proto", bad), ("x-forwarded-host", bad)]), Forwarded::default(), "{bad:.20}");
        }
    }
}
