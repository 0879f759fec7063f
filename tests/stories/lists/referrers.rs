//! Referrers: of hosted manifests and of upstreams' ones, by the list and by the tag of old clients, following every change.

use bytes::Bytes;
use entrepot::oci::Digest;
use serde_json::{Value, json};

use crate::app::*;

/// An artifact about `subject`, whose config is two bytes of JSON.
fn artifact(subject: &Digest, kind: &str) -> Bytes {
    let config = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(b"{}"), "size": 2});
    let subject = json!({"mediaType": IMAGE, "digest": subject, "size": 7});
    let artifact = json!({"schemaVersion": 2, "mediaType": IMAGE, "artifactType": kind, "config": config, "layers": [],
                          "subject": subject, "annotations": {"about": kind}});
    artifact.to_string().into()
}

fn entry(manifest: &Bytes, kind: &str) -> Value {
    json!({"mediaType": IMAGE, "digest": Digest::of(manifest), "size": manifest.len(), "artifactType": kind, "annotations": {"about": kind}})
}

fn index(entries: &[Value]) -> String {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string()
}

async fn push_artifact(client: &Client, subject: &Digest, kind: &str) -> Digest {
    client.push_blob("team/app", &Bytes::from("{}")).await;
    let manifest = artifact(subject, kind);
    let digest = Digest::of(&manifest);
    let answer = client.put_manifest("team/app", &digest.to_string(), IMAGE, manifest).await.expect(201);
    assert_eq!(answer.header("oci-subject"), subject.to_string());
    digest
}

async fn listed(client: &Client, path: &str) -> Vec<String> {
    let answer = client.get(path).await.expect(200);
    assert_eq!(answer.header("content-type"), INDEX);
    let manifests = answer.json()["manifests"].as_array().unwrap().clone();
    manifests.iter().map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect()
}

fn path(subject: &Digest) -> String {
    format!("/v2/team/app/referrers/{subject}")
}

fn tag(subject: &Digest) -> String {
    subject.to_string().replace(':', "-")
}

#[tokio::test]
async fn referrers_come_in_pages_and_the_filter_goes_along() {
    let app = App::start().await;
    let subject = build("one", &[]).digest();
    let mut all = Vec::new();
    for number in 0..5 {
        all.push(push_artifact(&app.user("alice"), &subject, &format!("application/x-{number}")).await.to_string());
    }
    let wanted = push_artifact(&app.user("alice"), &subject, "a/b+c&d").await.to_string();
    all.push(wanted.clone());
    all.sort();
    let mut next = format!("{}?n=4", path(&subject));
    let mut found = Vec::new();
    loop {
        let answer = app.anonymous().get(&next).await.expect(200);
        found.push(listed(&app.anonymous(), &next).await);
        match answer.header("link").strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")) {
            Some(link) => next = link.to_owned(),
            None => break,
        }
    }
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [4, 2]);
    assert_eq!(found.concat(), all);
    let filtered = app.anonymous().get(&format!("{}?n=1&artifactType=a/b%2Bc%26d", path(&subject))).await.expect(200);
    assert_eq!(filtered.json()["manifests"][0]["digest"], wanted);
    assert_eq!((filtered.header("oci-filters-applied"), filtered.header("link")), ("artifactType", ""));
    for wrong in ["n=x", "last=5"] {
        app.anonymous().get(&format!("{}?{wrong}", path(&subject))).await.expect(400);
    }
}

#[tokio::test]
async fn what_an_old_client_lists_by_tag_is_in_the_list_until_it_is_deleted() {
    let app = App::start().await;
    let alice = app.user("alice");
    let image = build("one", &[]);
    alice.push("team/app", "v1", &image).await;
    let subject = image.digest();
    let signature = push_artifact(&alice, &subject, "application/x-signature").await;
    // As clients write it that know no list: with an entry whose manifest nobody pushed, and one about something else.
    let never = artifact(&subject, "application/x-never");
    let other = push_artifact(&alice, &Digest::of(b"other"), "application/x-other").await;
    let entries = [
        entry(&artifact(&subject, "application/x-signature"), "application/x-signature"),
        entry(&never, "application/x-never"),
        json!({"mediaType": IMAGE, "digest": other, "size": 9}),
    ];
    let pushed = index(&entries);
    alice.put_manifest("team/app", &tag(&subject), INDEX, pushed.clone()).await.expect(201);
    assert_eq!(listed(&app.anonymous(), &path(&subject)).await, [signature.to_string()]);
    let by_tag = format!("/v2/team/app/manifests/{}", tag(&subject));
    assert_eq!(app.anonymous().get(&by_tag).await.expect(200).body, pushed, "what was pushed is served as it was");
    app.user("admin").delete(&format!("/v2/team/app/manifests/{signature}")).await.expect(202);
    assert_eq!(listed(&app.anonymous(), &path(&subject)).await, [""; 0]);
}

