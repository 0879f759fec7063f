//! TLS before the first request: as long as the headers of one may take, and with little kept for whoever does not read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use super::first::{self, Protocol};
use super::stream::Stream;
use super::wire::Wire;

/// Bytes that TLS keeps for a client that does not take them.
const UNSENT: usize = 32 << 10;

/// The secured connection; `None` when the client does not finish in time, or cannot agree with us.
pub(super) async fn handshake(wire: Wire, config: Arc<ServerConfig>, patience: Duration, client: SocketAddr) -> Option<Stream> {
    let accepting = TlsAcceptor::from(config).accept_with(wire, |connection| connection.set_buffer_limit(Some(UNSENT)));
    match timeout(patience, accepting.into_fallible()).await {
        Ok(Ok(secured)) => {
            let pulse = secured.get_ref().0.pulse().clone();
            let stream = Stream::secure(secured);
            pulse.greeted(stream.agreed() == Protocol::Http2, Instant::now());
            Some(stream)
        }
        Ok(Err((error, wire))) => {
            let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            match cause {
                // Strangers try all kinds of things; who has a certificate wants to know what is wrong with it.
                Some(rustls::Error::InvalidCertificate(why)) => warn!(%client, %why, "the client's certificate was refused"),
                _ => debug!(%client, %error, "no TLS could be agreed upon"),
            }
            // The alert tells the client why, and a reset would overtake it.
            first::farewell(wire, "").await;
            None
        }
        Err(_) => None,
    }
}
