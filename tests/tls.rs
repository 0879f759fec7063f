//! HTTPS beside HTTP on one port: whose certificate is shown, who is let in, and that nobody waits for ever.

#[path = "support/app/mod.rs"]
mod app;

#[path = "tls/certificates.rs"]
mod certificates;
#[path = "tls/clients.rs"]
mod clients;
#[path = "tls/deadlines.rs"]
mod deadlines;
#[path = "tls/files.rs"]
mod files;
#[path = "tls/issuer.rs"]
mod issuer;
#[path = "tls/one_port.rs"]
mod one_port;

use app::*;
use reqwest::tls::TlsInfo;

/// The server's own CA, as its data folder has it.
fn ca(app: &App) -> Vec<u8> {
    std::fs::read(app.data().join("tls/ca.crt")).unwrap()
}

fn https(app: &App) -> String {
    format!("https://{}", app.address())
}

/// A client that trusts this CA and no other.
fn trusting(ca: &[u8]) -> reqwest::ClientBuilder {
    let ca = reqwest::Certificate::from_pem(ca).unwrap();
    reqwest::Client::builder().no_proxy().tls_certs_only([ca]).tls_info(true).redirect(reqwest::redirect::Policy::none())
}

/// The certificate that the server shows to a client that trusts this CA.
async fn shown(app: &App, ca: &[u8]) -> Vec<u8> {
    let client = trusting(ca).build().unwrap();
    let response = client.get(format!("{}/healthz", https(app))).send().await.expect("the certificate is trusted");
    response.extensions().get::<TlsInfo>().unwrap().peer_certificate().unwrap().to_vec()
}
