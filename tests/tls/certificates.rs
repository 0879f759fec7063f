//! The certificate that the server makes for itself, and the CA that it keeps.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use entrepot::config::Settings;
use entrepot::server::tls::{Tls, init};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::app::*;
use super::{ca, shown};

const DAY: i64 = 24 * 3600;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn names(der: &[u8]) -> String {
    let (_, certificate) = X509Certificate::from_der(der).unwrap();
    certificate.subject_alternative_name().unwrap().unwrap().value.general_names.iter().map(|name| format!("{name:?} ")).collect()
}

/// Settings with a data folder that is there.
fn settings(folder: &Path) -> Settings {
    let mut settings = Settings::builtin();
    settings.storage.data = folder.to_owned();
    settings
}

fn refused(settings: &Settings) -> String {
    Tls::open(settings, &[]).err().expect("it must not start").to_string()
}

#[tokio::test]
async fn the_certificate_begins_two_days_back_and_lasts_for_397_days_at_most_and_keys_are_their_owners() {
    let app = App::start().await;
    let der = shown(&app, &ca(&app)).await;
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let (begins, ends) = (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    assert!(begins <= now - 2 * DAY && begins > now - 3 * DAY);
    assert!(ends - begins <= 397 * DAY && ends > now + 390 * DAY);
    assert_eq!(certificate.tbs_certificate.subject_pki.algorithm.algorithm.to_id_string(), "1.2.840.10045.2.1", "ECDSA");
    for key in ["ca.key", "server.key"] {
        assert_eq!(mode(&app.data().join("tls").join(key)), 0o600, "{key}");
    }
    assert_eq!(mode(&app.data().join("tls")), 0o700);
}

#[tokio::test]
async fn a_restart_keeps_ca_and_certificate_and_other_names_make_a_new_certificate_under_the_same_ca() {
    let mut app = App::start().await;
    let ca = ca(&app);
    let first = shown(&app, &ca).await;
    app.restart().await;
    assert_eq!(shown(&app, &ca).await, first);
    app.restart_with(|settings| {
        settings.server.tls.hosts = vec!["registry.lan".to_owned(), "192.0.2.77".to_owned()];
        settings.server.external_url = Some("https://registry.example.com:8443".to_owned());
    })
    .await;
    let second = shown(&app, &ca).await;
    let names = names(&second);
    for name in ["registry.lan", "registry.example.com", "localhost", "[192, 0, 2, 77]", "[127, 0, 0, 1]"] {
        assert!(names.contains(name), "{name} in {names}");
    }
    assert_ne!(first, second);
    assert_eq!(super::ca(&app), ca);
}

#[test]
fn a_certificate_that_is_broken_or_does_not_fit_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    Tls::open(&settings, &[]).unwrap();
    let (certificate, key) = (folder.path().join("tls/server.crt"), folder.path().join("tls/server.key"));
    let (good, good_key) = (std::fs::read(&certificate).unwrap(), std::fs::read(&key).unwrap());
    let foreign = tempfile::tempdir().unwrap();
    init(foreign.path(), &["registry.lan".to_owned()]).unwrap();
    let other_key = std::fs::read(foreign.path().join("server.key")).unwrap();
    let other = std::fs::read(foreign.path().join("server.crt")).unwrap();
    for (bad, bad_key) in [(&b""[..], &good_key[..]), (b"no PEM", &good_key), (&good, b""), (&good, &other_key), (&other, &other_key)] {
        std::fs::write(&certificate, bad).unwrap();
        std::fs::write(&key, bad_key).unwrap();
        Tls::open(&settings, &[]).unwrap();
        let now = std::fs::read(&certificate).unwrap();
        assert!(now != bad && now != good);
        assert_eq!(mode(&key), 0o600);
    }
    let last = std::fs::read(&certificate).unwrap();
    Tls::open(&settings, &[]).unwrap();
    assert_eq!(std::fs::read(&certificate).unwrap(), last, "what fits is kept");
}

#[test]
fn a_ca_that_is_lost_in_part_is_not_replaced_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let paths = ["tls/ca.crt", "tls/ca.key"].map(|name| folder.path().join(name));
    let first = Tls::open(&settings, &[]).unwrap().unwrap().authority().unwrap().fingerprint();
    for path in &paths {
        let content = std::fs::read(path).unwrap();
        std::fs::remove_file(path).unwrap();
        let why = refused(&settings);
        assert!(why.contains(path.to_str().unwrap()) && why.contains("is missing") && why.contains("backup"), "{why}");
        std::fs::write(path, "nonsense").unwrap();
        let why = refused(&settings);
        assert!(why.contains(path.to_str().unwrap()) && why.contains("backup"), "{why}");
        std::fs::write(path, content).unwrap();
    }
    let same = Tls::open(&settings, &[]).unwrap().unwrap().authority().unwrap().fingerprint();
    assert_eq!(same, first);
    let another = tempfile::tempdir().unwrap();
    init(another.path(), &["a".to_owned()]).unwrap();
    std::fs::copy(another.path().join("ca.key"), &paths[1]).unwrap();
    assert!(refused(&settings).contains("is not the key of ca.crt"));
    paths.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    let new = Tls::open(&settings, &[]).unwrap().unwrap().authority().unwrap().fingerprint();
    assert_ne!(new, first, "with both gone there is a new one");
    // What a first start leaves that was cut short: its key, and no certificate that anybody could have seen.
    std::fs::remove_file(&paths[0]).unwrap();
    std::fs::remove_file(folder.path().join("tls/server.crt")).unwrap();
    assert!(Tls::open(&settings, &[]).is_ok());
}

#[test]
fn certificates_for_other_uses_are_written_once_and_keys_are_their_owners() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("new");
    let authority = init(&output, &["registry.lan".to_owned(), "192.0.2.7".to_owned()]).unwrap();
    assert_eq!(std::fs::read_to_string(output.join("ca.crt")).unwrap(), authority.pem());
    for key in ["ca.key", "server.key"] {
        assert_eq!(mode(&output.join(key)), 0o600, "{key}");
    }
    std::fs::remove_file(output.join("ca.crt")).unwrap();
    let before = std::fs::read(output.join("ca.key")).unwrap();
    let why = init(&output, &["registry.lan".to_owned()]).err().unwrap().to_string();
    assert!(why.contains("ca.key") && why.contains("--output"), "{why}");
    assert_eq!(std::fs::read(output.join("ca.key")).unwrap(), before);
    assert!(!output.join("ca.crt").exists());
}
