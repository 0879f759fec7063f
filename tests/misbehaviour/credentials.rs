//! Credentials belong to an endpoint: neither another endpoint nor any host that a redirect or a challenge names sees them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use entrepot::config::{Credentials, Endpoint, Visibility};

use super::app::*;
use super::log;

/// A string that is nowhere else, as itself and as it is sent.
struct Canary {
    username: String,
    password: String,
}

impl Canary {
    fn of(endpoint: &str) -> Canary {
        Canary { username: format!("canary-{endpoint}"), password: format!("feathers-of-{endpoint}") }
    }

    fn signs(&self) -> [String; 2] {
        [self.password.clone(), STANDARD.encode(format!("{}:{}", self.username, self.password))]
    }

    fn endpoint(&self, hub: &FaultUpstream) -> Endpoint {
        let credentials = Credentials::password(&self.username, &self.password);
        Endpoint { url: hub.url(), credentials: Some(credentials) }
    }

    /// Requests at `hub` that showed it, at the registry's or the CDN's address.
    fn shown(&self, hub: &FaultUpstream, cdn: bool) -> usize {
        let shows = |seen: &Seen| self.signs().iter().any(|sign| format!("{:?}", seen.request).contains(sign));
        hub.seen().iter().filter(|seen| seen.cdn == cdn && shows(seen)).count()
    }
}

#[tokio::test]
async fn no_other_endpoint_redirect_or_realm_ever_sees_them() {
    log::capture();
    let canaries = ["first", "second"].map(Canary::of);
    let (second, third) = (FaultUpstream::start().await, FaultUpstream::start().await);
    let app = App::with_hub(|hub| {
        let own = hub.endpoints[0].url.clone();
        hub.visibility = Visibility::Public;
        hub.prefetch_layers = false;
        hub.endpoints = vec![Endpoint { url: own, ..canaries[0].endpoint(&second) }, canaries[1].endpoint(&second)];
        hub.endpoints.extend(third.upstream_settings("docker.io").endpoints);
    })
    .await;
    let hubs = [&app.hub, &second, &third];
    for (hub, canary) in hubs.iter().zip(&canaries) {
        hub.behave(|b| (b.tokens, b.redirect, b.account) = (true, true, Some((canary.username.clone(), canary.password.clone()))));
    }
    let client = app.anonymous();
    let cdn = third.cdn();
    // What the endpoints before the last do; the last has everything.
    let lures = [
        Fault::Status(503),
        Fault::Reset,
        Fault::RedirectTo(format!("{}v2/library/app/manifests/latest", third.url())),
        Fault::RedirectTo(format!("http://{cdn}/elsewhere")),
        Fault::RedirectTo(format!("http://canary-first:feathers-of-first@{cdn}/")),
        // A realm of somebody else's, a lie about the first one's, and its own token service's password prompt.
        Fault::Header(
            "WWW-Authenticate".into(),
            format!(r#"Bearer realm="http://{cdn}/token",service="x",scope="repository:library/app:pull""#),
        ),
        Fault::Header("WWW-Authenticate".into(), format!(r#"Bearer realm="http://{}@{cdn}/token",service="x""#, app.hub.address())),
        Fault::Header("WWW-Authenticate".into(), r#"Basic realm="x""#.into()),
    ];
    for (number, lure) in lures.iter().enumerate() {
        let name = format!("library/app{number}");
        for hub in hubs {
            hub.heal();
        }
        let image = third.image(&name, "latest", &[bytes(number as u64, 100_000)]);
        for hub in [&app.hub, &second] {
            hub.on("/v2/", lure.clone());
        }
        let short = format!("app{number}");
        until("the last endpoint answers", async || client.get(&format!("/v2/{short}/manifests/latest")).await.status == 200).await;
        assert_eq!(client.pull(&short, "latest").await.digest, image.digest, "{lure:?}");
    }
    for hub in hubs {
        hub.heal();
    }
    // At their own endpoints they open what they should.
    let own = app.hub.image("library/own", "latest", &[bytes(77, 1000)]);
    app.hub.behave(|b| b.private = vec!["library/own".into()]);
    until("the first endpoint is back", async || client.get("/v2/own/manifests/latest").await.status == 200).await;
    assert_eq!(client.pull("own", "latest").await.digest, own.digest);

    assert!(canaries[0].shown(&app.hub, false) > 0, "else this shows nothing");
    for (canary, at_home) in canaries.iter().zip([&app.hub, &second]) {
        for hub in hubs {
            assert_eq!(canary.shown(hub, true), 0, "{} reached a CDN", canary.password);
            assert!(std::ptr::eq(hub, at_home) || canary.shown(hub, false) == 0, "{} reached another endpoint", canary.password);
        }
        assert!(canary.signs().iter().all(|sign| log::lines(sign).is_empty()), "{} is in the log", canary.password);
    }
}
