//! What answers a name at the root is shown to those alone who may read that very repository (SEC-13).

use entrepot::config::Patterns;
use entrepot::oci::{Digest, Origin};
use entrepot::upkeep::RoleOrder;

use super::add;
use crate::app::*;

/// Every way to an image's parts, below its name.
fn parts(manifest: &Digest, blobs: &[Digest]) -> Vec<String> {
    let mut parts =
        vec!["manifests/latest".to_owned(), format!("manifests/{manifest}"), "tags/list".into(), format!("referrers/{manifest}")];
    parts.extend(blobs.iter().map(|blob| format!("blobs/{blob}")));
    parts
}

fn of_built(image: &Built) -> Vec<String> {
    parts(&image.digest(), &image.blobs().map(|blob| Digest::of(blob)).collect::<Vec<_>>())
}

fn of_cached(image: &Image) -> Vec<String> {
    parts(&image.digest, &[image.config, image.layers[0]])
}

async fn statuses(client: &Client, name: &str, parts: &[String]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for part in parts {
        statuses.push(client.get(&format!("/v2/{name}/{part}")).await.status);
        let head = client.head(&format!("/v2/{name}/{part}")).await.status;
        assert_eq!(head, *statuses.last().unwrap(), "HEAD of {name}/{part}");
    }
    statuses
}

#[tokio::test]
async fn artifact_keeper_3323_a_member_is_shown_through_the_group_to_those_who_may_read_it_there() {
    let app = App::start().await;
    let theirs = app.hub.image("org/image", "latest", &[bytes(1, 5000)]);
    let ours = build("ours", &[bytes(2, 5000)]);
    app.user("admin").push("team/app", "latest", &ours).await;
    add(&app, "anonymous", &[], &["pull=public/**"]).await;
    add(&app, "hosted", &["alice"], &["pull=team/**"]).await;
    add(&app, "cached", &["bob"], &["pull=docker.io/**"]).await;
    let (hosted, cached) = (of_built(&ours), of_cached(&theirs));
    for _cold_then_cached in 0..2 {
        for client in [app.user("alice"), app.user("alice").basic(), app.user("alice").pushing()] {
            assert!(statuses(&client, "team/app", &hosted).await.iter().all(|status| *status == 200));
            for name in ["org/image", "docker.io/org/image"] {
                assert!(statuses(&client, name, &cached).await.iter().all(|status| *status == 403), "{name}");
            }
        }
        for client in [app.user("bob"), app.user("bob").basic()] {
            for name in ["org/image", "docker.io/org/image"] {
                assert!(statuses(&client, name, &cached).await.iter().all(|status| *status == 200), "{name}");
            }
            assert!(statuses(&client, "team/app", &hosted).await.iter().all(|status| *status == 403));
            assert!(statuses(&client.through("docker.io"), "team/app", &hosted).await.iter().all(|status| *status == 403));
        }
        for name in ["team/app", "org/image", "docker.io/org/image"] {
            let parts = if name == "team/app" { &hosted } else { &cached };
            assert!(statuses(&app.anonymous(), name, parts).await.iter().all(|status| *status == 401), "{name}");
        }
        app.landed().await;
    }
    let refused = app.user("bob").get("/v2/team/app/manifests/latest").await.expect(403);
    assert_eq!((refused.code().as_str(), refused.message().contains("this account may not pull team/app")), ("DENIED", true));
    let challenged = app.anonymous().bare().get("/v2/org/image/manifests/latest").await.expect(401);
    assert!(challenged.header("www-authenticate").contains("scope=\"repository:org/image:pull\""));
}

#[tokio::test]
async fn nobody_answers_in_the_place_of_a_member_that_the_reader_may_not_read() {
    let quay = FaultUpstream::start().await;
    let app = App::with(|settings| {
        settings.upstreams.push(quay.upstream_settings("quay.io"));
        settings.group.members.push(Origin::named("quay.io"));
    })
    .await;
    let first = app.hub.image("org/image", "latest", &[bytes(1, 500)]);
    let second = quay.image("org/image", "latest", &[bytes(2, 500)]);
    add(&app, "anonymous", &[], &["pull=quay.io/**"]).await;
    add(&app, "some", &["alice"], &["pull=quay.io/**"]).await;
    app.anonymous().get("/v2/org/image/manifests/latest").await.expect(401);
    app.user("alice").get("/v2/org/image/manifests/latest").await.expect(403);
    assert_eq!((app.hub.requests(), quay.requests()), (0, 0), "nothing is asked, and no name is bound");
    assert_eq!(app.anonymous().pull("quay.io/org/image", "latest").await.digest, second.digest);
    assert_eq!(app.user("admin").pull("org/image", "latest").await.digest, first.digest);
}

