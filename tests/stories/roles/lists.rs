//! Lists name what the reader may read, and nothing else (SEC-18).

use serde_json::{Value, json};

use super::add;
use crate::app::*;

async fn stocked() -> App {
    let app = App::start().await;
    for name in ["org/image", "library/nginx"] {
        app.hub.image(name, "latest", &[]);
        app.user("admin").basic().pull(name, "latest").await;
    }
    for name in ["team/app", "team/web", "secret/app"] {
        app.user("admin").push(name, "v1", &build(name, &[])).await;
    }
    app
}

async fn catalog(client: &Client) -> Value {
    client.get("/v2/_catalog").await.expect(200).json()["repositories"].clone()
}

#[tokio::test]
async fn cve_2020_29662_the_catalog_names_what_the_reader_may_read() {
    let app = stocked().await;
    add(&app, "anonymous", &[], &["pull=docker.io/org/**", "push=secret/**"]).await;
    add(&app, "team", &["alice"], &["pull=team/*"]).await;
    assert_eq!(catalog(&app.anonymous()).await, json!(["org/image"]));
    assert_eq!(catalog(&app.user("alice").basic()).await, json!(["org/image", "team/app", "team/web"]));
    assert_eq!(catalog(&app.user("bob").basic()).await, json!(["org/image"]));
    assert_eq!(catalog(&app.user("admin").basic()).await, json!(["nginx", "org/image", "secret/app", "team/app", "team/web"]));
    let page = app.user("alice").basic().get("/v2/_catalog?n=1&last=org/image").await.expect(200);
    assert_eq!(page.json()["repositories"], json!(["team/app"]));
    assert!(!page.header("link").contains("secret"));
}

#[tokio::test]
async fn artifact_keeper_3269_a_search_finds_what_the_reader_may_pull_at_docker_hub_too() {
    let app = stocked().await;
    let hit = |name: &str| json!({"name": name, "description": "", "is_official": false, "is_automated": false, "star_count": 1});
    let theirs = ["other/app", "hidden/app", "team/web"].map(hit);
    app.hub.finds(json!({"num_results": 3, "results": theirs}).to_string());
    add(&app, "anonymous", &[], &["pull=docker.io/org/**"]).await;
    add(&app, "team", &["alice"], &["pull=team/*", "pull=docker.io/other/**"]).await;
    let found = async |client: Client, term: &str| -> Vec<String> {
        let answer = client.get(&format!("/v1/search?q={term}")).await.expect(200).json();
        answer["results"].as_array().unwrap().iter().map(|hit| hit["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(found(app.user("alice").basic(), "app").await, ["team/app", "other/app"]);
    assert!(found(app.anonymous(), "app").await.is_empty());
    assert!(found(app.user("admin").basic(), "app").await.contains(&"secret/app".to_owned()));
}

#[tokio::test]
async fn a_list_of_tags_is_of_those_repositories_that_the_reader_may_read() {
    let app = stocked().await;
    app.user("admin").push("nginx", "ours", &build("ours", &[])).await;
    add(&app, "anonymous", &[], &["pull=library/**"]).await;
    add(&app, "hub", &["bob"], &["pull=docker.io/**"]).await;
    let tags = async |client: Client| {
        let answer = client.get("/v2/nginx/tags/list").await.expect(200);
        assert!(answer.header("warning").is_empty());
        answer.json()["tags"].clone()
    };
    assert_eq!(tags(app.anonymous()).await, json!(["ours"]), "what Docker Hub has is not for everybody");
    assert_eq!(tags(app.user("alice").basic()).await, json!(["ours"]));
    assert_eq!(tags(app.user("bob").basic()).await, json!(["latest", "ours"]));
    app.anonymous().get("/v2/docker.io/library/nginx/tags/list").await.expect(401);
}
