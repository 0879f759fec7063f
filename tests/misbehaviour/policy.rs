//! What policy keeps at home: `reserved`, `allow` and `deny` cause no question, however the name is written and whatever is asked.

use entrepot::config::Patterns;
use entrepot::oci::Digest;
use entrepot::upkeep::{Order, Reply, Request, carry_out};
use reqwest::Method;

use super::app::*;

/// Every question about a name that a client can put, under each way to write it.
async fn ask_everything(app: &App, name: &str) {
    let digest = Digest::of(name.as_bytes());
    let tails = [
        "manifests/latest".to_owned(),
        format!("manifests/{digest}"),
        format!("blobs/{digest}"),
        "tags/list".to_owned(),
        "tags/list?n=1".to_owned(),
        format!("referrers/{digest}"),
        format!("referrers/{digest}?artifactType=x"),
    ];
    let clients = [app.anonymous(), app.user("alice"), app.user("alice").pushing(), app.user("bob").basic()];
    let asks = clients.iter().flat_map(|client| [(client.clone(), name.to_owned()), (client.clone(), format!("docker.io/{name}"))]);
    for (client, written) in asks.chain([(app.anonymous().through("docker.io"), name.to_owned())]) {
        for tail in &tails {
            let path = format!("/v2/{written}/{tail}");
            for method in [Method::GET, Method::HEAD] {
                let answer = client.send(method.clone(), &path, &[], Default::default()).await;
                let said = answer.status == 404 || answer.status == 200 && tail.contains("referrers") || answer.status == 405;
                assert!(said, "{method} {path}: {}", answer.status);
            }
        }
    }
    for client in &clients {
        client.get(&format!("/v1/search?q={name}")).await.expect(200);
        client.get("/v2/_catalog").await.expect(200);
        client.token(&[&format!("repository:{name}:pull,push")]).await.expect(200);
    }
    let alice = app.user("alice").pushing();
    let mounted = alice.post(&format!("/v2/team/other/blobs/uploads/?mount={digest}&from={name}"), "").await;
    assert_eq!(mounted.status, 202, "a mount from {name}");
    let images = vec![format!("{name}:latest"), format!("docker.io/{name}:latest")];
    let order = Order { images, platforms: vec!["all".into()], jobs: 2 };
    let mut replies = carry_out(app.registry().clone(), Request::Prefetch(order));
    while let Some(reply) = replies.recv().await {
        assert!(!matches!(&reply, Reply::Event(event) if event.to_string().to_lowercase().contains("\"done\"")), "{name} was prefetched");
    }
}

/// SEC-37: reserved names were kept from downloads, and asked for by every other question.
#[tokio::test]
async fn nora_internal_namespaces_reserved_names_cause_no_upstream_request_of_any_kind() {
    let app = App::with(|settings| settings.hosted.reserved = Patterns::new(&["corp/**", "secret"]).unwrap()).await;
    for name in ["corp/app", "corp/deep/er/app", "secret", "library/secret"] {
        app.hub.image(name, "latest", &[bytes(1, 100)]);
        ask_everything(&app, name).await;
        let asked: Vec<_> = app.hub.seen().into_iter().map(|seen| seen.request.path).collect();
        assert!(asked.is_empty(), "{name}: {asked:?}");
    }
}

#[tokio::test]
async fn what_is_denied_or_not_allowed_causes_no_upstream_request_of_any_kind() {
    let app = App::with_hub(|hub| {
        hub.allow = Patterns::new(&["library/**", "team/**"]).unwrap();
        hub.deny = Patterns::new(&["library/evil", "team/evil/**"]).unwrap();
    })
    .await;
    for name in ["evil", "team/evil/app", "org/app"] {
        app.hub.image(name, "latest", &[bytes(1, 100)]);
        ask_everything(&app, name).await;
        let asked: Vec<_> = app.hub.seen().into_iter().map(|seen| seen.request.path).collect();
        assert!(asked.is_empty(), "{name}: {asked:?}");
    }
    let image = app.hub.image("team/good", "latest", &[bytes(2, 100)]);
    assert_eq!(app.anonymous().pull("team/good", "latest").await.digest, image.digest, "else nothing is shown");
}

#[tokio::test]
async fn each_upstream_has_rules_of_its_own() {
    let quay = FaultUpstream::start().await;
    let app = App::with(|settings| {
        settings.upstreams[0].deny = Patterns::new(&["org/**"]).unwrap();
        settings
            .upstreams
            .push(entrepot::config::Upstream { allow: Patterns::new(&["org/*"]).unwrap(), ..quay.upstream_settings("quay.io") });
    })
    .await;
    let image = quay.image("org/app", "v1", &[bytes(3, 100)]);
    quay.image("other/app", "v1", &[]);
    assert_eq!(app.anonymous().pull("quay.io/org/app", "v1").await.digest, image.digest);
    quay.forget();
    let refused = app.anonymous().get("/v2/quay.io/other/app/manifests/v1").await.expect(404);
    assert!(refused.message().contains("does not allow"), "{}", refused.message());
    app.anonymous().get("/v2/org/app/manifests/v1").await.expect(404);
    assert_eq!((quay.requests(), app.hub.requests()), (0, 0));
}
