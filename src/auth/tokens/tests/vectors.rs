//! Tokens as those would write them who have no key, or another one, or a token that is for something else: each is refused, by the same few
//! lines that take ours.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

use super::*;

/// Signs what may be no JSON at all.
fn sealed(house: &House, header: &str, claims: &str) -> String {
    let text = [header, claims].map(|part| BASE64.encode(part)).join(".");
    let signature = jsonwebtoken::crypto::sign(text.as_bytes(), &signing(house).signing, Algorithm::ES256).unwrap();
    format!("{text}.{signature}")
}

/// A token with this header and these claims, signed with the house's own key whatever the header says.
fn forged(house: &House, header: &Value, claims: &Value) -> String {
    sealed(house, &header.to_string(), &claims.to_string())
}

fn with(object: &Value, field: &str, value: Value) -> Value {
    let mut object = object.clone();
    match value.is_null() {
        true => drop(object.as_object_mut().unwrap().remove(field)),
        false => object[field] = value,
    }
    object
}

/// A stranger's key, and how it looks in a header.
fn stranger() -> (EcdsaKeyPair, Value) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let public = pair.public_key().as_ref();
    let jwk = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "x": BASE64.encode(&public[1..33]), "y": BASE64.encode(&public[33..])});
    (pair, jwk)
}

/// Signed by a stranger.
fn strange(pair: &EcdsaKeyPair, header: &Value, claims: &Value) -> String {
    let text = [header, claims].map(|part| BASE64.encode(part.to_string())).join(".");
    let signature = pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    format!("{text}.{}", BASE64.encode(signature.as_ref()))
}

/// Every vector is refused, and what it was made from is taken.
#[track_caller]
fn refused(house: &House, good: &str, vectors: Vec<(&str, String)>) {
    for (what, token) in vectors {
        assert_eq!(house.tokens.verify(&token), Err(InvalidToken), "{what}: {token}");
        assert!(house.tokens.verify_refresh(&token).is_err(), "{what}, as a refresh token");
    }
    assert!(house.tokens.verify(good).is_ok());
}

#[test]
fn cve_2025_24976_a_key_that_comes_with_the_token_is_not_believed() {
    let house = house();
    let token = anonymous(&house);
    let (header, claims) = (part(&token, 0), part(&token, 1));
    assert!(house.tokens.verify(&forged(&house, &header, &claims)).is_ok(), "the forge works");
    let (pair, jwk) = stranger();
    let by_stranger = |field: &str, value: Value| strange(&pair, &with(&header, field, value), &claims);
    let by_us = |field: &str, value: Value| forged(&house, &with(&header, field, value), &claims);
    let bare = with(&header, "kid", Value::Null);
    refused(
        &house,
        &token,
        vec![
            ("a stranger's signature under our key's name", strange(&pair, &header, &claims)),
            ("a stranger's signature under no name", strange(&pair, &bare, &claims)),
            ("jwk", by_stranger("jwk", jwk.clone())),
            ("jwk without a name", strange(&pair, &with(&bare, "jwk", jwk.clone()), &claims)),
            ("jwk, signed by us", by_us("jwk", jwk.clone())),
            ("jku", by_stranger("jku", json!("http://127.0.0.1/keys"))),
            ("jku, signed by us", by_us("jku", json!("http://127.0.0.1/keys"))),
            ("x5u", by_stranger("x5u", json!("http://127.0.0.1/keys"))),
            ("x5u, signed by us", by_us("x5u", json!("http://127.0.0.1/keys"))),
            ("x5c", by_stranger("x5c", json!(["MIIB", "AAAA"]))),
            ("x5c, signed by us", by_us("x5c", json!(["AAAA"]))),
            ("x5t, signed by us", by_us("x5t", json!("AAAA"))),
            ("crit, signed by us", by_us("crit", json!(["exp"]))),
            ("an unknown field, signed by us", by_us("zzz", json!(1))),
            ("another typ, signed by us", by_us("typ", json!("at+jwt"))),
            ("cty, signed by us", by_us("cty", json!("JWT"))),
        ],
    );
}

