//! `[server.tls]`: whose certificate is shown, and to whom it matters. A key that the mode has no use for is a fault, never passed over.

use std::net::IpAddr;
use std::path::PathBuf;

use super::faults::Place;
use super::reader::Reader;
use super::settings::{Tls, TlsMode};
use super::values::*;

/// The mode as it is written; what belongs to it has keys of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Off,
    Files,
    SelfSigned,
}

/// What was written for the path of a file.
enum Given {
    Nothing,
    File(Place, PathBuf),
    /// What is wrong with it was told.
    Faulty,
}

pub(super) fn read(table: &mut Reader<'_>, into: &mut Tls) {
    let mut mode = Mode::SelfSigned;
    let modes = [("self-signed", Mode::SelfSigned), ("files", Mode::Files), ("off", Mode::Off)];
    let here = table.read("mode", &mut mode, choice(&modes)).unwrap_or_else(|| table.place.clone());
    let (certificate, key, client_ca) = (file(table, "certificate"), file(table, "key"), file(table, "client_ca"));
    let names = table.read("hosts", &mut into.hosts, list(|node| text_as(host)(node)));
    let require = table.read("require", &mut into.require, boolean);

    for (name, given) in [("certificate", &certificate), ("key", &key)] {
        match given {
            Given::Nothing if mode == Mode::Files => {
                table.fault("mode", here.clone(), format!("\"files\" needs {name} too, the path of a PEM file"));
            }
            Given::File(place, _) if mode != Mode::Files => {
                table.fault(name, place.clone(), "is used with mode = \"files\" alone; set that, or remove it");
            }
            _ => {}
        }
    }
    if let (Mode::Off, Given::File(place, _)) = (mode, &client_ca) {
        table.fault("client_ca", place.clone(), "there are no client certificates while mode is \"off\"; remove it");
    }
    if let (Mode::Off, true, Some(place)) = (mode, into.require, require) {
        table.fault("require", place, "nothing could be reached: plain HTTP is refused, and mode is \"off\"");
    }
    if let (false, Some(place), false) = (mode == Mode::SelfSigned, names, into.hosts.is_empty()) {
        let named = if let Place::Option(option) = place { option } else { "server.tls.hosts" };
        table
            .context
            .warn(format!("{named} changes nothing: it is for the certificate that is made with server.tls.mode = \"self-signed\""));
    }
    into.client_ca = client_ca.path();
    into.mode = match (mode, certificate.path(), key.path()) {
        (Mode::Files, Some(certificate), Some(key)) => TlsMode::Files { certificate, key },
        (Mode::Files | Mode::Off, ..) => TlsMode::Off,
        (Mode::SelfSigned, ..) => TlsMode::SelfSigned,
    };
}

fn file(table: &mut Reader<'_>, name: &'static str) -> Given {
    let mut read = None;
    let place = table.read(name, &mut read, |node| optional(readable_file)(node).map(Some));
    match (place, read) {
        (Some(place), Some(Some(path))) => Given::File(place, path),
        (Some(_), None) => Given::Faulty,
        (None, _) | (_, Some(None)) => Given::Nothing,
    }
}

impl Given {
    fn path(self) -> Option<PathBuf> {
        match self {
            Given::File(_, path) => Some(path),
            Given::Nothing | Given::Faulty => None,
        }
    }
}

/// A name or an address that a certificate may be for.
fn host(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    if text.parse::<IpAddr>().is_ok() {
        return Ok(text);
    }
    let part = |part: &str| {
        let letters = part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (1..=63).contains(&part.len()) && letters && !part.starts_with('-') && !part.ends_with('-')
    };
    match text.len() <= 253 && text.strip_prefix("*.").unwrap_or(&text).split('.').all(part) {
        true => Ok(text),
        false => Err(format!(
            "{text:?} is neither a name nor an address; write it like \"registry.example.com\" or \"192.0.2.7\", without a port"
        )),
    }
}

/// Names and addresses for a certificate, from the command line.
///
/// # Errors
/// The first that is none, with what to write instead.
pub fn certificate_hosts(texts: &[String]) -> Result<Vec<String>, String> {
    texts.iter().map(|text| host(text)).collect()
}
