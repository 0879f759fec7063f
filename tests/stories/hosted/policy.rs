//! What the configuration lets be pushed again, changed or deleted.

use entrepot::config::{Patterns, Redeploy};

use crate::app::*;

#[tokio::test]
async fn with_redeploy_deny_a_tag_is_immutable_once_pushed() {
    let app = App::with(|settings| settings.hosted.tags.redeploy = Redeploy::Deny).await;
    let alice = app.user("alice");
    let (one, two) = (build("one", &[]), build("two", &[]));
    alice.push("team/app", "v1", &one).await;
    alice.push("team/app", "v1", &one).await;
    alice.push("team/app", "v2", &two).await;
    let refused = alice.put_manifest("team/app", "v1", IMAGE, two.manifest.clone()).await;
    assert!((400..500).contains(&refused.status) && refused.code() == "DENIED", "{refused:?}");
    assert!(refused.message().contains("immutable"), "{}", refused.message());
    assert_eq!(app.anonymous().get("/v2/team/app/manifests/v1").await.body, one.manifest);
}

#[tokio::test]
async fn two_pushes_cannot_both_find_a_tag_free() {
    let app = App::with(|settings| settings.hosted.tags.redeploy = Redeploy::Deny).await;
    let images: Vec<_> = (0..8).map(|i| build(&format!("image {i}"), &[])).collect();
    for image in &images {
        app.user("alice").push_blob("team/app", &image.config).await;
    }
    let alice = app.user("alice").basic();
    let pushes = images.iter().map(|image| alice.put_manifest("team/app", "v1", IMAGE, image.manifest.clone()));
    let answers = futures_util::future::join_all(pushes).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    let winner = images.iter().zip(&answers).find(|(_, answer)| answer.status == 201).unwrap().0;
    assert_eq!(app.anonymous().get("/v2/team/app/manifests/v1").await.body, winner.manifest);
}

#[tokio::test]
async fn immutable_tags_are_those_that_match_the_patterns() {
    let app = App::with(|settings| settings.hosted.tags.immutable_tags = Patterns::new(&["v*"]).unwrap()).await;
    let alice = app.user("alice");
    let (one, two) = (build("one", &[]), build("two", &[]));
    for tag in ["v1", "latest"] {
        alice.push("team/app", tag, &one).await;
    }
    alice.push("team/app", "latest", &two).await;
    assert_eq!(alice.put_manifest("team/app", "v1", IMAGE, two.manifest).await.code(), "DENIED");
    assert_eq!(app.user("admin").delete("/v2/team/app/manifests/v1").await.code(), "DENIED");
    assert_eq!(app.user("admin").delete(&format!("/v2/team/app/manifests/{}", one.digest())).await.code(), "DENIED");
    assert_eq!(app.anonymous().get("/v2/team/app/manifests/v1").await.body, one.manifest);
}

#[tokio::test]
async fn a_read_only_registry_serves_and_takes_nothing() {
    let mut app = App::start().await;
    let image = build("one", &[]);
    app.user("alice").push("team/app", "v1", &image).await;
    app.restart_with(|settings| settings.hosted.tags.redeploy = Redeploy::ReadOnly).await;
    let alice = app.user("alice");
    assert_eq!(app.anonymous().pull("team/app", "v1").await.manifest, image.manifest);
    let refused = alice.put_manifest("team/app", "v2", IMAGE, image.manifest.clone()).await.expect(403);
    assert!(refused.message().contains("read-only"), "{}", refused.message());
    let refused = app.user("admin").delete("/v2/team/app/manifests/v1").await.expect(405);
    assert_eq!((&*refused.code(), refused.header("allow")), ("UNSUPPORTED", "GET, HEAD"));
}
