//! Whoever says nothing, little or nonsense in a handshake is closed in time, and so is a secured connection that is silent.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::app::*;
use super::ca;

async fn hasty() -> App {
    App::with(|settings| {
        settings.server.limits.idle = Duration::from_millis(400);
        settings.server.limits.headers = Duration::from_millis(300);
    })
    .await
}

async fn secured(app: &App) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&ca(app)).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    let stream = TcpStream::connect(app.address()).await.unwrap();
    connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
}

#[tokio::test]
async fn whoever_does_not_finish_a_handshake_is_closed_in_time() {
    let app = hasty().await;
    // The head of a record, that of a long one with a part of a hello, and what is no hello.
    let mut begun = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    begun.resize(200, 7);
    for first in [vec![0x16], begun, vec![0x16; 600]] {
        let mut client = TcpStream::connect(app.address()).await.unwrap();
        client.write_all(&first).await.unwrap();
        let mut answer = Vec::new();
        let end = timeout(LONG, client.read_to_end(&mut answer)).await.expect("the server closes the connection");
        assert!(end.is_err() || !String::from_utf8_lossy(&answer).contains("HTTP/"));
    }
}

#[tokio::test]
async fn whoever_drips_a_handshake_is_closed_in_time() {
    let app = hasty().await;
    let client = TcpStream::connect(app.address()).await.unwrap();
    let (mut read, mut write) = client.into_split();
    write.write_all(&[0x16, 3, 1, 0x20, 0]).await.unwrap();
    let dripping = tokio::spawn(async move {
        while write.write_all(&[1]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    timeout(LONG, read.read_to_end(&mut Vec::new())).await.expect("the server closes the connection").ok();
    drop(read);
    timeout(LONG, dripping).await.expect("nobody reads on").unwrap();
}

#[tokio::test]
async fn a_secured_connection_that_is_silent_or_drips_is_closed_in_time() {
    let app = hasty().await;
    for first in ["", "GET /healthz HT", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut client = secured(&app).await;
        client.write_all(first.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(LONG, client.read_to_end(&mut answer)).await.expect("the server closes the connection");
        assert_eq!(String::from_utf8_lossy(&answer).contains("200 OK"), first.ends_with("\r\n\r\n"));
    }
}
