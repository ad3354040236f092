//! Long-poll, through whatever the WebSocket goes through, and where that does not go through.

use phoenix_streams::{ConnectError, Http, LongPoll, Socket, Status, SwitchReason, Transport, WebSocket};

use crate::{
    address, connect_proxy::ConnectProxy, forward_proxy::ForwardProxy, once, server, socks_proxy::Asked,
    socks_proxy::SocksProxy,
};

/// A name that nobody but the proxy could find.
const URL: &str = "ws://chat.example/socket";
const BASIC: Option<&str> = Some("Basic YW5uOmh1bnRlcjI=");

/// One attempt to connect by this transport, and a join to show that messages go both ways.
async fn attempt(url: &str, http: &Http, transport: impl Transport) -> Result<Socket, ConnectError> {
    let socket = once(Socket::builder(url).http(http.clone()).transport(transport)).connect().await?;
    let reply = socket.channel("room:1").join(()).await.unwrap();
    assert_eq!(reply.payload().as_str(), Some(r#"{"welcome":true}"#));
    Ok(socket)
}

// U-15, U-16
#[tokio::test]
async fn all_four_schemes_lead_to_it() {
    let server = server().await;
    let http = Http::default().no_proxy();
    for url in [server.url().to_owned(), server.url().replace("ws:", "http:"), format!("{}/longpoll", server.url())] {
        attempt(&url, &http, LongPoll::default()).await.unwrap();
    }
}

#[tokio::test]
async fn requests_that_are_not_encrypted_are_given_to_a_proxy_whole() {
    let server = server().await;
    let proxy = ForwardProxy::start(address(&server), BASIC).await;
    let http = Http::default().proxy(proxy.url()).proxy_credentials("ann", "hunter2");
    attempt(URL, &http, LongPoll::default()).await.unwrap();
    let asked = proxy.asked();
    assert!(asked.contains(&"GET http://chat.example/socket/longpoll".to_owned()), "{asked:?}");
    assert!(asked.contains(&"POST http://chat.example/socket/longpoll".to_owned()), "{asked:?}");
    assert_eq!(asked.len(), 2, "its connections are kept: {asked:?}");

    let wrong = Http::default().proxy(format!("http://ann:wrong@{}", proxy.address()));
    let refused = attempt(URL, &wrong, LongPoll::default()).await.unwrap_err();
    assert!(matches!(&refused, ConnectError::ProxyRefused(refusal) if refusal.status() == 407), "{refused:?}");
}

#[tokio::test]
async fn a_socks_proxy_is_asked_for_the_name() {
    let server = server().await;
    let proxy = SocksProxy::start(address(&server), None).await;
    let http = Http::default().proxy(format!("socks5h://{}", proxy.address()));
    attempt(URL, &http, LongPoll::default()).await.unwrap();
    let asked = proxy.asked();
    assert_eq!(asked, [Asked::Name("chat.example".into(), 80), Asked::Name("chat.example".into(), 80)]);
}

// F-4
#[tokio::test]
async fn where_a_proxy_opens_no_tunnel_the_socket_falls_back_and_goes_through() {
    let server = server().await;
    let proxy = ForwardProxy::start(address(&server), None).await;
    let http = Http::default().proxy(proxy.url());
    let socket = attempt(URL, &http, WebSocket::default().or(LongPoll::default())).await.unwrap();
    let Status::Connected { transport: "long-poll", fallback: Some(SwitchReason::Failed(cause)) } =
        socket.status().current()
    else {
        panic!("{:?}", socket.status().current())
    };
    assert!(matches!(&*cause, ConnectError::ProxyRefused(refusal) if refusal.status() == 403), "{cause:?}");
    assert_eq!(proxy.asked()[0], "CONNECT chat.example:80");
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod tls {
    use super::*;
    use crate::{certificates::Authority, front::front, tls::trusting};

    #[tokio::test]
    async fn it_is_spoken_by_either_library_and_through_a_tunnel() {
        let (server, authority) = (server().await, Authority::new());
        let front = front(address(&server), &authority.server(&["chat.example"]), None).await;
        let proxy = ConnectProxy::start(front, None).await;
        for http in trusting(&authority) {
            attempt("wss://chat.example/socket", &http.proxy(proxy.url()), LongPoll::default()).await.unwrap();
            assert_eq!(proxy.asked(), ["chat.example:443", "chat.example:443"]);
        }
    }

    // F-4
    #[tokio::test]
    async fn a_certificate_that_does_not_verify_is_the_last_word() {
        let (server, authority) = (server().await, Authority::new());
        let front = front(address(&server), &authority.server(&["chat.example"]), None).await;
        let proxy = ConnectProxy::start(front, None).await;
        for http in trusting(&Authority::new()) {
            let http = http.proxy(proxy.url());
            let refused = attempt("wss://chat.example/socket", &http, LongPoll::default()).await.unwrap_err();
            assert!(matches!(refused, ConnectError::Certificate(_)), "{refused:?}");
            assert_eq!(proxy.asked().len(), 1);
            let either = WebSocket::default().or(LongPoll::default());
            let refused = attempt("wss://chat.example/socket", &http, either).await.unwrap_err();
            assert!(matches!(refused, ConnectError::Certificate(_)), "{refused:?}");
            assert_eq!(proxy.asked().len(), 1, "it is tried again by another transport");
        }
    }
}
