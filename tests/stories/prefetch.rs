//! Prefetch: what is fetched ahead is there without a network, and one that fails is named while the others go on.

use std::collections::BTreeMap;

use crate::app::*;
use entrepot::upkeep::{Event, Order, Reply, Request, carry_out, control};
use tokio::sync::mpsc;

fn order(images: &[&str], platforms: &[&str]) -> Order {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Order { images: texts(images), platforms: texts(platforms), jobs: 4 }
}

/// The last word on each image.
async fn outcome(mut replies: mpsc::Receiver<Reply>) -> BTreeMap<String, Result<u64, String>> {
    let mut outcome = BTreeMap::new();
    loop {
        let event = match replies.recv().await.expect("an answer has an end") {
            Reply::Event(event) => serde_json::from_value(event).unwrap(),
            Reply::Done => return outcome,
            Reply::Failed(why) => panic!("{why}"),
        };
        match event {
            Event::Progress { image, here, total } => assert!(here <= total && !outcome.contains_key(&image), "{image}: {here} of {total}"),
            Event::Done { image, total } => drop(outcome.insert(image, Ok(total))),
            Event::Failed { image, why } => drop(outcome.insert(image, Err(why))),
        }
    }
}

async fn within(app: &App, order: Order) -> BTreeMap<String, Result<u64, String>> {
    outcome(carry_out(app.registry().clone(), Request::Prefetch(order))).await
}

#[tokio::test]
async fn what_was_prefetched_is_there_offline() {
    let quay = FaultUpstream::start().await;
    let mut app = App::with(|settings| settings.upstreams.push(quay.upstream_settings("quay.io"))).await;
    let nginx = app.hub.image("library/nginx", "1.25", &[bytes(1, 100_000), bytes(2, 10)]);
    let theirs = quay.image("org/image", "v1", &[bytes(3, 100)]);
    let outcome = within(&app, order(&["nginx:1.25", "quay.io/org/image:v1"], &["linux/amd64"])).await;
    assert!(*outcome["nginx:1.25"].as_ref().unwrap() > 100_010);
    assert!(outcome["quay.io/org/image:v1"].is_ok());
    app.restart_with(|settings| settings.cache.offline = true).await;
    app.hub.forget();
    quay.forget();
    assert_eq!(app.anonymous().pull("nginx", "1.25").await.digest, nginx.digest);
    assert_eq!(app.anonymous().through("docker.io").pull("library/nginx", "1.25").await.digest, nginx.digest);
    assert_eq!(app.anonymous().pull("quay.io/org/image", "v1").await.digest, theirs.digest);
    assert_eq!(app.anonymous().through("quay.io").pull("org/image", "v1").await.digest, theirs.digest);
    // Again, without a network: all is here.
    let outcome = within(&app, order(&["nginx:1.25"], &["linux/amd64"])).await;
    assert!(outcome["nginx:1.25"].is_ok(), "{outcome:?}");
    assert_eq!(app.hub.requests() + quay.requests(), 0);
}

#[tokio::test]
async fn only_the_wanted_platforms_are_fetched() {
    let app = App::start().await;
    let children = [("linux/amd64", 1), ("linux/arm64", 2)].map(|(platform, seed)| {
        let image = app.hub.image("library/nginx", &platform.replace('/', "-"), &[bytes(seed, 1000), bytes(seed + 10, 500)]);
        (platform, image)
    });
    let entries: Vec<_> = children.iter().map(|(platform, image)| (*platform, &image.manifest)).collect();
    app.hub.manifest("library/nginx", "latest", INDEX, index_of(&entries));
    let [(_, amd64), (_, arm64)] = &children;

    let outcome = within(&app, order(&["nginx"], &["linux/amd64"])).await;
    assert!(outcome["nginx"].is_ok(), "{outcome:?}");
    assert_eq!((app.fetches(&amd64.layers[1]), app.fetches(&arm64.layers[1])), (1, 0));
    let outcome = within(&app, order(&["nginx"], &["linux/riscv64"])).await;
    let why = outcome["nginx"].as_ref().unwrap_err();
    assert!(why.contains("linux/amd64, linux/arm64"), "{why}");
    let outcome = within(&app, order(&["nginx"], &["all"])).await;
    assert!(outcome["nginx"].is_ok(), "{outcome:?}");
    assert_eq!((app.fetches(&amd64.layers[1]), app.fetches(&arm64.layers[1])), (1, 1));
    app.hub.on("/", Fault::Reset);
    app.anonymous().pull("nginx", "latest").await;
}

