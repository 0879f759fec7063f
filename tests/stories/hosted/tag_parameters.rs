//! Tags that a push by digest names as parameters: made all or none, by the rules of every other tag.

use entrepot::config::{Patterns, Redeploy};
use futures_util::future::join_all;

use crate::app::*;

async fn put(client: &Client, image: &Built, query: &str) -> Answer {
    client.put_manifest("team/app", &format!("{}?{query}", image.digest()), IMAGE, image.manifest.clone()).await
}

async fn named(app: &App, tag: &str) -> Option<bytes::Bytes> {
    let answer = app.anonymous().get(&format!("/v2/team/app/manifests/{tag}")).await;
    (answer.status == 200).then_some(answer.body)
}

/// SEC-15: a push by digest that names tags besides was not asked what it may change.
#[tokio::test]
async fn zot_4266_an_immutable_tag_among_them_refuses_them_all() {
    let app = App::with(|settings| settings.hosted.tags.immutable_tags = Patterns::new(&["v*"]).unwrap()).await;
    let alice = app.user("alice");
    let (one, two) = (build("one", &[]), build("two", &[]));
    alice.push("team/app", "v1", &one).await;
    alice.push_blob("team/app", &two.config).await;
    for query in ["tag=latest&tag=v1", "tag=v1&tag=latest"] {
        let refused = put(&alice, &two, query).await.expect(409);
        assert!(refused.message().contains("team/app:v1 is immutable"), "{}", refused.message());
        assert!(refused.headers.get("oci-tag").is_none());
    }
    assert_eq!((named(&app, "v1").await, named(&app, "latest").await), (Some(one.manifest.clone()), None));
    assert_eq!(named(&app, &two.digest().to_string()).await, None);

    put(&alice, &one, "tag=v1&tag=v2").await.expect(201);
    assert_eq!(named(&app, "v2").await, Some(one.manifest));
}

#[tokio::test]
async fn of_two_pushes_that_want_the_same_tags_one_gets_them_all() {
    let app = App::with(|settings| settings.hosted.tags.redeploy = Redeploy::Deny).await;
    let images: Vec<_> = (0..8).map(|i| build(&format!("image {i}"), &[])).collect();
    let alice = app.user("alice").basic();
    for image in &images {
        alice.push_blob("team/app", &image.config).await;
    }
    let answers = join_all(images.iter().map(|image| put(&alice, image, "tag=one&tag=two"))).await;
    let winners: Vec<_> = images.iter().zip(&answers).filter(|(_, answer)| answer.status == 201).collect();
    assert_eq!(winners.len(), 1);
    for tag in ["one", "two"] {
        assert_eq!(named(&app, tag).await, Some(winners[0].0.manifest.clone()), "{tag}");
    }
}

#[tokio::test]
async fn beside_a_tag_they_mean_nothing() {
    let app = App::start().await;
    let (alice, image) = (app.user("alice"), build("one", &[]));
    alice.push_blob("team/app", &image.config).await;
    let answer = alice.put_manifest("team/app", "v1?tag=v2", IMAGE, image.manifest.clone()).await.expect(201);
    assert!(answer.headers.get("oci-tag").is_none());
    assert_eq!((named(&app, "v1").await, named(&app, "v2").await), (Some(image.manifest), None));
}
