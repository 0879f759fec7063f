//! Certificates that a test makes for itself.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd};

/// An authority of one test.
pub struct TestAuthority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate with its key, in PEM form.
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl TestAuthority {
    pub fn new(name: &str) -> TestAuthority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = common(name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        TestAuthority { issuer: Issuer::new(params, key), pem }
    }

    /// For a server at 127.0.0.1.
    pub fn server(&self) -> Issued {
        self.issue(CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap())
    }

    /// For a client whose common name this is.
    pub fn client(&self, name: &str) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name = common(name);
        self.issue(params)
    }

    /// For a client without a common name.
    pub fn client_by_address(&self, address: &str) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::Rfc822Name(address.try_into().unwrap())];
        self.issue(params)
    }

    /// For a client, until some years ago.
    pub fn expired_client(&self, name: &str) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name = common(name);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        self.issue(params)
    }

    fn issue(&self, params: CertificateParams) -> Issued {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Issued { certificate, key: key.serialize_pem() }
    }
}

impl Issued {
    /// What a client shows.
    pub fn identity(&self) -> reqwest::Identity {
        reqwest::Identity::from_pem(format!("{}{}", self.key, self.certificate).as_bytes()).unwrap()
    }

    /// Writes `server.crt` and `server.key` into a folder.
    pub fn write(&self, folder: &std::path::Path) -> [PathBuf; 2] {
        let paths = [folder.join("server.crt"), folder.join("server.key")];
        std::fs::write(&paths[0], &self.certificate).unwrap();
        std::fs::write(&paths[1], &self.key).unwrap();
        paths
    }
}

fn common(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}
