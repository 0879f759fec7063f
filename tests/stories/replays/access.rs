//! Who gets at what he may not: by a digest, by another spelling, by an id of somebody else's, by a log-in that everybody knows.

use std::collections::{BTreeMap, BTreeSet};

use entrepot::auth::Who;
use entrepot::oci::Digest;
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::raw;
use crate::app::*;

/// What a stranger could tell two answers apart by; the digest and an upload's id are as different as they must be.
async fn told(client: &Client, method: &Method, path: &str, digest: &Digest, body: &str) -> (u16, BTreeMap<String, String>, String) {
    let body = body.replace("DIGEST", &digest.to_string());
    let kind: &[_] = if body.starts_with('{') { &[("content-type", IMAGE)] } else { &[] };
    let answer = client.send(method.clone(), &path.replace("DIGEST", &digest.to_string()), kind, body.into()).await;
    let plain = |text: &str| text.replace(&digest.to_string(), "DIGEST");
    let id = answer.header("docker-upload-uuid").to_owned();
    let headers = answer.headers.iter().filter(|(key, _)| *key != "date" && *key != "docker-upload-uuid");
    let headers = headers.map(|(key, value)| (key.to_string(), plain(value.to_str().unwrap())));
    let headers = headers.map(|(key, value)| if id.is_empty() { (key, value) } else { (key, value.replace(&id, "ID")) });
    (answer.status, headers.collect(), plain(&String::from_utf8_lossy(&answer.body)))
}

/// SEC-10: a blob that lay there for anybody was given to everybody who knew its digest.
#[tokio::test]
async fn cve_2024_39897_a_digest_that_exists_elsewhere_is_as_one_that_exists_nowhere() {
    let app = App::with(|settings| settings.auth.anonymous.get_or_insert_default().pull = false).await;
    let secret = build("secret", &[bytes(1, 5000)]);
    app.user("alice").push("team/secret", "v1", &secret).await;
    app.user("alice").push("team/other", "v1", &build("other", &[])).await;
    let scopes = ["team/other", "team/fresh"].map(|name| format!("repository:{name}:pull,push,delete"));
    let token = app.user("admin").token(&scopes.each_ref().map(String::as_str)).await.json()["token"].as_str().unwrap().to_owned();
    let thief = app.anonymous().with_token(&token);
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"DIGEST","size":5000}},"layers":[]}}"#
    );
    for known in [Digest::of(&secret.layers[0]), secret.digest()] {
        for name in ["team/other", "team/fresh"] {
            let uploads = format!("/v2/{name}/blobs/uploads/");
            let open = [thief.begin(name).await, thief.begin(name).await];
            for (method, path, body) in [
                (Method::GET, format!("/v2/{name}/blobs/DIGEST"), ""),
                (Method::HEAD, format!("/v2/{name}/blobs/DIGEST"), ""),
                (Method::DELETE, format!("/v2/{name}/blobs/DIGEST"), ""),
                (Method::GET, format!("/v2/{name}/manifests/DIGEST"), ""),
                (Method::HEAD, format!("/v2/{name}/manifests/DIGEST"), ""),
                (Method::DELETE, format!("/v2/{name}/manifests/DIGEST"), ""),
                (Method::GET, format!("/v2/{name}/referrers/DIGEST"), ""),
                (Method::POST, format!("{uploads}?mount=DIGEST"), ""),
                (Method::POST, format!("{uploads}?mount=DIGEST&from=team/secret"), ""),
                (Method::POST, format!("{uploads}?mount=DIGEST&from={name}"), ""),
                (Method::POST, format!("{uploads}?digest=DIGEST"), ""),
                (Method::POST, format!("{uploads}?digest=DIGEST"), "other bytes"),
                (Method::PUT, format!("/v2/{name}/manifests/v2"), &*manifest),
                (Method::PUT, "UPLOAD?digest=DIGEST".to_owned(), ""),
            ] {
                // Both were asked for as often, because absence is remembered.
                let nowhere = Digest::of(format!("{known} {method} {path} {body}").as_bytes());
                let [first, second] = open.each_ref().map(|upload| path.replace("UPLOAD", upload));
                let of_known = told(&thief, &method, &first, &known, body).await;
                let of_nowhere = told(&thief, &method, &second, &nowhere, body).await;
                assert_eq!(of_known, of_nowhere, "{method} {path}");
                assert!(of_known.0 >= 400 || of_known.0 == 202 || path.contains("referrers"), "{method} {path}: {of_known:?}");
            }
        }
    }
    let right = app.user("bob").token(&["repository:team/secret:pull"]).await.json();
    let whole = app.anonymous().with_token(right["token"].as_str().unwrap());
    assert_eq!(whole.blob("team/secret", &Digest::of(&secret.layers[0])).await, secret.layers[0], "who may has it");
}

