//! TLS by rustls.

use redis::{Client, TlsCertificates};

use crate::{Redis, SettingsError};

/// Whether it is compiled in.
pub(crate) const COMPILED: bool = true;

/// Chooses the cryptography of rustls, unless the program did.
pub(crate) fn prepare() {
    // It fails when there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl Redis {
    /// The same bus, trusting the servers that this certificate signed, in PEM, in place of those that the
    /// system trusts.
    ///
    /// # Errors
    /// When it is no PEM, or the URL does not ask for TLS.
    pub fn with_root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Result<Self, SettingsError> {
        let pem = pem.into();
        for door in &mut self.site.doors {
            let certificates = TlsCertificates {
                client_tls: None,
                root_cert: Some(pem.clone()),
            };
            let client = Client::build_with_tls(door.clone(), certificates)
                .map_err(|_| SettingsError::Certificate)?;
            *door = client.get_connection_info().clone();
        }
        Ok(self)
    }
}
