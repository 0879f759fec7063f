//! Measures what a page of a list costs over HTTP: 100,000 tags of one repository, 10,000 repositories, 10,000 referrers.
//!
//! `cargo run --release --example measure_lists` prints the median and the worst of many pages, with the facts in sled as after a
//! clean start, and in memory as after a crash.

#[path = "../tests/support/app/mod.rs"]
mod app;

use std::time::Instant;

use app::App;
use entrepot::index::{Change, ManifestRow, Promise, TagRow};
use entrepot::oci::{Digest, Repository};

const TAGS: usize = 100_000;
const REPOSITORIES: usize = 10_000;
const REFERRERS: usize = 10_000;
const ROUNDS: usize = 41;

#[tokio::main]
async fn main() {
    let mut app = App::start().await;
    fill(&app).await;
    app.restart().await;
    report(&app, "sled").await;
    app.crash();
    app.start_again().await;
    report(&app, "memory").await;
}

async fn fill(app: &App) {
    let here = |name: String| Repository::hosted(&name.parse().expect("a name"));
    let row = TagRow::new(Digest::of(b"manifest"), 1, "");
    let tag = |repository, text: String| Change::Tag { repository, tag: text.parse().expect("a tag"), row: row.clone() };
    let mut changes: Vec<_> = (0..TAGS).map(|number| tag(here("team/tags".into()), format!("v1.{number:06}-build"))).collect();
    changes.extend((0..REPOSITORIES / 2).map(|number| tag(here(format!("team/app-{number}")), "v1".into())));
    let cached = |number| Repository::upstream("docker.io", &format!("library/image-{number}").parse().expect("a name"));
    changes.extend((0..REPOSITORIES / 2).map(|number| tag(cached(number), "v1".into())));
    changes.extend((0..REFERRERS).map(|number| Change::Manifest {
        repository: here("team/signed".into()),
        digest: Digest::of(format!("{number}").as_bytes()),
        row: ManifestRow {
            media_type: "application/vnd.oci.image.manifest.v1+json".into(),
            size: 700,
            subject: Some(Digest::of(b"manifest")),
            artifact_type: Some("application/x-signature".into()),
            annotations: vec![("org.opencontainers.image.created".into(), "2026-01-01T00:00:00Z".into())],
        },
        edges: Vec::new(),
    }));
    for part in changes.chunks(1000) {
        app.registry().index().commit(Vec::new(), part.to_vec(), Promise::Appended).await.expect("the index takes it");
    }
}

async fn report(app: &App, engine: &str) {
    let pages = [
        ("tags, the first 1,000 of 100,000", "/v2/team/tags/tags/list?n=1000".to_owned()),
        ("tags, 1,000 in the middle", "/v2/team/tags/tags/list?n=1000&last=v1.050000-build".to_owned()),
        ("catalog, the first 1,000 of 10,000", "/v2/_catalog?n=1000".to_owned()),
        ("catalog, 1,000 in the middle", "/v2/_catalog?n=1000&last=image-7".to_owned()),
        ("catalog, the last names", "/v2/_catalog?n=1000&last=team/app-9".to_owned()),
        ("referrers, the first 1,000 of 10,000", format!("/v2/team/signed/referrers/{}", Digest::of(b"manifest"))),
        ("search in 10,000 names", "/v1/search?q=image-49".to_owned()),
    ];
    let client = app.anonymous().bare();
    app::until("the rows are read", async || client.get("/readyz").await.status == 200).await;
    for (what, path) in pages {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let began = Instant::now();
            client.get(&path).await.expect(200);
            times.push(began.elapsed());
        }
        times.sort();
        println!("{engine}: {what}: median {:.1?}, worst {:.1?}", times[ROUNDS / 2], times[ROUNDS - 1]);
    }
}
