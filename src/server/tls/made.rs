//! The server's certificate that is made here: for the names of this machine, made anew under the same authority when they change,
//! when a third of its life is left, or when it is broken.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tracing::info;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::authority::{self, Authority};
use super::{Pair, TlsError, chain, kept, names, provider, seconds};
use crate::config::Settings;

/// The certificate in the data folder, and what it is made from.
pub struct Made {
    folder: PathBuf,
    pub(super) authority: Authority,
    listen: Vec<SocketAddr>,
    /// Those that were configured.
    hosts: Vec<String>,
}

impl Made {
    /// Opens the folder `tls` of the data folder, and makes an authority where there is none.
    pub(super) fn open(settings: &Settings, listen: &[SocketAddr]) -> Result<Made, TlsError> {
        let folder = settings.storage.data.join("tls");
        kept::folder(&folder)?;
        let authority = Authority::open(&folder, &names::host_name())?;
        let url = settings.server.external_url.as_deref().and_then(|url| url::Url::parse(url).ok());
        let external = url.as_ref().and_then(url::Url::host_str).map(|host| host.trim_matches(['[', ']']).to_owned());
        let hosts = settings.server.tls.hosts.iter().cloned().chain(external).collect();
        Ok(Made { folder, authority, listen: listen.to_vec(), hosts })
    }

    /// The certificate's file and the key's.
    pub(super) fn paths(&self) -> [PathBuf; 2] {
        [self.folder.join("server.crt"), self.folder.join("server.key")]
    }

    /// The certificate that is right at `now`, from its files or made.
    pub(super) fn current(&self, now: SystemTime) -> Result<Pair, TlsError> {
        let mut names = names::of_this_machine(&self.listen);
        names.extend(self.hosts.iter().map(|host| host.parse().map_or_else(|_| host.clone(), |address: IpAddr| address.to_string())));
        self.right(&names, now)
    }

    fn right(&self, names: &BTreeSet<String>, now: SystemTime) -> Result<Pair, TlsError> {
        let [certificate, key] = self.paths();
        let why = match (kept::find(&certificate)?, kept::find(&key)?) {
            (Some(found), Some(secret)) => {
                let pair = Pair { certificate: found, key: secret };
                match self.why_not(&pair, names, now) {
                    None => return Ok(pair),
                    Some(why) => why,
                }
            }
            _ => "there was none",
        };
        let pair = self.authority.issue(names, names.iter().find(|name| !is_address(name)).map_or("entrepot", String::as_str), now)?;
        // The key first: one that does not fit its certificate is made anew.
        kept::write(&key, &String::from_utf8_lossy(&pair.key), kept::SECRET)?;
        kept::write(&certificate, &String::from_utf8_lossy(&pair.certificate), kept::OPEN)?;
        info!(why, names = %names.iter().cloned().collect::<Vec<_>>().join(" "), "made a certificate for this server");
        Ok(pair)
    }

    /// What is wrong with a certificate that was made before.
    fn why_not(&self, pair: &Pair, names: &BTreeSet<String>, now: SystemTime) -> Option<&'static str> {
        let Some(leaf) = read(pair) else { return Some("the one before was broken") };
        let Ok((_, parsed)) = X509Certificate::from_der(&leaf) else { return Some("the one before was broken") };
        let (begins, ends) = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
        let now_in_seconds = seconds(now);
        let another = seconds(self.authority.end_of_one_made(now)) > ends;
        match () {
            () if !self.authority.signed(&parsed) => Some("the one before was of another CA"),
            () if self.names(&parsed) != *names => Some("the names have changed"),
            () if now_in_seconds < begins => Some("the one before begins later"),
            () if ends - now_in_seconds < (ends - begins) / 3 && another => Some("the one before ends soon"),
            () => None,
        }
    }

    fn names(&self, certificate: &X509Certificate<'_>) -> BTreeSet<String> {
        let alternative = certificate.subject_alternative_name().ok().flatten();
        let all = alternative.iter().flat_map(|names| &names.value.general_names);
        all.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
                _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            },
            _ => None,
        })
        .collect()
    }
}

/// The certificate of a pair that belongs together.
fn read(pair: &Pair) -> Option<CertificateDer<'static>> {
    let leaf = chain(Path::new(""), &pair.certificate).ok()?.remove(0);
    let key = PrivateKeyDer::from_pem_slice(&pair.key).ok()?;
    CertifiedKey::from_der(vec![leaf.clone()], key, &provider()).ok()?;
    Some(leaf)
}

fn is_address(name: &str) -> bool {
    name.parse::<IpAddr>().is_ok()
}

/// Writes a new authority and a server's certificate for `hosts` into `folder`, for other uses: ca.crt, ca.key, server.crt, server.key.
/// Returns the authority. Nothing that is there is written over.
pub fn init(folder: &Path, hosts: &[String]) -> Result<Authority, TlsError> {
    let [ca, ca_key] = authority::paths(folder);
    let (server, server_key) = (folder.join("server.crt"), folder.join("server.key"));
    if let Some(there) = [&ca, &ca_key, &server, &server_key].into_iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(TlsError::broken(there, "is there already, and nothing is written over: choose another folder with --output"));
    }
    kept::folder(folder)?;
    let now = SystemTime::now();
    let (host, names) = (hosts.first().map_or("entrepot", String::as_str), hosts.iter().cloned().collect());
    let (authority, key) = Authority::make(host, now)?;
    let pair = authority.issue(&names, host, now)?;
    kept::write_new(&ca_key, &key, kept::SECRET)?;
    kept::write_new(&ca, authority.pem(), kept::OPEN)?;
    kept::write_new(&server_key, &String::from_utf8_lossy(&pair.key), kept::SECRET)?;
    kept::write_new(&server, &String::from_utf8_lossy(&pair.certificate), kept::OPEN)?;
    kept::settle(folder)?;
    Ok(authority)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn a_certificate_is_made_anew_when_a_third_of_its_life_is_left_or_its_names_change_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::builtin();
        settings.storage.data = folder.path().to_owned();
        let made = Made::open(&settings, &[]).unwrap();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let (now, ours) = (SystemTime::now(), names(&["::1", "a.example", "192.0.2.7"]));
        let first = made.right(&ours, now).unwrap();
        let still = |days: u32| made.right(&ours, now + DAY * days).unwrap() == first;
        assert!(still(0) && still(397 * 2 / 3 - 3), "two thirds of its life");
        assert!(!still(397 * 2 / 3 - 1));
        let second = made.right(&ours, now + DAY * 300).unwrap();
        assert!(made.right(&ours, now + DAY * 300).unwrap() == second, "once");
        assert!(made.right(&names(&["a.example"]), now + DAY * 300).unwrap() != second);
        // The authority ends first: another certificate would be no better.
        let last = made.right(&ours, now + DAY * 3640).unwrap();
        assert!(made.right(&ours, now + DAY * 3645).unwrap() == last);
    }
}
