//! Through a proxy of SOCKS 5: who looks up the name, who may pass, and what is refused.

use std::{net::SocketAddr, time::Duration};

use futures::StreamExt;
use phoenix_streams::{Backoff, BuildError, ConnectError, Http, Socket, SocksRefusal, Status, Telemetry};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    address, alone, attempt, once, server,
    socks_proxy::{Asked, SocksProxy},
};

/// A name that nobody but the proxy could find.
const URL: &str = "ws://chat.example/socket";
const ANN: (&str, &str) = ("ann", "hunter2");

fn by(scheme: &str, proxy: &SocksProxy) -> Http {
    Http::default().proxy(format!("{scheme}://{}", proxy.address()))
}

fn variable(name: &'static str, text: String) -> Http {
    Http::default().proxy_variables(move |asked| (asked == name).then(|| text.clone()))
}

fn name(host: &str, port: u16) -> Asked {
    Asked::Name(host.to_owned(), port)
}

#[tokio::test]
async fn by_socks5h_the_proxy_looks_up_the_name() {
    let server = server().await;
    let proxy = SocksProxy::start(address(&server), None).await;
    let http = by("socks5h", &proxy);
    attempt(URL, &http).await.unwrap();
    attempt("http://chat.example:4000/socket", &http).await.unwrap();
    attempt("ws://localhost:4000/socket", &http).await.unwrap();
    assert_eq!(proxy.asked(), [name("chat.example", 80), name("chat.example", 4000), name("localhost", 4000)]);
    assert!(proxy.told().is_empty());
}

#[tokio::test]
async fn by_socks5_the_name_is_looked_up_here() {
    let server = server().await;
    let proxy = SocksProxy::start(address(&server), None).await;
    let http = by("socks5", &proxy);
    attempt("ws://localhost:4000/socket", &http).await.unwrap();
    let asked = proxy.asked();
    assert!(matches!(asked[..], [Asked::Address(to)] if to.ip().is_loopback() && to.port() == 4000), "{asked:?}");

    let error = attempt("ws://nowhere.invalid/socket", &http).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unresolved(_)), "{error:?}");
    assert!(error.to_string().contains("nowhere.invalid:80"), "{error}");
    assert!(proxy.asked().is_empty());
}

