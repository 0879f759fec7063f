//! What an upstream's answers mean: found, absent, denied, failed; and which endpoint is asked.

use std::time::Instant;

use super::fault_upstream::{Fault, FaultUpstream, Image};
use super::*;

async fn hub() -> (FaultUpstream, Image) {
    let hub = FaultUpstream::start().await;
    let image = hub.image("library/nginx", "latest", &["layer".into()]);
    (hub, image)
}

fn nginx() -> RepositoryName {
    name("library/nginx")
}

#[tokio::test]
async fn manifests_come_as_they_are() {
    let (hub, image) = hub().await;
    let upstream = upstream(&hub);
    for reference in [tag("latest"), by(&image.digest)] {
        let answer = upstream.manifest(&nginx(), &reference, budget()).await.unwrap();
        assert_eq!((answer.bytes, answer.digest), (image.manifest.clone(), image.digest));
        assert_eq!(answer.media_type, "application/vnd.oci.image.manifest.v1+json");
        let head = upstream.head_manifest(&nginx(), &reference, budget()).await.unwrap();
        assert_eq!((head.digest, head.size), (Some(image.digest), Some(image.manifest.len() as u64)));
    }
    let seen = hub.seen().pop().unwrap().request;
    assert!(seen.header("accept").unwrap().contains("application/vnd.docker.distribution.manifest.list.v2+json"));
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
    assert_eq!(seen.header("user-agent"), Some(concat!("entrepot/", env!("CARGO_PKG_VERSION"))));
    hub.on("/v2/", Fault::NoDigest);
    assert_eq!(upstream.manifest(&nginx(), &tag("latest"), budget()).await.unwrap().digest, image.digest);
    assert_eq!(upstream.head_manifest(&nginx(), &tag("latest"), budget()).await.unwrap().digest, None);
}

