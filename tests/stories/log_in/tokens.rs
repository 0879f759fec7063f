//! `/v2/` and `/token`: what `docker login` and every client's challenge dance rely on.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::app::*;

/// What the token grants.
fn access(answer: &Answer) -> Value {
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()["access"].clone()
}

fn repository(name: &str, actions: &[&str]) -> Value {
    json!({"type": "repository", "name": name, "actions": actions})
}

#[tokio::test]
async fn the_base_route_always_challenges_who_has_no_credentials() {
    for anonymous_may_push in [false, true] {
        let app = App::with(|settings| settings.auth.anonymous.get_or_insert_default().push = anonymous_may_push).await;
        let challenged = app.anonymous().bare().get("/v2/").await.expect(401);
        assert_eq!(challenged.header("www-authenticate"), format!("Bearer realm=\"{}/token\",service=\"entrepot\"", app.url()));
        assert_eq!(challenged.header("docker-distribution-api-version"), "registry/2.0");
        assert_eq!(challenged.code(), "UNAUTHORIZED");
        app.anonymous().get("/v2/").await.expect(200);
        app.user("alice").get("/v2/").await.expect(200);
        app.user("alice").basic().get("/v2/").await.expect(200);
    }
}

#[tokio::test]
async fn a_wrong_password_fails_where_clients_log_in() {
    let app = App::start().await;
    for wrong in [app.login("alice", "wrong"), app.login("nobody", "alice-password"), app.login("alice", "")] {
        wrong.basic().get("/v2/").await.expect(401);
        assert_eq!(wrong.token(&[]).await.expect(401).code(), "UNAUTHORIZED");
        wrong.token(&["repository:team/app:pull,push"]).await.expect(401);
        wrong.token(&["registry:catalog:*"]).await.expect(401);
    }
    let form = |password| [("grant_type", "password"), ("username", "alice"), ("password", password), ("service", "entrepot")];
    app.anonymous().token_form(&form("wrong")).await.expect(401);
    let granted = app.anonymous().token_form(&form("alice-password")).await.expect(200);
    let token = granted.json()["access_token"].as_str().unwrap().to_owned();
    app.anonymous().with_token(&token).get("/v2/").await.expect(200);
    let refused = app.anonymous().token_form(&[("grant_type", "client_credentials"), ("refresh_token", "x")]).await;
    assert!((400..500).contains(&refused.status) && !refused.message().is_empty());
}

#[tokio::test]
async fn a_token_holds_what_was_asked_and_may_be_had() {
    let app = App::start().await;
    let pull = "repository:team/app:pull";
    assert_eq!(access(&app.anonymous().token(&[pull]).await), json!([repository("team/app", &["pull"])]));
    assert_eq!(access(&app.anonymous().token(&["repository:team/app:push,pull"]).await), json!([repository("team/app", &["pull"])]));
    assert_eq!(access(&app.anonymous().token(&["repository:team/app:delete"]).await), json!([]));
    let both = app.user("alice").token(&["repository:team/app:push,pull", "repository:nginx:pull"]).await.expect(200);
    assert_eq!(access(&both), json!([repository("team/app", &["pull", "push"]), repository("nginx", &["pull"])]));
    let spaced = app.user("alice").token(&["repository:team/app:pull repository:other:pull,unknown"]).await.expect(200);
    assert_eq!(access(&spaced), json!([repository("team/app", &["pull"]), repository("other", &["pull"])]));
    app.user("alice").token(&["nonsense", "repository:UPPER:pull", "registry:catalog:*"]).await.expect(200);
    let answer = app.anonymous().token(&[pull]).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(answer.json()["expires_in"].as_u64().unwrap() >= 60);
    assert_eq!(answer.json()["token"], answer.json()["access_token"]);
}

#[tokio::test]
async fn ghsa_78cx_a_token_is_good_for_its_repository_and_actions_alone() {
    let app = App::start().await;
    app.user("alice").push("team/app", "v1", &build("one", &[])).await;
    app.user("alice").push("team/other", "v1", &build("one", &[])).await;
    let token = app.user("admin").token(&["repository:team/app:pull"]).await.json()["token"].as_str().unwrap().to_owned();
    let client = app.anonymous().with_token(&token);
    client.get("/v2/team/app/manifests/v1").await.expect(200);
    client.get("/v2/").await.expect(200);
    for (answer, scope) in [
        (client.get("/v2/team/other/manifests/v1").await, "repository:team/other:pull"),
        (client.post("/v2/team/app/blobs/uploads/", "").await, "repository:team/app:pull,push"),
        (client.delete("/v2/team/app/manifests/v1").await, "repository:team/app:pull,delete"),
    ] {
        let challenge = answer.expect(401).header("www-authenticate").to_owned();
        assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
        assert!(challenge.contains(&format!("scope=\"{scope}\"")), "{challenge}");
    }
}