#[tokio::test]
async fn an_address_is_asked_for_as_an_address() {
    let server = server().await;
    let proxy = SocksProxy::start(address(&server), None).await;
    for scheme in ["socks5", "socks5h"] {
        for at in ["192.0.2.1:4000", "[2001:db8::1]:4000"] {
            attempt(&format!("ws://{at}/socket"), &by(scheme, &proxy)).await.unwrap();
            assert_eq!(proxy.asked(), [Asked::Address(at.parse().unwrap())]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_variables_may_name_it() {
    const TEST: &str = "socks::the_variables_may_name_it";
    let server = server().await;
    let proxy = SocksProxy::start(address(&server), Some(ANN)).await;
    let url = format!("socks5h://ann:hunter2@{}", proxy.address());
    if alone(TEST, &[("all_proxy", &url)]) {
        attempt(URL, &Http::default()).await.unwrap();
        return;
    }
    assert_eq!(proxy.asked(), [name("chat.example", 80)]);
    for variable_name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        attempt(URL, &variable(variable_name, url.clone())).await.unwrap();
        assert_eq!(proxy.asked(), [name("chat.example", 80)], "{variable_name}");
    }
    // Loopback is reached without.
    attempt(server.url(), &variable("all_proxy", url)).await.unwrap();
    assert!(proxy.asked().is_empty());
}

#[tokio::test]
async fn whoever_may_pass_is_known_by_user_and_password() {
    let server = server().await;
    let proxy = SocksProxy::start(address(&server), Some(ANN)).await;
    let (at, long) = (proxy.address(), "x".repeat(255));
    for right in [
        Http::default().proxy(format!("socks5h://ann:hunter2@{at}")),
        Http::default().proxy(format!("socks5h://ann:%68unter2@{at}")),
        Http::default().proxy(format!("socks5h://bob:p@{at}")).proxy_credentials("ann", "hunter2"),
        Http::default().proxy_credentials("ann", "hunter2").proxy(format!("socks5h://{at}")),
        variable("all_proxy", format!("socks5h://ann:hunter2@{at}")),
    ] {
        attempt(URL, &right).await.unwrap();
        assert_eq!(proxy.told(), [("ann".to_owned(), "hunter2".to_owned())]);
        assert!(!format!("{right:?}").contains("hunter2"));
    }
    for (wrong, cause, told) in [
        (by("socks5h", &proxy), SocksRefusal::LoginWanted, None),
        (variable("all_proxy", format!("socks5h://{at}")), SocksRefusal::LoginWanted, None),
        (
            by("socks5h", &proxy).proxy_credentials("ann", "swordfish"),
            SocksRefusal::LoginRefused,
            Some(("ann".to_owned(), "swordfish".to_owned())),
        ),
        (
            by("socks5h", &proxy).proxy_credentials(&long, &long),
            SocksRefusal::LoginRefused,
            Some((long.clone(), long.clone())),
        ),
    ] {
        // Without a limit: the socket stops by itself.
        let socket = Socket::builder(URL).http(wrong.clone()).start().unwrap();
        let stopped = socket.status().wait_for(|status| matches!(status, Status::Stopped { .. })).await;
        let Some(Status::Stopped { cause: stopped }) = stopped else { panic!("{stopped:?}") };
        assert!(matches!(*stopped, ConnectError::SocksRefused(refusal) if refusal == cause), "{stopped:?}");
        let shown = format!("{stopped} {stopped:?} {wrong:?} {socket:?}");
        assert!(shown.contains("SOCKS proxy") && !shown.contains("swordfish") && !shown.contains(&long), "{shown}");
        assert_eq!(proxy.told(), Vec::from_iter(told));
    }
    assert!(proxy.asked().iter().all(|asked| *asked == name("chat.example", 80)));
}

#[tokio::test]
async fn whom_nobody_asks_for_a_password_tells_none() {
    let server = server().await;
    let proxy = SocksProxy::start(address(&server), None).await;
    attempt(URL, &by("socks5h", &proxy).proxy_credentials("ann", "hunter2")).await.unwrap();
    assert!(proxy.told().is_empty());
}

#[tokio::test]
async fn what_the_proxy_refuses_is_told_apart_and_tried_again() {
    use SocksRefusal::*;

    let server = server().await;
    let proxy = SocksProxy::start(address(&server), None).await;
    for (reply, expected) in [
        (1, General),
        (2, NotAllowed),
        (3, NetworkUnreachable),
        (4, HostUnreachable),
        (5, ConnectionRefused),
        (6, TtlExpired),
        (7, CommandNotSupported),
        (8, AddressTypeNotSupported),
    ] {
        proxy.refuse_next(reply);
        let quickly = Backoff::steps([Duration::from_millis(1)]);
        let socket = Socket::builder(URL).http(by("socks5h", &proxy)).reconnect(quickly).idle().unwrap();
        // What lasts a millisecond would be missed in the status.
        let failed = socket.telemetry().filter_map(|told| async {
            match told {
                Ok(Telemetry::Failed { cause, .. }) => Some(cause),
                _ => None,
            }
        });
        socket.connect().await.unwrap();
        let cause = std::pin::pin!(failed).next().await.unwrap();
        assert!(matches!(*cause, ConnectError::SocksRefused(refusal) if refusal == expected), "{cause:?}");
        assert_eq!(proxy.asked().len(), 2);
    }
    // RFC 1928 assigns no more of them.
    for reply in [9, 255] {
        proxy.refuse_next(reply);
        let error = attempt(URL, &by("socks5h", &proxy)).await.unwrap_err();
        assert!(matches!(error, ConnectError::Handshake(_)), "{error:?}");
    }
}

/// Where this is answered to whatever comes first, and nothing more.
async fn answering(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 16]).await;
            let _ = stream.write_all(answer).await;
        }
    });
    at
}

