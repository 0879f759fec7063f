//! What the edge shows to clients that speak TLS: files of the owner's, or a certificate that is made here.
//!
//! What is in use is a pair that fits; a change that does not is refused, told once, and changes nothing.

mod authority;
mod clients;
mod files;
mod kept;
mod made;
mod names;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;

pub use self::authority::Authority;
pub use self::clients::user;
use self::made::Made;
pub use self::made::init;
use crate::config::{Settings, TlsMode};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How often the certificate that is made here is held against this machine's names and the clock.
const LOOK_AT_NAMES: Duration = Duration::from_secs(60);

/// Why there is no TLS as it was asked for; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{} cannot be {what}: {source}", path.display())]
    File { path: PathBuf, what: &'static str, source: io::Error },
    #[error("{} {what}", path.display())]
    Broken { path: PathBuf, what: String },
    #[error("{} is not the key of the first certificate in {}: write the pair that belongs together, the server's own certificate first", key.display(), certificate.display())]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("a certificate cannot be made: {0}")]
    Making(#[from] rcgen::Error),
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

impl TlsError {
    fn broken(path: &Path, what: impl Into<String>) -> TlsError {
        TlsError::Broken { path: path.to_owned(), what: what.into() }
    }
}

/// A certificate with its chain and its key, in PEM form, as they were read.
#[derive(Clone, PartialEq, Eq)]
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// TLS as it is spoken now.
pub struct Tls {
    /// Swapped as a whole: connections that are open keep theirs.
    config: ArcSwap<ServerConfig>,
    source: Source,
    client_ca: Option<PathBuf>,
}

enum Source {
    Files { certificate: PathBuf, key: PathBuf },
    Made(Box<Made>),
}

impl Tls {
    /// What the settings ask for; `None` where TLS is off. Makes an authority where one is needed and none is there.
    /// `listen` are the addresses that are listened on. Blocks.
    pub fn open(settings: &Settings, listen: &[SocketAddr]) -> Result<Option<Arc<Tls>>, TlsError> {
        let source = match &settings.server.tls.mode {
            TlsMode::Off => return Ok(None),
            TlsMode::Files { certificate, key } => Source::Files { certificate: certificate.clone(), key: key.clone() },
            TlsMode::SelfSigned => Source::Made(Box::new(Made::open(settings, listen)?)),
        };
        let client_ca = settings.server.tls.client_ca.clone();
        let config = ArcSwap::from_pointee(files::Read::now(&source, client_ca.as_deref())?.config(&source, client_ca.as_deref())?);
        Ok(Some(Arc::new(Tls { config, source, client_ca })))
    }

    /// What a connection that begins now speaks by.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// Our own authority, where the certificate is made here.
    pub fn authority(&self) -> Option<&Authority> {
        match &self.source {
            Source::Made(made) => Some(&made.authority),
            Source::Files { .. } => None,
        }
    }

    /// Keeps what is shown up to date, for ever.
    pub async fn watch(self: Arc<Tls>) {
        let look = match self.source {
            Source::Files { .. } => LOOK,
            Source::Made(_) => LOOK_AT_NAMES,
        };
        let mut watched = files::Watched::new(self.clone());
        loop {
            tokio::time::sleep(look).await;
            watched = match tokio::task::spawn_blocking(move || watched.look()).await {
                Ok(watched) => watched,
                Err(_) => files::Watched::new(self.clone()),
            };
        }
    }
}

/// The one provider of cryptography.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// TLS 1.2 and 1.3 with this certificate, HTTP/2 and HTTP/1.1. Paths are for what is said when it cannot be.
fn configured(pair: &Pair, paths: [&Path; 2], clients: Option<(&Path, &[u8])>) -> Result<ServerConfig, TlsError> {
    let [certificate, key] = paths;
    let chain = chain(certificate, &pair.certificate)?;
    let secret = PrivateKeyDer::from_pem_slice(&pair.key)
        .map_err(|_| TlsError::broken(key, "holds no private key in PEM form without a password (-----BEGIN PRIVATE KEY-----)"))?;
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match clients {
        Some((path, pem)) => builder.with_client_cert_verifier(clients::verifier(path, pem)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, secret).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() },
        rustls::Error::InvalidCertificate(why) => {
            TlsError::broken(certificate, format!("holds a certificate that cannot be used: {why:?}"))
        }
        other => TlsError::broken(key, format!("cannot be used: {other}")),
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Nothing is resumed: a client's certificate is looked at each time, and a connection that rests costs less.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The certificates in a PEM text, at least one.
fn chain(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let chain = read.map_err(|error| TlsError::broken(path, format!("is no PEM file: {error}")))?;
    match chain.is_empty() {
        true => Err(TlsError::broken(path, "holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")),
        false => Ok(chain),
    }
}

/// Seconds since 1970.
fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
