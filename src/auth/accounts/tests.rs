//! Tests of what commands do to users and their tokens.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::auth::{KeptAllow, KeptRole, PersonalToken};
use crate::config::Auth;

fn line(user: &str) -> String {
    format!("{user}:{}\n", bcrypt::hash("x", 4).unwrap())
}

/// With admin and alice.
fn house() -> (tempfile::TempDir, Policy) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("users.htpasswd"), line("admin") + &line("alice")).unwrap();
    let policy = Policy::open(folder.path(), &Auth::default()).unwrap();
    (folder, policy)
}

fn hash() -> String {
    bcrypt::hash("new", 4).unwrap()
}

fn token(user: &str, robot: bool) -> KeptToken {
    let made = PersonalToken::make();
    let (id, user, hash) = (made.id.clone(), user.to_owned(), made.hash());
    KeptToken { id, user, robot, note: String::new(), hash, allow: Vec::new(), made: 1, expires: None }
}

fn names(policy: &Policy) -> Vec<String> {
    policy.accounts().unwrap().into_iter().map(|account| account.name).collect()
}

#[track_caller]
fn why<T: std::fmt::Debug>(changed: Result<T, NotChanged>) -> String {
    changed.expect_err("it is refused").to_string()
}

#[test]
fn a_user_is_added_once_and_nothing_else_changes() {
    let (folder, policy) = house();
    let file = folder.path().join("users.htpasswd");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let before = fs::read_to_string(&file).unwrap();
    policy.add_user("bob", &hash(), &[], "test").unwrap();
    assert!(fs::read_to_string(&file).unwrap().starts_with(&before));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(names(&policy), ["admin", "alice", "bob"]);
    assert!(why(policy.add_user("bob", &hash(), &[], "test")).contains("already"));
    assert!(why(policy.change_password("carol", &hash())).contains("no user carol"));
    assert!(why(policy.remove_user("carol", "test")).contains("no user carol"));
    for (name, expected) in [
        ("", "1 to 255"),
        (&"x".repeat(256), "1 to 255"),
        ("a:b", "no colon"),
        ("a\nb", "no colon"),
        ("#a", "no colon"),
        (" a", "no colon"),
        ("a*", "members of roles"),
        ("{a,b}", "members of roles"),
        ("anonymous", "everybody"),
    ] {
        let why = why(policy.add_user(name, &hash(), &[], "test"));
        assert!(why.contains(expected), "{name:?}: {why}");
    }
    policy.add_user("dörte@example.org", &hash(), &[], "test").unwrap();
}

#[test]
fn a_password_has_1_to_71_bytes() {
    for wrong in ["", &"x".repeat(72), "a\0b"] {
        assert!(hashed(&Secret::new(wrong)).is_err(), "{wrong:?}");
    }
    let longest = "é".repeat(35) + "x";
    assert!(bcrypt::verify(&longest, &hashed(&Secret::new(longest.as_str())).unwrap()).unwrap());
}

#[test]
fn what_a_removed_user_had_is_nobodys_after_him() {
    let (folder, policy) = house();
    let robot = token("ci", true);
    for token in [token("alice", false), token("alice", false), robot.clone()] {
        policy.add_token(token, "test").unwrap();
    }
    let allow = vec![KeptAllow { repositories: vec!["**".into()], actions: vec!["pull".into()] }];
    let role = KeptRole { name: "team".into(), members: vec!["alice".into(), "bob".into()], allow };
    policy.ledger().write("test", |_| Ok(Change::Role(role))).unwrap();
    let alice = policy.accounts().unwrap().remove(1);
    assert_eq!(alice, Account { name: "alice".into(), kind: AccountKind::User, roles: vec!["team".into()], tokens: 2 });
    policy.remove_user("alice", "test").unwrap();
    assert!(why(policy.add_user("alice", &hash(), &["none".into()], "test")).contains("no role none"));
    policy.add_user("alice", &hash(), &[], "test").unwrap();
    policy.add_user("carol", &hash(), &["team".into()], "test").unwrap();
    assert_eq!(policy.ledger().entries().roles["team"].0.members, ["bob", "carol"]);
    policy.remove_user("carol", "test").unwrap();
    let again = policy.accounts().unwrap();
    assert_eq!((again[1].roles.len(), again[1].tokens), (0, 0));
    assert_eq!((again[2].name.as_str(), again[2].kind, again[2].tokens), ("ci", AccountKind::Robot, 1));
    // Also when it was an editor that removed her.
    policy.add_token(token("alice", false), "test").unwrap();
    fs::write(folder.path().join("users.htpasswd"), line("admin")).unwrap();
    policy.add_user("alice", &hash(), &[], "test").unwrap();
    assert_eq!(policy.accounts().unwrap()[1].tokens, 0);
    assert_eq!(policy.revoke_token(&robot.id, "test").unwrap(), "ci");
    assert!(why(policy.revoke_token(&robot.id, "test")).contains("no token"));
}

#[test]
fn somebody_stays_who_looks_after_the_registry() {
    let (folder, policy) = house();
    assert!(why(policy.remove_user("admin", "test")).contains("the last who may look after"));
    let allow = vec![KeptAllow { repositories: vec!["**".into()], actions: vec!["admin".into()] }];
    let role = KeptRole { name: "ops".into(), members: vec!["alice".into()], allow };
    policy.ledger().write("test", |_| Ok(Change::Role(role))).unwrap();
    policy.remove_user("admin", "test").unwrap();
    assert!(why(policy.remove_user("alice", "test")).contains("the last who may look after"));
    fs::write(folder.path().join("users.htpasswd"), line("bob")).unwrap();
    assert!(why(policy.remove_user("bob", "test")).contains("must not be empty"));
}

#[test]
fn a_robot_and_a_user_never_share_a_name() {
    let (_folder, policy) = house();
    assert!(why(policy.add_token(token("alice", true), "test")).contains("is a user, no robot"));
    assert!(why(policy.add_token(token("ci", false), "test")).contains("there is no user ci"));
    assert!(why(policy.add_token(token("c*", true), "test")).contains("no name"));
    policy.add_token(token("ci", true), "test").unwrap();
    assert!(why(policy.add_user("ci", &hash(), &[], "test")).contains("is a robot"));
}

#[test]
fn before_the_first_start_admin_is_the_first_user() {
    let folder = tempfile::tempdir().unwrap();
    let policy = Policy::open(folder.path(), &Auth::default()).unwrap();
    assert!(why(policy.add_user("alice", &hash(), &[], "test")).contains("start the server once"));
    policy.add_user("admin", &hash(), &[], "test").unwrap();
    policy.add_user("alice", &hash(), &[], "test").unwrap();
    let mode = fs::metadata(folder.path().join("users.htpasswd")).unwrap().permissions().mode();
    assert_eq!((names(&policy).len(), mode & 0o777), (2, 0o600));
}

#[test]
fn a_file_that_may_not_be_changed_is_told_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody, not even root, writes there.
    let auth = Auth { htpasswd: Some("/proc/self/status".into()), ..Auth::default() };
    let policy = Policy::open(folder.path(), &auth).unwrap();
    let why = why(policy.add_user("alice", &hash(), &[], "test"));
    assert!(why.contains("/proc/"), "{why}");
}