#[tokio::test]
async fn a_proxy_that_speaks_something_else_is_a_failure_that_names_it() {
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"SSH-2.0-OpenSSH_9.9\r\n", b"\0\x5a", b"", b"\x05"] {
        let at = answering(answer).await;
        for scheme in ["socks5h", "socks5"] {
            let http = Http::default().proxy(format!("{scheme}://ann:hunter2@{at}"));
            let error = attempt("ws://127.0.0.1:1/socket", &http).await.unwrap_err();
            match error {
                ConnectError::HandshakeCut(_) => assert!(answer.len() < 2, "{error}"),
                ConnectError::Handshake(_) => assert!(answer.len() >= 2, "{error}"),
                _ => panic!("{error:?}"),
            }
            let said = error.to_string();
            assert!(said.contains(&format!("the proxy {at}")) && !said.contains("hunter2"), "{said}");
        }
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_a_failure_that_names_it() {
    let at = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = attempt(URL, &Http::default().proxy(format!("socks5h://{at}"))).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable(_)), "{error:?}");
    assert!(error.to_string().contains(&format!("the proxy {at}")), "{error}");
}

#[tokio::test]
async fn a_proxy_that_says_nothing_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = Http::default().proxy(format!("socks5h://{}", listener.local_addr().unwrap()));
    let builder = Socket::builder(URL).http(http).connect_timeout(Duration::from_millis(50));
    let error = once(builder).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout), "{error:?}");
}

// T-29
#[tokio::test]
async fn what_cannot_be_told_or_spoken_is_told_when_the_socket_is_built() {
    let long = format!("hunter2{}", "x".repeat(249));
    let given = |user: &str, password: &str| Http::default().proxy("socks5://proxy").proxy_credentials(user, password);
    for http in [
        Http::default().proxy("socks4://ann:hunter2@proxy"),
        Http::default().proxy("socks4a://ann:hunter2@proxy"),
        Http::default().proxy("socks://ann:hunter2@proxy"),
        Http::default().proxy("socks5://hunter2@proxy"),
        Http::default().proxy(format!("socks5h://ann:{long}@proxy")),
        given("", "hunter2"),
        given("hunter2", ""),
        given(&long, "hunter2"),
        given("hunter2", &long),
    ] {
        let error = Socket::builder(URL).http(http.clone()).start().unwrap_err();
        assert!(matches!(error, BuildError::Proxy(_)), "{error:?}");
        assert!(!format!("{error} {error:?} {http:?}").contains("hunter2"), "{error:?}");
    }
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
#[tokio::test]
async fn wss_goes_through_it_and_the_certificate_is_the_servers() {
    use crate::{certificates::Authority, front::front, tls::trusting};

    let authority = Authority::new();
    let server = server().await;
    let secure = front(address(&server), &authority.server(&["chat.example"]), None).await;
    let proxy = SocksProxy::start(secure, Some(ANN)).await;
    let url = format!("socks5h://ann:hunter2@{}", proxy.address());
    for http in trusting(&authority) {
        attempt("wss://chat.example/socket", &http.clone().proxy(&url)).await.unwrap();
        let variable = url.clone();
        let found = http.clone().proxy_variables(move |name| (name == "https_proxy").then(|| variable.clone()));
        attempt("https://chat.example:4443/socket", &found).await.unwrap();
        assert_eq!(proxy.asked(), [name("chat.example", 443), name("chat.example", 4443)]);

        let other = attempt("wss://other.example/socket", &http.proxy(&url)).await.unwrap_err();
        assert!(other.to_string().contains("other.example:443: it is for another host"), "{other}");
        let _ = proxy.asked();
    }
}