#[test]
fn a_key_is_found_by_its_whole_name_alone() {
    let house = house();
    let token = anonymous(&house);
    let (header, claims) = (part(&token, 0), part(&token, 1));
    let name = header["kid"].as_str().unwrap();
    let kid = |value: Value| forged(&house, &with(&header, "kid", value), &claims);
    refused(
        &house,
        &token,
        vec![
            ("no name", kid(Value::Null)),
            ("an empty name", kid(json!(""))),
            ("another name", kid(json!("0123456789abcdef"))),
            ("a part of the name", kid(json!(&name[..8]))),
            ("the name in capitals", kid(json!(name.to_uppercase()))),
            ("a path", kid(json!(format!("../token-keys/{name}")))),
            ("a path out of the folder", kid(json!("../../../../dev/null"))),
            ("a query", kid(json!("x' UNION SELECT '"))),
            ("a zero byte", kid(json!(format!("{name}\0")))),
            ("a number", kid(json!(1))),
        ],
    );
}

#[test]
fn a_signature_of_another_kind_is_refused() {
    let house = house();
    let token = anonymous(&house);
    let (header, claims) = (part(&token, 0), part(&token, 1));
    let unsigned = token.rsplit_once('.').unwrap().0;
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, signing(&house).signing.as_bytes()).unwrap();
    let public = key.public_key().as_ref().to_vec();
    let alg = |name: &str| with(&header, "alg", json!(name));
    let text = |header: &Value| [header, &claims].map(|part| BASE64.encode(part.to_string())).join(".");
    let mac = |secret: &[u8]| {
        let text = text(&alg("HS256"));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
        format!("{text}.{}", BASE64.encode(tag.as_ref()))
    };
    let other = part(&anonymous(&house), 1);
    let swapped = format!("{}.{}", text(&with(&header, "kid", header["kid"].clone())), BASE64.encode([1; 64]));
    let mut flipped = BASE64.decode(token.rsplit_once('.').unwrap().1).unwrap();
    flipped[0] ^= 1;
    assert_eq!(other["iss"], claims["iss"]);
    refused(
        &house,
        &token,
        vec![
            ("alg none", format!("{}.", text(&alg("none")))),
            ("alg none with our signature", forged(&house, &alg("none"), &claims)),
            ("alg None", format!("{}.", text(&alg("None")))),
            ("no alg", forged(&house, &with(&header, "alg", Value::Null), &claims)),
            ("HS256 keyed with the public key", mac(&public)),
            ("HS256 keyed with the public key's coordinates", mac(&public[1..])),
            ("HS256 keyed with nothing", mac(b"")),
            ("HS256 over our signature", forged(&house, &alg("HS256"), &claims)),
            ("RS256", forged(&house, &alg("RS256"), &claims)),
            ("PS256", forged(&house, &alg("PS256"), &claims)),
            ("ES384", forged(&house, &alg("ES384"), &claims)),
            ("EdDSA", forged(&house, &alg("EdDSA"), &claims)),
            ("no signature", unsigned.to_owned()),
            ("an empty signature", format!("{unsigned}.")),
            ("zeros, as in CVE-2022-21449", format!("{unsigned}.{}", BASE64.encode([0; 64]))),
            ("another signature", swapped),
            ("a bit of the signature", format!("{unsigned}.{}", BASE64.encode(&flipped))),
            ("half a signature", format!("{unsigned}.{}", BASE64.encode(&flipped[..32]))),
            ("nothing", String::new()),
            ("no token", "a.b.c".to_owned()),
            ("two tokens", format!("{token}.{token}")),
            ("a fourth part", format!("{token}.x")),
            ("padding", format!("{token}=")),
            ("a space", format!(" {token}")),
            ("dots, as in CVE-2025-30204", ".".repeat(MAX_TOKEN)),
            ("more than 8 KiB", "x".repeat(MAX_TOKEN + 1)),
        ],
    );
}

#[test]
fn times_issuer_and_audience_are_checked_with_a_minute_of_leeway() {
    let house = house();
    let token = anonymous(&house);
    let (header, claims) = (part(&token, 0), part(&token, 1));
    let now = seconds(SystemTime::now());
    let claim = |field: &str, value: Value| forged(&house, &header, &with(&claims, field, value));
    for (field, time) in [("exp", now - 30), ("nbf", now + 30)] {
        assert!(house.tokens.verify(&claim(field, json!(time))).is_ok(), "{field} within a minute");
    }
    refused(
        &house,
        &token,
        vec![
            ("over", claim("exp", json!(now - 90))),
            ("over as text", claim("exp", json!("never"))),
            ("without an end", claim("exp", Value::Null)),
            ("with a negative end", claim("exp", json!(-1))),
            (
                "with an end beyond numbers",
                sealed(&house, &header.to_string(), &claims.to_string().replace("\"exp\":", "\"exp\":1e400,\"x\":")),
            ),
            ("not yet", claim("nbf", json!(now + 90))),
            ("without a beginning", claim("nbf", Value::Null)),
            ("another issuer", claim("iss", json!("other"))),
            ("no issuer", claim("iss", Value::Null)),
            ("several issuers", claim("iss", json!(["entrepot", "other"]))),
            ("another audience", claim("aud", json!("other"))),
            ("no audience", claim("aud", Value::Null)),
            ("several audiences", claim("aud", json!(["entrepot", "other"]))),
        ],
    );
}

