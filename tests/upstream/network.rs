//! The way to an upstream: certificates on each hop, proxies, connections that are used again, and HTTP/2.

use std::sync::atomic::Ordering;

use futures_util::StreamExt as _;
use futures_util::future::join_all;

use super::fault_upstream::{FaultUpstream, Image};
use super::forward_proxy::ForwardProxy;
use super::secured::{Authority, Front, Shows};
use super::*;

/// A registry, its token service and its CDN, each behind TLS.
struct Secured {
    hub: FaultUpstream,
    image: Image,
    fronts: [Front; 3],
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Secured {
    async fn showing([registry, tokens, cdn]: [Shows; 3]) -> Secured {
        let (hub, authority) = (FaultUpstream::start().await, Authority::new());
        let image = hub.image("a/b", "latest", &["layer".into()]);
        let registry = Front::before(hub.address(), &authority, registry).await;
        let tokens = Front::before(hub.address(), &authority, tokens).await;
        let cdn = Front::before(hub.cdn(), &authority, cdn).await;
        hub.behave(|b| {
            (b.tokens, b.redirect, b.account) = (true, true, Some(("ann".into(), "secret".into())));
            (b.realm, b.cdn) = (Some(format!("{}/token", tokens.origin())), Some(cdn.origin()));
        });
        Secured { hub, image, fronts: [registry, tokens, cdn], folder: tempfile::tempdir().unwrap(), authority }
    }

    /// With credentials, trusting the authority.
    fn settings(&self) -> config::Upstream {
        let credentials = Some(credentials("ann", "secret"));
        let endpoints = vec![Endpoint { url: self.fronts[0].url(), credentials }];
        let ca_file = Some(self.authority.file(&self.folder));
        config::Upstream { endpoints, ca_file, insecure: false, ..self.hub.upstream_settings(REGISTRY) }
    }

    /// The manifest, then the layer.
    async fn pull(&self, upstream: &Upstream) -> Result<Vec<u8>, Refusal> {
        upstream.manifest(&name("a/b"), &tag("latest"), budget()).await?;
        let mut body = upstream.blob(&name("a/b"), &self.image.layers[0], 0, None, budget()).await?.body;
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await {
            bytes.extend_from_slice(&chunk.unwrap());
        }
        Ok(bytes)
    }
}

/// With time for handshakes on a busy machine.
fn patient(settings: config::Upstream) -> Upstream {
    Upstream::new(&settings, Deadlines::default()).unwrap()
}

#[tokio::test]
async fn cve_2019_10214_an_own_ca_is_trusted_at_the_registry_the_token_service_and_the_cdn() {
    let secured = Secured::showing([Shows::Good; 3]).await;
    assert_eq!(secured.pull(&patient(secured.settings())).await.unwrap(), b"layer");
    assert!(secured.fronts.iter().all(|front| front.http1.load(Ordering::SeqCst) + front.http2.load(Ordering::SeqCst) > 0));

    let stranger = config::Upstream { ca_file: None, ..secured.settings() };
    let refused = cause(secured.pull(&patient(stranger)).await);
    assert!(matches!(&refused, Cause::Certificate { text, .. } if text.contains("ca_file")), "{refused}");
}

#[tokio::test]
async fn cve_2019_10214_a_bad_certificate_on_any_hop_ends_the_pull_and_says_why() {
    let ways = [
        (Shows::Expired, "has expired"),
        (Shows::Early, "is not valid yet"),
        (Shows::WrongName, "is for another name"),
        (Shows::UnknownAuthority, "comes from nobody who is trusted here"),
        (Shows::SelfSigned, "comes from nobody who is trusted here"),
        (Shows::OldVersion, "it speaks neither TLS 1.2 nor TLS 1.3"),
    ];
    for (shows, why) in ways {
        for hop in 0..3 {
            let mut all = [Shows::Good; 3];
            all[hop] = shows;
            let secured = Secured::showing(all).await;
            let error = secured.pull(&patient(secured.settings())).await.unwrap_err().to_string();
            let host = secured.fronts[hop].origin().replace("https://", "");
            assert!(error.contains(why) && error.contains(&host), "{shows:?} at hop {hop}: {error}");
            let shown = secured.hub.seen().into_iter().filter(|seen| seen.request.header("authorization").is_some()).count();
            assert_eq!(shown, [0, 0, 3][hop], "nothing is shown before the certificate is good ({shows:?} at hop {hop})");
        }
    }
}

#[tokio::test]
async fn cve_2019_10214_insecure_takes_any_certificate_on_every_hop() {
    let secured = Secured::showing([Shows::SelfSigned, Shows::Expired, Shows::WrongName]).await;
    let settings = config::Upstream { insecure: true, ca_file: None, ..secured.settings() };
    assert_eq!(secured.pull(&patient(settings)).await.unwrap(), b"layer");
}

#[tokio::test]
async fn a_registry_that_speaks_http2_is_asked_over_it_and_gives_blobs_over_connections_of_their_own() {
    let secured = Secured::showing([Shows::Good; 3]).await;
    let upstream = patient(secured.settings());
    let (repository, latest) = (name("a/b"), tag("latest"));
    upstream.head_manifest(&repository, &latest, budget()).await.unwrap();
    let asked = join_all((0..20).map(|_| upstream.manifest(&repository, &latest, budget()))).await;
    assert!(asked.iter().all(Result::is_ok));
    let [registry, tokens, cdn] = &secured.fronts;
    let count = |front: &Front| (front.http2.load(Ordering::SeqCst), front.http1.load(Ordering::SeqCst));
    assert_eq!((count(registry), count(tokens)), ((22, 0), (1, 0)));
    secured.pull(&upstream).await.unwrap();
    assert_eq!((count(registry), count(cdn)), ((23, 1), (0, 1)));
}

#[tokio::test]
async fn connections_are_used_again() {
    let hub = FaultUpstream::start().await;
    hub.behave(|b| (b.tokens, b.redirect) = (true, true));
    let image = hub.image("a/b", "latest", &["layer".into()]);
    let upstream = upstream(&hub);
    for _ in 0..10 {
        upstream.manifest(&name("a/b"), &tag("latest"), budget()).await.unwrap();
        let answer = upstream.blob(&name("a/b"), &image.layers[0], 0, None, budget()).await.unwrap();
        assert!(answer.body.all(async |chunk| chunk.is_ok()).await);
    }
    assert!(hub.requests() >= 30);
    assert_eq!(hub.connections(), 3, "one for questions, one for blobs, one to the CDN");
}

#[tokio::test]
async fn a_proxy_is_asked_for_every_hop_but_those_it_is_told_not_to() {
    let hub = FaultUpstream::start().await;
    hub.behave(|b| (b.tokens, b.redirect) = (true, true));
    let image = hub.image("a/b", "latest", &["layer".into()]);
    let proxy = ForwardProxy::start().await;
    let url: url::Url = format!("http://me:proxy-secret@{}", proxy.address).parse().unwrap();
    let pull = async |proxy: config::Proxy| {
        let upstream = with_settings(config::Upstream { proxy, ..hub.upstream_settings(REGISTRY) });
        upstream.manifest(&name("a/b"), &tag("latest"), budget()).await.unwrap();
        let answer = upstream.blob(&name("a/b"), &image.layers[0], 0, None, budget()).await.unwrap();
        assert!(answer.body.all(async |chunk| chunk.is_ok()).await);
    };
    pull(config::Proxy::At { url: url.clone(), except: Vec::new() }).await;
    assert_eq!((proxy.wanted(hub.address()), proxy.wanted(hub.cdn())), (4, 1), "challenge, token, manifest, blob; the CDN");
    assert!(proxy.asked().iter().all(|asked| asked.authorization == "Basic bWU6cHJveHktc2VjcmV0"), "{:?}", proxy.asked());

    for except in ["127.0.0.2", "127.0.0.2/32"] {
        pull(config::Proxy::At { url: url.clone(), except: vec![except.to_owned()] }).await;
        assert_eq!(proxy.wanted(hub.cdn()), 1, "{except}");
    }
    let before = proxy.asked().len();
    pull(config::Proxy::At { url, except: vec!["127.0.0.0/8".to_owned()] }).await;
    pull(config::Proxy::Direct).await;
    assert_eq!(proxy.asked().len(), before);
}

#[tokio::test]
async fn what_is_encrypted_passes_a_proxy_unseen() {
    let secured = Secured::showing([Shows::Good; 3]).await;
    let proxy = ForwardProxy::start().await;
    let url = format!("http://{}", proxy.address).parse().unwrap();
    let settings = config::Upstream { proxy: config::Proxy::At { url, except: Vec::new() }, ..secured.settings() };
    assert_eq!(secured.pull(&patient(settings)).await.unwrap(), b"layer");
    assert!(proxy.asked().iter().all(|asked| asked.method == "CONNECT"));
    let hosts: std::collections::HashSet<_> = proxy.asked().into_iter().map(|asked| asked.host).collect();
    assert_eq!(hosts, secured.fronts.iter().map(|front| front.origin().replace("https://", "")).collect());
}

#[tokio::test]
async fn a_proxy_that_is_away_is_named_as_what_cannot_be_reached() {
    let hub = FaultUpstream::start().await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://me:proxy-secret@{free}").parse().unwrap();
    let proxy = config::Proxy::At { url, except: Vec::new() };
    let upstream = with_settings(config::Upstream { proxy, ..hub.upstream_settings(REGISTRY) });
    let refused = cause(upstream.head_manifest(&name("a/b"), &tag("latest"), short_budget()).await);
    assert!(matches!(refused, Cause::Unreachable(_)), "{refused}");
    assert!(!refused.to_string().contains("proxy-secret"));
    assert_eq!(hub.connections(), 0, "and it is not gone around");
}
