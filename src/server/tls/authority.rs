//! A certificate authority of our own. It is made once, and its key never leaves the data folder: clients are told to trust it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Pair, TlsError, chain, kept, provider, seconds};
use crate::oci::Digest;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Clocks differ, and those of machines that were just switched on most.
const EARLIER: Duration = Duration::from_secs(48 * 3600);
const LIFE: Duration = Duration::from_secs(3652 * 24 * 3600);
/// Clients of today refuse a server's certificate that is valid for longer than 398 days.
const SERVER_LIFE: Duration = DAY.saturating_mul(397);
/// The longest common name, in letters (RFC 5280).
const LONGEST_NAME: usize = 64;

/// Who signs the certificates that are made here.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
    /// Seconds since 1970.
    ends: i64,
}

impl Authority {
    /// The authority in `folder`; one is made where neither its certificate nor its key is there.
    pub(super) fn open(folder: &Path, host: &str) -> Result<Authority, TlsError> {
        let paths = paths(folder);
        match (kept::find(&paths[0])?, kept::find(&paths[1])?) {
            (Some(certificate), Some(key)) => Authority::read(&paths[0], &paths[1], &Pair { certificate, key }),
            // A first start that was cut short has left its key, and shown it to nobody.
            (None, key) if key.is_none() || kept::find(&folder.join("server.crt"))?.is_none() => {
                let (authority, key) = Authority::make(host, SystemTime::now())?;
                kept::write(&paths[1], &key, kept::SECRET)?;
                kept::write(&paths[0], &authority.pem, kept::OPEN)?;
                Ok(authority)
            }
            (Some(_), None) => Err(TlsError::broken(
                &paths[1],
                "is missing: it is the key of the CA that clients trust, and without it no certificate can be made for them. \
                 Put it back from a backup; or remove ca.crt beside it too, and have the new CA trusted by every client (see /connect)",
            )),
            (None, _) => Err(TlsError::broken(
                &paths[0],
                "is missing, the certificate of the CA whose key is beside it. Put it back from a backup, or take it from a client; \
                 or remove ca.key too, and have the new CA trusted by every client (see /connect)",
            )),
        }
    }

    fn read(certificate: &Path, key: &Path, pair: &Pair) -> Result<Authority, TlsError> {
        let remedy = "put ca.crt and ca.key back from a backup, or remove both and have the new CA trusted by every client (see /connect)";
        let broken = |path: &Path, what: &str| TlsError::broken(path, format!("{what}: {remedy}"));
        let der = chain(certificate, &pair.certificate).map_err(|_| broken(certificate, "holds no certificate"))?.remove(0);
        let secret = std::str::from_utf8(&pair.key).ok().and_then(|pem| KeyPair::from_pem(pem).ok());
        let secret = secret.ok_or_else(|| broken(key, "holds no key that can be used"))?;
        let shown = PrivateKeyDer::try_from(secret.serialize_der()).map_err(|_| broken(key, "holds no key that can be used"))?;
        CertifiedKey::from_der(vec![der.clone()], shown, &provider()).map_err(|_| broken(key, "is not the key of ca.crt"))?;
        let ends = {
            let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| broken(certificate, "holds no certificate that can be used"))?;
            if !parsed.is_ca() {
                return Err(broken(certificate, "is not the certificate of a CA"));
            }
            parsed.validity().not_after.timestamp()
        };
        let issuer = Issuer::from_ca_cert_der(&der, secret)?;
        if ends < seconds(SystemTime::now()) {
            tracing::warn!(path = %certificate.display(), "the CA has ended, and clients refuse its certificates: {remedy}");
        }
        let pem = String::from_utf8_lossy(&pair.certificate).into_owned();
        Ok(Authority { issuer, certificate: der, pem, ends })
    }

    /// A new one, and its key in PEM form.
    pub(super) fn make(host: &str, now: SystemTime) -> Result<(Authority, String), TlsError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = ((now - EARLIER).into(), (now - EARLIER + LIFE).into());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let (before, after) = ("entrepot CA of ", format!(" ({})", (params.not_before + EARLIER).date()));
        let host: String = host.chars().take(LONGEST_NAME - before.len() - after.len()).collect();
        params.distinguished_name = named(&format!("{before}{host}{after}"));
        let certificate = params.self_signed(&key)?;
        let secret = key.serialize_pem();
        let ends = params.not_after.unix_timestamp();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Ok((Authority { issuer: Issuer::new(params, key), certificate: der, pem, ends }, secret))
    }

    /// A certificate for a server of these names, with a key of its own.
    pub(super) fn issue(&self, names: &BTreeSet<String>, common: &str, now: SystemTime) -> Result<Pair, TlsError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
        (params.not_before, params.not_after) = ((now - EARLIER).into(), self.end_of_one_made(now).into());
        params.distinguished_name = named(&common.chars().take(LONGEST_NAME).collect::<String>());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Pair { certificate: certificate.pem().into_bytes(), key: key.serialize_pem().into_bytes() })
    }

    /// When a certificate would end that is made now: with the authority at the latest.
    pub(super) fn end_of_one_made(&self, now: SystemTime) -> SystemTime {
        let own = SystemTime::UNIX_EPOCH + Duration::from_secs(self.ends.unsigned_abs());
        (now - EARLIER + SERVER_LIFE).min(own)
    }

    /// Whether it signed this certificate.
    pub(super) fn signed(&self, certificate: &X509Certificate<'_>) -> bool {
        let own = X509Certificate::from_der(&self.certificate);
        own.is_ok_and(|(_, own)| certificate.verify_signature(Some(own.public_key())).is_ok())
    }

    /// Its certificate, for whoever wants to trust it.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The SHA-256 fingerprint of its certificate, as openssl writes it: pairs of digits with colons between them.
    pub fn fingerprint(&self) -> String {
        let hex = Digest::of(&self.certificate).hex().to_ascii_uppercase();
        hex.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair)).collect::<Vec<_>>().join(":")
    }
}

/// The certificate's file and the key's.
pub(super) fn paths(folder: &Path) -> [std::path::PathBuf; 2] {
    [folder.join("ca.crt"), folder.join("ca.key")]
}

fn named(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}
