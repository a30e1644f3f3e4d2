//! TLS by rustls, over any socket and under any executor.

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::Host;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::{Client, Config, Error, NoTls};
use tokio_rustls::TlsConnector;

use crate::driver::DriverConnection;
use crate::encryption::{Encryption, EncryptionMode};
use crate::error::{ConnectionError, ConnectionErrorKind};
use crate::socket::Socket;
use crate::url::{Endpoint, Server};
use crate::verifier::RelaxedVerifier;

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
        let secure = Secure::new(&endpoint.encryption, &server.name).map_err(|error| {
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

/// What the driver calls when the server speaks TLS.
struct Secure {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Secure {
    fn new(encryption: &Encryption, name: &str) -> Result<Self, Box<dyn StdError + Send + Sync>> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier(encryption, provider)?)
            .with_no_client_auth();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            name: ServerName::try_from(name)?.to_owned(),
        })
    }
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

impl TlsConnect<Socket> for Secure {
    type Stream = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move { Ok(Stream(self.connector.connect(self.name, socket).await?)) })
    }
}

/// A stream that the driver takes.
struct Stream(tokio_rustls::client::TlsStream<Socket>);

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
