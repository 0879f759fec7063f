//! Tests of users: the file, the passwords, and what guessing costs.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;

use super::*;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const HOUR: Duration = Duration::from_secs(3600);
const FAST: Pace = Pace { cost: 4, look: Duration::ZERO, wait: HOUR, remember: HOUR };

fn auth() -> config::Auth {
    config::Auth::default()
}

fn line(user: &str, password: &str) -> String {
    format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap())
}

/// Users of a file with `alice`, whose password is `right`.
fn alice() -> (tempfile::TempDir, Users) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("users.htpasswd"), line("alice", "right")).unwrap();
    let (users, made) = Users::open(folder.path(), &auth(), FAST).unwrap();
    assert!(made.is_none());
    (folder, users)
}

async fn check(users: &Users, user: &str, password: &str) -> Result<Who, NotVerified> {
    users.verify(user, &Secret::new(password), HERE).await
}

#[tokio::test]
async fn the_first_start_makes_an_admin_and_keeps_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let (users, made) = Users::open(folder.path(), &auth(), FAST).unwrap();
    let password = made.unwrap().password;
    assert_eq!(users.verify("admin", &password, HERE).await, Ok(Who::User("admin".into())));
    assert_eq!(fs::read_to_string(folder.path().join("admin-password")).unwrap(), format!("{}\n", password.reveal()));
    for file in ["admin-password", "users.htpasswd"] {
        assert_eq!(fs::metadata(folder.path().join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    drop(users);
    let (users, made) = Users::open(folder.path(), &auth(), FAST).unwrap();
    assert!(made.is_none());
    assert!(users.verify("admin", &password, HERE).await.is_ok());
}

#[tokio::test]
async fn a_configured_password_is_taken_and_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut auth = config::Auth { admin_password: Some(Secret::new("configured")), ..auth() };
    let (users, made) = Users::open(folder.path(), &auth, FAST).unwrap();
    assert!(made.is_none() && !folder.path().join("admin-password").exists());
    assert!(check(&users, "admin", "configured").await.is_ok());
    let other = tempfile::tempdir().unwrap();
    for bad in ["", &"x".repeat(72)] {
        auth.admin_password = Some(Secret::new(bad));
        assert!(matches!(Users::open(other.path(), &auth, FAST), Err(OpenError::AdminPassword)));
    }
}

#[tokio::test]
async fn the_kept_password_goes_when_it_is_changed_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let (users, made) = Users::open(folder.path(), &auth(), FAST).unwrap();
    let (file, kept) = (folder.path().join("users.htpasswd"), folder.path().join("admin-password"));
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text + &line("bob", "b")).unwrap();
    assert!(check(&users, "bob", "b").await.is_ok());
    assert!(users.verify("admin", &made.unwrap().password, HERE).await.is_ok());
    std::thread::sleep(Duration::from_millis(50));
    assert!(kept.exists());
    fs::write(&file, line("admin", "changed")).unwrap();
    assert!(check(&users, "admin", "changed").await.is_ok());
    let gone = || {
        std::thread::sleep(Duration::from_millis(10));
        !kept.exists()
    };
    assert!((0..500).any(|_| gone()));
}

#[test]
fn an_empty_or_missing_file_is_an_error_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("users.htpasswd"), "").unwrap();
    let message = Users::open(folder.path(), &auth(), FAST).err().unwrap().to_string();
    assert!(message.contains("users.htpasswd is empty: restore it"), "{message}");
    let missing = config::Auth { htpasswd: Some(folder.path().join("none")), ..auth() };
    assert!(matches!(Users::open(folder.path(), &missing, FAST), Err(OpenError::Missing(_))));
}

