//! Rules for some repositories, and what is remembered of a tag: no way to the same end changes what a rule says must stay.

use entrepot::config::{HostedRule, Patterns, Redeploy, Settings};
use entrepot::oci::Digest;

use crate::app::*;

/// A rule that says when a tag may be pushed again.
pub fn rule(settings: &Settings, repositories: &str, redeploy: Redeploy, immutable_tags: &[&str]) -> HostedRule {
    let mut tags = settings.hosted.tags.clone();
    (tags.redeploy, tags.immutable_tags) = (redeploy, Patterns::new(immutable_tags).unwrap());
    HostedRule { repositories: Patterns::new(&[repositories]).unwrap(), tags }
}

async fn ruled() -> App {
    App::with(|settings| {
        settings.hosted.rules = vec![
            rule(settings, "team/once", Redeploy::Deny, &[]),
            rule(settings, "team/*", Redeploy::Allow, &["v*"]),
            rule(settings, "library/mine", Redeploy::Deny, &[]),
        ];
    })
    .await
}

#[tokio::test]
async fn the_first_rule_that_matches_says_which_tags_may_be_pushed_again() {
    let app = ruled().await;
    let alice = app.user("alice");
    let (one, two) = (build("one", &[]), build("two", &[]));
    for (name, tag, expected) in [
        ("team/once", "latest", 409),
        ("team/app", "latest", 201),
        ("team/app", "v1", 409),
        ("team/app/web", "v1", 201),
        ("mine", "latest", 409),
        ("other", "v1", 201),
    ] {
        alice.push(name, tag, &one).await;
        alice.push_blob(name, &two.config).await;
        let answer = alice.put_manifest(name, tag, IMAGE, two.manifest.clone()).await.expect(expected);
        let there = app.anonymous().get(&format!("/v2/{name}/manifests/{tag}")).await.body;
        assert_eq!(there, if expected == 201 { &two } else { &one }.manifest, "{name}:{tag}");
        assert!(expected == 201 || answer.message().contains("immutable"), "{name}:{tag}: {}", answer.message());
    }
}

/// SEC-15: who might only create could overwrite.
#[tokio::test]
async fn cve_2026_31801_no_way_to_the_same_end_changes_an_immutable_tag() {
    let app = ruled().await;
    let (alice, admin) = (app.user("alice"), app.user("admin"));
    let (one, two) = (build("one", &[]), build("two", &[]));
    alice.push("team/app", "v1", &one).await;
    alice.push("team/app", "latest", &one).await;
    alice.push("team/app", "latest", &two).await;
    let by_digest = |digest: Digest| format!("/v2/team/app/manifests/{digest}");
    for path in ["/v2/team/app/manifests/v1".to_owned(), by_digest(one.digest())] {
        let refused = admin.delete(&path).await.expect(409);
        assert!(refused.message().contains("v1 is immutable"), "{}", refused.message());
    }
    // The same again, and its bytes under another name, are no change.
    alice.push("team/app", "v1", &one).await;
    alice.put_manifest("team/app", &one.digest().to_string(), IMAGE, one.manifest.clone()).await.expect(201);
    for reference in ["v1".to_owned(), format!("{}?tag=new&tag=v1", two.digest())] {
        alice.put_manifest("team/app", &reference, IMAGE, two.manifest.clone()).await.expect(409);
    }
    app.anonymous().get("/v2/team/app/manifests/new").await.expect(404);
    let (registry, image) = (app.registry(), |text: &str| text.parse().unwrap());
    for refused in [
        registry.delete_image(&image("team/app:v1")).await,
        registry.delete_repository("team/app").await,
        registry.copy(&image("team/app:latest"), &image("team/app:v1")).await.map(|copied| copied.moved),
    ] {
        let why = refused.unwrap_err().message;
        assert!(why.contains("v1 is immutable"), "{why}");
    }
    assert_eq!(app.anonymous().get("/v2/team/app/manifests/v1").await.body, one.manifest);
    admin.delete(&by_digest(two.digest())).await.expect(202);
    app.anonymous().get("/v2/team/app/manifests/latest").await.expect(404);
}