#[tokio::test]
async fn one_that_fails_is_named_and_the_others_go_on() {
    let app = App::start().await;
    for name in ["library/a", "library/b", "library/broken"] {
        app.hub.image(name, "latest", &[bytes(name.len() as u64, 1000)]);
    }
    app.hub.on("/v2/library/broken/", Fault::Status(500));
    let outcome = within(&app, order(&["a", "none", "Not A Name", "broken", "library/b:latest"], &["all"])).await;
    assert!(outcome["a"].is_ok() && outcome["library/b:latest"].is_ok(), "{outcome:?}");
    assert!(outcome["none"].as_ref().unwrap_err().contains("docker.io"), "{outcome:?}");
    assert!(outcome["broken"].as_ref().unwrap_err().contains("docker.io"), "{outcome:?}");
    assert!(outcome["Not A Name"].as_ref().unwrap_err().contains("no image name"), "{outcome:?}");
}

#[tokio::test]
async fn prefetch_leaves_to_clients_what_an_upstream_grants_last() {
    let app = App::start().await;
    app.hub.behave(|b| b.limit = Some(Limit { pulls: 10, window: 3600, blobs: false }));
    let names: Vec<_> = (0..10).map(|number| format!("image-{number}")).collect();
    for (seed, name) in names.iter().enumerate() {
        app.hub.image(&format!("library/{name}"), "latest", &[bytes(seed as u64, 1000)]);
    }
    let wanted = Order { jobs: 1, ..order(&names.iter().map(String::as_str).collect::<Vec<_>>(), &["all"]) };
    let first = within(&app, wanted.clone()).await;
    assert_eq!(first.values().filter(|outcome| outcome.is_ok()).count(), 7, "{first:?}");
    let why = first["image-9"].as_ref().unwrap_err();
    assert!(why.contains("docker.io") && why.contains("3 of 10 pulls left") && why.contains("new ones in 60 min"), "{why}");
    for name in &names {
        app.anonymous().pull(name, "latest").await;
    }
    assert_eq!(app.hub.pulls(), (10, 0));
    app.landed().await;
    let again = within(&app, wanted).await;
    assert!(again.values().all(Result::is_ok), "what is here needs no pull: {again:?}");
}

#[tokio::test]
async fn a_command_reaches_the_running_server_by_the_control_socket() {
    use std::os::unix::fs::PermissionsExt;
    let mut app = App::start().await;
    let image = app.hub.image("library/nginx", "latest", &[bytes(1, 100_000)]);
    let request = Request::Prefetch(order(&["nginx", "none"], &["all"]));
    let events = control::ask(&app.data(), &request).await.unwrap().expect("a server is running");
    let outcome = outcome(events).await;
    assert!(outcome["nginx"].is_ok() && outcome["none"].is_err(), "{outcome:?}");
    let mode = std::fs::metadata(control::path(&app.data())).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    app.hub.on("/", Fault::Reset);
    assert_eq!(app.anonymous().pull("nginx", "latest").await.digest, image.digest);
    app.stop().await;
    assert!(control::ask(&app.data(), &request).await.unwrap().is_none(), "no server, no answer");
}

#[tokio::test]
async fn a_prefetch_whose_listener_left_is_finished() {
    let app = App::start().await;
    let image = app.hub.image("library/nginx", "latest", &[bytes(1, 100_000)]);
    app.hub.rule(Rule::new("/cdn/", Fault::Latency { ms: 50 }));
    let request = Request::Prefetch(order(&["nginx"], &["all"]));
    drop(control::ask(&app.data(), &request).await.unwrap().expect("the server that has started can be asked"));
    until("the layer is fetched", async || app.fetches(&image.layers[0]) > 0).await;
    app.landed().await;
    app.hub.heal().on("/", Fault::Reset);
    assert_eq!(app.anonymous().pull("nginx", "latest").await.digest, image.digest);
}

#[tokio::test]
async fn a_command_that_the_server_does_not_know_is_told_so() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let app = App::start().await;
    let mut socket = tokio::net::UnixStream::connect(control::path(&app.data())).await.unwrap();
    socket.write_all(b"\"dance\"\n").await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let Ok(Reply::Failed(why)) = serde_json::from_str(&answer) else { panic!("{answer}") };
    assert!(why.contains("does not know this command"), "{why}");
}
