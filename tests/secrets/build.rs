//! What cannot be used at all.

use phoenix_streams::{Builder, ConnectError, Socket, json};

use crate::{
    planted::{HEADER, PARAMS, QUERY, TOKEN},
    shown::Shown,
    socket::secret_url,
};

/// Proxies and certificates that cannot be used.
#[cfg(feature = "websocket")]
fn unusable() -> Vec<phoenix_streams::Http> {
    use phoenix_streams::Http;

    use crate::planted::PROXY;

    let by = |url: String| Http::default().proxy(url);
    let proxies = vec![
        by(format!("socks4://ann:{}@proxy:1080", PROXY.text)),
        by(format!("socks5://{}@proxy:1080", PROXY.text)),
        by(format!("socks5h://:{}@proxy:1080", PROXY.text)),
        by(format!("socks5h://ann:{}@proxy:1080", PROXY.text.repeat(30))),
        by(format!("socks5h://ann:{}%FF@proxy:1080", PROXY.text)),
        by(format!("http://ann:{}@proxy:99999", PROXY.text)),
        by(format!("http://ann:{}@a b:80", PROXY.text)),
        by("http://proxy:1".to_owned()).proxy_credentials("a:n", PROXY.text),
        by("socks5://proxy".to_owned()).proxy_credentials("", PROXY.text),
        by("socks5://proxy".to_owned()).proxy_credentials("ann", PROXY.text.repeat(30)),
    ];
    #[cfg(all(feature = "websocket", feature = "rustls"))]
    let proxies = [proxies, unusable_keys()].concat();
    proxies
}

#[cfg(all(feature = "websocket", feature = "rustls"))]
fn unusable_keys() -> Vec<phoenix_streams::Http> {
    use phoenix_streams::Http;

    use crate::{certificates::Authority, planted::KEY};

    let chain = Authority::new().client().chain;
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", KEY.text);
    vec![
        Http::default().client_certificate(&key, &key),
        Http::default().client_certificate(&chain, &key),
        Http::default().client_certificate(&chain, KEY.text),
        Http::default().root_certificate(KEY.text),
        Http::default().tls_config(KEY.text),
    ]
}

// U-18, DEV-3, T-29
#[tokio::test]
async fn t_29_no_secret_is_shown_by_what_cannot_be_built() {
    let shown = Shown::default();
    let good = secret_url("ws://127.0.0.1:1/socket");
    let with = |url: &str| Socket::builder(url).auth_token(TOKEN.text).params(json!({ "key": PARAMS.text }));
    let bad: Vec<Builder> = [
        good.replacen("ws:", "ftp:", 1),
        good.replacen(":1/", ":x/", 1),
        good.replacen("127.0.0.1", "a b", 1),
        good.replacen("127.0.0.1:1", "", 1),
        good.replacen("ws://", "", 1),
        QUERY.text.to_owned(),
    ]
    .iter()
    .map(|url| with(url))
    .chain([
        with(&good).header("x-key", format!("{}\n", HEADER.text)),
        with(&good).header(HEADER.text, "x"),
        with(&good).params(json!([PARAMS.text])),
        with(&good).params(json!(PARAMS.text)),
        with(&good).params(json!({ "which": [{ (PARAMS.text): PARAMS.text, "more": 1 }] })),
        with(&good).params([((1, PARAMS.text), PARAMS.text)].into_iter().collect::<std::collections::HashMap<_, _>>()),
    ])
    .collect();
    assert_eq!(bad.len(), 12);
    for builder in bad {
        shown.debug("a builder", &builder);
        shown.error("building it", &builder.driver().unwrap_err());
    }
    #[cfg(feature = "websocket")]
    for http in unusable() {
        shown.debug("how HTTP is spoken", &http);
        let builder = with(&good).http(http);
        shown.debug("a builder", &builder);
        shown.error("building it", &builder.driver().unwrap_err());
    }
    // Too long only once the params are there.
    let long = with(&good).params(json!({ "key": PARAMS.text.repeat(5_000) }));
    shown.debug("a builder", &long);
    let error = long.connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Build(_)), "{error}");
    shown.error("a URL that is too long", &error);
    shown.holds_none();
}
