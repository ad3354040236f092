//! Where the server is: the endpoint's URL, and the query that carries the params.

mod query;

use std::{fmt, net::Ipv6Addr};

use http::{
    Uri,
    uri::{Authority, PathAndQuery, Scheme},
};
use url::Url;

use crate::error::BuildError;

pub(crate) use query::query;

/// The socket's URL without a transport's path: `wss://example.org/socket`, perhaps with a query of its own.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    scheme: Scheme,
    authority: Authority,
    /// Without a slash at its end; empty for the root.
    path: String,
    query: Option<String>,
}

impl Endpoint {
    pub(crate) const HOST: &str = "localhost";
    pub(crate) const PATH: &str = "/socket";
    pub(crate) const PORT: u16 = 4000;

    /// Reads a `ws`, `wss`, `http` or `https` URL. Slashes at its end go, and so does the path of a transport
    /// (`/websocket`, `/longpoll`); a query and userinfo stay.
    ///
    /// # Errors
    /// [`BuildError::Url`], in words that hold nothing of a query or userinfo.
    pub(crate) fn parse(text: &str) -> Result<Self, BuildError> {
        let url = Url::parse(text).map_err(|error| match error {
            url::ParseError::RelativeUrlWithoutBase => {
                unusable("it must be absolute, such as `wss://example.org/socket`")
            }
            other => unusable(other),
        })?;
        if !matches!(url.scheme(), "ws" | "wss" | "http" | "https") {
            return Err(unusable(format_args!("its scheme is `{}`, not ws, wss, http or https", url.scheme())));
        }
        // `url` would take the first segment of `ws:///socket` for the host, as browsers do.
        let rest = text.trim_start().get(url.scheme().len()..).and_then(|rest| rest.strip_prefix("://"));
        if rest.is_none_or(|rest| rest.starts_with(['/', '\\'])) {
            return Err(unusable("it has no host: write it as `wss://example.org/socket`"));
        }
        Ok(Endpoint {
            scheme: url.scheme().parse().map_err(unusable)?,
            authority: url.authority().parse().map_err(|_| unusable("its host or userinfo is not legal"))?,
            path: without_transport(url.path()).to_owned(),
            query: url.query().filter(|query| !query.is_empty()).map(str::to_owned),
        })
    }

    /// Puts an endpoint together. An IPv6 address may stand without its brackets.
    ///
    /// # Errors
    /// [`BuildError::Url`] if the host is none.
    pub(crate) fn parts(host: &str, path: &str, port: u16, tls: bool) -> Result<Self, BuildError> {
        let host = match host.parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => host.to_owned(),
        };
        if url::Host::parse(&host).is_err() {
            return Err(unusable("the host is neither a name nor an address"));
        }
        let scheme = if tls { "wss" } else { "ws" };
        Self::parse(&format!("{scheme}://{host}:{port}/{}", path.trim_start_matches('/')))
    }

    /// The host and its port, if one was given; without userinfo.
    pub(crate) fn host(&self) -> &str {
        let authority = self.authority.as_str();
        authority.rsplit_once('@').map_or(authority, |(_, host)| host)
    }

    /// The URL with these params, as [`query`] wrote them, behind those it has.
    ///
    /// # Errors
    /// [`BuildError::Params`] if that makes a URL of more than 64 KiB.
    pub(crate) fn with_params(&self, params: &str) -> Result<Uri, BuildError> {
        let own = self.query.as_deref().unwrap_or_default();
        let path = if self.path.is_empty() { "/" } else { &self.path };
        assemble(self.scheme.clone(), self.authority.clone(), path, &[own, params])
            .map_err(|_| BuildError::Params("they make a URL of more than 64 KiB".into()))
    }
}

/// The URL with a transport's path behind its own, and `vsn` as the last of its query and the only one (U-3, T-11).
///
/// # Errors
/// [`BuildError::Url`]: what comes of it is no URL, or one of more than 64 KiB.
pub(crate) fn transport_url(url: &Uri, path: &str, vsn: &str) -> Result<Uri, BuildError> {
    let parts = url.clone().into_parts();
    let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
        return Err(unusable("it must be absolute, such as `wss://example.org/socket`"));
    };
    if path.contains(['?', '#']) {
        return Err(unusable("the transport's path holds `?` or `#`"));
    }
    let (base, path) = (url.path().trim_end_matches('/'), path.trim_matches('/'));
    let path = if path.is_empty() { base.to_owned() } else { format!("{base}/{path}") };
    let path = if path.is_empty() { "/" } else { &path };
    let own: Vec<&str> = url.query().unwrap_or_default().split('&').filter(|pair| !query::names_vsn(pair)).collect();
    let vsn = format!("vsn={}", query::encode(vsn));
    assemble(scheme, authority, path, &[&own.join("&"), &vsn])
        .map_err(|_| unusable("with path and params it is not legal, or longer than 64 KiB"))
}

