//! The TLS settings, with a named provider: the driver's own would panic in a program where two of
//! rustls's providers are compiled in and none was installed.

use std::error::Error;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use async_nats::rustls::pki_types::pem::PemObject;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use async_nats::rustls::{ClientConfig, RootCertStore, crypto};
use midplane_core::bus::{BusError, BusErrorKind};

use crate::settings::Nats;

/// The platform's roots, read once.
static PLATFORM: OnceLock<RootCertStore> = OnceLock::new();

/// The settings for one link; the files that were named are read anew.
pub(crate) fn config(nats: &Nats) -> Result<ClientConfig, BusError> {
    build(nats).map_err(|error| {
        let message = "the TLS certificates cannot be used; see `with_root_certificates` and \
                       `with_client_certificate`";
        BusError::new(BusErrorKind::Denied, message).caused_by(error)
    })
}

fn build(nats: &Nats) -> Result<ClientConfig, Box<dyn Error + Send + Sync>> {
    let roots = match &nats.root_certificates {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate)?;
            }
            roots
        }
        None => PLATFORM.get_or_init(platform).clone(),
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(match &nats.client_certificate {
        Some((certificate, key)) => builder.with_client_auth_cert(
            certificates(certificate)?,
            PrivateKeyDer::from_pem_file(key)?,
        )?,
        None => builder.with_no_client_auth(),
    })
}

/// Roots that cannot be read are left out: a server that needs one of them is refused then.
fn platform() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Box<dyn Error + Send + Sync>> {
    Ok(CertificateDer::pem_file_iter(path)?.collect::<Result<_, _>>()?)
}
