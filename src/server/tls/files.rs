//! What was read from files, and when it is read again: a change that does not fit is refused with one warning.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use tracing::{info, warn};

use super::{Pair, Source, Tls, TlsError, configured, kept};

/// All that TLS is set up from.
#[derive(PartialEq, Eq)]
pub(super) struct Read {
    pair: Pair,
    client_ca: Option<Vec<u8>>,
}

impl Read {
    /// What holds now. A certificate that is made here is made anew where it has to be.
    pub fn now(source: &Source, client_ca: Option<&Path>) -> Result<Read, TlsError> {
        let pair = match source {
            Source::Files { certificate, key } => Pair { certificate: kept::read(certificate)?, key: kept::read(key)? },
            Source::Made(made) => made.current(SystemTime::now())?,
        };
        Ok(Read { pair, client_ca: client_ca.map(kept::read).transpose()? })
    }

    pub fn config(&self, source: &Source, client_ca: Option<&Path>) -> Result<ServerConfig, TlsError> {
        let paths: [PathBuf; 2] = match source {
            Source::Files { certificate, key } => [certificate.clone(), key.clone()],
            Source::Made(made) => made.paths(),
        };
        configured(&self.pair, [&paths[0], &paths[1]], client_ca.zip(self.client_ca.as_deref()))
    }
}

/// What was looked at last.
pub(super) struct Watched {
    tls: Arc<Tls>,
    /// In use, as far as it was read while this watches.
    used: Option<Read>,
    /// What does not fit, and whether that was told. Two files are not written at once, so it is told when it is there still.
    refused: Option<(Result<Read, String>, bool)>,
}

impl Watched {
    pub fn new(tls: Arc<Tls>) -> Watched {
        let used = Read::now(&tls.source, tls.client_ca.as_deref()).ok();
        Watched { tls, used, refused: None }
    }

    /// Uses what has changed, where it fits.
    pub fn look(mut self) -> Watched {
        let client_ca = self.tls.client_ca.as_deref();
        let read = Read::now(&self.tls.source, client_ca);
        if read.as_ref().ok().is_some_and(|read| Some(read) == self.used.as_ref()) {
            self.refused = None;
            return self;
        }
        let (read, why) = match read {
            Ok(read) => match read.config(&self.tls.source, client_ca) {
                Ok(config) => {
                    self.tls.config.store(Arc::new(config));
                    info!("new connections get the new certificate");
                    (self.used, self.refused) = (Some(read), None);
                    return self;
                }
                Err(error) => (Ok(read), error.to_string()),
            },
            Err(error) => (Err(error.to_string()), error.to_string()),
        };
        let (again, told) = self.refused.take().map_or((false, false), |(last, told)| (last == read, told));
        if again && !told {
            warn!(%why, "the certificate has changed and cannot be used: the one from before stays");
        }
        self.refused = Some((read, again));
        self
    }
}