/// The URL without its query.
#[cfg(feature = "long-poll")]
pub(crate) fn without_query(url: &Uri) -> Uri {
    let mut parts = url.clone().into_parts();
    parts.path_and_query = url.path().parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| url.clone())
}

/// The URL with these as its query.
///
/// # Errors
/// [`BuildError::Url`]: it is longer than 64 KiB.
#[cfg(feature = "long-poll")]
pub(crate) fn with_query<'a>(
    url: &Uri,
    pairs: impl Iterator<Item = (&'static str, &'a str)>,
) -> Result<Uri, BuildError> {
    let parts = url.clone().into_parts();
    let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
        return Err(unusable("it must be absolute, such as `wss://example.org/socket`"));
    };
    let pairs: Vec<String> = pairs.map(|(key, value)| format!("{key}={}", query::encode(value))).collect();
    assemble(scheme, authority, url.path(), &[&pairs.join("&")]).map_err(|_| unusable("it is longer than 64 KiB"))
}

fn assemble(scheme: Scheme, authority: Authority, path: &str, queries: &[&str]) -> Result<Uri, http::Error> {
    let queries: Vec<&str> = queries.iter().map(|query| query.trim_matches('&')).filter(|q| !q.is_empty()).collect();
    let mut path = path.to_owned();
    if !queries.is_empty() {
        path.push('?');
        path.push_str(&queries.join("&"));
    }
    let path = PathAndQuery::try_from(path)?;
    Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build()
}

fn without_transport(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    match path.strip_suffix("/websocket").or_else(|| path.strip_suffix("/longpoll")) {
        Some(path) => path.trim_end_matches('/'),
        None => path,
    }
}