/// SEC-15: where deletions were switched off, those of tags went on.
#[tokio::test]
async fn cve_2026_41888_where_a_rule_says_read_only_nothing_is_begun_and_elsewhere_all_goes_on() {
    let mut app = App::start().await;
    let image = build("one", &[bytes(1, 1000)]);
    for name in ["team/frozen", "team/app"] {
        app.user("alice").push(name, "v1", &image).await;
    }
    app.restart_with(|settings| settings.hosted.rules = vec![rule(settings, "team/frozen", Redeploy::ReadOnly, &[])]).await;
    let (alice, admin) = (app.user("alice"), app.user("admin"));
    let layer = Digest::of(&image.layers[0]);
    let uploads = "/v2/team/frozen/blobs/uploads/";
    for path in [uploads.to_owned(), format!("{uploads}?mount={layer}&from=team/app"), format!("{uploads}?digest={layer}")] {
        let refused = alice.post(&path, image.layers[0].clone()).await.expect(403);
        assert!(refused.message().contains("read-only"), "{path}: {}", refused.message());
    }
    alice.put_manifest("team/frozen", "v2", IMAGE, image.manifest.clone()).await.expect(403);
    for path in ["manifests/v1", &format!("manifests/{}", image.digest()), &format!("blobs/{layer}")] {
        admin.delete(&format!("/v2/team/frozen/{path}")).await.expect(405);
    }
    assert_eq!(app.anonymous().pull("team/frozen", "v1").await.manifest, image.manifest);
    alice.push("team/app", "v2", &image).await;
    admin.delete("/v2/team/app/manifests/v1").await.expect(202);
}

/// Where, by whom, from what and to what an image's tag was moved.
async fn moves(app: &App, image: &str) -> Vec<(String, String, Option<Digest>, Option<Digest>)> {
    let found = app.registry().history(&image.parse().unwrap()).await.unwrap();
    let told = found.into_iter().flat_map(|past| past.moves.into_iter().map(move |step| (past.repository.to_string(), step)));
    told.map(|(repository, step)| (repository, step.by, step.from, step.to)).collect()
}

#[tokio::test]
async fn a_tag_tells_who_moved_it_from_what_to_what_also_after_restarts() {
    let mut app = App::start().await;
    let (one, two) = (build("one", &[]), build("two", &[]));
    app.user("alice").push("team/app", "v1", &one).await;
    app.user("alice").push("team/app", "v1", &one).await;
    app.user("bob").push("team/app", "v1", &two).await;
    app.user("admin").delete("/v2/team/app/manifests/v1").await.expect(202);
    app.user("alice").push("team/app", "v1", &two).await;
    app.user("admin").delete(&format!("/v2/team/app/manifests/{}", two.digest())).await.expect(202);
    let (one, two) = (Some(one.digest()), Some(two.digest()));
    let steps = [("alice", None, one), ("bob", one, two), ("admin", two, None), ("alice", None, two), ("admin", two, None)];
    let told = steps.map(|(by, from, to)| ("team/app".to_owned(), by.to_owned(), from, to));
    assert_eq!(moves(&app, "team/app:v1").await, told);
    app.stop().await;
    std::fs::remove_dir_all(app.data().join("index")).unwrap();
    app.start_again().await;
    assert_eq!(moves(&app, "team/app:v1").await, told);
    app.crash();
    app.start_again().await;
    assert_eq!(moves(&app, "team/app:v1").await, told);
    let never = app.registry().history(&"team/app:v2".parse().unwrap()).await.unwrap_err();
    assert!(never.message.contains("team/app:v2"), "{never}");
}

#[tokio::test]
async fn a_cached_tag_has_moved_when_the_upstream_moved_it_and_not_when_it_was_asked() {
    let app = App::with_hub(|hub| hub.tag_ttl = std::time::Duration::ZERO).await;
    let mut told = Vec::new();
    let mut before = None;
    for seed in [1, 2] {
        let image = app.hub.image("library/nginx", "latest", &[bytes(seed, 100)]);
        for _ in 0..3 {
            app.anonymous().get("/v2/nginx/manifests/latest").await.expect(200);
            app.anonymous().head("/v2/docker.io/library/nginx/manifests/latest").await.expect(200);
        }
        told.push(("docker.io/library/nginx".to_owned(), "docker.io".to_owned(), before, Some(image.digest)));
        before = Some(image.digest);
    }
    assert_eq!(moves(&app, "nginx").await, told);
    assert_eq!(moves(&app, "docker.io/library/nginx:latest").await, told);
}
