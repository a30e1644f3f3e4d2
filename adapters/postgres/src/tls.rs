//! TLS by rustls, over any socket and under any executor.

use std::error::Error as StdError;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::Host;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Error, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::driver::DriverConnection;
use crate::encryption::{Encryption, EncryptionMode};
use crate::error::{ConnectionError, ConnectionErrorKind};
use crate::socket::Socket;
use crate::url::{Endpoint, Server};
use crate::verifier::RelaxedVerifier;

/// What the driver calls when the server speaks TLS. It also binds the login to the connection.
type Secure = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;

/// The system's roots, read once.
static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();

/// How to speak to one server.
pub(crate) struct Connector(Option<Secure>);

impl Connector {
    /// The settings for one link; the file of certificates is read anew.
    pub(crate) fn new(endpoint: &Endpoint, server: &Server) -> Result<Self, ConnectionError> {
        // No network is behind a socket of the system.
        let local = !matches!(server.host, Host::Tcp(_));
        if local || endpoint.encryption.mode == EncryptionMode::Disable {
            return Ok(Self(None));
        }
        let secure = secure(&endpoint.encryption, &server.name).map_err(|error| {
            let message = format!(
                "TLS with the Postgres server at {server} cannot be set up: look at `sslrootcert`, and at the host, of \
                 the url"
            );
            ConnectionError::new(ConnectionErrorKind::Denied, message).caused_by(error)
        })?;
        Ok(Self(Some(secure)))
    }

    /// Logs in over the socket.
    pub(crate) async fn connect(
        self,
        login: &Config,
        socket: Socket,
    ) -> Result<(Client, Box<dyn DriverConnection>), Error> {
        match self.0 {
            Some(secure) => {
                let (client, connection) = login.connect_raw(socket, secure).await?;
                Ok((client, Box::new(connection)))
            }
            None => {
                let (client, connection) = login.connect_raw(socket, NoTls).await?;
                Ok((client, Box::new(connection)))
            }
        }
    }
}

fn secure(encryption: &Encryption, name: &str) -> Result<Secure, Box<dyn StdError + Send + Sync>> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier(encryption, provider)?)
        .with_no_client_auth();
    let mut connector = MakeRustlsConnect::new(config);
    let made = MakeTlsConnect::<Socket>::make_tls_connect(&mut connector, name);
    Ok(made?)
}

/// What verifies the server's certificate, as closely as the mode asks.
fn verifier(
    encryption: &Encryption,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Box<dyn StdError + Send + Sync>> {
    if encryption.mode <= EncryptionMode::Require {
        return Ok(Arc::new(RelaxedVerifier::no_verify(provider)));
    }
    let roots = match &encryption.roots {
        Some(path) => Arc::new(read(path)?),
        None => SYSTEM.get_or_init(system).clone(),
    };
    let strict = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build()?;
    Ok(if encryption.mode == EncryptionMode::VerifyFull {
        strict
    } else {
        Arc::new(RelaxedVerifier::no_name_check(strict, provider))
    })
}

fn read(path: &Path) -> Result<RootCertStore, Box<dyn StdError + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path)? {
        roots.add(certificate?)?;
    }
    Ok(roots)
}

/// Roots that cannot be read are left out: a server that needs one of them is refused then.
fn system() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(roots)
}
