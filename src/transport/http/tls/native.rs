//! By the platform's own library.

use native_tls::{Certificate, Error, Identity};
use tokio_native_tls::TlsConnector;

use super::{Settings, is_pem, unusable};
use crate::{
    error::{BuildError, ConnectError},
    transport::http::{ByteStream, Target, failed, failed::untrusted},
};

pub(super) fn connector(settings: &Settings) -> Result<TlsConnector, BuildError> {
    let mut builder = native_tls::TlsConnector::builder();
    // A server must not choose HTTP/2, which has no upgrades.
    builder.request_alpns(&["http/1.1"]).disable_built_in_roots(settings.no_system_roots);
    for root in &settings.roots {
        for root in roots(root)
            .ok_or_else(|| unusable("a root certificate is neither PEM nor DER: give its bytes, not its path"))?
        {
            builder.add_root_certificate(root);
        }
    }
    if let Some(identity) = &settings.identity {
        // What the library says of it is not repeated: it has held the key in its hands.
        let identity = Identity::from_pkcs8(&identity.chain, identity.key.trim_ascii_start())
            .map_err(|_| unusable("the client certificate is not PEM, or its key not PEM of PKCS #8"))?;
        builder.identity(identity);
    }
    let connector = builder.build().map_err(|error| match &settings.identity {
        Some(_) => unusable("the client certificate and its key cannot be used together"),
        None => unusable(error),
    })?;
    Ok(connector.into())
}

pub(super) async fn connect(
    connector: &TlsConnector,
    target: &Target<'_>,
    stream: ByteStream,
) -> Result<ByteStream, ConnectError> {
    match connector.connect(target.name(), stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(refused(target, error)),
    }
}

/// The certificates of a PEM file, of which there is at least one, or the one of DER.
fn roots(certificate: &[u8]) -> Option<Vec<Certificate>> {
    if is_pem(certificate) {
        Certificate::stack_from_pem(certificate).ok().filter(|roots| !roots.is_empty())
    } else {
        Some(vec![Certificate::from_der(certificate).ok()?])
    }
}

/// Sorts out by words what the libraries below have no common types for.
fn refused(target: &Target<'_>, error: Error) -> ConnectError {
    let said = error.to_string();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    // An alert is what the server says of the client's certificate.
    if says(&["alert"]) || !says(&["certificate", "CN name"]) {
        return failed(target, error);
    }
    let why = if says(&["expired"]) {
        "it has expired"
    } else if says(&["not yet valid"]) {
        "it is not valid yet"
    } else if says(&["mismatch", "CN name", "host name"]) {
        "it is for another host"
    } else if says(&["issuer", "self-signed", "self signed", "not trusted", "unknown CA"]) {
        "its issuer is not known here"
    } else {
        return untrusted(target, &said, error);
    };
    untrusted(target, &format!("{why} ({said})"), error)
}
