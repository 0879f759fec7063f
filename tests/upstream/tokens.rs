//! Tokens and passwords: how often they are asked for, and who gets to see them.

use std::sync::Arc;

use futures_util::future::join_all;

use super::fault_upstream::{Fault, FaultUpstream};
use super::*;

async fn hub() -> FaultUpstream {
    let hub = FaultUpstream::start().await;
    hub.behave(|b| b.tokens = true);
    for repository in ["a/one", "a/two"] {
        hub.image(repository, "latest", &["layer".into()]);
    }
    hub
}

async fn head(upstream: &Upstream, repository: &str) -> Result<(), Refusal> {
    upstream.head_manifest(&name(repository), &tag("latest"), budget()).await.map(|_| ())
}

#[tokio::test]
async fn a_token_is_asked_for_once_per_repository() {
    let hub = hub().await;
    let upstream = upstream(&hub);
    for _ in 0..3 {
        head(&upstream, "a/one").await.unwrap();
        upstream.manifest(&name("a/one"), &tag("latest"), budget()).await.unwrap();
    }
    assert_eq!((hub.count("GET", "/token"), hub.requests()), (1, 8));
    head(&upstream, "a/two").await.unwrap();
    assert_eq!(hub.count("GET", "/token"), 2);
    let query = &hub.seen().into_iter().find(|seen| seen.request.path == "/token").unwrap().request.query;
    assert_eq!(query, "service=fault&scope=repository%3Aa%2Fone%3Apull");
}

#[tokio::test]
async fn fifty_questions_at_once_cause_one_negotiation() {
    let hub = hub().await;
    hub.on("/token", Fault::Latency { ms: 50 });
    let upstream = Arc::new(upstream(&hub));
    let asked = (0..50).map(|_| {
        tokio::spawn({
            let upstream = upstream.clone();
            async move { head(&upstream, "a/one").await }
        })
    });
    for outcome in join_all(asked).await {
        outcome.unwrap().unwrap();
    }
    assert_eq!(hub.count("GET", "/token"), 1);
}

#[tokio::test]
async fn those_who_waited_for_a_negotiation_share_its_failure() {
    let hub = hub().await;
    hub.on("/token", Fault::Status(503)).on("/token", Fault::Latency { ms: 50 });
    let upstream = upstream(&hub);
    for outcome in join_all((0..50).map(|_| head(&upstream, "a/one"))).await {
        assert!(matches!(cause(outcome), Cause::Token { .. }));
    }
    assert_eq!(hub.count("GET", "/token"), 1);
    hub.heal();
    head(&upstream, "a/one").await.unwrap();
}

#[tokio::test]
async fn a_token_that_ended_early_is_replaced_by_one_new_one() {
    let hub = hub().await;
    let upstream = upstream(&hub);
    head(&upstream, "a/one").await.unwrap();
    hub.revoke_tokens();
    let outcomes = join_all((0..10).map(|_| head(&upstream, "a/one"))).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(hub.count("GET", "/token"), 2);
}

#[tokio::test]
async fn a_token_past_its_time_is_not_shown() {
    let hub = hub().await;
    hub.behave(|b| b.token_says = Some(0));
    let upstream = upstream(&hub);
    for _ in 0..2 {
        head(&upstream, "a/one").await.unwrap();
    }
    let shown = |n: &Seen| n.request.method == "HEAD" && n.request.header("authorization").is_some();
    assert_eq!(hub.seen().iter().filter(|seen| shown(seen)).count(), 2);
    assert_eq!(hub.count("GET", "/token"), 2);
}

#[tokio::test]
async fn a_token_that_is_never_good_ends_the_question() {
    let hub = hub().await;
    hub.behave(|b| b.token_life_ms = 0);
    let upstream = upstream(&hub);
    for tokens in 1..=2 {
        let outcome = head(&upstream, "a/one").await;
        assert!(matches!(outcome, Err(Refusal::Denied { .. })), "{outcome:?}");
        assert_eq!(hub.count("GET", "/token"), tokens);
    }
}

