//! Roles by command: what they tell, what they refuse, and that the file wins.

use entrepot::auth::{Action, Source};
use entrepot::config::{Allow, Patterns, Rights, Role};
use entrepot::upkeep::{Can, Judged, Request, RoleEvent, RoleOrder, Rule};

use super::{add, allow, order, texts};
use crate::app::*;

async fn rules(app: &App) -> Vec<Rule> {
    let rule = |event| match event {
        RoleEvent::Rule(rule) => rule,
        other => panic!("{other:?}"),
    };
    order(app, RoleOrder::List).await.unwrap().into_iter().map(rule).collect()
}

async fn can(app: &App, user: &str, action: Action, repository: &str) -> Vec<Judged> {
    let question = Can { user: user.into(), action, repository: repository.into() };
    let judged = |event| match event {
        RoleEvent::Judged(judged) => Some(judged),
        _ => None,
    };
    app.command(Request::Can(question)).await.unwrap().into_iter().filter_map(judged).collect()
}

fn of_file(name: &str, pattern: &str) -> Role {
    let rights = Rights { pull: true, ..Rights::default() };
    let allow = vec![Allow { repositories: Patterns::new(&[pattern]).unwrap(), rights }];
    Role { name: name.into(), place: Some("config.toml:9".into()), members: Patterns::new(&["alice"]).unwrap(), allow }
}

#[tokio::test]
async fn the_list_names_each_rule_with_who_said_it() {
    let mut app = App::start().await;
    let named = |rules: &[Rule]| rules.iter().map(|rule| (rule.name.clone(), rule.source, rule.in_force)).collect::<Vec<_>>();
    let (built_in, command) = (Source::BuiltIn, Source::Command);
    let start = [("anonymous".into(), built_in, true), ("users".into(), built_in, true), ("admin".into(), built_in, true)];
    assert_eq!(named(&rules(&app).await), start);
    add(&app, "dev", &["alice"], &["pull,push=team/**", "pull=**"]).await;
    add(&app, "ops", &[], &["admin=**"]).await;
    let after = rules(&app).await;
    assert_eq!(named(&after)[1..3], [("dev".into(), command, true), ("ops".into(), command, true)]);
    assert_eq!((after[1].members.clone(), after[1].allow.len()), (Some(texts(&["alice"])), 2));
    app.restart_with(|settings| settings.auth.roles = vec![of_file("dev", "web/**")]).await;
    let both = rules(&app).await;
    let dev: Vec<_> = both.iter().filter(|rule| rule.name == "dev").map(|rule| (rule.source, rule.in_force)).collect();
    assert_eq!(dev, [(Source::File, true), (command, false)], "what a command said is kept, and the file holds");
    assert!(both.iter().any(|rule| rule.place.as_deref() == Some("config.toml:9")));
    let refused = order(&app, RoleOrder::Grant { name: "dev".into(), users: texts(&["bob"]) }).await.unwrap_err();
    assert!(refused.contains("config.toml:9"), "{refused}");
}

#[tokio::test]
async fn what_should_be_known_of_a_change_is_told_with_it() {
    let app = App::start().await;
    let role =
        |name: &str, members: &[&str]| RoleOrder::Add { name: name.into(), members: texts(members), allow: vec![allow("pull=team/**")] };
    let told = order(&app, role("dev", &["alice", "nobody", "ci-*"])).await.unwrap();
    let remarks: Vec<_> =
        told.iter().filter_map(|event| if let RoleEvent::Remark(text) = event { Some(text.as_str()) } else { None }).collect();
    assert!(remarks.len() == 2 && remarks[0].contains("first role") && remarks[1] == "there is no user nobody yet", "{remarks:?}");
    assert!(order(&app, role("dev", &[])).await.unwrap_err().contains("already"));
    let remove = |open| RoleOrder::Remove { name: "dev".into(), open };
    assert!(order(&app, remove(false)).await.unwrap_err().contains("--open"));
    order(&app, remove(true)).await.unwrap();
    app.user("bob").push("any/where", "v1", &build("x", &[])).await;
}

#[tokio::test]
async fn a_verdict_names_the_rule_and_the_repository_that_it_is_about() {
    let app = App::start().await;
    app.hub.image("org/image", "latest", &[]);
    app.user("admin").push("team/app", "v1", &build("x", &[])).await;
    add(&app, "anonymous", &[], &["pull=docker.io/**"]).await;
    add(&app, "dev", &["a*"], &["pull=web/**", "pull,push=team/**"]).await;
    let told =
        |judged: &[Judged]| -> Vec<_> { judged.iter().map(|j| (j.repository.clone(), j.allowed, j.asked, j.role.clone())).collect() };
    let (yes, everybody) = (Some("dev".to_owned()), Some("anonymous".to_owned()));
    let pulls = can(&app, "alice", Action::Pull, "team/app").await;
    assert_eq!(told(&pulls), [("team/app".into(), true, true, yes.clone()), ("docker.io/team/app".into(), true, false, everybody.clone())]);
    assert_eq!(pulls[0].allow.as_ref().unwrap(), &allow("pull,push=team/**"), "the line of the role that says so");
    let pulls = can(&app, "anonymous", Action::Pull, "org/image").await;
    assert_eq!(told(&pulls), [("org/image".into(), false, false, None), ("docker.io/org/image".into(), true, true, everybody.clone())]);
    assert_eq!(told(&can(&app, "alice", Action::Push, "team/app").await), [("team/app".into(), true, true, yes)]);
    assert_eq!(told(&can(&app, "bob", Action::Push, "team/app").await), [("team/app".into(), false, true, None)]);
    let both = can(&app, "alice", Action::Push, "nginx").await;
    assert_eq!(both.iter().map(|judged| judged.action).collect::<Vec<_>>(), [Action::Push, Action::Shadow]);
    assert_eq!(both[0].repository, "library/nginx");
    let question = |repository: &str| Can { user: "alice".into(), action: Action::Push, repository: repository.into() };
    let why = app.command::<RoleEvent>(Request::Can(question("docker.io/org/image"))).await.unwrap_err();
    assert!(why.contains("only cached here"), "{why}");
    assert!(app.command::<RoleEvent>(Request::Can(question("UPPER"))).await.is_err());
}
