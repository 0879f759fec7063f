//! Several endpoints: whichever fails, in whatever way, the next one answers; one that is dead costs a probe now and then.

use std::time::Duration;

use super::app::*;
use super::log;

/// docker.io with these endpoints before the hub.
async fn with_endpoints(urls: &[String]) -> App {
    App::with(|settings| {
        let endpoint = |url: &String| entrepot::config::Endpoint { url: url.parse().unwrap(), credentials: None };
        settings.upstreams[0].endpoints.splice(0..0, urls.iter().map(endpoint));
        settings.metrics.enabled = true;
    })
    .await
}

#[tokio::test]
async fn endpoints_that_cannot_be_reached_are_passed_over() {
    log::capture();
    let plain = FaultUpstream::start().await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = nobody.local_addr().unwrap();
    drop(nobody);
    // TLS, DNS, and nobody there.
    let urls = [format!("https://{}", plain.address()), "http://nowhere.invalid".to_owned(), format!("http://{closed}")];
    let app = with_endpoints(&urls).await;
    let image = app.hub.image("library/app", "latest", &[bytes(1, 100_000)]);
    until("the hub is reached", async || app.anonymous().get("/v2/app/manifests/latest").await.status == 200).await;
    assert_eq!(app.anonymous().pull("app", "latest").await.digest, image.digest);
    let told = log::failures("docker.io");
    let figures = app.anonymous().get("/metrics").await.expect(200).body;
    let figures = String::from_utf8_lossy(&figures);
    for endpoint in [plain.address().to_string(), "nowhere.invalid".to_owned(), closed.to_string()] {
        assert!(told.iter().any(|line| line["endpoint"] == endpoint), "{endpoint} is not in {told:?}");
        let counted = format!("entrepot_upstream_failures_total{{registry=\"docker.io\",endpoint=\"{endpoint}\",cause=\"unreachable\"}} ");
        assert!(figures.contains(&counted), "{counted} is not in {figures}");
    }
    assert_eq!(plain.requests(), 0);
}

#[tokio::test]
async fn a_mirror_that_lacks_an_image_is_no_word_on_it() {
    let mirror = FaultUpstream::start().await;
    mirror.behave(|b| b.mount = "/dockerhub".into());
    let app = with_endpoints(&[format!("{}dockerhub", mirror.url())]).await;
    let both = mirror.image("library/both", "latest", &[bytes(1, 1000)]);
    app.hub.image("library/both", "latest", &[bytes(1, 1000)]);
    let hubs = app.hub.image("library/one", "latest", &[bytes(2, 1000)]);
    let client = app.anonymous();
    assert_eq!(client.pull("both", "latest").await.digest, both.digest);
    assert_eq!(app.hub.requests(), 0, "the mirror comes first");
    assert!(mirror.seen().iter().all(|seen| seen.request.path.starts_with("/dockerhub/v2/library/both/")));
    assert_eq!(client.pull("one", "latest").await.digest, hubs.digest);
    let tags = client.get("/v2/one/tags/list").await.expect(200).json();
    assert_eq!(tags["tags"], serde_json::json!(["latest"]));
    client.get("/v2/none/manifests/latest").await.expect(404);
    mirror.on("/", Fault::Status(503));
    let failed = client.get("/v2/neither/manifests/latest").await.expect(502);
    assert!(failed.message().contains(&mirror.address().to_string()), "{}", failed.message());
}

#[tokio::test]
async fn a_dead_endpoint_costs_one_probe_in_each_back_off() {
    let dead = FaultUpstream::start().await;
    dead.on("/", Fault::Reset);
    let app = with_endpoints(&[dead.url().to_string()]).await;
    for number in 0..40 {
        app.hub.image(&format!("library/app{number}"), "latest", &[]);
    }
    let began = std::time::Instant::now();
    for number in 0..40 {
        app.anonymous().get(&format!("/v2/app{number}/manifests/latest")).await.expect(200);
    }
    // Of 0.3, 0.6, 1.2, … seconds; one more for the first failure.
    let back_offs = 3 + (began.elapsed().as_secs_f64() / 0.3).sqrt() as usize;
    assert!(dead.requests() <= back_offs, "{} requests in {:?}", dead.requests(), began.elapsed());
    dead.heal();
    let image = dead.image("library/back", "latest", &[]);
    let asked = async || app.anonymous().get(&format!("/v2/back/manifests/{}", image.digest)).await.status == 200;
    until("a probe finds it", asked).await;
}

#[tokio::test]
async fn while_the_only_endpoint_is_dead_what_is_cached_asks_it_nothing() {
    let app = App::with_hub(|hub| hub.tag_ttl = Duration::from_millis(1)).await;
    let images: Vec<_> = (0..30).map(|n| app.hub.image(&format!("library/app{n}"), "latest", &[bytes(n, 1000)])).collect();
    for number in 0..images.len() {
        app.anonymous().pull(&format!("app{number}"), "latest").await;
    }
    app.landed().await;
    app.hub.forget().on("/", Fault::Reset);
    let began = std::time::Instant::now();
    for _ in 0..3 {
        for (number, image) in images.iter().enumerate() {
            let name = format!("app{number}");
            let answer = app.anonymous().get(&format!("/v2/{name}/manifests/latest")).await.expect(200);
            assert_eq!(answer.body, image.manifest);
            assert!(answer.header("warning").starts_with("110"), "{name}");
            app.anonymous().blob(&name, &image.layers[0]).await;
        }
    }
    let back_offs = 3 + (began.elapsed().as_secs_f64() / 0.3).sqrt() as usize;
    assert!(app.hub.requests() <= back_offs, "{} requests in {:?}", app.hub.requests(), began.elapsed());
}
