//! The first byte tells: plain HTTP and HTTPS on the same port, and what `/connect` says of it.

use entrepot::config::TlsMode;
use entrepot::oci::Digest;
use reqwest::Version;

use super::app::*;
use super::{ca, https, trusting};

#[tokio::test]
async fn one_port_speaks_http_and_https_and_both_of_its_versions() {
    let app = App::start().await;
    let plain = app.anonymous().get("/healthz").await.expect(200);
    assert_eq!(plain.body, "ok\n");
    let versions = [(trusting(&ca(&app)), Version::HTTP_2), (trusting(&ca(&app)).http1_only(), Version::HTTP_11)];
    for (client, version) in versions {
        let response = client.build().unwrap().get(format!("{}/healthz", https(&app))).send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, version));
        assert_eq!(response.text().await.unwrap(), "ok\n");
    }
}

#[tokio::test]
async fn images_are_pushed_and_pulled_over_https_and_over_http_alike() {
    let app = App::start().await;
    let cached = app.hub.image("library/nginx", "latest", &[bytes(1, 3_000_000)]);
    let image = build("one", &[bytes(2, 5_000_000)]);
    let wire = trusting(&ca(&app)).build().unwrap();
    let account = Some(("alice".to_owned(), password("alice")));
    // The client insists that the token's realm has the address that it asked.
    Client::new(&wire, &https(&app), account).push("team/app", "v1", &image).await;
    for client in [Client::new(&wire, &https(&app), None), app.anonymous()] {
        assert_eq!(client.pull("team/app", "v1").await.digest, image.digest());
        assert_eq!(client.pull("nginx", "latest").await.digest, cached.digest);
        client.bare().get("/v2/nginx/manifests/latest").await.expect(200);
    }
}

#[tokio::test]
async fn a_connection_that_rested_goes_on_with_its_next_request() {
    let app = App::with(|settings| settings.server.limits.idle = std::time::Duration::from_secs(4)).await;
    for client in [trusting(&ca(&app)).http1_only(), trusting(&ca(&app))] {
        let client = client.build().unwrap();
        for _ in 0..3 {
            let ok = client.get(format!("{}/healthz", https(&app))).send().await.unwrap().text().await.unwrap();
            assert_eq!(ok, "ok\n");
            // Its buffers are given back after a quarter of the idle time or a second.
            tokio::time::sleep(std::time::Duration::from_millis(1300)).await;
        }
    }
}

#[tokio::test]
async fn where_https_is_required_plain_http_is_told_so_but_for_probes_and_the_ca() {
    let app = App::with(|settings| {
        settings.server.tls.require = true;
        settings.metrics.enabled = true;
    })
    .await;
    let plain = app.user("alice").basic();
    for path in ["/healthz", "/readyz", "/connect/ca.crt"] {
        plain.get(path).await.expect(200);
    }
    for path in ["/v2/", "/v2/team/app/manifests/v1", "/token", "/", "/connect", "/metrics", "/api/v1/upstreams", "/no/such"] {
        let answer = plain.get(path).await.expect(403);
        assert_eq!(answer.code(), "DENIED");
        for part in [format!("https://{}", app.address()), format!("http://{}/connect/ca.crt", app.address())] {
            assert!(answer.message().contains(&part), "{}", answer.message());
        }
    }
    plain.post("/v2/team/app/blobs/uploads/", "").await.expect(403);
    let wire = trusting(&ca(&app)).build().unwrap();
    Client::new(&wire, &https(&app), None).bare().get("/v2/").await.expect(401);
    Client::new(&wire, &https(&app), None).get("/metrics").await.expect(200);
}

#[tokio::test]
async fn connect_gives_the_ca_and_the_lines_by_which_clients_trust_it() {
    let app = App::start().await;
    let given = app.anonymous().get("/connect/ca.crt").await.expect(200);
    assert_eq!((given.header("content-type"), given.body.as_ref()), ("application/x-pem-file", ca(&app).as_slice()));
    let der = rustls_der(&ca(&app));
    let fingerprint: Vec<_> =
        Digest::of(&der).hex().to_uppercase().as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).into_owned()).collect();
    let lines = app.anonymous().get("/connect").await.expect(200);
    let lines = String::from_utf8(lines.body.to_vec()).unwrap();
    let host = app.address();
    for part in [
        fingerprint.join(":"),
        format!("http://{host}/connect/ca.crt"),
        format!("/etc/docker/certs.d/{host}/ca.crt"),
        format!("\"registry-mirrors\": [\"https://{host}\"]"),
        format!("/etc/containerd/certs.d/{host}/hosts.toml"),
        format!("/etc/containers/certs.d/{host}/ca.crt"),
        "update-ca-certificates".to_owned(),
        "update-ca-trust".to_owned(),
    ] {
        assert!(lines.contains(&part), "{part} in {lines}");
    }
    let welcome = app.anonymous().get("/").await.expect(200);
    assert!(String::from_utf8_lossy(&welcome.body).contains(&format!("http://{host}/connect")));
}

#[tokio::test]
async fn without_tls_there_is_no_ca_and_connect_says_how_to_do_without() {
    let app = App::with(|settings| settings.server.tls.mode = TlsMode::Off).await;
    let answer = app.anonymous().get("/connect/ca.crt").await.expect(404);
    assert!(String::from_utf8_lossy(&answer.body).contains("no CA of its own"));
    let lines = app.anonymous().get("/connect").await.expect(200);
    assert!(String::from_utf8_lossy(&lines.body).contains("insecure-registries"));
    assert!(!app.data().join("tls").exists());
}

fn rustls_der(pem: &[u8]) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateDer::from_pem_slice(pem).unwrap().to_vec()
}
