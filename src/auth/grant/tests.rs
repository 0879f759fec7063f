//! Tests of what `/token` grants and refuses.

use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::auth::Policy;
use crate::auth::claims::Claims;
use crate::auth::users::Pace;
use crate::config::{Allow, Anonymous, Auth, Patterns, Rights, Secret};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const CLOSED: Anonymous = Anonymous { pull: false, push: false, delete: false };
const PULL: Anonymous = Anonymous { pull: true, ..CLOSED };
const LAB: Anonymous = Anonymous { push: true, ..PULL };

struct House {
    _folder: tempfile::TempDir,
    users: Arc<Users>,
    tokens: Tokens,
}

/// A house with the user `alice`, whose password is `right`; the first wait is an hour.
fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("alice:{}\n", bcrypt::hash("right", 4).unwrap());
    fs::write(folder.path().join("users.htpasswd"), file).unwrap();
    let policy = Arc::new(Policy::open(folder.path(), &Auth::default()).unwrap());
    let pace = Pace { cost: 4, wait: Duration::from_secs(3600), ..Pace::default() };
    let users = Arc::new(Users::open(folder.path(), policy, pace).unwrap().0);
    let tokens = Tokens::open(folder.path(), users.clone()).unwrap();
    House { _folder: folder, users, tokens }
}

fn rules(anonymous: Anonymous) -> Rules {
    Rules::new(&Auth { anonymous: Some(anonymous), ..Auth::default() }, [])
}

/// Behind an address a name is an upstream's.
fn named(name: &str) -> Vec<Repository> {
    let upstream = |(registry, rest): (&str, &str)| Some(Repository::upstream(registry, &rest.parse().ok()?));
    let hosted = || Some(Repository::hosted(&name.parse().ok()?));
    let behind = name.split_once('/').filter(|(first, _)| first.contains(['.', ':']));
    behind.map_or_else(hosted, upstream).into_iter().collect()
}

fn basic(user: &str, password: &str) -> Credentials {
    Credentials::Basic { user: user.to_owned(), password: Secret::new(password) }
}

async fn ask(house: &House, anonymous: Anonymous, credentials: Credentials, scopes: &str) -> Result<Arc<Claims>, Refused> {
    let (claims, refresh) = answer(house, anonymous, credentials, scopes, false).await?;
    assert_eq!(refresh, None);
    Ok(claims)
}

async fn answer(
    house: &House,
    anonymous: Anonymous,
    credentials: Credentials,
    scopes: &str,
    offline: bool,
) -> Result<(Arc<Claims>, Option<String>), Refused> {
    let request = TokenRequest { credentials, scopes: Scope::parse_all(scopes), from: HERE, offline };
    let granted = grant(&house.users, &rules(anonymous), &house.tokens, request, &named).await?;
    assert_eq!(granted.expires_in, LIFETIME);
    Ok((house.tokens.verify(&granted.token).unwrap(), granted.refresh))
}

