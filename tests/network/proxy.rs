//! Through a proxy: from the builder, from the system's variables, and not at all.

use std::{future::ready, time::Duration};

use futures::StreamExt;
use phoenix_streams::{Backoff, BuildError, ConnectError, Http, Socket, Status, Telemetry};
use tokio::net::TcpListener;

use crate::{address, alone, attempt, connect_proxy::ConnectProxy, once, server};

/// A name that nobody but the proxy could find.
const URL: &str = "ws://chat.example/socket";
const BASIC: Option<&str> = Some("Basic YW5uOmh1bnRlcjI=");

fn variables(set: impl IntoIterator<Item = (&'static str, String)>) -> Http {
    let set: Vec<_> = set.into_iter().collect();
    Http::default().proxy_variables(move |name| set.iter().find(|(key, _)| *key == name).map(|(_, text)| text.clone()))
}

#[tokio::test]
async fn from_the_builder_it_holds_for_every_host() {
    let server = server().await;
    let proxy = ConnectProxy::start(address(&server), None).await;
    let http = Http::default().proxy(proxy.url());
    attempt(URL, &http).await.unwrap();
    attempt("http://chat.example:4000/socket", &http).await.unwrap();
    attempt(server.url(), &http).await.unwrap();
    assert_eq!(proxy.asked(), ["chat.example:80", "chat.example:4000", &address(&server).to_string()]);
    // The last to be said holds.
    attempt(server.url(), &http.clone().no_proxy()).await.unwrap();
    attempt(server.url(), &http.proxy_variables(|_| None)).await.unwrap();
    assert!(proxy.asked().is_empty());
    attempt(URL, &Http::default().no_proxy().proxy(proxy.url())).await.unwrap();
    assert_eq!(proxy.asked().len(), 1);
}

#[tokio::test]
async fn from_the_variables_it_holds_for_its_scheme_and_not_for_loopback() {
    let server = server().await;
    let proxy = ConnectProxy::start(address(&server), None).await;
    attempt(URL, &variables([("http_proxy", proxy.url())])).await.unwrap();
    attempt(URL, &variables([("ALL_PROXY", proxy.address().to_string())])).await.unwrap();
    assert_eq!(proxy.asked(), ["chat.example:80", "chat.example:80"]);
    for url in [server.url().to_owned(), server.url().replace("127.0.0.1", "localhost")] {
        attempt(&url, &variables([("all_proxy", proxy.url())])).await.unwrap();
        assert!(proxy.asked().is_empty(), "{url}");
    }
}

// 0.0.0.0 is this machine, and no loopback address.
#[cfg(unix)]
#[tokio::test]
async fn a_host_of_no_proxy_is_reached_without() {
    let server = server().await;
    let proxy = ConnectProxy::start(address(&server), None).await;
    let url = server.url().replace("127.0.0.1", "0.0.0.0");
    let with = |hosts: &str| variables([("all_proxy", proxy.url()), ("no_proxy", hosts.to_owned())]);
    for hosts in ["0.0.0.0", "example.org, 0.0.0.0/8", "*"] {
        attempt(&url, &with(hosts)).await.unwrap();
        assert!(proxy.asked().is_empty(), "{hosts}");
    }
    for hosts in ["", "example.org", "0.0.0.0:1", "10.0.0.0/8"] {
        attempt(&url, &with(hosts)).await.unwrap();
        assert_eq!(proxy.asked().len(), 1, "{hosts}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_own_variables_are_asked_by_default() {
    const TEST: &str = "proxy::the_process_own_variables_are_asked_by_default";
    let server = server().await;
    let proxy = ConnectProxy::start(address(&server), BASIC).await;
    let url = format!("http://ann:hunter2@{}", proxy.address());
    for name in ["http_proxy", "ALL_PROXY"] {
        if alone(TEST, &[(name, &url)]) {
            attempt(URL, &Http::default()).await.unwrap();
            return;
        }
        assert_eq!(proxy.asked(), ["chat.example:80"], "{name}");
    }
}

#[tokio::test]
async fn credentials_are_right_wrong_or_absent() {
    let server = server().await;
    let proxy = ConnectProxy::start(address(&server), BASIC).await;
    let at = proxy.address();
    for right in [
        Http::default().proxy(format!("http://ann:hunter2@{at}")),
        Http::default().proxy(proxy.url()).proxy_credentials("ann", "hunter2"),
        variables([("all_proxy", format!("ann:hunter2@{at}"))]),
    ] {
        attempt(URL, &right).await.unwrap();
        assert!(!format!("{right:?}").contains("hunter2"));
    }
    for wrong in [
        Http::default().proxy(proxy.url()),
        Http::default().proxy(format!("http://ann:swordfish@{at}")),
        variables([("all_proxy", format!("ann:swordfish@{at}"))]),
    ] {
        // Without a limit: the socket stops by itself.
        let socket = Socket::builder(URL).http(wrong.clone()).start().unwrap();
        let stopped = socket.status().wait_for(|status| matches!(status, Status::Stopped { .. })).await;
        let Some(Status::Stopped { cause }) = stopped else { panic!("{stopped:?}") };
        assert!(matches!(&*cause, ConnectError::ProxyRefused(refusal) if refusal.status() == 407), "{cause:?}");
        let shown = format!("{cause} {cause:?} {wrong:?} {socket:?}");
        assert!(shown.contains("user and a password") && !shown.contains("swordfish"), "{shown}");
    }
}

#[tokio::test]
async fn what_the_proxy_refuses_for_now_is_tried_again() {
    let server = server().await;
    let proxy = ConnectProxy::start(address(&server), None).await;
    for (answer, status) in [
        ("HTTP/1.1 403 Forbidden\r\n\r\n", 403),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", 502),
        ("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\n\r\n", 503),
    ] {
        proxy.answer_next(answer);
        let quickly = Backoff::steps([Duration::from_millis(1)]);
        let http = Http::default().proxy(proxy.url());
        let socket = Socket::builder(URL).http(http).reconnect(quickly).idle().unwrap();
        // What lasts a millisecond would be missed in the status.
        let failed = socket.telemetry().filter_map(|told| async {
            match told {
                Ok(Telemetry::Failed { cause, .. }) => Some(cause),
                _ => None,
            }
        });
        socket.connect().await.unwrap();
        let cause = std::pin::pin!(failed).next().await.unwrap();
        assert!(matches!(&*cause, ConnectError::ProxyRefused(refusal) if refusal.status() == status), "{cause:?}");
    }
}

#[tokio::test]
async fn after_a_break_it_is_asked_again() {
    let server = server().await;
    let proxy = ConnectProxy::start(address(&server), None).await;
    let http = Http::default().proxy(proxy.url());
    let socket = Socket::builder(URL).http(http).idle().unwrap();
    let opened = socket.telemetry().filter(|told| ready(matches!(told, Ok(Telemetry::Opened { .. }))));
    socket.connect().await.unwrap();
    server.wait_for_connections(1).await;
    server.drop_connections();
    assert_eq!(opened.take(2).count().await, 2);
    assert_eq!(proxy.asked().len(), 2);
}

#[tokio::test]
async fn a_proxy_that_says_nothing_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = Http::default().proxy(listener.local_addr().unwrap().to_string());
    let builder = Socket::builder(URL).http(http).connect_timeout(Duration::from_millis(50));
    let error = once(builder).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout), "{error:?}");
}

