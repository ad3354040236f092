//! What a client connects with, and how it is refused.

use std::{fmt, net::SocketAddr, panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header, request::Parts};
use serde_json::{Map, Value};

use super::app::App;

/// What a client connected with.
#[derive(Clone)]
pub struct ConnectInfo(pub(super) Arc<Request>);

pub(super) struct Request {
    pub(super) params: Value,
    pub(super) auth_token: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) uri: Uri,
    pub(super) peer: SocketAddr,
}

impl ConnectInfo {
    /// The params of the query, `vsn` among them: an object, nested as Plug nests `a[b]=c` and `a[]=x`.
    pub fn params(&self) -> &Value {
        &self.0.params
    }

    /// The auth token, where the server takes one and the client sent one.
    pub fn auth_token(&self) -> Option<&str> {
        self.0.auth_token.as_deref()
    }

    /// The request's headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// The request's path and query.
    pub fn uri(&self) -> &Uri {
        &self.0.uri
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }
}

impl fmt::Debug for ConnectInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectInfo").field("peer", &self.0.peer).finish_non_exhaustive()
    }
}

/// The answer to a handshake that is refused.
///
/// ```
/// use phoenix_streams::testing::Refuse;
///
/// let busy = Refuse::new(429).header("retry-after", "1").body("Too many requests");
/// ```
#[derive(Clone, Debug)]
pub struct Refuse {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
}

impl Refuse {
    /// A refusal with this HTTP status, no further headers and no body; Phoenix' own is 403.
    ///
    /// # Panics
    /// If the number is no HTTP status.
    pub fn new(status: u16) -> Self {
        let Ok(status) = StatusCode::from_u16(status) else { panic!("{status} is no HTTP status") };
        Refuse { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// Adds a header.
    ///
    /// # Panics
    /// If name or value is not legal HTTP.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let header = name.parse().ok().zip(value.parse().ok());
        let Some(header) = header else { panic!("`{name}: {value}` is no legal header") };
        self.headers.push(header);
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

/// Why a client is not connected.
#[derive(Debug)]
pub(super) enum Denied {
    Refused(Refuse),
    Crashed,
}

/// Asks the application, whatever the transport.
pub(super) async fn connect(
    head: &Parts,
    auth_token: Option<String>,
    peer: SocketAddr,
    app: &App,
) -> Result<ConnectInfo, Denied> {
    let params = parse_query(head.uri.query().unwrap_or_default());
    if !params["vsn"].as_str().is_some_and(is_v2) {
        return Err(Denied::Refused(Refuse::new(403)));
    }
    let (headers, uri) = (head.headers.clone(), head.uri.clone());
    let info = ConnectInfo(Arc::new(Request { params, auth_token, headers, uri, peer }));
    if let Some(decide) = &app.connect {
        let decided = AssertUnwindSafe(async { decide(info.clone()).await }).catch_unwind().await;
        decided.map_err(|_| Denied::Crashed)?.map_err(Denied::Refused)?;
    }
    Ok(info)
}

/// An origin is checked where there is one, and only there.
pub(super) fn is_allowed(headers: &HeaderMap, app: &App) -> bool {
    let (Some(origin), Some(allowed)) = (headers.get(header::ORIGIN), &app.check_origin) else { return true };
    let origin = origin.to_str().ok().and_then(|origin| url::Url::parse(origin).ok());
    origin.as_ref().and_then(|origin| origin.host_str()).is_some_and(|host| allowed.iter().any(|a| a == host))
}

/// `~> 2.0.0`.
fn is_v2(vsn: &str) -> bool {
    vsn.strip_prefix("2.0.").is_some_and(|patch| patch.parse::<u32>().is_ok())
}

/// A query as Plug reads it: the last value of a key counts.
pub(super) fn parse_query(query: &str) -> Value {
    let mut params = Map::new();
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let (first, rest) = key.split_at(key.find('[').unwrap_or(key.len()));
        insert(params.entry(first).or_insert(Value::Null), rest, value.into_owned());
    }
    Value::Object(params)
}

fn insert(place: &mut Value, path: &str, value: String) {
    let Some((key, rest)) = path.strip_prefix('[').and_then(|path| path.split_once(']')) else {
        *place = value.into();
        return;
    };
    if key.is_empty() {
        if !place.is_array() {
            *place = Value::Array(Vec::new());
        }
        if let Value::Array(list) = place {
            list.push(value.into());
        }
        return;
    }
    if !place.is_object() {
        *place = Value::Object(Map::new());
    }
    if let Value::Object(map) = place {
        insert(map.entry(key).or_insert(Value::Null), rest, value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_query_nests_as_plug_nests_it() {
        let read = parse_query("a=1&a=2&b%5Bc%5D=x%20y&b[d][e]=&l[]=1&l[]=2&f&i%5B0%5D=1");
        let want = json!({"a": "2", "b": {"c": "x y", "d": {"e": ""}}, "l": ["1", "2"], "f": "", "i": {"0": "1"}});
        assert_eq!(read, want);
        assert_eq!(parse_query(""), json!({}));
        assert_eq!(parse_query("?&vsn=2.0.0&"), json!({"?": "", "vsn": "2.0.0"}));
    }

    #[test]
    fn no_query_is_too_odd() {
        for query in ["[", "a[", "a[b", "a]b", "=", "a[[b]]=c", "a[]b=c", "%ff=%ff"] {
            assert!(parse_query(query).is_object(), "{query}");
        }
    }
}
