//! Certificates of the owner's: taken when they change, refused when they do not fit, and no connection is dropped for them.

use entrepot::config::{Settings, TlsMode};
use entrepot::oci::Digest;
use entrepot::server::tls::Tls;

use super::app::*;
use super::issuer::TestAuthority;
use super::{https, shown, trusting};

fn of(paths: [std::path::PathBuf; 2]) -> TlsMode {
    let [certificate, key] = paths;
    TlsMode::Files { certificate, key }
}

#[tokio::test]
async fn a_changed_certificate_is_taken_without_a_restart_while_a_download_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let authority = TestAuthority::new("ca");
    let mode = of(authority.server().write(folder.path()));
    let app = App::with(|settings| settings.server.tls.mode = mode).await;
    let ca = authority.pem.as_bytes();
    let first = shown(&app, ca).await;
    let large = bytes(1, 30_000_000);
    app.user("alice").push_blob("team/app", &large).await;
    let image = build("one", &[bytes(2, 10)]);
    app.user("alice").push("team/app", "v1", &image).await;

    let account = ("alice".to_owned(), password("alice"));
    let request = trusting(ca).build().unwrap().get(format!("{}/v2/team/app/blobs/{}", https(&app), Digest::of(&large)));
    let mut download = request.basic_auth(&account.0, Some(&account.1)).send().await.unwrap();
    let mut got = download.chunk().await.unwrap().unwrap().to_vec();
    authority.server().write(folder.path());
    until("the new certificate is shown", async || shown(&app, ca).await != first).await;
    while let Some(chunk) = download.chunk().await.expect("the download goes on") {
        got.extend_from_slice(&chunk);
    }
    assert_eq!(Digest::of(&got), Digest::of(&large));
}

#[tokio::test]
async fn a_pair_that_does_not_fit_changes_nothing_and_the_next_that_does_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let authority = TestAuthority::new("ca");
    let good = authority.server();
    let mode = of(good.write(folder.path()));
    let app = App::with(|settings| settings.server.tls.mode = mode).await;
    let ca = authority.pem.as_bytes();
    let first = shown(&app, ca).await;
    std::fs::write(folder.path().join("server.crt"), authority.server().certificate).unwrap();
    // Long enough for two looks: there is nothing to wait for where nothing may happen.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(shown(&app, ca).await, first);
    std::fs::remove_file(folder.path().join("server.crt")).unwrap();
    assert_eq!(shown(&app, ca).await, first);
    authority.server().write(folder.path());
    until("the new certificate is shown", async || shown(&app, ca).await != first).await;
}

#[test]
fn files_that_cannot_be_used_are_named_with_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let authority = TestAuthority::new("ca");
    let (good, other) = (authority.server(), authority.server());
    let paths = good.write(folder.path());
    let mut settings = Settings::builtin();
    settings.storage.data = folder.path().to_owned();
    settings.server.tls.mode = of(paths.clone());
    let why = |settings: &Settings| Tls::open(settings, &[]).err().expect("it must not start").to_string();
    assert!(Tls::open(&settings, &[]).is_ok());
    std::fs::write(&paths[1], &other.key).unwrap();
    assert!(why(&settings).contains("server.key is not the key of the first certificate in"), "{}", why(&settings));
    std::fs::write(&paths[1], "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n").unwrap();
    assert!(why(&settings).contains("server.key holds no private key in PEM form without a password"), "{}", why(&settings));
    std::fs::write(&paths[0], &good.key).unwrap();
    assert!(why(&settings).contains("server.crt holds no certificate in PEM form"), "{}", why(&settings));
    std::fs::remove_file(&paths[0]).unwrap();
    assert!(why(&settings).contains("server.crt cannot be read"), "{}", why(&settings));
    good.write(folder.path());
    let ca = folder.path().join("clients.crt");
    std::fs::write(&ca, "nobody").unwrap();
    settings.server.tls.client_ca = Some(ca);
    assert!(why(&settings).contains("clients.crt holds no certificate in PEM form"), "{}", why(&settings));
}
