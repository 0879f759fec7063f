//! Letting tags go: what a dry run tells is what the run then removes, and what is kept by anything stays.

use std::time::SystemTime;

use entrepot::config::Redeploy;
use entrepot::oci::RepositoryName;
use entrepot::upkeep::{HistoryEvent, PruneEvent, PruneOrder, Request};
use serde_json::json;

use super::rules::rule;
use crate::app::*;

/// A server that keeps the two newest tags of each repository of the team, and all that begin with v.
async fn keeping_two() -> App {
    App::with(|settings| {
        let mut rule = rule(settings, "team/*", Redeploy::Allow, &["v*"]);
        rule.tags.keep_last = Some(2);
        settings.hosted.rules = vec![rule];
    })
    .await
}

/// Pushes the tag in a millisecond of its own, so that none is as new as another.
async fn push(app: &App, name: &str, tag: &str, image: &Built) {
    app.user("alice").push(name, tag, image).await;
    let millisecond = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let pushed = millisecond();
    until("the clock goes on", async || millisecond() > pushed).await;
}

async fn pruned(app: &App, repositories: &[&str], dry_run: bool) -> Vec<PruneEvent> {
    let repositories = repositories.iter().map(|name| (*name).to_owned()).collect();
    app.command(Request::Prune(PruneOrder { repositories, dry_run })).await.unwrap()
}

fn tags(told: &[PruneEvent]) -> Vec<String> {
    let text = |event: &PruneEvent| match event {
        PruneEvent::Tag { repository, tag, .. } => format!("{repository}:{tag}"),
        PruneEvent::Failed { repository, why } => panic!("{repository}: {why}"),
    };
    told.iter().map(text).collect()
}

async fn listed(app: &App, name: &str) -> serde_json::Value {
    app.anonymous().get(&format!("/v2/{name}/tags/list")).await.expect(200).json()["tags"].clone()
}

#[tokio::test]
async fn a_dry_run_tells_what_the_run_then_removes() {
    let app = keeping_two().await;
    let image = build("one", &[]);
    let signature = format!("sha256-{}.sig", image.digest().hex());
    for tag in ["a", "v1", &signature, "b", "c", "d"] {
        push(&app, "team/app", tag, &image).await;
    }
    push(&app, "team/app", "a", &image).await;
    for tag in ["a", "b", "c"] {
        push(&app, "other/app", tag, &image).await;
    }
    let told = pruned(&app, &[], true).await;
    assert_eq!(tags(&told), ["team/app:c", "team/app:b"], "a was pushed again");
    let PruneEvent::Tag { why, .. } = &told[0] else { panic!() };
    assert!(why.contains("2 newest"), "{why}");
    assert_eq!(listed(&app, "team/app").await, json!(["a", "b", "c", "d", &signature, "v1"]), "nothing went");

    assert_eq!(pruned(&app, &["team/app"], false).await, told);
    assert_eq!(listed(&app, "team/app").await, json!(["a", "d", &signature, "v1"]));
    assert_eq!(listed(&app, "other/app").await, json!(["a", "b", "c"]));
    app.anonymous().get("/v2/team/app/manifests/c").await.expect(404);
    assert_eq!(app.anonymous().get("/v2/team/app/manifests/a").await.body, image.manifest);
    assert_eq!(pruned(&app, &[], false).await, []);
}

#[tokio::test]
async fn a_command_is_told_what_became_of_a_tag() {
    let app = keeping_two().await;
    let image = build("one", &[]);
    for tag in ["a", "b", "c"] {
        push(&app, "team/app", tag, &image).await;
    }
    pruned(&app, &[], false).await;
    let digest = Some(image.digest());
    let told: Vec<HistoryEvent> = app.command(Request::History("team/app:a".into())).await.unwrap();
    let steps: Vec<_> = told
        .into_iter()
        .map(|event| match event {
            HistoryEvent::Moved { repository, by, from, to, .. } => (repository, by, from, to),
            other => panic!("{other:?}"),
        })
        .collect();
    let step = |by: &str, from, to| ("team/app".to_owned(), by.to_owned(), from, to);
    assert_eq!(steps, [step("alice", None, digest), step("entrepot:prune", digest, None)]);
    for (name, expected) in [("team/app:never", "team/app:never"), ("NO", "no image name"), (&format!("a@{}", image.digest()), "digest")] {
        let why = app.command::<HistoryEvent>(Request::History(name.to_owned())).await.unwrap_err();
        assert!(why.contains(expected), "{why}");
    }
}

#[tokio::test]
async fn a_tag_that_was_pushed_again_since_it_was_judged_stays() {
    let app = keeping_two().await;
    let image = build("one", &[]);
    for tag in ["a", "b", "c", "d"] {
        push(&app, "team/app", tag, &image).await;
    }
    let name: RepositoryName = "team/app".parse().unwrap();
    let judged = app.registry().surplus(&name).await.unwrap();
    push(&app, "team/app", "a", &image).await;
    let mut gone = Vec::new();
    for surplus in &judged {
        if app.registry().let_go(&name, surplus).await.unwrap() {
            gone.push(surplus.tag.to_string());
        }
    }
    assert_eq!((judged.len(), gone), (2, vec!["b".to_owned()]));
    assert_eq!(listed(&app, "team/app").await, json!(["a", "c", "d"]));
}

#[tokio::test]
async fn a_repository_that_is_not_there_is_named_and_the_others_go_on() {
    let app = keeping_two().await;
    for tag in ["a", "b", "c"] {
        push(&app, "team/app", tag, &build(tag, &[])).await;
    }
    let told = pruned(&app, &["team/none", "No Name", "team/app"], false).await;
    let [PruneEvent::Failed { why: none, .. }, PruneEvent::Failed { why: wrong, .. }, rest @ ..] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert!(none.contains("no hosted repository") && wrong.contains("lower-case"), "{none}; {wrong}");
    assert_eq!(tags(rest), ["team/app:a"]);
}
