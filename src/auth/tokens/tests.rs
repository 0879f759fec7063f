//! Tests of tokens: what is accepted, and what never is.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use super::*;
use crate::auth::judge::Action;
use crate::auth::keys::Key;
use crate::auth::users::Pace;
use crate::auth::{Change, KeptAllow, KeptToken, PersonalToken, Policy};
use crate::config::{self, Secret};

mod vectors;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct House {
    folder: tempfile::TempDir,
    policy: Arc<Policy>,
    users: Arc<Users>,
    tokens: Tokens,
}

/// Users of a file with `alice`, and tokens beside it.
fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("users.htpasswd"), line("alice", "right")).unwrap();
    let policy = Arc::new(Policy::open(folder.path(), &config::Auth::default()).unwrap());
    let pace = Pace { cost: 4, look: Duration::ZERO, ..Pace::default() };
    let users = Arc::new(Users::open(folder.path(), policy.clone(), pace).unwrap().0);
    let tokens = Tokens::open(folder.path(), users.clone()).unwrap();
    House { folder, policy, users, tokens }
}

fn line(user: &str, password: &str) -> String {
    format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap())
}

fn scopes() -> Vec<Scope> {
    Scope::parse_all("repository:team/app:pull,push registry:catalog:*")
}

fn anonymous(house: &House) -> String {
    house.tokens.issue(None, &scopes()[..1], &scopes()).unwrap().token
}

async fn alices(house: &House) -> String {
    house.tokens.issue(Some(&alice(house).await), &scopes(), &scopes()).unwrap().token
}

async fn alice(house: &House) -> Known {
    house.users.known("alice", &Secret::new("right"), HERE).await.unwrap()
}

/// A personal token of alice, for pulls alone.
fn personal(house: &House) -> PersonalToken {
    let made = PersonalToken::make();
    let allow = vec![KeptAllow { repositories: vec!["**".into()], actions: vec!["pull".into()] }];
    let (id, user, hash) = (made.id.clone(), "alice".to_owned(), made.hash());
    let kept = KeptToken { id, user, robot: false, note: String::new(), hash, allow, made: 1, expires: None };
    house.policy.ledger().write("test", |_| Ok(Change::Token(kept))).unwrap();
    made
}

fn signing(house: &House) -> Arc<Key> {
    house.tokens.keys.newest(seconds(SystemTime::now()))
}

fn part(token: &str, number: usize) -> Value {
    let text = BASE64.decode(token.split('.').nth(number).unwrap()).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[tokio::test]
async fn a_token_says_who_has_it_what_it_covers_and_what_was_asked() {
    let house = house();
    let claims = house.tokens.verify(&anonymous(&house)).unwrap();
    assert_eq!((&claims.who, &claims.granted[..], &claims.asked), (&Who::Anonymous, &scopes()[..1], &scopes()));
    let token = alices(&house).await;
    let claims = house.tokens.verify(&token).unwrap();
    assert_eq!((&claims.who, &claims.granted), (&Who::User("alice".into()), &scopes()));
    assert!(claims.grants("team/app", Action::Push));
    let wire = part(&token, 1);
    assert_eq!(wire["access"][0], json!({"type": "repository", "name": "team/app", "actions": ["pull", "push"]}));
    assert_eq!((&wire["iss"], &wire["aud"], &wire["sub"]), (&json!("entrepot"), &json!("entrepot"), &json!("alice")));
    assert_eq!(wire["exp"].as_u64().unwrap() - wire["iat"].as_u64().unwrap(), LIFETIME.as_secs());
    assert!(part(&anonymous(&house), 1).get("sub").is_none());
}

#[test]
fn tokens_live_on_over_a_restart_and_end_with_their_key() {
    let house = house();
    let token = anonymous(&house);
    let again = Tokens::open(house.folder.path(), house.users.clone()).unwrap();
    assert!(again.verify(&token).is_ok());
    fs::remove_file(house.folder.path().join("token-keys")).unwrap();
    let other = Tokens::open(house.folder.path(), house.users.clone()).unwrap();
    assert_eq!(other.verify(&token), Err(InvalidToken));
}

#[tokio::test]
async fn what_was_made_from_a_personal_token_may_no_more_and_ends_with_it() {
    let house = house();
    let made = personal(&house);
    let known = house.users.known("alice", &made.token, HERE).await.unwrap();
    let token = house.tokens.issue(Some(&known), &scopes(), &scopes()).unwrap().token;
    let claims = house.tokens.verify(&token).unwrap();
    assert!(matches!(&claims.who, Who::Limited { user, within } if **user == *"alice" && within[0].rights.pull && !within[0].rights.push));
    house.policy.revoke_token(&made.id, "test").unwrap();
    assert_eq!(house.tokens.verify(&token), Err(InvalidToken));
}

#[tokio::test]
async fn a_refresh_token_is_its_users_until_the_password_changes() {
    let house = house();
    let refresh = house.tokens.issue_refresh(&alice(&house).await);
    assert_eq!(*house.tokens.verify_refresh(&refresh).unwrap().name, *"alice");
    let wire = part(&refresh, 1);
    assert_eq!(wire["exp"].as_u64().unwrap() - wire["iat"].as_u64().unwrap(), REFRESH_LIFETIME.as_secs());
    fs::write(house.folder.path().join("users.htpasswd"), line("alice", "right")).unwrap();
    assert_eq!(house.tokens.verify_refresh(&refresh).err(), Some(InvalidToken));
}

#[tokio::test]
async fn a_user_who_is_gone_or_has_another_password_has_no_token() {
    let house = house();
    let token = alices(&house).await;
    let file = house.folder.path().join("users.htpasswd");
    let before = fs::read(&file).unwrap();
    assert!(house.tokens.verify(&token).is_ok());
    for changed in [line("alice", "other"), line("alice", "right"), line("bob", "right")] {
        fs::write(&file, changed).unwrap();
        assert_eq!(house.tokens.verify(&token), Err(InvalidToken));
    }
    fs::write(&file, before).unwrap();
    assert!(house.tokens.verify(&token).is_ok());
}

#[test]
fn a_remembered_token_ends_in_time() {
    let house = house();
    let token = anonymous(&house);
    let mut claims = (*house.tokens.verify(&token).unwrap()).clone();
    claims.expires = seconds(SystemTime::now()) - 90;
    let mut key = [0; 32];
    key.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    house.tokens.verified.insert(key, Arc::new(claims));
    assert_eq!(house.tokens.verify(&token), Err(InvalidToken));
}

#[test]
fn a_token_that_does_not_fit_is_not_made() {
    let house = house();
    let many: Vec<Scope> = (0..400).map(|n| Scope::repository(format!("team/app-{n}"), crate::oci::Actions::PULL)).collect();
    assert_eq!(house.tokens.issue(None, &[], &many).unwrap_err(), TooLong);
    assert!(house.tokens.issue(None, &many[..40], &many[..40]).is_ok());
}