/// SEC-21: how long a refusal took told which users there are. `examples/measure_timing.rs` measures it.
#[tokio::test]
async fn cve_2023_20902_a_user_that_is_not_there_is_hashed_like_one_that_is() {
    let (_folder, users) = alice();
    assert_eq!(check(&users, "alice", "wrong").await, Err(NotVerified::Wrong));
    assert_eq!(check(&users, "nobody", "right").await, Err(NotVerified::Wrong));
    let key = users.remembered.key("nobody", &htpasswd::dummy(4), &Secret::new("right"));
    assert_eq!(users.remembered.get(&key), Some(false), "the dummy of the file's own cost was hashed");
}

#[tokio::test]
async fn a_change_of_the_file_ends_what_was_remembered() {
    let (folder, users) = alice();
    assert!(check(&users, "alice", "right").await.is_ok());
    let before = users.stamp("alice");
    fs::write(folder.path().join("users.htpasswd"), line("alice", "other")).unwrap();
    assert_eq!(check(&users, "alice", "right").await, Err(NotVerified::Wrong));
    assert!(check(&users, "alice", "other").await.is_ok());
    assert_ne!(users.stamp("alice"), before);
    fs::write(folder.path().join("users.htpasswd"), line("bob", "b")).unwrap();
    assert_eq!(check(&users, "alice", "other").await, Err(NotVerified::Wrong));
    assert_eq!(users.stamp("alice"), None);
}

#[tokio::test]
async fn users_stay_while_the_file_is_away_and_bad_lines_harm_nobody() {
    let (folder, users) = alice();
    let file = folder.path().join("users.htpasswd");
    fs::remove_file(&file).unwrap();
    assert!(check(&users, "alice", "right").await.is_ok());
    fs::write(&file, format!("broken\n{}", line("bob", "b"))).unwrap();
    assert!(check(&users, "bob", "b").await.is_ok());
    assert!(check(&users, "alice", "right").await.is_err());
}

#[tokio::test]
async fn the_file_is_not_looked_at_more_often_than_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users.htpasswd");
    fs::write(&file, line("alice", "right")).unwrap();
    let (users, _) = Users::open(folder.path(), &auth(), Pace { look: HOUR, ..FAST }).unwrap();
    fs::write(&file, line("bob", "b")).unwrap();
    assert!(check(&users, "alice", "right").await.is_ok());
}

#[tokio::test]
async fn a_right_password_is_never_refused_and_never_waits() {
    let (_folder, users) = alice();
    let users = Arc::new(users);
    for guess in 0..10 {
        assert_eq!(check(&users, "alice", &guess.to_string()).await, Err(NotVerified::Wrong));
    }
    let waiting: Vec<_> = (0..8)
        .map(|guess| {
            let users = users.clone();
            tokio::spawn(async move { check(&users, "alice", &format!("again {guess}")).await })
        })
        .collect();
    let mut refused = 0;
    while refused < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        refused = waiting.iter().filter(|task| task.is_finished()).count();
    }
    let right = tokio::time::timeout(HOUR / 60, check(&users, "alice", "right")).await.unwrap();
    assert!(right.is_ok());
    assert_eq!(check(&users, "alice", "wrong").await, Err(NotVerified::TooMany));
    assert_eq!(waiting.iter().filter(|task| task.is_finished()).count(), 4, "four of them wait on");
}

#[tokio::test]
async fn a_remembered_password_skips_the_queue() {
    let (_folder, users) = alice();
    assert!(check(&users, "alice", "right").await.is_ok());
    let places = users.hashing.available_permits();
    let _all = users.hashing.acquire_many(u32::try_from(places).unwrap()).await.unwrap();
    assert!(check(&users, "alice", "right").await.is_ok());
    let unknown = tokio::time::timeout(Duration::from_millis(20), check(&users, "alice", "new")).await;
    assert!(unknown.is_err(), "what is not remembered waits for a place");
}

#[tokio::test]
async fn foreign_credentials_are_no_failed_log_in() {
    let (_folder, users) = alice();
    for _ in 0..20 {
        assert_eq!(users.recognise("hub-user", &Secret::new("hub")).await, None);
    }
    assert_eq!(check(&users, "hub-user", "hub").await, Err(NotVerified::Wrong));
}