/// Spellings of `/v2/team/app/manifests/v1` that mean the same.
const SAME: [&str; 5] = [
    "/v2/team/app/manifests/v1",
    "/v2/te%61m/%61pp/manifests/v1",
    "/v2/team/app/manifests/%76%31",
    "/v2/team/app/%6Danifests/v1",
    "/v2/team/app/manifests/v1?scope=repository:team/open:pull",
];

/// And that mean nothing, though another server might make it out.
const OTHER: [&str; 14] = [
    "/v2/team%2Fapp/manifests/v1",
    "/v2/team%252Fapp/manifests/v1",
    "/v2/team//app/manifests/v1",
    "//v2/team/app/manifests/v1",
    "/v2/./team/app/manifests/v1",
    "/v2/open/../team/app/manifests/v1",
    "/v2/open/%2e%2e/team/app/manifests/v1",
    "/v2/team/app/manifests/v1/",
    "/v2/team/app/manifests/v1%00",
    "/v2/team/app/manifests/v1%20",
    "/v2/team/app/manifests/v1;open",
    "/v2/team\\app/manifests/v1",
    "/V2/team/app/manifests/v1",
    "/%76%32/team/app/manifests/v1",
];

/// SEC-14: who decided read a path in another way than who served it, and HEAD was not asked what GET was.
#[tokio::test]
async fn ghsa_fv45_however_a_path_is_written_and_by_head_the_same_may_be_done() {
    let app = App::with(|settings| settings.auth.anonymous.get_or_insert_default().pull = false).await;
    let image = build("one", &[]);
    app.user("alice").push("team/app", "v1", &image).await;
    // Hot: what is answered from memory is judged as well.
    for _ in 0..3 {
        app.user("alice").basic().get(SAME[0]).await.expect(200);
    }
    let body = format!("Content-Type: {IMAGE}\r\nContent-Length: 0\r\n");
    for (user, method, expected) in [
        (None, "GET", 401),
        (None, "HEAD", 401),
        (None, "PUT", 401),
        (None, "DELETE", 401),
        (Some("alice"), "GET", 200),
        (Some("alice"), "HEAD", 200),
        (Some("alice"), "PUT", 400),
        (Some("alice"), "DELETE", 403),
    ] {
        for path in SAME {
            let (status, text) = raw(app.address(), method, path, user, if method == "PUT" { &body } else { "" }).await;
            assert_eq!(status, expected, "{user:?} {method} {path}: {text}");
        }
        for path in OTHER {
            let (status, text) = raw(app.address(), method, path, user, if method == "PUT" { &body } else { "" }).await;
            assert!([400, 404].contains(&status), "{user:?} {method} {path}: {text}");
            assert!(method == "HEAD" || !text.contains(&image.digest().to_string()), "{user:?} {method} {path}: {text}");
        }
    }
    let absolute = format!("http://elsewhere{}", SAME[0]);
    assert_eq!(raw(app.address(), "GET", &absolute, None, "").await.0, 401);
    assert_eq!(raw(app.address(), "GET", &absolute, Some("alice"), "").await.0, 200);
    assert_eq!(app.user("alice").pull("team/app", "v1").await.manifest, image.manifest);
    assert_eq!(app.hub.requests(), 0);
}

/// SEC-19: what had an id was found by it alone, whosever it was.
#[tokio::test]
async fn cve_2022_31668_what_one_repository_has_is_not_found_in_another() {
    let app = App::start().await;
    let image = build("one", &[bytes(1, 100)]);
    for name in ["team/app", "team/other"] {
        app.user("alice").push(name, "v1", &build(name, &[])).await;
    }
    app.user("alice").push("team/app", "v2", &image).await;
    let (admin, layer) = (app.user("admin"), Digest::of(&image.layers[0]));
    for path in [format!("manifests/{}", image.digest()), "manifests/v2".to_owned(), format!("blobs/{layer}")] {
        admin.get(&format!("/v2/team/other/{path}")).await.expect(404);
        admin.head(&format!("/v2/team/other/{path}")).await.expect(404);
        admin.delete(&format!("/v2/team/other/{path}")).await.expect(404);
    }
    assert_eq!(app.anonymous().pull("team/app", "v2").await.manifest, image.manifest);
}

