//! TLS by rustls.

use midplane_core::bus::SettingsError;
use redis::{Client, TlsCertificates};

use crate::settings::Redis;

/// Chooses the cryptography of rustls, unless the program did.
pub(crate) fn prepare() {
    // It fails when there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl Redis {
    /// Trusts the servers that this certificate signed, in PEM, in place of those that the system trusts.
    ///
    /// # Errors
    /// When it is no PEM, or the URL does not ask for TLS.
    pub fn with_root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Result<Self, SettingsError> {
        let pem = pem.into();
        for seed in &mut self.endpoint.seeds {
            let certificates = TlsCertificates {
                client_tls: None,
                root_cert: Some(pem.clone()),
            };
            let client = Client::build_with_tls(seed.clone(), certificates).map_err(|_| {
                let message = "must be pem, and the url of redis must ask for tls (rediss://)";
                SettingsError::Value {
                    setting: "root certificate",
                    message: message.to_owned(),
                }
            })?;
            *seed = client.get_connection_info().clone();
        }
        Ok(self)
    }
}