#[tokio::test]
async fn challenges_and_tokens_may_look_unusual() {
    let hub = hub().await;
    hub.behave(|b| (b.unquoted, b.access_token, b.token_says) = (true, true, None));
    head(&upstream(&hub), "a/one").await.unwrap();
}

#[tokio::test]
async fn passwords_open_what_they_should_and_anonymous_is_told_apart() {
    let hub = hub().await;
    hub.behave(|b| {
        b.account = Some(("ann".into(), "secret".into()));
        b.private = vec!["a/two".into()];
    });
    let upstream = with_settings(with_account(&hub, "ann", "secret"));
    head(&upstream, "a/two").await.unwrap();
    hub.forget();
    assert!(upstream.anonymous_may_read(&name("a/one"), &tag("latest"), budget()).await.unwrap());
    assert!(!upstream.anonymous_may_read(&name("a/two"), &tag("latest"), budget()).await.unwrap());
    let missing = upstream.anonymous_may_read(&name("a/none"), &tag("latest"), budget()).await;
    assert!(matches!(missing, Err(Refusal::Absent { .. })), "what is missing tells nothing of the repository");
    let basic = |seen: &Seen| seen.request.header("authorization").is_some_and(|text| text.starts_with("Basic"));
    assert!(!hub.seen().iter().any(basic), "no credentials where anonymous is asked about");
    hub.on("/v2/", Fault::Status(500));
    assert!(upstream.anonymous_may_read(&name("a/one"), &tag("latest"), budget()).await.is_err());
}

#[tokio::test]
async fn refused_credentials_are_a_failure_and_never_an_anonymous_pull() {
    let hub = hub().await;
    hub.behave(|b| b.account = Some(("ann".into(), "secret".into())));
    let upstream = with_settings(with_account(&hub, "ann", "wrong"));
    assert!(matches!(cause(head(&upstream, "a/one").await), Cause::Credentials));
    let tokens = hub.seen().into_iter().filter(|seen| seen.request.path == "/token");
    assert!(tokens.map(|seen| seen.request).all(|request| request.header("authorization").is_some()));
}

#[tokio::test]
async fn a_token_service_that_grants_nobody_anything_denies() {
    let hub = hub().await;
    hub.behave(|b| b.no_anonymous_tokens = true);
    assert!(matches!(head(&upstream(&hub), "a/one").await, Err(Refusal::Denied { .. })));
}

#[tokio::test]
async fn basic_is_answered_with_the_password_where_there_is_one() {
    let hub = hub().await;
    hub.behave(|b| (b.tokens, b.basic, b.account) = (false, true, Some(("ann".into(), "secret".into()))));
    let good = with_settings(with_account(&hub, "ann", "secret"));
    head(&good, "a/one").await.unwrap();
    hub.forget();
    head(&good, "a/one").await.unwrap();
    assert_eq!(hub.requests(), 1, "it is remembered that a password is wanted");
    assert!(matches!(cause(head(&with_settings(with_account(&hub, "ann", "wrong")), "a/one").await), Cause::Credentials));
    assert!(matches!(cause(head(&upstream(&hub), "a/one").await), Cause::Status { status: 401, .. }));
    assert!(!good.anonymous_may_read(&name("a/one"), &tag("latest"), budget()).await.unwrap());
}

