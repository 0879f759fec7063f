//! Tests of tokens: what is accepted, and what never is.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use super::*;
use crate::auth::judge::Action;
use crate::auth::users::Pace;
use crate::config::{self, Secret};

struct House {
    folder: tempfile::TempDir,
    users: Arc<Users>,
    tokens: Tokens,
}

/// Users of a file with `alice`, and tokens beside it.
fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("users.htpasswd"), line("alice", "right")).unwrap();
    let auth = config::Auth::default();
    let pace = Pace { cost: 4, look: Duration::ZERO, ..Pace::default() };
    let users = Arc::new(Users::open(folder.path(), &auth, pace).unwrap().0);
    let tokens = Tokens::open(folder.path(), users.clone()).unwrap();
    House { folder, users, tokens }
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
    let known = house.users.known("alice", &Secret::new("right")).await.unwrap();
    house.tokens.issue(Some(&known), &scopes(), &scopes()).unwrap().token
}

fn part(token: &str, number: usize) -> Value {
    let text = BASE64.decode(token.split('.').nth(number).unwrap()).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// A token with this header and these claims, signed with the house's own key whatever the header says.
fn forged(house: &House, header: &Value, claims: &Value) -> String {
    let text = [header, claims].map(|part| BASE64.encode(part.to_string())).join(".");
    let signature = jsonwebtoken::crypto::sign(text.as_bytes(), &house.tokens.signing, Algorithm::ES256).unwrap();
    format!("{text}.{signature}")
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
fn the_key_is_kept_and_is_its_owners_alone() {
    let house = house();
    let token = anonymous(&house);
    let path = house.folder.path().join("token-key");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let again = Tokens::open(house.folder.path(), house.users.clone()).unwrap();
    assert!(again.verify(&token).is_ok());
    fs::remove_file(&path).unwrap();
    let other = Tokens::open(house.folder.path(), house.users.clone()).unwrap();
    assert_eq!(other.verify(&token), Err(InvalidToken));
    for broken in ["", "no key"] {
        fs::write(&path, broken).unwrap();
        let message = Tokens::open(house.folder.path(), house.users.clone()).err().unwrap().to_string();
        assert!(message.contains("delete it and start again"), "{message}");
    }
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
fn a_header_that_says_how_to_check_it_is_refused() {
    let house = house();
    let token = anonymous(&house);
    let (header, claims) = (part(&token, 0), part(&token, 1));
    assert!(house.tokens.verify(&forged(&house, &header, &claims)).is_ok(), "the forge works");
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": BASE64.encode([1; 32]), "y": BASE64.encode([2; 32])});
    for (field, value) in [
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("RS256")),
        ("alg", json!("ES384")),
        ("kid", json!("other")),
        ("kid", Value::Null),
        ("jwk", jwk),
        ("jku", json!("http://127.0.0.1/keys")),
        ("x5u", json!("http://127.0.0.1/keys")),
        ("x5c", json!(["AAAA"])),
        ("crit", json!(["exp"])),
    ] {
        let mut header = header.clone();
        header[field] = value;
        assert_eq!(house.tokens.verify(&forged(&house, &header, &claims)), Err(InvalidToken), "{header}");
    }
}

#[test]
fn a_signature_of_another_kind_is_refused() {
    let house = house();
    let token = anonymous(&house);
    let (header, claims) = (part(&token, 0), part(&token, 1));
    let unsigned = token.rsplit_once('.').unwrap().0;
    let none = json!({"typ": "JWT", "alg": "none", "kid": header["kid"]});
    let none = [&none, &claims].map(|part| BASE64.encode(part.to_string())).join(".");
    let kid = header["kid"].as_str().map(str::to_owned);
    let public = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, house.tokens.signing.as_bytes()).unwrap();
    let confused = Header { kid, ..Header::new(Algorithm::HS256) };
    let confused = jsonwebtoken::encode(&confused, &claims, &EncodingKey::from_secret(public.public_key().as_ref())).unwrap();
    for bad in [
        String::new(),
        "a.b.c".to_owned(),
        unsigned.to_owned(),
        format!("{unsigned}."),
        format!("{none}."),
        confused,
        format!("{unsigned}.{}", BASE64.encode([0; 64])),
        format!("{token}.{token}"),
        "x".repeat(MAX_TOKEN + 1),
    ] {
        assert_eq!(house.tokens.verify(&bad), Err(InvalidToken), "{bad}");
    }
}

#[test]
fn times_issuer_and_audience_are_checked_with_a_minute_of_leeway() {
    let house = house();
    let token = anonymous(&house);
    let (header, claims) = (part(&token, 0), part(&token, 1));
    let now = seconds(SystemTime::now());
    for (field, value, good) in [
        ("exp", json!(now - 30), true),
        ("exp", json!(now - 90), false),
        ("exp", json!("never"), false),
        ("exp", Value::Null, false),
        ("nbf", json!(now + 30), true),
        ("nbf", json!(now + 90), false),
        ("nbf", Value::Null, false),
        ("iss", json!("other"), false),
        ("iss", Value::Null, false),
        ("aud", json!("other"), false),
        ("aud", Value::Null, false),
        ("sub", json!("alice"), false),
    ] {
        let mut claims = claims.clone();
        claims[field] = value;
        assert_eq!(house.tokens.verify(&forged(&house, &header, &claims)).is_ok(), good, "{claims}");
    }
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
