//! How HTTP connections are made: TLS, and through which proxies.

pub(crate) mod credentials;
mod exchange;
mod failed;
#[cfg(feature = "long-poll")]
mod line;
mod proxy;
#[cfg(feature = "long-poll")]
mod requests;
mod socks;
mod stream;
mod target;
mod tcp;
#[cfg(test)]
mod tests;
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod tls;
#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
#[path = "no_tls.rs"]
mod tls;
mod tunnel;
mod variables;

use std::{fmt, sync::Arc};

use http::Uri;

#[cfg(feature = "long-poll")]
use self::line::{Form, Line};
#[cfg(feature = "websocket")]
pub(crate) use exchange::ask;
pub(crate) use failed::failed;
#[cfg(feature = "long-poll")]
pub(crate) use requests::{Answer, Limits, Requests};
pub(crate) use stream::ByteStream;
pub(crate) use target::Target;

use self::{
    credentials::Credentials,
    proxy::{Protocol, Proxy},
    tls::Tls,
    variables::Variables,
};
use crate::error::{BuildError, ConnectError};

/// How HTTP connections are made: whose certificates are trusted, who this side is, and through which proxy. Given to
/// a socket by [`Builder::http`](crate::Builder::http), to hold for whichever transport it uses.
///
/// The default trusts whom the system trusts, and uses the proxies that the system's variables name. A clone is the
/// same again, and shares what is read once: the certificates. What cannot be used is a [`BuildError`] when a socket
/// is built with it. `Debug` shows no secret.
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
///
/// # Proxies
///
/// Of an HTTP proxy a tunnel is asked for by `CONNECT`, for `ws` as for `wss`, and the proxy looks up the server's name.
/// Long-poll requests that are not encrypted are handed to it whole, since many a proxy opens no tunnel for those: it reads
/// them. It may be reached by TLS itself (`https://`), and told a user and a password. What it refuses is
/// [`ConnectError::ProxyRefused`](crate::ConnectError::ProxyRefused).
///
/// SOCKS is spoken in its version 5. The scheme says who looks up the server's name, as it does elsewhere: with
/// `socks5h://` the proxy, which may be the only one that knows it, and with `socks5://` this side, which asks for the
/// first of its addresses. What such a proxy refuses is
/// [`ConnectError::SocksRefused`](crate::ConnectError::SocksRefused).
///
/// Of the system's variables `http_proxy` holds for `ws` and `http`, `https_proxy` for `wss` and `https`, and
/// `all_proxy` where that is not set; small letters come before capitals. They are looked up at every attempt to
/// connect; one that cannot be used is skipped, which is traced. `no_proxy` lists the hosts that are reached without:
/// `example.org` (and all below it), `10.0.0.0/8`, `example.org:4000` or `*`, parted by commas. `localhost`, names
/// below it and loopback addresses always are. A proxy given to [`proxy`](Http::proxy) holds for every host, and no
/// variable is asked.
#[derive(Clone)]
pub struct Http {
    tls: Tls,
    route: Route,
    /// For the proxy that is given.
    credentials: Option<Credentials>,
    /// The first thing that cannot be used.
    error: Option<BuildError>,
}

#[derive(Clone, Debug)]
enum Route {
    System(Variables),
    Proxy(Arc<Proxy>),
    Direct,
}

impl Default for Http {
    fn default() -> Self {
        Http { tls: Tls::default(), route: Route::System(Variables::of_process()), credentials: None, error: None }
    }
}

impl Http {
    /// Goes through this proxy, whatever the host and the system's variables: `http://host:port`, or `https://` for
    /// TLS to the proxy itself, `socks5://`, or `socks5h://` for one that looks up names. It may hold a user and a
    /// password, percent-encoded: `http://ann:s%40fe@host:port`. Without a port it is that of the scheme: 80, 443, or
    /// 1080.
    #[must_use]
    pub fn proxy(mut self, url: impl AsRef<str>) -> Self {
        match Proxy::parse(url.as_ref()) {
            Ok(proxy) => self.route = Route::Proxy(Arc::new(proxy)),
            Err(error) => self.fail(error),
        }
        self
    }

