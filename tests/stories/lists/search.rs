//! Docker's old search: names here, then Docker Hub's answer, which may fail.

use entrepot::config::Patterns;
use serde_json::{Value, json};

use crate::app::*;

async fn names(client: &Client, query: &str) -> Vec<String> {
    let answer = client.get(&format!("/v1/search?{query}")).await.expect(200).json();
    let results = answer["results"].as_array().unwrap().clone();
    results.iter().map(|result| result["name"].as_str().unwrap().to_owned()).collect()
}

fn hit(name: &str, stars: u64) -> Value {
    json!({"name": name, "description": format!("about {name}"), "is_official": stars > 9, "is_automated": false, "star_count": stars})
}

async fn with_hub() -> App {
    let app = App::start().await;
    app.hub.image("library/nginx", "latest", &[]);
    app.anonymous().pull("nginx", "latest").await;
    for name in ["team/web", "tools/nginx-exporter"] {
        app.user("alice").push(name, "v1", &build(name, &[])).await;
    }
    app.landed().await;
    app.hub.forget();
    app
}

#[tokio::test]
async fn hosted_and_cached_names_are_found_before_docker_hubs() {
    let app = with_hub().await;
    let theirs = [hit("bitnami/nginx", 3), hit("nginx", 20000), hit("tools/nginx-exporter", 5), hit("No Name", 1)];
    app.hub.finds(json!({"num_results": 4, "results": theirs}).to_string());
    let answer = app.anonymous().bare().get("/v1/search?q=nginx&n=25").await.expect(200).json();
    assert_eq!((answer["num_results"].as_u64(), answer["query"].as_str()), (Some(3), Some("nginx")));
    assert_eq!(names(&app.anonymous(), "q=nginx").await, ["nginx", "tools/nginx-exporter", "bitnami/nginx"]);
    assert_eq!(answer["results"][0], hit("nginx", 20000), "what is Docker Hub's is told in its words");
    assert_eq!(answer["results"][1]["description"], "pushed here");
    assert_eq!(names(&app.anonymous(), "q=nginx&n=1&page=3").await, ["bitnami/nginx"]);
    assert_eq!(names(&app.anonymous(), "q=library/nginx").await[0], "nginx");
    assert_eq!(app.hub.count("GET", "/v1/search"), 1, "pages of one search are of one answer");
    assert!(app.hub.seen().iter().all(|seen| seen.request.header("authorization").is_none()));
    assert_eq!(app.anonymous().bare().get("/v1/_ping").await.expect(200).header("x-docker-registry-standalone"), "true");
}

#[tokio::test]
async fn a_search_that_fails_upstream_finds_what_is_here() {
    for fault in [None, Some(Fault::Status(503)), Some(Fault::NoAnswer), Some(Fault::Reset), Some(Fault::HtmlPage)] {
        let app = with_hub().await;
        if let Some(fault) = fault {
            app.hub.finds("{}");
            app.hub.on("/v1/search", fault);
        }
        assert_eq!(names(&app.anonymous(), "q=web").await, ["team/web"]);
        app.hub.image("library/later", "latest", &[]);
        app.anonymous().pull("later", "latest").await;
    }
}

#[tokio::test]
async fn docker_hub_is_not_asked_for_what_must_not_leave() {
    let mut app = with_hub().await;
    app.restart_with(|settings| {
        settings.hosted.reserved = Patterns::new(&["corp/**"]).unwrap();
        settings.upstreams[0].deny = Patterns::new(&["evil/**"]).unwrap();
    })
    .await;
    app.hub.forget();
    let theirs = [hit("evil/web", 1), hit("corp/web", 1), hit("team/web", 1), hit("good/web", 1)];
    app.hub.finds(json!({"results": theirs}).to_string());
    for term in ["corp/web", "corp/w", "evil/web", ""] {
        names(&app.anonymous(), &format!("q={term}")).await;
    }
    assert_eq!(app.hub.requests(), 0);
    assert_eq!(names(&app.anonymous(), "q=web").await, ["team/web", "good/web"]);
    app.restart_with(|settings| settings.cache.offline = true).await;
    app.hub.forget();
    assert_eq!(names(&app.anonymous(), "q=nginx").await, ["nginx", "tools/nginx-exporter"]);
    assert_eq!(app.hub.requests(), 0);
    app.anonymous().get("/v1/search?q=x&n=many").await.expect(400);
}