#[tokio::test]
async fn a_manifest_with_other_bytes_is_refused() {
    let (hub, image) = hub().await;
    for fault in [Fault::Flip, Fault::Truncate(1), Fault::Append(1), Fault::Swap, Fault::EmptyOk, Fault::HtmlPage, Fault::Coded] {
        hub.heal().on("/v2/", fault.clone());
        for reference in [tag("latest"), by(&image.digest)] {
            let cause = cause(upstream(&hub).manifest(&nginx(), &reference, budget()).await);
            assert!(matches!(cause, Cause::WrongBytes(_) | Cause::Malformed { .. }), "{fault:?} {cause:?}");
        }
    }
    hub.heal();
    let padding = format!(r#"{{"schemaVersion":2,"padding":"{}"}}"#, "x".repeat(4 << 20));
    hub.manifest("a/long", "latest", "application/vnd.oci.image.manifest.v1+json", padding);
    let long = upstream(&hub).manifest(&name("a/long"), &tag("latest"), budget()).await;
    assert!(matches!(cause(long), Cause::Malformed { what: "manifest", .. }));
}

#[tokio::test]
async fn an_outage_is_never_told_as_absence() {
    let outages = [
        ("/v2/", Fault::Status(500)),
        ("/v2/", Fault::Status(503)),
        ("/v2/", Fault::TooMany { retry_after: None }),
        ("/v2/", Fault::BareForbidden),
        ("/v2/", Fault::Reset),
        ("/v2/", Fault::NoAnswer),
        ("/v2/", Fault::HtmlPage),
        ("/v2/", Fault::EmptyOk),
        ("/v2/", Fault::CutAfter(3)),
        ("/token", Fault::Reset),
        ("/token", Fault::NoAnswer),
        ("/token", Fault::Status(500)),
        ("/token", Fault::BareForbidden),
        ("/token", Fault::HtmlPage),
        ("/token", Fault::EmptyOk),
    ];
    let asked = outages.into_iter().map(|(path, fault)| async move {
        let (hub, image) = hub().await;
        hub.behave(|b| b.tokens = true).on(path, fault.clone());
        let upstream = upstream(&hub);
        let manifest = cause(upstream.manifest(&nginx(), &tag("latest"), short_budget()).await);
        assert!(!manifest.to_string().is_empty(), "{fault:?}");
        assert!(!upstream.is_well(), "{fault:?}");
        if !matches!(fault, Fault::CutAfter(_)) {
            let blob = upstream.blob(&nginx(), &image.layers[0], 0, None, short_budget()).await.map(|answer| answer.start);
            cause(blob);
        }
        hub.heal();
        upstream.manifest(&nginx(), &tag("latest"), budget()).await.expect("it is used again once it is well");
        assert!(upstream.is_well(), "{fault:?}");
    });
    futures_util::future::join_all(asked).await;
}

#[tokio::test]
async fn absent_and_denied_are_told_apart() {
    let (hub, _) = hub().await;
    let missing = async |repository: &str, reference: &str| {
        let upstream = upstream(&hub);
        let head = upstream.head_manifest(&name(repository), &tag(reference), budget()).await.unwrap_err();
        let get = upstream.manifest(&name(repository), &tag(reference), budget()).await.unwrap_err();
        assert_eq!(std::mem::discriminant(&head), std::mem::discriminant(&get), "{head:?} {get:?}");
        get
    };
    assert!(matches!(missing("library/nginx", "none").await, Refusal::Absent { .. }));
    assert!(matches!(missing("a/none", "latest").await, Refusal::Absent { .. }));
    hub.behave(|b| (b.tokens, b.hub_401) = (true, true));
    assert!(matches!(missing("library/nginx", "none").await, Refusal::Absent { .. }));
    let denied = missing("a/none", "latest").await;
    assert_eq!(denied.to_string(), "it does not exist at hub.test or needs a log-in there");
    let absent = upstream(&hub).blob(&nginx(), &Digest::of(b"none"), 0, None, budget()).await.map(|answer| answer.start);
    assert!(matches!(absent, Err(Refusal::Absent { .. })));
}

#[tokio::test]
async fn every_endpoint_is_asked_before_anything_is_said_to_be_absent() {
    let ((one, _), (two, image)) = (hub().await, hub().await);
    one.behave(|b| b.private = vec!["library/nginx".into()]);
    let layer = two.blob("library/nginx", "only here");
    let ask = async |upstream: &Upstream, reference: Reference| upstream.manifest(&nginx(), &reference, budget()).await;
    for fault in [None, Some(Fault::Status(500)), Some(Fault::BareForbidden), Some(Fault::Reset), Some(Fault::NoAnswer)] {
        one.heal();
        fault.clone().map(|fault| one.on("/v2/", fault));
        let upstream = in_front_of(&[&one, &two]);
        assert_eq!(ask(&upstream, by(&image.digest)).await.unwrap().digest, image.digest, "{fault:?}");
        assert_eq!(upstream.head_blob(&nginx(), &layer, budget()).await.unwrap(), Some(9), "{fault:?}");
    }
    one.heal().behave(|b| b.private.clear());
    assert!(matches!(ask(&in_front_of(&[&one, &two]), tag("none")).await, Err(Refusal::Absent { .. })));
    one.behave(|b| (b.tokens, b.private) = (true, vec!["library/nginx".into()]));
    assert!(matches!(ask(&in_front_of(&[&one, &two]), tag("none")).await, Err(Refusal::Denied { .. })));
    one.on("/v2/", Fault::Status(503));
    assert!(matches!(cause(ask(&in_front_of(&[&one, &two]), tag("none")).await), Cause::Status { status: 503, .. }));
}

#[tokio::test]
async fn an_endpoint_that_failed_is_asked_last_until_a_probe_finds_it_well() {
    let ((one, _), (two, _)) = (hub().await, hub().await);
    let deadlines = Deadlines { connect: Duration::from_millis(800), ..deadlines() };
    let upstream = Upstream::new(in_front_of(&[&one, &two]).settings(), deadlines).unwrap();
    let ask = async || upstream.head_manifest(&nginx(), &tag("latest"), budget()).await.unwrap();
    ask().await;
    assert_eq!((one.requests(), two.requests()), (1, 0), "in the order of the settings");
    one.on("/v2/", Fault::Status(503));
    for _ in 0..3 {
        ask().await;
    }
    assert_eq!((one.requests(), two.requests()), (2, 3));
    one.heal();
    tokio::time::sleep(deadlines.connect + Duration::from_millis(50)).await;
    for _ in 0..2 {
        ask().await;
    }
    assert_eq!((one.requests(), two.requests()), (4, 3), "the probe brought it back");
}

#[tokio::test]
async fn a_silent_upstream_costs_no_more_than_the_short_budget() {
    let ((one, _), (two, _)) = (hub().await, hub().await);
    one.on("/v2/", Fault::NoAnswer);
    two.on("/v2/", Fault::NoAnswer);
    let began = Instant::now();
    let outcome = in_front_of(&[&one, &two]).manifest(&nginx(), &tag("latest"), short_budget()).await;
    assert!(matches!(cause(outcome), Cause::Timeout(_)));
    assert!(began.elapsed() >= deadlines().budget && began.elapsed() < 5 * deadlines().budget);
    assert_eq!((one.requests(), two.requests()), (1, 1), "the second was asked within the same budget");
}

#[tokio::test]
async fn nothing_is_asked_while_too_many_requests_holds() {
    let (hub, image) = hub().await;
    hub.on("/v2/library/nginx/manifests/", Fault::TooMany { retry_after: Some("60".into()) });
    let upstream = upstream(&hub);
    for _ in 0..3 {
        let cause = cause(upstream.manifest(&nginx(), &tag("latest"), budget()).await);
        let Cause::RateLimited { retry_after: Some(left) } = cause else { panic!("{cause:?}") };
        assert!(left <= Duration::from_secs(60) && left > Duration::from_secs(30));
    }
    assert_eq!(hub.requests(), 1);
    upstream.blob(&nginx(), &image.layers[0], 0, None, budget()).await.expect("blobs are not counted by those who count pulls");
}

#[tokio::test]
async fn too_many_requests_for_no_stated_time_is_asked_again() {
    let (hub, _) = hub().await;
    hub.on_nth("/v2/", 1, Fault::TooMany { retry_after: None });
    let upstream = upstream(&hub);
    let first = upstream.manifest(&nginx(), &tag("latest"), budget()).await;
    assert!(matches!(cause(first), Cause::RateLimited { retry_after: None }));
    upstream.manifest(&nginx(), &tag("latest"), budget()).await.unwrap();
}

#[tokio::test]
async fn an_upstream_that_is_not_there_cannot_be_reached() {
    let (hub, _) = hub().await;
    let settings = hub.upstream_settings(REGISTRY);
    drop(hub);
    tokio::task::yield_now().await;
    let outcome = with_settings(settings).manifest(&nginx(), &tag("latest"), budget()).await;
    assert!(matches!(cause(outcome), Cause::Unreachable(_) | Cause::Broken(_)));
}

#[tokio::test]
async fn an_upstream_that_speaks_no_tls_is_no_https_upstream() {
    let (hub, _) = hub().await;
    let mut settings = hub.upstream_settings(REGISTRY);
    for insecure in [false, true] {
        settings.insecure = insecure;
        settings.endpoints[0].url.set_scheme("https").unwrap();
        let upstream = Upstream::new(&settings, Deadlines::default()).unwrap();
        let outcome = upstream.manifest(&nginx(), &tag("latest"), budget()).await;
        let cause = cause(outcome);
        assert!(matches!(cause, Cause::Unreachable(_)), "{cause:?}");
    }
    assert_eq!(hub.requests(), 0, "it was not asked in the clear instead");
}

#[tokio::test]
async fn few_questions_run_at_once_and_blobs_wait_for_none_of_them() {
    let (hub, image) = hub().await;
    hub.on("/v2/library/nginx/manifests/", Fault::Latency { ms: 300 });
    let upstream = upstream(&hub);
    let (name, reference, budget) = (nginx(), tag("latest"), budget());
    let began = Instant::now();
    let questions = futures_util::future::join_all((0..12).map(|_| upstream.head_manifest(&name, &reference, budget)));
    let blob = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        upstream.blob(&name, &image.layers[0], 0, None, budget).await.unwrap();
        hub.requests()
    };
    let (outcomes, requests_then) = tokio::join!(questions, blob);
    assert!(outcomes.iter().all(Result::is_ok));
    assert!(began.elapsed() >= Duration::from_millis(900), "three rounds of four");
    assert!(requests_then <= 5, "the blob came in the first round");
}

#[tokio::test]
async fn redirects_that_loop_or_lead_to_metadata_are_refused() {
    let (hub, _) = hub().await;
    for (target, requests) in [("/v2/library/nginx/manifests/latest", 6), ("http://169.254.169.254/latest/meta-data/", 1), ("ftp://a/", 1)]
    {
        hub.heal().forget().on("/v2/", Fault::RedirectTo(target.into()));
        cause(upstream(&hub).manifest(&nginx(), &tag("latest"), budget()).await);
        assert_eq!(hub.requests(), requests, "{target}");
    }
}

#[tokio::test]
async fn impossible_settings_are_refused_before_anything_is_asked() {
    let (hub, _) = hub().await;
    let refused = |change: fn(&mut config::Upstream)| {
        let mut settings = hub.upstream_settings(REGISTRY);
        change(&mut settings);
        Upstream::new(&settings, deadlines()).err().expect("it is refused")
    };
    assert!(refused(|s| s.insecure = false).contains("insecure = true"));
    assert!(refused(|s| s.endpoints.clear()).contains("endpoint"));
    assert!(refused(|s| s.ca_file = Some("/nonexistent".into())).contains("ca_file"));
}
