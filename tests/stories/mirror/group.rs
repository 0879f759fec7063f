//! The root address: hosted first, then the upstreams in order.

use entrepot::config::Patterns;
use entrepot::oci::{Digest, Origin};
use serde_json::json;

use crate::app::*;

/// A group of hosted, docker.io and quay.io.
async fn of_two(quay: &FaultUpstream) -> App {
    App::with(|settings| {
        settings.upstreams.push(quay.upstream_settings("quay.io"));
        settings.group.members.push(Origin::named("quay.io"));
    })
    .await
}

#[tokio::test]
async fn hosted_comes_first_and_its_names_are_never_asked_for_elsewhere() {
    let app = App::start().await;
    app.hub.image("team/app", "v1", &[bytes(1, 100)]);
    app.hub.image("team/app", "v2", &[]);
    let ours = build("ours", &[bytes(2, 100)]);
    app.user("alice").push("team/app", "v1", &ours).await;
    for client in [app.anonymous(), app.anonymous().through("docker.io")] {
        assert_eq!(client.pull("team/app", "v1").await.manifest, ours.manifest);
        client.get("/v2/team/app/manifests/v2").await.expect(404);
        client.get(&format!("/v2/team/app/manifests/{}", Digest::of(b"none"))).await.expect(404);
        client.get(&format!("/v2/team/app/blobs/{}", Digest::of(b"none"))).await.expect(404);
        client.get(&format!("/v2/team/app/referrers/{}", ours.digest())).await.expect(200);
        assert_eq!(client.get("/v2/team/app/tags/list").await.expect(200).json()["tags"], json!(["v1"]));
    }
    assert_eq!(app.hub.requests(), 0);
}

#[tokio::test]
async fn a_name_is_free_again_when_its_repository_is_deleted() {
    let app = App::start().await;
    let theirs = app.hub.image("team/app", "v1", &[]);
    let ours = build("ours", &[]);
    let alice = app.user("alice");
    alice.push("team/app", "v1", &ours).await;
    app.user("admin").delete(&format!("/v2/team/app/manifests/{}", ours.digest())).await.expect(202);
    app.anonymous().get("/v2/team/app/manifests/v1").await.expect(404);
    let repository = entrepot::oci::Repository::hosted(&"team/app".parse().unwrap());
    remove(&app, repository).await;
    assert_eq!(app.anonymous().pull("team/app", "v1").await.digest, theirs.digest);
}

#[tokio::test]
async fn what_was_pulled_before_the_first_push_stays_readable_by_digest() {
    let app = App::start().await;
    let theirs = app.hub.image("team/app", "v1", &[bytes(1, 100), bytes(2, 100)]);
    let client = app.anonymous();
    client.get("/v2/team/app/manifests/v1").await.expect(200);
    client.blob("team/app", &theirs.config).await;
    app.landed().await;
    let ours = build("ours", &[]);
    app.user("alice").push("team/app", "v2", &ours).await;
    client.get("/v2/team/app/manifests/v1").await.expect(404);
    assert_eq!(client.get(&format!("/v2/team/app/manifests/{}", theirs.digest)).await.expect(200).body, theirs.manifest);
    assert_eq!(client.blob("team/app", &theirs.layers[1]).await, bytes(2, 100));
}

#[tokio::test]
async fn names_of_the_overlay_stay_shared_tag_by_tag() {
    let app = App::start().await;
    let theirs = app.hub.image("library/nginx", "1.25", &[bytes(1, 100)]);
    app.hub.image("library/nginx", "latest", &[]);
    let ours = build("ours", &[bytes(2, 100)]);
    app.user("alice").push("nginx", "latest", &ours).await;
    for name in ["nginx", "library/nginx"] {
        assert_eq!(app.anonymous().pull(name, "latest").await.manifest, ours.manifest);
        assert_eq!(app.anonymous().pull(name, "1.25").await.digest, theirs.digest);
        let tags = app.anonymous().get(&format!("/v2/{name}/tags/list")).await.json()["tags"].clone();
        assert_eq!(tags, json!(["1.25", "latest"]));
    }
    assert_ne!(app.anonymous().pull("docker.io/nginx", "latest").await.manifest, ours.manifest);
}

#[tokio::test]
async fn reserved_names_cause_no_question_upstream() {
    let app = App::with(|settings| settings.hosted.reserved = Patterns::new(&["corp/**", "secret"]).unwrap()).await;
    for name in ["corp/app", "corp/a/b", "secret", "library/secret"] {
        app.hub.image(name, "latest", &[]);
        for client in [app.anonymous(), app.anonymous().through("docker.io"), app.user("alice")] {
            for path in [format!("/v2/{name}/manifests/latest"), format!("/v2/{name}/blobs/{}", Digest::of(b"none"))] {
                let refused = client.get(&path).await.expect(404);
                assert!(refused.message().contains("reserved"), "{}", refused.message());
                client.head(&path).await.expect(404);
            }
            let refused = client.get(&format!("/v2/{name}/tags/list")).await.expect(404);
            assert!(refused.message().contains("reserved"), "{}", refused.message());
            let none = client.get(&format!("/v2/{name}/referrers/{}", Digest::of(b"none"))).await.expect(200);
            assert_eq!(none.json()["manifests"], json!([]));
            client.get(&format!("/v1/search?q={name}")).await.expect(200);
        }
    }
    assert_eq!(app.hub.requests(), 0);
    let image = build("ours", &[]);
    app.user("alice").push("corp/app", "latest", &image).await;
    assert_eq!(app.anonymous().pull("corp/app", "latest").await.manifest, image.manifest);
}