#[tokio::test]
async fn a_refusal_behind_the_proxy_is_the_servers() {
    let server = server().await;
    server.refuse_next(407, 1);
    let proxy = ConnectProxy::start(address(&server), None).await;
    let error = attempt(URL, &Http::default().proxy(proxy.url())).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Refused(refusal) if refusal.status() == 407), "{error:?}");
}

// T-29
#[tokio::test]
async fn what_is_no_proxy_is_told_when_the_socket_is_built() {
    for url in ["", "http://", "ftp://ann:hunter2@proxy", "socks4://ann:hunter2@proxy:1080", "http://ann:hunter2@a b"] {
        let http = Http::default().proxy(url);
        let error = Socket::builder(URL).http(http.clone()).start().unwrap_err();
        assert!(matches!(error, BuildError::Proxy(_)), "{url}: {error:?}");
        assert!(!format!("{error} {error:?} {http:?}").contains("hunter2"));
        assert_eq!(error.to_string().contains("SOCKS"), url.starts_with("socks"));
    }
    let http = Http::default().proxy("http://proxy").proxy_credentials("a:b", "hunter2");
    assert!(matches!(Socket::builder(URL).http(http).start(), Err(BuildError::Proxy(_))));
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod with_tls {
    use super::*;
    use crate::{certificates::Authority, front::front, tls::trusting};

    #[tokio::test]
    async fn wss_goes_through_the_same_tunnel() {
        let authority = Authority::new();
        let server = server().await;
        let at = front(address(&server), &authority.server(&["chat.example"]), None).await;
        let proxy = ConnectProxy::start(at, BASIC).await;
        let url = "wss://chat.example/socket";
        let set = [("https_proxy", format!("ann:hunter2@{}", proxy.address())), ("http_proxy", "nowhere:1".into())];
        for http in trusting(&authority) {
            let given = http.clone().proxy(proxy.url()).proxy_credentials("ann", "hunter2");
            attempt(url, &given).await.unwrap();
            let set = set.clone();
            let found = http
                .clone()
                .proxy_variables(move |name| set.iter().find(|(key, _)| *key == name).map(|(_, text)| text.clone()));
            attempt("https://chat.example:4443/socket", &found).await.unwrap();
            assert_eq!(proxy.asked(), ["chat.example:443", "chat.example:4443"]);

            let refused = attempt(url, &http.clone().proxy(proxy.url())).await.unwrap_err();
            assert!(matches!(&refused, ConnectError::ProxyRefused(refusal) if refusal.status() == 407), "{refused:?}");
            proxy.answer_next("HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\npolicy");
            let ConnectError::ProxyRefused(refusal) = attempt(url, &given).await.unwrap_err() else { panic!("open") };
            assert_eq!((refusal.status().as_u16(), &refusal.body()[..]), (403, &b"policy"[..]));
            let _ = proxy.asked();

            // It is the server's name that its certificate is held against.
            let other = attempt("wss://other.example", &given).await.unwrap_err();
            assert!(other.to_string().contains("other.example:443: it is for another host"), "{other}");
            let _ = proxy.asked();
        }
    }

    #[tokio::test]
    async fn the_proxy_itself_may_be_reached_by_tls() {
        let authority = Authority::new();
        let server = server().await;
        let secure = front(address(&server), &authority.server(&["chat.example"]), None).await;
        for (url, leads_to) in [(URL, address(&server)), ("wss://chat.example/socket", secure)] {
            let proxy = ConnectProxy::start(leads_to, BASIC).await;
            let at = front(proxy.address(), &authority.server(&["127.0.0.1"]), None).await;
            for http in trusting(&authority) {
                attempt(url, &http.clone().proxy(format!("https://ann:hunter2@{at}"))).await.unwrap();
                assert_eq!(proxy.asked().len(), 1);

                // Whom it does not know it tells nothing.
                let impostor = front(proxy.address(), &Authority::new().server(&["127.0.0.1"]), None).await;
                let error = attempt(url, &http.proxy(format!("https://ann:hunter2@{impostor}"))).await.unwrap_err();
                assert!(matches!(error, ConnectError::Certificate(_)), "{error:?}");
                assert!(error.to_string().contains(&format!("the proxy {impostor}: ")), "{error}");
                assert!(proxy.asked().is_empty());
            }
        }
    }
}