#[tokio::test]
async fn a_name_that_was_pushed_is_hidden_whole_from_who_may_not_read_it() {
    let app = App::with(|settings| settings.group.overlay = Patterns::new(&["library/*"]).unwrap()).await;
    app.hub.image("library/nginx", "theirs", &[]);
    app.user("admin").push("nginx", "ours", &build("ours", &[bytes(1, 100)])).await;
    add(&app, "anonymous", &[], &["pull=docker.io/**"]).await;
    add(&app, "some", &["alice"], &["pull=docker.io/**"]).await;
    for reference in ["ours", "theirs", "none"] {
        app.anonymous().get(&format!("/v2/nginx/manifests/{reference}")).await.expect(401);
        app.user("alice").get(&format!("/v2/nginx/manifests/{reference}")).await.expect(403);
    }
    app.anonymous().get("/v2/docker.io/library/nginx/manifests/theirs").await.expect(200);
    app.anonymous().get("/v2/docker.io/library/nginx/manifests/ours").await.expect(404);
}

#[tokio::test]
async fn cve_2025_23208_a_role_that_is_taken_away_is_gone_for_tokens_that_were_issued_before() {
    let app = App::start().await;
    app.user("admin").push("team/app", "latest", &build("ours", &[bytes(1, 100)])).await;
    add(&app, "anonymous", &[], &["pull=public/**"]).await;
    add(&app, "dev", &["alice", "b*"], &["pull,push=team/**"]).await;
    let token = |answer: Answer| answer.json()["token"].as_str().unwrap().to_owned();
    let [alice, bob] = ["alice", "bob"].map(|name| app.user(name));
    let alice = app.anonymous().with_token(&token(alice.token(&["repository:team/app:pull,push"]).await));
    let bob = app.anonymous().with_token(&token(bob.token(&["repository:team/app:pull,push"]).await));
    let may = async |client: &Client| {
        let pulls = client.get("/v2/team/app/manifests/latest").await.status;
        (pulls, client.post("/v2/team/app/blobs/uploads/", "").await.status)
    };
    assert_eq!((may(&alice).await, may(&bob).await), ((200, 202), (200, 202)));
    let upload = alice.begin("team/app").await;
    let users = vec!["alice".to_owned()];
    super::order(&app, RoleOrder::Revoke { name: "dev".into(), users: users.clone() }).await.unwrap();
    assert_eq!((may(&alice).await, may(&bob).await), ((403, 403), (200, 202)));
    alice.patch(&upload, &[], "more").await.expect(403);
    super::order(&app, RoleOrder::Grant { name: "dev".into(), users }).await.unwrap();
    assert_eq!(may(&alice).await, (200, 202));
    super::order(&app, RoleOrder::Remove { name: "dev".into(), open: true }).await.unwrap();
    assert_eq!(may(&bob).await, (200, 202), "without any role every user may");
    add(&app, "ops", &["carol"], &["pull=**"]).await;
    assert_eq!((may(&alice).await, may(&bob).await), ((403, 403), (403, 403)));
}

#[tokio::test]
async fn cve_2025_23208_an_answer_kept_in_memory_is_not_given_to_whom_the_rules_no_longer_let() {
    let app = App::start().await;
    app.hub.image("org/image", "latest", &[]);
    app.user("admin").push("team/app", "latest", &build("ours", &[])).await;
    let paths = ["/v2/org/image/manifests/latest", "/v2/team/app/manifests/latest"];
    for path in paths.iter().cycle().take(6) {
        app.anonymous().bare().get(path).await.expect(200);
    }
    add(&app, "anonymous", &[], &["pull=docker.io/**"]).await;
    app.anonymous().bare().get(paths[0]).await.expect(200);
    app.anonymous().bare().get(paths[1]).await.expect(401);
    super::order(&app, RoleOrder::Remove { name: "anonymous".into(), open: false }).await.unwrap();
    app.anonymous().bare().get(paths[1]).await.expect(200);
}