#[tokio::test]
async fn artifact_keeper_2290_no_request_makes_more_of_anybody() {
    let app = App::start().await;
    for scope in
        ["registry:admin:*", "registry:*:*", "repository:**:*", "repository:*:admin", "admin:*:*", "repository:team/app:admin,shadow"]
    {
        let token = app.user("alice").token(&[scope]).await.json()["token"].as_str().unwrap().to_owned();
        let client = app.anonymous().with_token(&token);
        let answer = client.get("/api/v1/upstreams").await;
        assert!([401, 403].contains(&answer.status), "{scope}: {}", answer.status);
        assert_ne!(client.post("/v2/team/app/blobs/uploads/", "").await.status, 202, "{scope}");
    }
    for path in ["/api/v1/tokens", "/api/v1/users", "/api/v1/roles", "/token/create", "/users"] {
        for client in [app.user("alice").basic(), app.user("admin").basic()] {
            assert_eq!(client.post(path, r#"{"user":"alice","role":"admin"}"#).await.status, 404, "{path}");
        }
    }
    app.user("alice").basic().get("/api/v1/upstreams").await.expect(403);
}

#[tokio::test]
async fn a_token_for_the_name_as_it_is_written_is_accepted_with_its_ns() {
    let quay = FaultUpstream::start().await;
    let app = App::with(|settings| {
        settings.upstreams.push(quay.upstream_settings("quay.io"));
        settings.auth.anonymous.get_or_insert_default().pull = false;
    })
    .await;
    quay.image("org/image", "v1", &[]);
    let challenged = app.anonymous().bare().through("quay.io").get("/v2/org/image/manifests/v1").await.expect(401);
    assert!(challenged.header("www-authenticate").contains("scope=\"repository:quay.io/org/image:pull\""));
    for name in ["org/image", "quay.io/org/image"] {
        let answer = app.user("alice").token(&[&format!("repository:{name}:pull")]).await;
        let client = app.anonymous().with_token(answer.json()["token"].as_str().unwrap());
        client.through("quay.io").get("/v2/org/image/manifests/v1").await.expect(200);
        let prefixed = client.get("/v2/quay.io/org/image/manifests/v1").await;
        assert_eq!(prefixed.status, if name == "org/image" { 401 } else { 200 });
    }
}

#[tokio::test]
async fn an_invalid_token_is_401_everywhere() {
    let app = App::start().await;
    app.user("alice").push("team/app", "v1", &build("one", &[])).await;
    let good = app.anonymous().token(&["repository:team/app:pull"]).await.json()["token"].as_str().unwrap().to_owned();
    let (head, signature) = good.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    let other = App::start().await;
    let foreign = other.anonymous().token(&["repository:team/app:pull"]).await.json()["token"].as_str().unwrap().to_owned();
    for token in ["nonsense", &forged, &foreign] {
        let client = app.anonymous().with_token(token);
        for path in ["/v2/", "/v2/team/app/manifests/v1", "/v2/team/app/tags/list", "/v2/_catalog"] {
            let refused = client.get(path).await.expect(401);
            assert!(refused.header("www-authenticate").starts_with("Bearer "), "{path}");
        }
        client.head("/v2/team/app/manifests/v1").await.expect(401);
        client.post("/v2/team/app/blobs/uploads/", "").await.expect(401);
    }
    app.anonymous().with_token(&good).get("/v2/team/app/manifests/v1").await.expect(200);
}

#[tokio::test]
async fn the_realm_is_the_external_url_where_one_is_set() {
    let app = App::with(|settings| settings.server.external_url = Some("https://registry.example/mirror".into())).await;
    let challenged = app.anonymous().bare().get("/v2/").await.expect(401);
    assert!(challenged.header("www-authenticate").starts_with("Bearer realm=\"https://registry.example/mirror/token\","));
}
