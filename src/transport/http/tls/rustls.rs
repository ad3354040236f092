//! By rustls, with the platform's verifier.

use std::{any::Any, io, sync::Arc, time::Duration};

use rustls_platform_verifier::Verifier;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        CertificateError, ClientConfig, Error, InvalidMessage, RootCertStore,
        client::{WebPkiServerVerifier, danger::ServerCertVerifier},
        crypto::{CryptoProvider, aws_lc_rs},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    },
};

use super::{Settings, is_pem, unusable};
use crate::{
    error::{BuildError, ConnectError},
    transport::http::{
        ByteStream, Target, failed,
        failed::{not_tls, untrusted},
    },
};

/// What is spoken over TLS. A server must not choose HTTP/2, which has no upgrades.
const ALPN: &[u8] = b"http/1.1";

/// What DER of a certificate begins with.
const SEQUENCE: u8 = 0x30;

pub(super) fn connector(settings: &Settings) -> Result<TlsConnector, BuildError> {
    // Where two providers are compiled in and none is installed, rustls panics rather than choose.
    let provider = CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(verifier(settings, provider)?);
    let config = match &settings.identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let chain = certificates(&identity.chain).ok_or_else(|| unusable("the client certificate is not PEM"))?;
            let key = PrivateKeyDer::from_pem_slice(&identity.key)
                .map_err(|_| unusable("the client certificate's key is no PEM of a private key"))?;
            config.with_client_auth_cert(chain, key).map_err(|error| {
                unusable(format_args!("the client certificate and its key cannot be used together: {error}"))
            })?
        }
    };
    Ok(finish(config))
}

/// Takes a config that a user made, or gives back what is none.
pub(super) fn own(config: Box<dyn Any>) -> Result<TlsConnector, Box<dyn Any>> {
    let config = match config.downcast::<ClientConfig>() {
        Ok(config) => *config,
        Err(other) => Arc::unwrap_or_clone(*other.downcast::<Arc<ClientConfig>>()?),
    };
    Ok(finish(config))
}

pub(super) async fn connect(
    connector: &TlsConnector,
    target: &Target<'_>,
    stream: ByteStream,
) -> Result<ByteStream, ConnectError> {
    let name = ServerName::try_from(target.name().to_owned()).map_err(|error| failed(target, error))?;
    match connector.connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(refused(target, error)),
    }
}

fn finish(mut config: ClientConfig) -> TlsConnector {
    config.alpn_protocols = vec![ALPN.to_vec()];
    Arc::new(config).into()
}

fn verifier(settings: &Settings, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, BuildError> {
    let mut roots = Vec::new();
    for root in &settings.roots {
        let read = match root.first() {
            _ if is_pem(root) => certificates(root),
            Some(&SEQUENCE) => Some(vec![root.clone().into()]),
            _ => None,
        };
        roots.extend(
            read.ok_or_else(|| unusable("a root certificate is neither PEM nor DER: give its bytes, not its path"))?,
        );
    }
    if settings.no_system_roots {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root).map_err(bad_root)?;
        }
        Ok(WebPkiServerVerifier::builder_with_provider(store.into(), provider).build().map_err(unusable)?)
    } else if roots.is_empty() {
        Ok(Arc::new(Verifier::new(provider).map_err(unusable)?))
    } else {
        with_system_roots(roots, provider)
    }
}

#[cfg(not(target_os = "android"))]
fn with_system_roots(
    roots: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, BuildError> {
    Ok(Arc::new(Verifier::new_with_extra_roots(roots, provider).map_err(bad_root)?))
}

#[cfg(target_os = "android")]
fn with_system_roots(
    _: Vec<CertificateDer<'static>>,
    _: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, BuildError> {
    Err(unusable("Android's root certificates cannot be added to: use `no_system_roots`"))
}

/// The certificates of a PEM file, of which there is at least one.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    certificates.ok().filter(|certificates| !certificates.is_empty())
}

fn bad_root(error: Error) -> BuildError {
    unusable(format_args!("a root certificate cannot be used: {error}"))
}

fn refused(target: &Target<'_>, error: io::Error) -> ConnectError {
    match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(Error::InvalidCertificate(why)) => untrusted(target, &explain(why), error),
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => not_tls(target, error),
        _ => failed(target, error),
    }
}

fn explain(why: &CertificateError) -> String {
    match why {
        CertificateError::UnknownIssuer => "its issuer is not known here".into(),
        CertificateError::Expired => "it has expired".into(),
        CertificateError::ExpiredContext { time, not_after } => {
            format!("it expired {} before this machine's clock", span(*not_after, *time))
        }
        CertificateError::NotValidYet => "it is not valid yet".into(),
        CertificateError::NotValidYetContext { time, not_before } => {
            format!("it is not valid until {} after this machine's clock", span(*time, *not_before))
        }
        CertificateError::NotValidForName => "it is for another host".into(),
        CertificateError::NotValidForNameContext { presented, .. } => {
            format!("it is for another host{}", for_whom(presented))
        }
        CertificateError::BadSignature => "it is not signed by the issuer that it names".into(),
        CertificateError::Revoked => "it is revoked".into(),
        other => other.to_string(),
    }
}

/// A span of time in words that are close enough.
fn span(from: UnixTime, to: UnixTime) -> String {
    let span = Duration::from_secs(to.as_secs().saturating_sub(from.as_secs()));
    let (count, unit) = match span.as_secs() {
        seconds @ 0..60 => (seconds, "second"),
        seconds @ 60..3600 => (seconds / 60, "minute"),
        seconds @ 3600..86400 => (seconds / 3600, "hour"),
        seconds => (seconds / 86400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// Some of the names that a certificate is for: a server may write in as many as it likes.
fn for_whom(presented: &[String]) -> String {
    let names: Vec<&str> = presented.iter().map(String::as_str).filter(|name| name.len() <= 100).take(3).collect();
    if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) }
}
