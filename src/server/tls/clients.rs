//! Clients that show a certificate: whose authority it must come from, and which user it names.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{TlsError, chain, provider};

/// The longest name, in bytes.
const LONGEST: usize = 255;

/// Takes clients without a certificate, and those of these authorities; a handshake with another one fails.
pub(super) fn verifier(path: &Path, pem: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in chain(path, pem)? {
        roots.add(authority).map_err(|error| TlsError::broken(path, format!("holds a certificate that cannot be used: {error}")))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).allow_unauthenticated().build();
    verifier.map_err(|error| TlsError::broken(path, format!("holds no authority that could be used: {error}")))
}

/// The user that a certificate names: its common name, else its first DNS name or e-mail address.
/// `None` where it has none that could be a user's.
pub fn user(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let common = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let others = alternative.iter().flat_map(|names| &names.value.general_names);
    let other = others.filter_map(|name| match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) => Some(*name),
        _ => None,
    });
    let usable = |name: &&str| !name.is_empty() && name.len() <= LONGEST && !name.contains(|c: char| c.is_control() || c == ':');
    common.into_iter().chain(other).find(|name| !name.is_empty()).filter(usable).map(str::to_owned)
}