#[tokio::test]
async fn reserved_names_are_not_asked_for_under_a_prefix_either() {
    let app = App::with(|settings| settings.hosted.reserved = Patterns::new(&["corp/**"]).unwrap()).await;
    app.hub.image("corp/app", "latest", &[]);
    app.anonymous().get("/v2/docker.io/corp/app/manifests/latest").await.expect(404);
    app.anonymous().get("/v2/docker.io/corp/app/tags/list").await.expect(404);
    assert_eq!(app.hub.requests(), 0);
}

#[tokio::test]
async fn what_a_policy_forbids_is_404_that_says_so() {
    let app = App::with_hub(|hub| hub.deny = Patterns::new(&["evil/**"]).unwrap()).await;
    app.hub.image("evil/app", "latest", &[]);
    for name in ["evil/app", "docker.io/evil/app"] {
        let refused = app.anonymous().get(&format!("/v2/{name}/manifests/latest")).await.expect(404);
        assert!(refused.message().contains("docker.io"), "{}", refused.message());
    }
    assert_eq!(app.hub.requests(), 0);
}

#[tokio::test]
async fn absent_and_denied_pass_on_to_the_next_member() {
    let quay = FaultUpstream::start().await;
    let app = of_two(&quay).await;
    app.hub.image("org/one", "v1", &[]);
    let denied = quay.image("org/two", "v1", &[bytes(1, 100)]);
    let absent = quay.image("org/one", "v2", &[bytes(2, 100)]);
    assert_eq!(app.anonymous().pull("org/two", "v1").await.digest, denied.digest);
    assert_eq!(app.anonymous().pull("org/one", "v2").await.digest, absent.digest);
}

#[tokio::test]
async fn sec_38_a_failing_member_ends_the_search() {
    let quay = FaultUpstream::start().await;
    let app = of_two(&quay).await;
    quay.image("org/app", "v1", &[]);
    app.hub.on("/v2/", Fault::Status(503));
    for _ in 0..2 {
        let failed = app.anonymous().get("/v2/org/app/manifests/v1").await.expect(502);
        assert!(failed.message().contains("docker.io"), "{}", failed.message());
        app.anonymous().get(&format!("/v2/org/app/blobs/{}", Digest::of(b"none"))).await.expect(502);
    }
    assert_eq!(quay.requests(), 0);
    app.hub.heal();
    app.anonymous().get("/v2/org/app/manifests/v1").await.expect(200);
}

#[tokio::test]
async fn sec_38_a_name_stays_with_the_member_that_served_it() {
    let quay = FaultUpstream::start().await;
    let app = of_two(&quay).await;
    let theirs = quay.image("org/app", "v1", &[bytes(1, 100)]);
    quay.image("org/app", "v2", &[]);
    assert_eq!(app.anonymous().pull("org/app", "v1").await.digest, theirs.digest);
    // Somebody registers the name at docker.io, with a newer tag.
    app.hub.image("org/app", "v1", &[]);
    app.hub.image("org/app", "v2", &[]);
    app.hub.image("org/app", "v3", &[]);
    app.hub.forget();
    let newer = app.anonymous().pull("org/app", "v2").await;
    assert_eq!(quay.count("GET", &format!("/v2/org/app/manifests/{}", newer.digest)), 1);
    app.anonymous().get("/v2/org/app/manifests/v3").await.expect(404);
    assert_eq!(app.hub.requests(), 0);
}

#[tokio::test]
async fn sec_38_a_pulls_blobs_come_from_the_member_of_its_manifest() {
    let quay = FaultUpstream::start().await;
    let app = of_two(&quay).await;
    let image = quay.image("org/app", "v1", &[bytes(1, 1000), bytes(2, 1000)]);
    app.anonymous().get("/v2/org/app/manifests/v1").await.expect(200);
    app.hub.forget();
    for digest in &image.layers {
        app.anonymous().blob("org/app", digest).await;
    }
    assert_eq!(app.hub.requests(), 0);
}

/// As an administrator's command does.
async fn remove(app: &App, repository: entrepot::oci::Repository) {
    use entrepot::index::{Change, Promise};
    let change = Change::RemoveRepository { repository };
    app.registry().index().commit(vec![], vec![change], Promise::Durable).await.unwrap();
}