/// SEC-19: a field that nobody should send made an administrator of whoever sent it.
#[tokio::test]
async fn cve_2019_16097_no_field_that_is_sent_along_makes_more_of_anybody() {
    let app = App::start().await;
    let scope = "repository:team/app:pull,push,delete";
    let fields = [
        ("grant_type", "password"),
        ("username", "alice"),
        ("password", "alice-password"),
        ("service", "entrepot"),
        ("client_id", "test"),
        ("scope", scope),
        ("has_admin_role", "true"),
        ("sub", "admin"),
        ("account", "admin"),
        ("role", "admin"),
    ];
    let answer = app.anonymous().token_form(&fields).await.expect(200);
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    app.user("alice").push("team/app", "v1", &build("one", &[])).await;
    let refused = app.anonymous().with_token(&token).delete("/v2/team/app/manifests/v1").await;
    assert!([401, 403].contains(&refused.status), "{refused:?}");

    // A command with a field that this server does not know might mean less than it would do.
    for command in [
        r#"{"gc":{"dry_run":true,"untagged":false,"has_admin_role":true}}"#,
        r#"{"delete":{"names":["team/app:v1"],"all":false,"keep":true}}"#,
        r#"{"purge":{"names":["nginx"],"all":false,"keep":true}}"#,
        r#"{"copy":{"from":"team/app:v1","to":"team/app:v2","dry_run":true}}"#,
        r#"{"prune":{"repositories":[],"dry_run":false,"except":"v*"}}"#,
        r#"{"prefetch":{"images":[],"platforms":[],"jobs":1,"dry_run":true}}"#,
    ] {
        let mut socket = tokio::net::UnixStream::connect(app.data().join("control.sock")).await.unwrap();
        socket.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        let mut told = String::new();
        socket.read_to_string(&mut told).await.unwrap();
        assert!(told.contains("does not know this command"), "{command}: {told}");
    }
    app.anonymous().pull("team/app", "v1").await;
}

/// SEC-20: ids that tell the time, or each other, can be guessed.
#[tokio::test]
async fn artifact_keeper_1317_no_upload_is_found_by_guessing() {
    const OPEN: usize = 500;
    let app = App::start().await;
    let (registry, name) = (app.registry(), "team/app".parse().unwrap());
    let alice = Who::User("alice".into());
    let mut open = Vec::new();
    for _ in 0..OPEN {
        open.push(registry.start_upload(&name, &alice).await.unwrap().id);
    }
    let numbers: Vec<_> = open.iter().map(|id| u128::from_str_radix(&id.replace('-', ""), 16).unwrap()).collect();
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), OPEN);
    // Every bit but those six that say what kind of id it is takes both values, as often as not.
    let random = (0..128).filter(|bit| (OPEN / 3..=OPEN * 2 / 3).contains(&numbers.iter().filter(|id| *id >> bit & 1 == 1).count()));
    assert_eq!(random.count(), 122);
    let near = numbers.iter().flat_map(|id| (1..100).flat_map(move |step| [id.wrapping_add(step), id.wrapping_sub(step)]));
    let mut state = 1_u128;
    let anywhere = std::iter::repeat_with(|| {
        state = state.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(1);
        state
    });
    for guess in near.chain(anywhere).take(1_000_000) {
        let hex = format!("{guess:032x}");
        let id = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
        assert!(registry.upload_status(&name, &id, &alice).await.is_err(), "{id} was guessed");
    }
    assert!(registry.upload_status(&name, &open[0], &alice).await.is_ok());
}

/// SEC-22: the administrator's first password was the same everywhere.
#[tokio::test]
async fn cve_2026_4404_there_is_no_password_that_everybody_knows() {
    let mut made = Vec::new();
    for _ in 0..2 {
        let app = App::with(|settings| settings.auth.htpasswd = None).await;
        let kept = std::fs::read_to_string(app.data().join("admin-password")).unwrap().trim().to_owned();
        for (name, password) in [
            ("admin", ""),
            ("admin", "admin"),
            ("admin", "password"),
            ("admin", "Harbor12345"),
            ("admin", "admin123"),
            ("admin", "changeme"),
            ("admin", "entrepot"),
            ("root", "root"),
            ("", ""),
        ] {
            app.login(name, password).basic().get("/v2/").await.expect(401);
        }
        app.login("admin", &kept).basic().get("/v2/").await.expect(200);
        made.push(kept);
    }
    assert_ne!(made[0], made[1]);
}
