//! Every second way to change what an immutable tag names.

use entrepot::config::{Patterns, Redeploy};
use entrepot::oci::Digest;
use entrepot::upkeep::{Copy, Names, Request};
use futures_util::future::join_all;

use super::raw;
use crate::app::*;

async fn refused(app: &App, request: Request) {
    let told: Result<Vec<serde_json::Value>, String> = app.command(request.clone()).await;
    let failed = |told: &serde_json::Value| told.get("failed").is_some() || told["event"] == "failed";
    assert!(told.as_ref().map_or(true, |told| told.iter().all(failed)), "{request:?}: {told:?}");
}

/// SEC-15: "may create" was enough to change a tag by a way that nobody had thought of.
#[tokio::test]
async fn cve_2026_31801_an_image_whose_tag_is_immutable_stays_whole_whatever_is_tried() {
    let app = App::with(|settings| {
        settings.hosted.tags.immutable_tags = Patterns::new(&["v*"]).unwrap();
        settings.group.overlay = Patterns::new(&["library/*"]).unwrap();
    })
    .await;
    let admin = app.user("admin");
    // An image for two platforms, in a repository that has two names.
    let (one, two, other) = (build("one", &[bytes(1, 1000)]), build("two", &[bytes(2, 1000)]), build("other", &[bytes(3, 1000)]));
    for (tag, image) in [("one", &one), ("two", &two), ("latest", &other)] {
        admin.push("web", tag, image).await;
    }
    let index = index_of(&[("linux/amd64", &one.manifest), ("linux/arm64", &two.manifest)]);
    let digest = Digest::of(&index);
    admin.put_manifest("web", "v1", INDEX, index.clone()).await.expect(201);
    let whole = app.anonymous().pull("web", "v1").await;
    app.hub.image("library/web", "v1", &[bytes(4, 1000)]);

    for name in ["web", "library/web"] {
        for reference in
            ["v1".to_owned(), "%761".to_owned(), format!("{}?tag=v1", other.digest()), format!("{}?tag=new&tag=%76%31", other.digest())]
        {
            admin.put_manifest(name, &reference, IMAGE, other.manifest.clone()).await.expect(409);
        }
        // By its tag, itself, and what it leads to.
        for path in [
            "manifests/v1".to_owned(),
            format!("manifests/{digest}"),
            format!("manifests/{}", one.digest()),
            format!("blobs/{}", Digest::of(&one.layers[0])),
            format!("blobs/{}", Digest::of(&two.config)),
        ] {
            let answer = admin.delete(&format!("/v2/{name}/{path}")).await;
            assert!((400..500).contains(&answer.status), "DELETE {path}: {answer:?}");
        }
        let (status, text) = raw(app.address(), "DELETE", &format!("/v2/{name}/manifests/%76%31"), Some("admin"), "").await;
        assert_eq!(status, 409, "{text}");
    }
    let names = |all, name: &str| Names { names: vec![name.to_owned()], all };
    refused(&app, Request::Delete(names(false, "web:v1"))).await;
    refused(&app, Request::Delete(names(false, &format!("web@{digest}")))).await;
    refused(&app, Request::Delete(names(true, "web"))).await;
    refused(&app, Request::Copy(Copy { from: "web:latest".into(), to: "web:v1".into() })).await;
    refused(&app, Request::Copy(Copy { from: "docker.io/library/web:v1".into(), to: "web:v1".into() })).await;
    refused(&app, Request::Pin(vec![format!("web:v1@{}", other.digest())])).await;
    refused(&app, Request::Refresh(vec!["web:v1".into()])).await;

    assert_eq!(app.anonymous().pull("web", "v1").await, whole);
    assert_eq!(app.anonymous().through("docker.io").pull("library/web", "v1").await, whole);
}

/// SEC-15: a tag that is deleted and one that is pushed at the same moment, again and again.
#[tokio::test]
async fn cve_2026_31801_who_deletes_and_who_pushes_do_not_change_it_together() {
    let app = App::with(|settings| settings.hosted.tags.redeploy = Redeploy::Deny).await;
    let (one, two) = (build("one", &[]), build("two", &[]));
    let admin = app.user("admin").basic();
    admin.push_blob("team/app", &one.config).await;
    admin.push_blob("team/app", &two.config).await;
    admin.put_manifest("team/app", "v1", IMAGE, one.manifest.clone()).await.expect(201);
    let tries = (0..100).map(async |number| match number % 2 {
        0 => admin.delete("/v2/team/app/manifests/v1").await.status,
        _ => admin.put_manifest("team/app", "v1", IMAGE, two.manifest.clone()).await.status,
    });
    assert_eq!(join_all(tries).await, vec![409; 100]);
    assert_eq!(app.anonymous().get("/v2/team/app/manifests/v1").await.body, one.manifest);
}
