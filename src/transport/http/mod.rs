//! How HTTP connections are made: TLS, and by which ways.

pub(crate) mod credentials;
mod exchange;
mod failed;
mod stream;
mod target;
mod tcp;
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod tls;
#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
#[path = "no_tls.rs"]
mod tls;

use http::Uri;

pub(crate) use exchange::ask;
pub(crate) use failed::failed;
pub(crate) use stream::ByteStream;
pub(crate) use target::Target;

use crate::error::{BuildError, ConnectError};
use tls::Tls;

/// How HTTP connections are made: whose certificates are trusted, and who this side is. Given to a socket by
/// [`Builder::http`](crate::Builder::http), to hold for whichever transport it uses.
///
/// The default trusts whom the system trusts. A clone is the same again, and shares what is read once: the
/// certificates. What cannot be used is a [`BuildError`] when a socket is built with it. `Debug` shows no secret.
///
/// ```no_run
/// use phoenix_streams::{Http, Socket};
///
/// # async fn connect() -> Result<(), Box<dyn std::error::Error>> {
/// let http = Http::default().root_certificate(std::fs::read("ca.pem")?);
/// let socket = Socket::builder("wss://example.org/socket").http(http).connect().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Http {
    tls: Tls,
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
impl Http {
    /// Trusts this root certificate too: PEM, of one or more certificates, or DER of one.
    #[must_use]
    pub fn root_certificate(mut self, certificate: impl AsRef<[u8]>) -> Self {
        self.tls.root_certificate(certificate.as_ref());
        self
    }

    /// Trusts the given root certificates alone, and none of the system's.
    #[must_use]
    pub fn no_system_roots(mut self) -> Self {
        self.tls.no_system_roots();
        self
    }

    /// Shows this certificate to a server that asks for one: the chain, the client's own first, and its private key,
    /// both in PEM. The key is PKCS #8, or with rustls also PKCS #1 or SEC 1.
    #[must_use]
    pub fn client_certificate(mut self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.tls.client_certificate(chain.as_ref(), key.as_ref());
        self
    }

    /// TLS by the platform's own library, also where rustls is compiled in.
    #[cfg(feature = "native-tls")]
    #[must_use]
    pub fn native_tls(mut self) -> Self {
        self.tls.native_tls();
        self
    }

    /// TLS as you configured it, in place of all other settings of certificates: a `rustls::ClientConfig` of rustls
    /// 0.23, perhaps in an `Arc`, or a `native_tls::TlsConnector` of native-tls 0.2, where the feature of that name is
    /// on. Of rustls, the ALPN protocols are set to `http/1.1`; of native-tls, leave `h2` out.
    ///
    /// The type is not named here, so that a later version of either is no breaking change. Anything else is a
    /// [`BuildError`] when the socket is built.
    #[must_use]
    pub fn tls_config(mut self, config: impl std::any::Any) -> Self {
        self.tls.own(Box::new(config));
        self
    }
}

impl Http {
    /// Whether it can be used at all.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        self.tls.check()
    }

    /// Opens a connection to where this URL is.
    pub(crate) async fn connect(&self, url: &Uri) -> Result<ByteStream, ConnectError> {
        let target = Target::of(url);
        let stream = tcp::connect(&target).await?;
        if target.tls { self.tls.connect(&target, stream).await } else { Ok(stream) }
    }
}
