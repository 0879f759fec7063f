//! Log-ins that somebody else keeps: Docker's file, its helpers, and programs for short-lived ones.

use std::path::PathBuf;

use entrepot::config::{Keeper, Login, Patterns};
use futures_util::future::join_all;

use super::fault_upstream::{Fault, FaultUpstream};
use super::*;

/// A registry that wants `ann` and what is in the file `password`, and a folder with programs that know it.
struct Desk {
    hub: FaultUpstream,
    folder: tempfile::TempDir,
}

impl Desk {
    async fn new() -> Desk {
        let hub = FaultUpstream::start().await;
        hub.behave(|b| (b.tokens, b.private) = (true, vec!["a/one".into(), "a/two".into(), "b/one".into()]));
        for repository in ["a/one", "a/two", "b/one"] {
            hub.image(repository, "latest", &["layer".into()]);
        }
        let desk = Desk { hub, folder: tempfile::tempdir().unwrap() };
        desk.rotate("first");
        desk
    }

    /// From now on this is the password, at the registry and for those who know it.
    fn rotate(&self, password: &str) {
        self.hub.behave(|b| b.account = Some(("ann".into(), password.into())));
        std::fs::write(self.path("password"), password).unwrap();
        self.hub.revoke_tokens();
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// A program that notes each run and what it was given, then does as `script` says.
    fn program(&self, file: &str, script: &str) -> Vec<String> {
        let path = self.path(file);
        let folder = self.folder.path().display();
        std::fs::write(&path, format!("#!/bin/sh\ncd {folder}\nread server || true\necho \"$1 $server\" >> runs\n{script}\n")).unwrap();
        // By the shell, for a file that was just written may be open in the child of another thread.
        vec!["/bin/sh".to_owned(), path.display().to_string(), "get".to_owned()]
    }

    /// One that prints the log-in, with these fields more.
    fn printer(&self, more: &str) -> Vec<String> {
        self.program("printer", &format!(r#"printf '{{"Username":"ann","Secret":"%s"{more}}}' "$(cat password)""#))
    }

    /// What the programs were given, run by run.
    fn runs(&self) -> Vec<String> {
        std::fs::read_to_string(self.path("runs")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn with(&self, keepers: Vec<(&str, Keeper)>) -> Upstream {
        let login = |(pattern, keeper)| Login { repositories: Patterns::new(&[pattern]).unwrap(), keeper };
        let credentials = Credentials::of(keepers.into_iter().map(login).collect());
        let endpoints = vec![Endpoint { url: self.hub.url(), credentials: Some(credentials) }];
        with_settings(config::Upstream { endpoints, ..self.hub.upstream_settings(REGISTRY) })
    }

    fn docker_config(&self, text: &str) -> Upstream {
        let path = self.path("config.json");
        std::fs::write(&path, text).unwrap();
        self.with(vec![("**", Keeper::DockerConfig(path))])
    }
}

async fn head(upstream: &Upstream, repository: &str) -> Result<(), Refusal> {
    upstream.head_manifest(&name(repository), &tag("latest"), budget()).await.map(|_| ())
}

#[tokio::test]
async fn a_program_is_run_once_and_given_the_registrys_host() {
    let desk = Desk::new().await;
    let upstream = desk.with(vec![("**", Keeper::Command(desk.printer("")))]);
    let asked = join_all((0..20).flat_map(|_| ["a/one", "a/two"]).map(|repository| head(&upstream, repository))).await;
    assert!(asked.iter().all(Result::is_ok), "{asked:?}");
    desk.hub.revoke_tokens();
    head(&upstream, "b/one").await.unwrap();
    assert_eq!(desk.runs(), [format!("get {}", desk.hub.address())]);
}

#[tokio::test]
async fn a_log_in_that_was_refused_is_asked_for_again_once_whether_a_token_service_or_the_registry_refused_it() {
    for basic in [false, true] {
        let desk = Desk::new().await;
        desk.hub.behave(|b| (b.tokens, b.basic) = (!basic, basic));
        let upstream = desk.with(vec![("**", Keeper::Command(desk.printer("")))]);
        head(&upstream, "a/one").await.unwrap();
        desk.rotate("second");
        let asked = join_all((0..10).map(|_| head(&upstream, "a/one"))).await;
        assert!(asked.iter().all(Result::is_ok), "{asked:?}");
        assert_eq!(desk.runs().len(), 2, "basic: {basic}");
    }
}

#[tokio::test]
async fn a_program_whose_log_in_is_never_right_is_not_run_for_each_request() {
    for basic in [false, true] {
        let desk = Desk::new().await;
        desk.hub.behave(|b| (b.tokens, b.basic, b.account) = (!basic, basic, Some(("ann".into(), "another".into()))));
        let upstream = desk.with(vec![("**", Keeper::Command(desk.printer("")))]);
        for _ in 0..5 {
            assert!(matches!(cause(head(&upstream, "a/one").await), Cause::Credentials));
        }
        assert_eq!(desk.runs().len(), 2, "basic: {basic}");
    }
}

#[tokio::test]
async fn a_log_in_that_ends_is_asked_for_again_before_it_is_refused() {
    let desk = Desk::new().await;
    desk.hub.behave(|b| (b.tokens, b.basic) = (false, true));
    let upstream = desk.with(vec![("**", Keeper::Command(desk.printer(r#","ExpiresIn":0"#)))]);
    head(&upstream, "a/one").await.unwrap();
    desk.rotate("second");
    desk.hub.forget();
    head(&upstream, "a/one").await.unwrap();
    assert_eq!(desk.runs().len(), 2);
    let shown: Vec<_> = desk.hub.seen().into_iter().filter_map(|seen| seen.request.header("authorization").map(str::to_owned)).collect();
    assert_eq!(shown, ["Basic YW5uOnNlY29uZA=="], "the old one is not shown again");
}

#[tokio::test]
async fn what_goes_wrong_with_a_program_is_told_without_what_it_printed_and_it_rests() {
    for (script, why) in [
        ("echo hunter2; echo hunter2 >&2; exit 3", "failed for"),
        ("echo hunter2", "printed something else"),
        (r#"echo '{"Username":"hunter2"}'"#, "printed something else"),
        (r#"echo '{"Username":"","Secret":"hunter2"}'"#, "printed something else"),
        (r#"echo '{"Username":["hunter2"],"Secret":"x"}'"#, "printed something else"),
    ] {
        let desk = Desk::new().await;
        let upstream = desk.with(vec![("**", Keeper::Command(desk.program("broken", script)))]);
        for _ in 0..3 {
            let refused = cause(head(&upstream, "a/one").await);
            assert!(matches!(refused, Cause::Login(_)), "{refused}");
            let text = refused.to_string();
            assert!(text.contains(why) && text.contains("/bin/sh") && !text.contains("hunter2"), "{text}");
        }
        assert_eq!(desk.runs().len(), 1, "{script}");
        assert_eq!(desk.hub.count("GET", "/token"), 0, "never an anonymous pull instead");
    }
    let desk = Desk::new().await;
    let upstream = desk.with(vec![("**", Keeper::Command(vec!["/nowhere/helper".into(), "hunter2".into()]))]);
    let text = cause(head(&upstream, "a/one").await).to_string();
    assert!(text.contains("/nowhere/helper cannot be started") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_program_that_does_not_end_is_ended_with_all_that_it_started() {
    let desk = Desk::new().await;
    let script = "sleep 1000 &\necho $! > child\nwait";
    let upstream = desk.with(vec![("**", Keeper::Command(desk.program("endless", script)))]);
    let text = cause(head(&upstream, "a/one").await).to_string();
    assert!(text.contains("did not end within 3s"), "{text}");
    let child = std::fs::read_to_string(desk.path("child")).unwrap();
    // Who adopted it may not have buried it yet.
    let ended = || std::fs::read_to_string(format!("/proc/{}/stat", child.trim())).map_or(true, |stat| stat.contains(") Z"));
    for _ in 0..1000 {
        if ended() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("what it started still runs");
}

#[tokio::test]
async fn a_program_goes_on_for_the_next_when_whoever_asked_first_has_left() {
    let desk = Desk::new().await;
    let script = format!("while [ ! -e go ]; do sleep 0.01; done\nsh {} get", desk.path("printer").display());
    desk.printer("");
    let upstream = desk.with(vec![("**", Keeper::Command(desk.program("slow", &script)))]);
    let first = upstream.head_manifest(&name("a/one"), &tag("latest"), Budget::lasting(Duration::from_millis(200))).await;
    assert!(matches!(cause(first), Cause::Timeout(_)));
    std::fs::write(desk.path("go"), "").unwrap();
    head(&upstream, "a/one").await.unwrap();
    assert_eq!(desk.runs().iter().filter(|run| run.contains(&desk.hub.address().to_string())).count(), 1);
}

#[tokio::test]
async fn each_repository_gets_the_log_in_that_is_for_it_and_no_other() {
    let desk = Desk::new().await;
    let password = |password: &str| Keeper::Password { username: "ann".into(), password: config::Secret::new(password) };
    let upstream = desk.with(vec![("a/one", password("first")), ("a/*", password("wrong"))]);
    head(&upstream, "a/one").await.unwrap();
    assert!(matches!(cause(head(&upstream, "a/two").await), Cause::Credentials));
    desk.hub.forget();
    assert!(head(&upstream, "b/one").await.is_err());
    let basic = |seen: &Seen| seen.request.header("authorization").is_some_and(|text| text.starts_with("Basic"));
    assert!(!desk.hub.seen().iter().any(basic), "where none is for it, none is shown");
}

#[tokio::test]
async fn dockers_file_is_read_when_a_log_in_is_wanted_so_that_a_new_one_holds_at_once() {
    let desk = Desk::new().await;
    let entry = |pair: &str| {
        let (user, password) = pair.split_once(':').unwrap();
        format!(r#"{{"auths": {{"{}": {{"username": "{user}", "password": "{password}"}}}}}}"#, desk.hub.address())
    };
    let upstream = desk.docker_config(&entry("ann:wrong"));
    assert!(matches!(cause(head(&upstream, "a/one").await), Cause::Credentials));
    std::fs::write(desk.path("config.json"), entry("ann:first")).unwrap();
    head(&upstream, "a/one").await.unwrap();
    std::fs::write(desk.path("config.json"), "hunter2").unwrap();
    let text = cause(head(&upstream, "a/two").await).to_string();
    assert!(text.contains("config.json: it is no config.json of Docker's") && !text.contains("hunter2"), "{text}");
    std::fs::write(desk.path("config.json"), "{}").unwrap();
    assert!(matches!(head(&upstream, "b/one").await, Err(Refusal::Denied { .. })), "without an entry the pull is anonymous");
}

#[tokio::test]
async fn an_identity_token_is_exchanged_at_the_token_service_alone() {
    let desk = Desk::new().await;
    desk.hub.behave(|b| (b.account, b.identity_token) = (None, Some("refresh me".into())));
    let file = |token: &str| format!(r#"{{"auths": {{"{}": {{"auth": "eDp5", "identitytoken": "{token}"}}}}}}"#, desk.hub.address());
    let upstream = desk.docker_config(&file("refresh me"));
    head(&upstream, "a/one").await.unwrap();
    let posts: Vec<_> = desk.hub.seen().into_iter().filter(|seen| seen.request.method == "POST").collect();
    let [post] = &posts[..] else { panic!("{posts:?}") };
    assert_eq!((post.request.path.as_str(), post.request.query.as_str()), ("/token", ""));
    let body = String::from_utf8(post.request.body.clone()).unwrap();
    let form = "grant_type=refresh_token&client_id=entrepot&refresh_token=refresh+me&service=fault&scope=repository%3Aa%2Fone%3Apull";
    assert_eq!(body, form);
    let elsewhere = desk.hub.seen().into_iter().filter(|seen| seen.request.method != "POST");
    assert!(!elsewhere.map(|seen| format!("{seen:?}")).any(|seen| seen.contains("refresh")));

    let upstream = desk.docker_config(&file("another"));
    assert!(matches!(cause(head(&upstream, "a/one").await), Cause::Credentials));
    desk.hub.forget();
    desk.hub.on("/token", Fault::RedirectTo(format!("http://{}/token", desk.hub.cdn())));
    assert!(matches!(cause(head(&upstream, "a/one").await), Cause::Token { .. }));
    assert!(!desk.hub.seen().iter().any(|seen| seen.cdn), "a redirect does not get it");
    desk.hub.heal().behave(|b| (b.tokens, b.basic) = (false, true));
    assert!(matches!(cause(head(&upstream, "a/two").await), Cause::Login(_)), "a registry cannot take it");
}

/// Helpers are looked for on the PATH, which is one for the whole process: the file that names one that is not there will do.
#[tokio::test]
async fn a_helper_that_is_not_there_is_named() {
    let desk = Desk::new().await;
    let upstream = desk.docker_config(r#"{"credsStore": "of-no-such-name"}"#);
    let text = cause(head(&upstream, "a/one").await).to_string();
    assert!(text.contains("docker-credential-of-no-such-name cannot be started"), "{text}");
}
