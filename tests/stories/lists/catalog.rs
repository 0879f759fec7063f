//! The catalog: every name that can be pulled here, once, in order, however it is cut into pages.

use entrepot::index::{Change, Promise, TagRow};
use entrepot::oci::{Digest, Repository, Tag};

use crate::app::*;

/// A tag of each, as pushes and pulls leave them.
async fn fill(app: &App, repositories: impl IntoIterator<Item = Repository>) {
    let tag: Tag = "v1".parse().unwrap();
    let row = TagRow::new(Digest::of(b"m"), 1, "");
    let change = |repository| Change::Tag { repository, tag: tag.clone(), row: row.clone() };
    app.registry().index().commit(vec![], repositories.into_iter().map(change).collect(), Promise::Appended).await.unwrap();
}

/// Follows the links from page to page.
async fn walk(client: &Client, first: &str) -> Vec<String> {
    let (mut next, mut found) = (first.to_owned(), Vec::new());
    loop {
        let answer = client.get(&next).await.expect(200);
        let names = answer.json()["repositories"].as_array().unwrap().clone();
        found.extend(names.iter().map(|name| name.as_str().unwrap().to_owned()));
        match answer.header("link").strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")) {
            Some(link) => next = link.to_owned(),
            None => return found,
        }
    }
}

#[tokio::test]
async fn every_name_is_listed_once_and_in_order_however_it_is_cut() {
    let quay = FaultUpstream::start().await;
    let app = App::with(|settings| settings.upstreams.push(quay.upstream_settings("quay.io"))).await;
    let hosted = ["a", "nginx", "quay", "team/app", "z"];
    let hub = ["library/nginx", "library/alpine", "library/zz", "library/deep/name", "grafana/grafana", "mine/x"];
    let quays = ["org/a", "org/b", "a"];
    let named = |name: &&str| name.parse().unwrap();
    let hosted = hosted.iter().map(|name| Repository::hosted(&named(name)));
    let hub = hub.iter().map(|name| Repository::upstream("docker.io", &named(name)));
    let quays = quays.iter().map(|name| Repository::upstream("quay.io", &named(name)));
    fill(&app, hosted.chain(hub).chain(quays)).await;
    let all = [
        "a",
        "alpine",
        "grafana/grafana",
        "library/deep/name",
        "mine/x",
        "nginx",
        "quay",
        "quay.io/a",
        "quay.io/org/a",
        "quay.io/org/b",
        "team/app",
        "z",
        "zz",
    ];
    assert_eq!(walk(&app.anonymous(), "/v2/_catalog").await, all);
    for n in 1..=all.len() + 1 {
        assert_eq!(walk(&app.anonymous(), &format!("/v2/_catalog?n={n}")).await, all, "in pages of {n}");
    }
    assert_eq!(walk(&app.anonymous(), "/v2/_catalog?n=2&source=hosted").await, ["a", "nginx", "quay", "team/app", "z"]);
    assert_eq!(walk(&app.anonymous(), "/v2/_catalog?n=0").await, [""; 0]);
    app.anonymous().get("/v2/_catalog?source=elsewhere").await.expect(400);
}

#[tokio::test]
async fn a_page_has_at_most_a_thousand_names() {
    let app = App::start().await;
    fill(&app, (0..2500).map(|number| Repository::hosted(&format!("team/app-{number:04}").parse().unwrap()))).await;
    let first = app.anonymous().get("/v2/_catalog?n=100000").await.expect(200);
    assert_eq!(first.json()["repositories"].as_array().unwrap().len(), 1000);
    let all = walk(&app.anonymous(), "/v2/_catalog").await;
    assert!(all.len() == 2500 && all.is_sorted());
}
