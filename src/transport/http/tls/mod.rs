//! TLS over a connection: who is trusted, who this side is, and by which library.

#[cfg(feature = "native-tls")]
mod native;
#[cfg(feature = "rustls")]
mod rustls;

use std::{
    any::Any,
    fmt,
    sync::{Arc, LazyLock, OnceLock},
};

use super::{ByteStream, Target};
use crate::error::{BuildError, ConnectError};

/// Settings, and what was made of them. Every clone shares it.
#[derive(Clone)]
pub(super) struct Tls {
    settings: Arc<Settings>,
    /// Made once. It holds certificates, of which a system has hundreds.
    connector: Arc<OnceLock<Connector>>,
}

#[derive(Clone, Default)]
struct Settings {
    /// PEM, of one or more certificates, or DER of one.
    roots: Vec<Vec<u8>>,
    no_system_roots: bool,
    identity: Option<Identity>,
    /// By native-tls, where rustls is there as well.
    native: bool,
    own: Own,
}

/// A client certificate: the chain, its own first, and its private key, in PEM.
#[derive(Clone)]
struct Identity {
    chain: Vec<u8>,
    key: Vec<u8>,
}

/// What a user made without us.
#[derive(Clone, Default)]
enum Own {
    #[default]
    None,
    Unknown,
    Known(Connector),
}

/// A way to speak TLS. Every clone is the same.
#[derive(Clone)]
enum Connector {
    #[cfg(feature = "rustls")]
    Rustls(tokio_rustls::TlsConnector),
    #[cfg(feature = "native-tls")]
    Native(tokio_native_tls::TlsConnector),
}

impl Default for Tls {
    /// The same for all: the process reads the system's certificates once.
    fn default() -> Self {
        static DEFAULT: LazyLock<Tls> = LazyLock::new(|| Tls { settings: Arc::default(), connector: Arc::default() });
        DEFAULT.clone()
    }
}

impl Tls {
    pub(super) fn root_certificate(&mut self, certificate: &[u8]) {
        self.set(|settings| settings.roots.push(certificate.to_vec()));
    }

    pub(super) fn no_system_roots(&mut self) {
        self.set(|settings| settings.no_system_roots = true);
    }

    pub(super) fn client_certificate(&mut self, chain: &[u8], key: &[u8]) {
        self.set(|settings| settings.identity = Some(Identity { chain: chain.to_vec(), key: key.to_vec() }));
    }

    #[cfg(feature = "native-tls")]
    pub(super) fn native_tls(&mut self) {
        self.set(|settings| settings.native = true);
    }

    pub(super) fn own(&mut self, config: Box<dyn Any>) {
        self.set(|settings| settings.own = Connector::own(config).map_or(Own::Unknown, Own::Known));
    }

    /// Whether it can be used, where it is not the default, which may never be needed.
    pub(super) fn check(&self) -> Result<(), BuildError> {
        if Arc::ptr_eq(&self.settings, &Tls::default().settings) { Ok(()) } else { self.connector().map(drop) }
    }

    /// Speaks TLS over a connection, with whoever this target is.
    pub(super) async fn connect(&self, target: &Target<'_>, stream: ByteStream) -> Result<ByteStream, ConnectError> {
        match self.connector()? {
            #[cfg(feature = "rustls")]
            Connector::Rustls(connector) => rustls::connect(&connector, target, stream).await,
            #[cfg(feature = "native-tls")]
            Connector::Native(connector) => native::connect(&connector, target, stream).await,
        }
    }

    fn set(&mut self, change: impl FnOnce(&mut Settings)) {
        change(Arc::make_mut(&mut self.settings));
        self.connector = Arc::default();
    }

    fn connector(&self) -> Result<Connector, BuildError> {
        if let Some(connector) = self.connector.get() {
            return Ok(connector.clone());
        }
        let connector = self.settings.connector()?;
        Ok(self.connector.get_or_init(|| connector).clone())
    }
}

impl Settings {
    fn connector(&self) -> Result<Connector, BuildError> {
        match &self.own {
            Own::Known(connector) => return Ok(connector.clone()),
            Own::Unknown => {
                return Err(unusable("the config is none that this build knows, perhaps of another version"));
            }
            Own::None => {}
        }
        if self.no_system_roots && self.roots.is_empty() {
            return Err(unusable("without the system's root certificates it takes some of your own"));
        }
        #[cfg(feature = "native-tls")]
        if self.native || cfg!(not(feature = "rustls")) {
            return native::connector(self).map(Connector::Native);
        }
        #[cfg(feature = "rustls")]
        return rustls::connector(self).map(Connector::Rustls);
        #[cfg(not(feature = "rustls"))]
        unreachable!("one of the two is there")
    }
}

impl Connector {
    fn own(config: Box<dyn Any>) -> Option<Self> {
        #[cfg(feature = "rustls")]
        let config = match rustls::own(config) {
            Ok(connector) => return Some(Connector::Rustls(connector)),
            Err(config) => config,
        };
        #[cfg(feature = "native-tls")]
        let config = match config.downcast::<native_tls::TlsConnector>() {
            Ok(connector) => return Some(Connector::Native((*connector).into())),
            Err(config) => config,
        };
        drop(config);
        None
    }
}

/// Without certificates and keys.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { roots, no_system_roots, identity, native, own } = &*self.settings;
        let own = match own {
            Own::None => "none",
            _ => "given",
        };
        f.debug_struct("Tls")
            .field("roots", &roots.len())
            .field("system_roots", &!no_system_roots)
            .field("client_certificate", &identity.is_some())
            .field("native", native)
            .field("config", &own)
            .finish()
    }
}

/// Whether these are bytes of PEM rather than DER.
fn is_pem(certificate: &[u8]) -> bool {
    memchr::memmem::find(certificate, b"-----BEGIN ").is_some()
}

fn unusable(why: impl fmt::Display) -> BuildError {
    BuildError::Tls(why.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(one: &Tls, other: &Tls) -> bool {
        Arc::ptr_eq(&one.connector, &other.connector)
    }

    #[test]
    fn what_is_read_once_is_shared_by_clones_and_by_all_defaults() {
        let mut given = Tls::default();
        assert!(shared(&given, &Tls::default()));
        given.no_system_roots();
        assert!(!shared(&given, &Tls::default()));
        assert!(shared(&given, &given.clone()));
        let mut more = given.clone();
        more.root_certificate(b"more");
        assert!(!shared(&given, &more), "a clone that was changed is another");
    }
}
