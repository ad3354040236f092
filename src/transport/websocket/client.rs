//! The HTTP client behind handshakes, and what its errors mean here.

use std::{
    error::Error as StdError,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::Uri;
use reqwest::{Client, ClientBuilder, redirect::Policy};

use super::failure::{Resolver, Step};
use crate::error::{BuildError, ConnectError};

const TLS: bool = cfg!(feature = "rustls");
const KEEPALIVE: Duration = Duration::from_secs(60);

/// The client for the default settings. It holds settings and certificates but no connection: all sockets share it.
///
/// There is one for TLS and one without, which starts also where the machine has no certificates.
pub(super) fn shared(url: &Uri) -> Result<Client, reqwest::Error> {
    static PLAIN: OnceLock<Client> = OnceLock::new();
    static SECURE: OnceLock<Client> = OnceLock::new();
    let tls = is_tls(url);
    let cached = if tls { &SECURE } else { &PLAIN };
    if let Some(client) = cached.get() {
        return Ok(client.clone());
    }
    let client = if tls { settings().build()? } else { without_certificates(settings()).build()? };
    Ok(cached.get_or_init(|| client).clone())
}

#[cfg(feature = "rustls")]
fn without_certificates(settings: ClientBuilder) -> ClientBuilder {
    settings.tls_certs_only([])
}

#[cfg(not(feature = "rustls"))]
fn without_certificates(settings: ClientBuilder) -> ClientBuilder {
    settings
}

fn settings() -> ClientBuilder {
    Client::builder()
        .http1_only()
        .redirect(Policy::none())
        // A connection that was refused would be used again, although servers close it.
        .pool_max_idle_per_host(0)
        .no_proxy()
        .dns_resolver(Resolver)
        .tcp_nodelay(true)
        .tcp_keepalive(KEEPALIVE)
}

fn is_tls(url: &Uri) -> bool {
    matches!(url.scheme_str(), Some("wss" | "https"))
}

/// The URL as the client takes it: `http` for `ws`, `https` for `wss`.
pub(super) fn http_url(url: &Uri) -> Result<String, ConnectError> {
    let tls = is_tls(url);
    if tls && !TLS {
        return Err(BuildError::Url("wss and https take TLS: enable the feature `rustls`".into()).into());
    }
    let scheme = if tls { "https" } else { "http" };
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    Ok(format!("{scheme}://{authority}{path}"))
}

/// An error of the client, without the URL, which holds the params.
pub(super) fn failed(error: reqwest::Error, url: &Uri) -> ConnectError {
    let error = error.without_url();
    let step = Step::of(&error);
    let mut root: &dyn StdError = &error;
    // rustls itself is not ours to name: it is there by a feature of the client alone.
    let mut certificate = is_certificate(root);
    while let Some(source) = root.source() {
        root = source;
        certificate |= is_certificate(root);
    }
    let port = url.port_u16().unwrap_or(if is_tls(url) { 443 } else { 80 });
    let sentence = format!("{}:{port}: {root}", url.host().unwrap_or_default());
    let failed = Failed { sentence, error };
    if certificate { ConnectError::Certificate(Arc::new(failed)) } else { step.failed(failed) }
}

fn is_certificate(error: &dyn StdError) -> bool {
    error.to_string().starts_with("invalid peer certificate")
}

/// Where and why, in one sentence, which the client's own error spreads over its sources.
#[derive(Debug)]
struct Failed {
    sentence: String,
    error: reqwest::Error,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl StdError for Failed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.error)
    }
}
