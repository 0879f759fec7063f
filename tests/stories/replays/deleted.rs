//! What was deleted in one repository is not brought back there by what happens in another.

use std::panic::AssertUnwindSafe;

use entrepot::oci::Digest;
use entrepot::registry::Sweep;
use entrepot::upkeep::{Names, Request};
use futures_util::{FutureExt as _, StreamExt as _, stream};
use proptest::prelude::Strategy;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::app::*;

/// Cases of random steps; `ENTREPOT_REPLAY_CASES` says how many.
const CASES: u64 = 200;

/// Cases at once: their commits share a sync.
const LANES: usize = 32;

/// What others do with the blob that one repository has deleted.
#[derive(Clone, Copy, Debug)]
enum Step {
    Push,
    MountAnywhere,
    MountFromThere,
    Head,
    Get,
    Delete,
    Image,
    Collect,
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    use Step::*;
    proptest::collection::vec(
        proptest::sample::select(vec![Push, MountAnywhere, MountFromThere, Head, Get, Delete, Image, Collect]),
        0..most,
    )
}

/// One step in the repository `name`; whatever it is answered is right.
async fn take(app: &App, step: Step, name: &str, deleted: &str, blob: &bytes::Bytes) {
    let (admin, digest) = (app.user("admin").basic(), Digest::of(blob));
    let path = format!("/v2/{name}/blobs/{digest}");
    let uploads = format!("/v2/{name}/blobs/uploads/");
    match step {
        Step::Push => drop(admin.post(&format!("{uploads}?digest={digest}"), blob.clone()).await.expect(201)),
        Step::MountAnywhere => drop(admin.post(&format!("{uploads}?mount={digest}"), "").await),
        Step::MountFromThere => drop(admin.post(&format!("{uploads}?mount={digest}&from={deleted}"), "").await),
        Step::Head => drop(admin.head(&path).await),
        Step::Get => drop(admin.get(&path).await),
        Step::Delete => drop(admin.delete(&path).await),
        Step::Image => drop(admin.put_manifest(name, "v1", IMAGE, image(blob)).await),
        Step::Collect => drop(app.command::<serde_json::Value>(Request::Gc(Sweep { dry_run: false, untagged: true })).await.unwrap()),
    }
}

/// A manifest that names the blob as its configuration.
fn image(blob: &bytes::Bytes) -> String {
    let (kind, digest, size) = ("application/vnd.oci.image.config.v1+json", Digest::of(blob), blob.len());
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{{"mediaType":"{kind}","digest":"{digest}","size":{size}}},"layers":[]}}"#
    )
}

/// The blob cannot be had there, and is no part of what can be had.
async fn is_gone(app: &App, name: &str, blob: &bytes::Bytes) {
    let (admin, digest) = (app.user("admin").basic(), Digest::of(blob));
    let path = format!("/v2/{name}/blobs/{digest}");
    for answer in [admin.get(&path).await, admin.head(&path).await, admin.range(&path, "bytes=0-1").await, app.anonymous().get(&path).await]
    {
        assert_eq!(answer.status, 404, "{path} came back");
    }
    assert_eq!(admin.put_manifest(name, "back", IMAGE, image(blob)).await.status, 400, "an image in {name} can be pushed without its blob");
}

/// Pushes and deletes in one repository, with steps in another before it, meanwhile and after it.
async fn interleaved(app: &App, number: u64, [before, during, after]: [Vec<Step>; 3]) {
    let (here, there) = (format!("case-{number}/here"), format!("case-{number}/there"));
    let blob = bytes(number, 50);
    let (admin, path) = (app.user("admin").basic(), format!("/v2/{here}/blobs/{}", Digest::of(&blob)));
    take(app, Step::Push, &here, &there, &blob).await;
    for step in before {
        take(app, step, &there, &here, &blob).await;
    }
    let others = async {
        for step in during {
            take(app, step, &there, &here, &blob).await;
        }
    };
    tokio::join!(async { admin.delete(&path).await.expect(202) }, others);
    is_gone(app, &here, &blob).await;
    for step in after {
        take(app, step, &there, &here, &blob).await;
        is_gone(app, &here, &blob).await;
    }
}

/// SEC-11: a digest deleted in one repository was readable there again once another repository touched it.
#[tokio::test]
async fn cve_2026_35172_what_was_deleted_in_one_repository_no_other_brings_back() {
    // Nobody else is asked for what these repositories do not have.
    let app = App::with(|settings| settings.cache.offline = true).await;
    let cases = std::env::var("ENTREPOT_REPLAY_CASES").map_or(CASES, |text| text.parse().expect("a number of cases"));
    let (mut runner, steps) = (TestRunner::default(), [steps(4), steps(4), steps(4)]);
    let run = stream::iter(0..cases).map(|number| {
        let case = steps.each_ref().map(|steps| steps.new_tree(&mut runner).expect("steps can be made").current());
        let told = format!("case {number}: {case:?}");
        AssertUnwindSafe(interleaved(&app, number, case)).catch_unwind().map(move |ran| ran.unwrap_or_else(|_| panic!("{told}")))
    });
    run.buffer_unordered(LANES).collect::<()>().await;
}

/// SEC-11: the same for what was cached and was given up.
#[tokio::test]
async fn cve_2026_35172_what_was_purged_is_only_back_when_its_own_upstream_sends_it() {
    let app = App::start().await;
    let layer = bytes(1, 5000);
    for name in ["org/one", "org/two"] {
        app.hub.image(name, "v1", std::slice::from_ref(&layer));
        app.anonymous().pull(name, "v1").await;
    }
    app.landed().await;
    let path = format!("/v2/org/one/blobs/{}", Digest::of(&layer));
    app.anonymous().get(&path).await.expect(200);
    let names = vec!["org/one".to_owned()];
    app.command::<serde_json::Value>(Request::Purge(Names { names, all: true })).await.unwrap();
    app.hub.on("/v2/org/one/", Fault::Status(404));
    app.anonymous().pull("org/two", "v1").await;
    let alice = app.user("alice");
    alice.push_blob("team/app", &layer).await;
    alice.post(&format!("/v2/team/other/blobs/uploads/?mount={}&from=org/two", Digest::of(&layer)), "").await.expect(201);
    for method in [reqwest::Method::GET, reqwest::Method::HEAD] {
        app.anonymous().send(method, &path, &[], "".into()).await.expect(404);
    }
    app.hub.heal();
}