fn unusable(why: impl fmt::Display) -> BuildError {
    BuildError::Url(why.to_string().into())
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = if self.authority.as_str().contains('@') { "..@" } else { "" };
        let host = self.host();
        let query = if self.query.is_some() { "?.." } else { "" };
        write!(f, "Endpoint({}://{user}{host}{}{query})", self.scheme, self.path)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::HeaderMap;
    use serde_json::Value;

    use super::*;
    use crate::transport::Dial;

    fn url(endpoint: &str, params: &Value) -> String {
        let url = Endpoint::parse(endpoint).unwrap().with_params(&query(params).unwrap()).unwrap();
        dial(url).endpoint("websocket").unwrap().to_string()
    }

    fn dial(url: Uri) -> Dial {
        Dial::new(url, HeaderMap::new(), Arc::from("2.0.0"), None)
    }

    fn plain(endpoint: &str) -> String {
        url(endpoint, &Value::Null)
    }

    fn refused(endpoint: &str) -> String {
        match Endpoint::parse(endpoint) {
            Err(BuildError::Url(why)) => why.to_string(),
            other => panic!("{endpoint}: {other:?}"),
        }
    }

    // U-1, U-3, U-7, DEV-1
    #[test]
    fn golden_endpoint_urls() {
        let vectors: Value = serde_json::from_str(include_str!("../../tests/vectors.json")).unwrap();
        let cases = vectors["endpoint_url"].as_array().unwrap();
        assert_eq!(cases.len(), 4);
        for (at, case) in cases.iter().enumerate() {
            // phoenix.js puts the path into the query of the last one.
            let ours = if at == 3 { Some("ws://h/socket/websocket?x=1&t=1&vsn=2.0.0") } else { case["out"].as_str() };
            assert_eq!(Some(url(case["endpoint"].as_str().unwrap(), &case["params"]).as_str()), ours);
        }
    }

    // U-2, DEV-1, T-11
    #[test]
    fn slashes_and_a_transports_path_at_the_end_go() {
        for endpoint in ["socket", "socket/", "socket//", "socket/websocket", "socket/websocket/", "socket/longpoll"] {
            assert_eq!(plain(&format!("wss://h:4001/{endpoint}")), "wss://h:4001/socket/websocket?vsn=2.0.0");
        }
        assert_eq!(plain("ws://h/websocket/socket"), "ws://h/websocket/socket/websocket?vsn=2.0.0");
        assert_eq!(plain("ws://h/mywebsocket"), "ws://h/mywebsocket/websocket?vsn=2.0.0");
        for root in ["ws://h", "ws://h/", "ws://h/websocket"] {
            assert_eq!(plain(root), "ws://h/websocket?vsn=2.0.0");
        }
    }

    // U-6, U-13, T-11
    #[test]
    fn a_query_stays_and_vsn_is_ours_alone() {
        assert_eq!(plain("ws://h/socket/websocket?x=1"), "ws://h/socket/websocket?x=1&vsn=2.0.0");
        assert_eq!(plain("ws://h/s?vsn=1.0.0&x=1&%76sn=9&vsnx=2"), "ws://h/s/websocket?x=1&vsnx=2&vsn=2.0.0");
        assert_eq!(plain("ws://h/s?vsn=1.0.0#top"), "ws://h/s/websocket?vsn=2.0.0");
        assert_eq!(
            url("ws://h/s?x=1", &serde_json::json!({"vsn": "9", "y": 2})),
            "ws://h/s/websocket?x=1&y=2&vsn=2.0.0"
        );
    }

    // U-15, DEV-1
    #[test]
    fn all_four_schemes_are_taken() {
        for scheme in ["ws", "wss", "http", "https"] {
            assert_eq!(plain(&format!("{scheme}://h/socket")), format!("{scheme}://h/socket/websocket?vsn=2.0.0"));
        }
        assert_eq!(plain("WSS://EXAMPLE.org/Socket"), "wss://example.org/Socket/websocket?vsn=2.0.0");
    }

    #[test]
    fn hosts_of_every_kind() {
        assert_eq!(plain("ws://[::1]:4000/s"), "ws://[::1]:4000/s/websocket?vsn=2.0.0");
        assert_eq!(plain("ws://bücher.example/s"), "ws://xn--bcher-kva.example/s/websocket?vsn=2.0.0");
        assert_eq!(plain("ws://u:p%40ss@h:1/s"), "ws://u:p%40ss@h:1/s/websocket?vsn=2.0.0");
        assert_eq!(
            plain("ws://h/ä b|{}`\"'?ä=|{}`^\"'\\"),
            "ws://h/%C3%A4%20b|%7B%7D%60%22'/websocket?%C3%A4=|{}`^%22%27\\&vsn=2.0.0"
        );
    }

    // U-14
    #[test]
    fn what_is_no_endpoint_is_refused_in_a_sentence() {
        assert!(refused("/socket").contains("absolute"));
        assert!(refused("//example.org/socket").contains("absolute"));
        assert!(refused("example.org").contains("absolute"));
        assert!(refused("localhost:4000/socket").contains("`localhost`"));
        assert!(refused("ftp://h/socket").contains("`ftp`"));
        for none in ["ws://", "ws:///socket", "ws:socket", "ws:/socket", "http:\\\\h", "ws://u@/s", "ws://?x=1"] {
            assert!(refused(none).contains("host"), "{none}");
        }
        for bad in ["", "ws://h:99999/s", "ws://a b/s", "ws://[::1/s"] {
            assert!(!refused(bad).is_empty());
        }
    }

    // U-18, DEV-3
    #[test]
    fn neither_debug_nor_an_error_shows_a_secret() {
        let endpoint = Endpoint::parse("wss://ann:hunter2@h:4001/socket?token=hunter2").unwrap();
        assert_eq!(format!("{endpoint:?}"), "Endpoint(wss://..@h:4001/socket?..)");
        assert!(!format!("{:?}", dial(endpoint.with_params("a=hunter2").unwrap())).contains("hunter2"));
        for bad in
            ["ftp://hunter2:hunter2@h/?hunter2", "ws://hunter2@/?hunter2", "ws://hunter2@h:x/?hunter2", "/?hunter2"]
        {
            assert!(!refused(bad).contains("hunter2"), "{bad}");
        }
    }

    #[test]
    fn parts_make_the_same_endpoint_as_a_url() {
        let default = Endpoint::parts(Endpoint::HOST, Endpoint::PATH, Endpoint::PORT, false).unwrap();
        assert_eq!(default, Endpoint::parse("ws://localhost:4000/socket").unwrap());
        let other = Endpoint::parts("example.org", "live/websocket", 443, true).unwrap();
        assert_eq!(other, Endpoint::parse("wss://example.org/live").unwrap());
        assert_eq!(Endpoint::parts("::1", "/s", 1, false).unwrap(), Endpoint::parts("[::1]", "/s", 1, false).unwrap());
        for host in ["", "a b", "h/x", "u@h", "h:1", "[::1]:1", "h?x"] {
            assert!(matches!(Endpoint::parts(host, "/s", 1, false), Err(BuildError::Url(_))), "{host}");
        }
    }

    // U-17
    #[test]
    fn a_transports_path_is_its_own_choice() {
        let dial = dial(Endpoint::parse("ws://h/s?x=1").unwrap().with_params("").unwrap());
        assert_eq!(dial.endpoint("/v1/ws/").unwrap(), "ws://h/s/v1/ws?x=1&vsn=2.0.0");
        assert_eq!(dial.endpoint("").unwrap(), "ws://h/s?x=1&vsn=2.0.0");
        for path in ["a?b", "a#b", "a b"] {
            assert!(matches!(dial.endpoint(path), Err(BuildError::Url(_))));
        }
    }

    #[test]
    fn too_long_is_an_error_and_no_panic() {
        let endpoint = Endpoint::parse("ws://h/s").unwrap();
        assert!(matches!(endpoint.with_params(&"a".repeat(70_000)), Err(BuildError::Params(_))));
        let barely = endpoint.with_params(&"a".repeat(65_530)).unwrap();
        assert!(matches!(dial(barely).endpoint("websocket"), Err(BuildError::Url(_))));
    }
}
