//! Through a proxy, which has credentials of its own.

use std::net::SocketAddr;

use base64::{Engine, engine::general_purpose::STANDARD};
use phoenix_streams::{Http, testing::Server};

use crate::{
    connect_proxy::ConnectProxy,
    network::{SILENCE, run_by, server},
    planted::{PROXY, PROXY_GIVEN, PROXY_NAMED, Secret},
    raw::{Raw, closed_port},
    shown::{Shown, recorder},
    socket::Given,
};

/// A name that nobody but the proxy could find.
const URL: &str = "ws://chat.example/socket";

pub(crate) fn at(server: &Server) -> SocketAddr {
    server.url().strip_prefix("ws://").unwrap().split('/').next().unwrap().parse().unwrap()
}

async fn proxy(server: &Server, password: Secret) -> ConnectProxy {
    let basic = format!("Basic {}", STANDARD.encode(format!("ann:{}", password.text)));
    ConnectProxy::start(at(server), Some(basic.leak())).await
}

/// The proxy at this address, with credentials in its URL.
fn by_url(address: &str) -> Http {
    Http::default().proxy(format!("http://ann:{}@{address}", PROXY.text))
}

/// With credentials given apart from it.
fn by_value(address: &str) -> Http {
    Http::default().proxy(format!("http://{address}")).proxy_credentials("ann", PROXY_GIVEN.text)
}

/// As the system's variables have it, behind one that cannot be used.
fn by_variable(address: &str) -> Http {
    let variables = [
        ("http_proxy", format!("socks4://ann:{}@proxy:1", PROXY_NAMED.text)),
        ("all_proxy", format!("ann:{}@{address}", PROXY_NAMED.text)),
    ];
    Http::default()
        .proxy_variables(move |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()))
}

const WAYS: [fn(&str) -> Http; 3] = [by_url, by_value, by_variable];

// U-18, DEV-3, T-29
#[tokio::test]
async fn t_29_no_secret_is_shown_by_sockets_behind_a_proxy() {
    recorder();
    let shown = Shown::default();
    let server = server(true).await;
    let both = [Given::Values, Given::Closures];
    for (password, http) in [(PROXY, WAYS[0]), (PROXY_GIVEN, WAYS[1]), (PROXY_NAMED, WAYS[2])] {
        let right = proxy(&server, password).await;
        let wrong = ConnectProxy::start(at(&server), Some("Basic bm9ib2R5")).await;
        for given in both {
            assert!(
                run_by(&shown, "through the proxy", URL, given, http(&right.address().to_string())).await,
                "{password:?}"
            );
            assert!(
                !run_by(&shown, "a wrong password", URL, given, http(&wrong.address().to_string())).await,
                "{password:?}"
            );
        }
    }
    for answer in
        ["HTTP/1.1 502 Bad Gateway\r\n\r\n", "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "SSH-2.0\r\n\r\n", "HTT"]
    {
        for http in WAYS {
            let raw = Raw::answers(answer).await;
            assert!(!run_by(&shown, answer, URL, Given::Values, http(&raw.address)).await, "{answer}");
        }
    }
    let silent = Raw::is_silent().await;
    for (case, address) in [
        (SILENCE, silent.address.clone()),
        ("a closed port", closed_port().await),
        ("no such host", "nowhere.invalid:1".into()),
    ] {
        for http in WAYS {
            assert!(!run_by(&shown, case, URL, Given::Values, http(&address)).await, "{case}");
        }
    }
    shown.holds_none();
}