    /// What the proxy given to [`proxy`](Http::proxy) is told, in place of what its URL holds: a user and a password
    /// as they are. By HTTP they are sent as `Basic`, whose user has no colon; by SOCKS they are 1 to 255 bytes each.
    /// Either way it is the proxy that reads them, and whoever is on the way to it where that is without TLS. A proxy of the system's variables is not told it.
    #[must_use]
    pub fn proxy_credentials(mut self, user: impl AsRef<str>, password: impl AsRef<str>) -> Self {
        self.credentials = Some(Credentials::new(user.as_ref(), password.as_ref()));
        self
    }

    /// Goes through the proxies that these variables name, in place of the process' own: a function from a name, such
    /// as `https_proxy`, to what it holds.
    #[must_use]
    pub fn proxy_variables(mut self, lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.route = Route::System(Variables::new(lookup));
        self
    }

    /// Uses no proxy, whatever the system's variables say.
    #[must_use]
    pub fn no_proxy(mut self) -> Self {
        self.route = Route::Direct;
        self
    }
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
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        if let Route::Proxy(proxy) = &self.route {
            proxy.telling(self.credentials.as_ref()).check()?;
        }
        self.tls.check()
    }

    /// Opens a connection to where this URL is, for whatever is to be spoken there.
    #[cfg_attr(not(feature = "websocket"), allow(dead_code, reason = "it is for WebSockets"))]
    pub(crate) async fn connect(&self, url: &Uri) -> Result<ByteStream, ConnectError> {
        let target = Target::of(url);
        self.open(&target, self.proxy_for(&target)).await
    }

    /// Opens a connection for requests to where this URL is. Many a proxy opens no tunnel but to port 443, and takes
    /// what is not encrypted as requests of its own.
    #[cfg(feature = "long-poll")]
    pub(crate) async fn connect_for_requests(&self, url: &Uri) -> Result<Line, ConnectError> {
        let target = Target::of(url);
        match self.proxy_for(&target) {
            Some(proxy) if !target.tls && proxy.speaks_http() => {
                let form = Form::Absolute(proxy.authorization()?);
                Ok(Line { stream: self.reach(&proxy).await?, form })
            }
            proxy => Ok(Line { stream: self.open(&target, proxy).await?, form: Form::Origin }),
        }
    }

    async fn open(&self, target: &Target<'_>, proxy: Option<Proxy>) -> Result<ByteStream, ConnectError> {
        let stream = match proxy {
            None => tcp::connect(target).await?,
            Some(proxy) => match proxy.protocol {
                Protocol::Http | Protocol::Https => tunnel::open(&proxy, target, self.reach(&proxy).await?).await?,
                Protocol::Socks5(names) => {
                    let destination = socks::destination(target, names).await?;
                    socks::open(&proxy, destination, self.reach(&proxy).await?).await?
                }
            },
        };
        self.secure(target, stream).await
    }

    /// A connection to the proxy itself.
    async fn reach(&self, proxy: &Proxy) -> Result<ByteStream, ConnectError> {
        let at = proxy.target();
        self.secure(&at, tcp::connect(&at).await?).await
    }

    /// The proxy on the way to this target, with what it is told.
    fn proxy_for(&self, target: &Target<'_>) -> Option<Proxy> {
        match &self.route {
            Route::Direct => None,
            Route::System(variables) => variables.proxy_for(target),
            Route::Proxy(proxy) => Some(proxy.telling(self.credentials.as_ref())),
        }
    }

    async fn secure(&self, target: &Target<'_>, stream: ByteStream) -> Result<ByteStream, ConnectError> {
        if target.tls { self.tls.connect(target, stream).await } else { Ok(stream) }
    }

    fn fail(&mut self, error: BuildError) {
        self.error.get_or_insert(error);
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("tls", &self.tls).field("route", &self.route).finish_non_exhaustive()
    }
}
