//! Certificates for tests of TLS.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// An authority that signs certificates, of its own making, and a directory with what it has made.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    directory: TempDir,
}

/// A certificate that an [`Authority`] signed, and its key, in PEM; and the files with both, which live as long as the
/// authority.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The certificate.
    pub certificate: String,
    /// The key of the certificate.
    pub key: String,
    /// The file with the certificate.
    pub certificate_file: String,
    /// The file with the key.
    pub key_file: String,
}

impl Authority {
    /// An authority whom nobody trusts yet.
    ///
    /// # Panics
    /// When the system has no random bytes, or no room for a file.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).expect("a certificate").pem();
        let directory = tempfile::tempdir().expect("a directory");
        let authority = Self {
            issuer: Issuer::new(parameters, key),
            certificate,
            directory,
        };
        fs::write(authority.file(), &authority.certificate).expect("it is written");
        authority
    }

    /// The authority's own certificate, in PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The file with the authority's own certificate.
    #[must_use]
    pub fn file(&self) -> String {
        self.path("authority.pem")
    }

    /// A certificate for a server of these names and addresses.
    ///
    /// # Panics
    /// When one of the names is none, or there is no room for a file.
    #[must_use]
    pub fn sign(&self, names: &[&str]) -> Signed {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let name = names.join("+");
        let certificate = CertificateParams::new(names)
            .and_then(|parameters| parameters.signed_by(&key, &self.issuer))
            .expect("a certificate");
        let signed = Signed {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            certificate_file: self.path(&format!("{name}.pem")),
            key_file: self.path(&format!("{name}.key")),
        };
        fs::write(&signed.certificate_file, &signed.certificate).expect("it is written");
        fs::write(&signed.key_file, &signed.key).expect("it is written");
        signed
    }

    fn path(&self, name: &str) -> String {
        let path = self.directory.path().join(name);
        path.to_str().expect("a path of text").to_owned()
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