#[tokio::test]
async fn what_a_token_says_of_its_holder_is_looked_up() {
    let house = house();
    fs::write(house.folder.path().join("users.htpasswd"), line("alice", "right") + &line("admin", "secret")).unwrap();
    let token = alices(&house).await;
    let (header, claims) = (part(&token, 0), part(&token, 1));
    let revoked = personal(&house);
    house.policy.revoke_token(&revoked.id, "test").unwrap();
    let limited = personal(&house);
    let claim = |field: &str, value: Value| forged(&house, &header, &with(&claims, field, value));
    let both = |user: &str, stamp: String| forged(&house, &header, &with(&with(&claims, "sub", json!(user)), "stamp", json!(stamp)));
    let doubled = |extra: &str| sealed(&house, &header.to_string(), &claims.to_string().replacen('{', &format!("{{{extra},"), 1));
    refused(
        &house,
        &token,
        vec![
            ("another user with her stamp", claim("sub", json!("admin"))),
            ("a user who is not there", claim("sub", json!("nobody"))),
            ("no user with a stamp", claim("sub", Value::Null)),
            ("a user without a stamp", claim("stamp", Value::Null)),
            ("a user as a list", claim("sub", json!(["alice"]))),
            ("another stamp", claim("stamp", json!("0000000000000000"))),
            ("an empty stamp", claim("stamp", json!(""))),
            ("a revoked token's stamp", both("alice", format!("ent_{}", revoked.id))),
            ("another user's token", both("admin", format!("ent_{}", limited.id))),
            ("no token's stamp", both("alice", "ent_".into())),
            ("sub twice", doubled("\"sub\":\"admin\"")),
            ("aud twice", doubled("\"aud\":\"other\"")),
            ("exp twice", doubled("\"exp\":1")),
            ("a claim that we do not make", claim("admin", json!(true))),
            ("no access", claim("access", Value::Null)),
            ("claims that are no object", sealed(&house, &header.to_string(), "[]")),
            ("claims that are no JSON", sealed(&house, &header.to_string(), "x")),
        ],
    );
    let doubled_header = header.to_string().replacen('{', "{\"alg\":\"none\",", 1);
    refused(&house, &token, vec![("alg twice", sealed(&house, &doubled_header, &claims.to_string()))]);
}

#[tokio::test]
async fn neither_kind_of_token_is_taken_for_the_other() {
    let house = house();
    let (access, refresh) = (alices(&house).await, house.tokens.issue_refresh(&alice(&house).await));
    assert_eq!(house.tokens.verify(&refresh), Err(InvalidToken));
    assert_eq!(house.tokens.verify_refresh(&access).err(), Some(InvalidToken));
    let (header, claims, kept) = (part(&access, 0), part(&access, 1), part(&refresh, 1));
    let as_access = forged(&house, &header, &with(&kept, "aud", claims["aud"].clone()));
    let as_refresh = forged(&house, &header, &with(&claims, "aud", kept["aud"].clone()));
    assert_eq!(house.tokens.verify(&as_access), Err(InvalidToken));
    assert_eq!(house.tokens.verify_refresh(&as_refresh).err(), Some(InvalidToken));
    let now = seconds(SystemTime::now());
    for (field, value) in
        [("exp", json!(now - 90)), ("nbf", json!(now + 90)), ("iss", json!("other")), ("stamp", json!("")), ("sub", json!("bob"))]
    {
        let token = forged(&house, &header, &with(&kept, field, value));
        assert_eq!(house.tokens.verify_refresh(&token).err(), Some(InvalidToken), "{field}");
    }
    assert!(house.tokens.verify_refresh(&forged(&house, &header, &kept)).is_ok(), "the forge works");
}