fn printed(claims: &Claims) -> String {
    claims.granted.iter().map(Scope::to_string).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn without_credentials_the_token_is_anonymous_and_holds_what_is_open() {
    let house = house();
    let all = "repository:a:pull,push,delete registry:catalog:*";
    for (anonymous, expected) in
        [(CLOSED, ""), (PULL, "repository:a:pull registry:catalog:*"), (LAB, "repository:a:pull,push registry:catalog:*")]
    {
        let claims = ask(&house, anonymous, Credentials::None, all).await.unwrap();
        assert_eq!((printed(&claims).as_str(), &claims.who), (expected, &Who::Anonymous));
        assert!(claims.asked_push("a"));
    }
}

#[tokio::test]
async fn a_right_password_gives_what_the_user_has() {
    let house = house();
    for (scopes, expected) in [
        ("repository:a:pull,push", "repository:a:pull,push"),
        ("repository:a:push repository:b:pull", "repository:a:push repository:b:pull"),
        ("repository:a:*", "repository:a:pull,push"),
        ("repository:quay.io/org/a:pull", "repository:quay.io/org/a:pull"),
        ("repository:NoName:pull repository:a//b:pull", ""),
        ("registry:catalog:*", "registry:catalog:*"),
        ("", ""),
    ] {
        let claims = ask(&house, CLOSED, basic("alice", "right"), scopes).await.unwrap();
        assert_eq!((printed(&claims).as_str(), &claims.who), (expected, &Who::User("alice".into())));
    }
}

#[tokio::test]
async fn foreign_credentials_do_no_harm_where_only_open_pulls_are_asked() {
    let house = house();
    for credentials in [basic("hub", "x"), basic("alice", "wrong"), Credentials::Unknown, Credentials::Bearer(Secret::new("x"))] {
        for _ in 0..12 {
            let claims = ask(&house, PULL, credentials.clone(), "repository:a:pull repository:library/b:pull").await.unwrap();
            assert_eq!((claims.granted.len(), &claims.who), (2, &Who::Anonymous));
        }
    }
    let claims = ask(&house, PULL, basic("alice", "right"), "repository:a:pull").await.unwrap();
    assert_eq!(claims.who, Who::User("alice".into()));
}

#[tokio::test]
async fn wrong_credentials_are_refused_where_anything_else_is_asked() {
    let house = house();
    for credentials in [basic("hub", "x"), basic("alice", "wrong"), Credentials::Unknown, Credentials::Bearer(Secret::new("x"))] {
        for (anonymous, scopes) in [
            (PULL, ""),
            (LAB, ""),
            (PULL, "plugin:x:y"),
            (PULL, "repository:a:pull,push"),
            (LAB, "repository:a:pull,push"),
            (PULL, "repository:a:*"),
            (PULL, "registry:catalog:*"),
            (CLOSED, "repository:a:pull"),
        ] {
            let refused = ask(&house, anonymous, credentials.clone(), scopes).await;
            let expected = if credentials.is_bearer() { Refused::Ended } else { Refused::LogIn };
            assert_eq!(refused.unwrap_err(), expected, "{credentials:?} {scopes}");
        }
    }
}

#[tokio::test]
async fn an_eleventh_wrong_log_in_waits_and_a_right_one_does_not() {
    let house = house();
    for _ in 0..10 {
        assert_eq!(ask(&house, PULL, basic("alice", "wrong"), "").await.unwrap_err(), Refused::LogIn);
    }
    let soon = Duration::from_millis(50);
    assert!(tokio::time::timeout(soon, ask(&house, PULL, basic("alice", "wrong"), "")).await.is_err());
    assert!(ask(&house, PULL, basic("alice", "right"), "").await.is_ok());
}

#[tokio::test]
async fn a_refresh_token_is_given_for_a_password_and_does_as_well() {
    let house = house();
    let push = "repository:team/app:pull,push";
    let (_, refresh) = answer(&house, PULL, basic("alice", "right"), "", true).await.unwrap();
    let refresh = Credentials::Bearer(Secret::new(refresh.unwrap()));
    let (claims, again) = answer(&house, PULL, refresh, push, true).await.unwrap();
    assert_eq!((printed(&claims).as_str(), &claims.who, again), (push, &Who::User("alice".into()), None));
    for credentials in [Credentials::None, basic("hub", "x")] {
        let (claims, none) = answer(&house, PULL, credentials, "repository:a:pull", true).await.unwrap();
        assert_eq!((&claims.who, none), (&Who::Anonymous, None));
    }
    // An access token is none.
    let request = TokenRequest { credentials: basic("alice", "right"), scopes: Vec::new(), from: HERE, offline: false };
    let access = grant(&house.users, &rules(PULL), &house.tokens, request, &named).await.unwrap().token;
    assert_eq!(ask(&house, PULL, Credentials::Bearer(Secret::new(access)), push).await.unwrap_err(), Refused::Ended);
}

#[tokio::test]
async fn too_many_scopes_are_refused() {
    let house = house();
    let scopes: Vec<String> = (0..400).map(|n| format!("repository:team/app-{n}:pull")).collect();
    assert_eq!(ask(&house, PULL, Credentials::None, &scopes.join(" ")).await.unwrap_err(), Refused::TooLong);
}

fn actions() -> impl Strategy<Value = Actions> {
    any::<[bool; 4]>().prop_map(|[pull, push, delete, all]| Actions { pull, push, delete, all })
}

proptest! {
    #[test]
    fn a_grant_is_never_wider_than_what_was_asked_and_may_be_done(asked in actions(), pull: bool, push: bool, delete: bool, user: bool) {
        let rules = rules(Anonymous { pull, push, delete });
        let who = if user { Who::User("alice".into()) } else { Who::Anonymous };
        let repository = named("team/app").remove(0);
        let granted = narrowed(&rules, &who, &Scope::repository("team/app", asked), &named).map_or(Actions::NONE, |scope| scope.actions);
        for (held, wanted, action) in [
            (granted.pull, asked.pull, Action::Pull),
            (granted.push, asked.push, Action::Push),
            (granted.delete, asked.delete, Action::Delete),
        ] {
            let may = judge(&rules, &who, action, &repository) == Verdict::Allowed;
            prop_assert_eq!(held, (wanted || asked.all) && may);
        }
        prop_assert!(!granted.all);
    }

    /// Of SEC-17: scopes(out) ⊆ (scopes(in) ∩ rights(token) ∩ roles(user)) ∪ anonymous.
    #[test]
    fn artifact_keeper_3408_a_limited_token_gets_what_it_and_its_user_may_and_what_everybody_may(
        asked in actions(), within in any::<[bool; 4]>(), pull: bool, push: bool, delete: bool
    ) {
        let open = Anonymous { pull, push, delete };
        let [may_pull, may_push, may_delete, here] = within;
        let rights = Rights { pull: may_pull, push: may_push, delete: may_delete, ..Rights::default() };
        let repositories = Patterns::new(&[if here { "team/*" } else { "other/*" }]).unwrap();
        let who = Who::Limited { user: "alice".into(), within: [Allow { repositories, rights }].into() };
        let scope = Scope::repository("team/app", asked);
        let of = |who: &Who| narrowed(&rules(open), who, &scope, &named).map_or(Actions::NONE, |scope| scope.actions);
        let (limited, whole, anybody) = (of(&who), of(&Who::User("alice".into())), of(&Who::Anonymous));
        for (held, wanted, token, user, everybody) in [
            (limited.pull, asked.pull, rights.pull, whole.pull, anybody.pull),
            (limited.push, asked.push, rights.push, whole.push, anybody.push),
            (limited.delete, asked.delete, rights.delete, whole.delete, anybody.delete),
        ] {
            prop_assert_eq!(held, (wanted || asked.all) && ((token && here && user) || everybody));
        }
    }
}
