//! Clients that show a certificate are the users that it names; a certificate that is not good ends the connection.

use entrepot::config::Anonymous;

use super::app::*;
use super::issuer::{Issued, TestAuthority};
use super::{ca, https, trusting};

/// A server that takes certificates of `authority`, closed to those who are nobody.
async fn start(authority: &TestAuthority, folder: &tempfile::TempDir) -> App {
    let file = folder.path().join("clients.crt");
    std::fs::write(&file, &authority.pem).unwrap();
    App::with(|settings| {
        settings.server.tls.client_ca = Some(file);
        settings.auth.anonymous = Some(Anonymous { pull: false, push: false, delete: false });
    })
    .await
}

fn showing(app: &App, certificate: &Issued) -> Client {
    let wire = trusting(&ca(app)).identity(certificate.identity()).build().unwrap();
    Client::new(&wire, &https(app), None)
}

#[tokio::test]
async fn a_certificate_is_a_log_in_of_the_user_that_it_names() {
    let (authority, folder) = (TestAuthority::new("clients"), tempfile::tempdir().unwrap());
    let app = start(&authority, &folder).await;
    let image = build("one", &[bytes(1, 1000)]);
    // The user need not be in the users file.
    for certificate in [authority.client("ci"), authority.client_by_address("ci@example.com")] {
        let client = showing(&app, &certificate);
        client.push("team/app", "v1", &image).await;
        assert_eq!(client.pull("team/app", "v1").await.digest, image.digest());
        client.bare().get("/v2/team/app/manifests/v1").await.expect(200);
    }
    let who = app.command::<serde_json::Value>(entrepot::upkeep::Request::History("team/app:v1".into())).await.unwrap();
    assert!(who[0].to_string().contains("\"ci\""), "{who:?}");

    let nobody = Client::new(&trusting(&ca(&app)).build().unwrap(), &https(&app), None);
    for client in [nobody.clone(), nobody.bare(), app.anonymous()] {
        client.get("/v2/team/app/manifests/v1").await.expect(401);
    }
}

#[tokio::test]
async fn a_push_by_certificate_is_told_from_a_pull_and_reaches_the_server() {
    let (authority, folder) = (TestAuthority::new("clients"), tempfile::tempdir().unwrap());
    let app = start(&authority, &folder).await;
    let cached = app.hub.image("team/base", "1", &[bytes(1, 1000)]);
    let client = showing(&app, &authority.client("ci"));
    assert_eq!(client.pull("team/base", "1").await.digest, cached.digest);
    // What is cached from upstream is not what a pusher asks about: he must not take it for pushed.
    client.bare().get("/v2/").await.expect(401);
    client.bare().head("/v2/team/base/manifests/1").await.expect(401);
    client.pushing().head("/v2/team/base/manifests/1").await.expect(404);
}

#[tokio::test]
async fn credentials_that_come_go_over_the_certificate_and_admin_is_admin() {
    let (authority, folder) = (TestAuthority::new("clients"), tempfile::tempdir().unwrap());
    let app = start(&authority, &folder).await;
    let wire = trusting(&ca(&app)).identity(authority.client("admin").identity()).build().unwrap();
    let admin = Client::new(&wire, &https(&app), None);
    admin.get("/api/v1/upstreams").await.expect(200);
    let alice = Client::new(&wire, &https(&app), Some(("alice".into(), password("alice")))).basic();
    alice.get("/api/v1/upstreams").await.expect(403);
    let wrong = Client::new(&wire, &https(&app), Some(("alice".into(), "wrong".into()))).basic();
    wrong.get("/v2/_catalog").await.expect(401);
}

#[tokio::test]
async fn what_a_certificate_reaches_does_not_become_hot_for_others() {
    let (authority, folder) = (TestAuthority::new("clients"), tempfile::tempdir().unwrap());
    let mut app = start(&authority, &folder).await;
    app.restart_with(|settings| {
        settings.auth.anonymous = None;
        settings.upstreams[0].visibility = entrepot::config::Visibility::SignedIn;
    })
    .await;
    app.hub.image("team/closed", "1", &[bytes(1, 1000)]);
    let (by_certificate, path) = (showing(&app, &authority.client("ci")).bare(), "/v2/team/closed/manifests/1");
    for _ in 0..3 {
        by_certificate.get(path).await.expect(200);
        app.anonymous().bare().get(path).await.expect(401);
    }
}

#[tokio::test]
async fn a_certificate_that_is_expired_or_of_a_stranger_ends_the_connection() {
    let (authority, folder) = (TestAuthority::new("clients"), tempfile::tempdir().unwrap());
    let app = start(&authority, &folder).await;
    let stranger = TestAuthority::new("clients");
    for certificate in [stranger.client("ci"), authority.expired_client("ci")] {
        let wire = trusting(&ca(&app)).identity(certificate.identity()).build().unwrap();
        let answer = wire.get(format!("{}/healthz", https(&app))).send().await;
        assert!(answer.is_err(), "{answer:?}");
    }
    showing(&app, &authority.client("ci")).get("/healthz").await.expect(200);
}