#[tokio::test]
async fn no_endpoint_sees_the_credentials_of_another() {
    let (one, two) = (hub().await, hub().await);
    one.behave(|b| b.account = Some(("ann".into(), "first".into())));
    two.behave(|b| b.account = Some(("bob".into(), "second".into())));
    let mut settings = with_account(&one, "ann", "first");
    settings.endpoints.push(Endpoint { url: two.url(), credentials: Some(credentials("bob", "second")) });
    let upstream = with_settings(settings);
    head(&upstream, "a/one").await.unwrap();
    one.on("/v2/", Fault::Status(500));
    head(&upstream, "a/one").await.unwrap();
    let shown = |hub: &FaultUpstream| {
        let seen = hub.seen().into_iter().filter_map(|seen| seen.request.header("authorization").map(str::to_owned));
        seen.filter(|text| text.starts_with("Basic")).collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(shown(&one), ["Basic YW5uOmZpcnN0"]);
    assert_eq!(shown(&two), ["Basic Ym9iOnNlY29uZA=="]);
}

#[tokio::test]
async fn ghsa_78h6_credentials_go_to_no_foreign_token_service_unless_it_is_trusted() {
    let hub = hub().await;
    let realm = format!("http://{}/token", hub.cdn());
    hub.behave(|b| (b.realm, b.account) = (Some(realm.clone()), Some(("ann".into(), "secret".into()))));
    let mut settings = with_account(&hub, "ann", "secret");
    match cause(head(&with_settings(settings.clone()), "a/one").await) {
        refused @ Cause::Realm(_) => {
            let text = refused.to_string();
            assert!(text.contains(&realm) && text.contains("trusted_realms"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    assert!(!hub.seen().iter().any(|seen| seen.cdn), "it was not even asked anonymously");
    settings.trusted_realms = vec!["127.0.0.2".to_owned()];
    head(&with_settings(settings), "a/one").await.unwrap();
    head(&upstream(&hub), "a/one").await.expect("without credentials the token service may be anywhere");
}

#[tokio::test]
async fn cve_2026_48978_a_token_service_that_redirects_elsewhere_sees_no_credentials() {
    let hub = hub().await;
    hub.behave(|b| b.account = Some(("ann".into(), "secret".into())));
    hub.on_nth("/token", 1, Fault::RedirectTo(format!("http://{}/token?scope=repository:a/one:pull", hub.cdn())));
    let outcome = head(&with_settings(with_account(&hub, "ann", "secret")), "a/one").await;
    assert!(matches!(cause(outcome), Cause::Token { .. }), "and what it grants anonymously is not taken for more");
    let elsewhere: Vec<Seen> = hub.seen().into_iter().filter(|seen| seen.cdn).collect();
    assert!(elsewhere.len() == 1 && elsewhere[0].request.header("authorization").is_none());
}

#[tokio::test]
async fn cve_2026_48978_authorization_stays_with_scheme_host_and_port() {
    let authority = super::secured::Authority::new();
    for password in [false, true] {
        let (one, two) = (hub().await, hub().await);
        let front = super::secured::Front::before(two.address(), &authority, super::secured::Shows::Good).await;
        one.behave(|b| (b.tokens, b.basic, b.account) = (!password, password, Some(("ann".into(), "secret".into()))));
        two.behave(|b| b.tokens = false);
        let upstream = with_settings(with_account(&one, "ann", "secret"));
        head(&upstream, "a/one").await.unwrap();
        let digest = two.image("a/one", "latest", &["layer".into()]).layers[0];
        let bases = [format!("http://{}", two.address()), format!("http://{}", one.cdn()), front.origin()];
        for base in bases {
            for (what, method) in [("manifests/latest", "GET"), ("manifests/latest", "HEAD"), ("blobs", "GET")] {
                one.heal().forget().on("/v2/a/one/", Fault::RedirectTo(format!("{base}/v2/a/one/manifests/latest")));
                two.forget();
                let _ = match (what, method) {
                    ("blobs", _) => upstream.blob(&name("a/one"), &digest, 0, None, budget()).await.map(|_| ()),
                    (_, "HEAD") => head(&upstream, "a/one").await,
                    _ => upstream.manifest(&name("a/one"), &tag("latest"), budget()).await.map(|_| ()),
                };
                let elsewhere: Vec<_> = two.seen().into_iter().chain(one.seen().into_iter().filter(|seen| seen.cdn)).collect();
                assert!(!elsewhere.is_empty(), "{base} was asked");
                for seen in elsewhere {
                    let secret = ["authorization", "cookie", "proxy-authorization"].map(|header| seen.request.header(header).is_some());
                    assert_eq!(secret, [false; 3], "{base}: {seen:?}");
                }
            }
        }
        one.heal().forget().on_nth("/v2/a/one/", 1, Fault::RedirectTo(format!("http://{}/v2/a/one/manifests/latest", one.address())));
        head(&upstream, "a/one").await.expect("its own address may see them");
    }
}