#[tokio::test]
async fn an_old_client_finds_referrers_by_a_tag_that_nobody_pushed() {
    let app = App::start().await;
    let subject = build("one", &[]).digest();
    let by_tag = format!("/v2/team/app/manifests/{}", tag(&subject));
    let first = push_artifact(&app.user("alice"), &subject, "application/x-1").await;
    let before = app.anonymous().get(&by_tag).await.expect(200);
    assert_eq!(before.header("content-type"), INDEX);
    assert_eq!(before.json()["manifests"][0]["annotations"]["about"], "application/x-1");
    let by_digest = format!("/v2/team/app/manifests/{}", before.header("docker-content-digest"));
    assert_eq!(app.anonymous().get(&by_digest).await.expect(200).body, before.body);
    let second = push_artifact(&app.user("alice"), &subject, "application/x-2").await;
    let mut both = [first.to_string(), second.to_string()];
    both.sort();
    assert_eq!(listed(&app.anonymous(), &by_tag).await, both);
    assert_eq!(listed(&app.anonymous(), &path(&subject)).await, both);
    app.user("admin").delete(&format!("/v2/team/app/manifests/{first}")).await.expect(202);
    assert_eq!(listed(&app.anonymous(), &by_tag).await, [second.to_string()]);
    app.user("admin").delete(&format!("/v2/team/app/manifests/{second}")).await.expect(202);
    app.anonymous().get(&by_tag).await.expect(404);
    // Nothing was pushed under it: no list of tags has it, and a pusher is not told that it is there.
    push_artifact(&app.user("alice"), &subject, "application/x-3").await;
    assert_eq!(app.anonymous().get("/v2/team/app/tags/list").await.expect(200).json()["tags"], json!([]));
    app.user("alice").pushing().head(&by_tag).await.expect(404);
}

#[tokio::test]
async fn an_upstreams_referrers_are_listed_with_what_is_cached() {
    let app = App::start().await;
    let image = app.hub.image("team/app", "v1", &[]);
    let (one, two) = (artifact(&image.digest, "application/x-1"), artifact(&image.digest, "application/x-2"));
    app.hub.blob("team/app", "{}");
    app.hub.manifest("team/app", "one", IMAGE, one.clone());
    app.hub.referrers("team/app", &image.digest, index(&[entry(&two, "application/x-2")]));
    app.anonymous().pull("team/app", "v1").await;
    assert_eq!(listed(&app.anonymous(), &path(&image.digest)).await, [Digest::of(&two).to_string()]);
    app.anonymous().pull("team/app", "one").await;
    let mut both = [Digest::of(&one).to_string(), Digest::of(&two).to_string()];
    both.sort();
    assert_eq!(listed(&app.anonymous(), &path(&image.digest)).await, both);
    let filtered = format!("{}?artifactType=application/x-2", path(&image.digest));
    assert_eq!(listed(&app.anonymous(), &filtered).await, [Digest::of(&two).to_string()]);
}

#[tokio::test]
async fn where_the_upstream_has_no_list_its_tag_is_read() {
    for missing in [None, Some(Fault::Status(405)), Some(Fault::Status(501)), Some(Fault::Status(400))] {
        let app = App::start().await;
        let image = app.hub.image("team/app", "v1", &[]);
        let one = artifact(&image.digest, "application/x-1");
        app.hub.manifest("team/app", &tag(&image.digest), INDEX, index(&[entry(&one, "application/x-1")]));
        if let Some(fault) = missing {
            app.hub.on(&path(&image.digest), fault);
        }
        assert_eq!(listed(&app.anonymous(), &path(&image.digest)).await, [Digest::of(&one).to_string()]);
        assert_eq!(listed(&app.anonymous(), &path(&Digest::of(b"none"))).await, [""; 0]);
    }
}

#[tokio::test]
async fn an_outage_is_no_empty_list_of_referrers() {
    let mut app = App::start().await;
    let image = app.hub.image("team/app", "v1", &[]);
    app.hub.blob("team/app", "{}");
    let one = artifact(&image.digest, "application/x-1");
    app.hub.manifest("team/app", "one", IMAGE, one.clone());
    app.anonymous().pull("team/app", "v1").await;
    app.landed().await;
    app.hub.on("/v2/team/app/referrers/", Fault::Status(503));
    app.anonymous().get(&path(&image.digest)).await.expect(502);
    app.anonymous().pull("team/app", "one").await;
    app.landed().await;
    let answer = app.anonymous().get(&path(&image.digest)).await.expect(200);
    assert_eq!(answer.json()["manifests"].as_array().unwrap().len(), 1);
    assert!(answer.header("warning").contains("could not be asked"));
    app.restart_with(|settings| settings.cache.offline = true).await;
    let answer = app.anonymous().get(&path(&image.digest)).await.expect(200);
    assert_eq!((answer.json()["manifests"].as_array().unwrap().len(), answer.header("warning")), (1, ""));
}
