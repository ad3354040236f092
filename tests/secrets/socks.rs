//! Through a proxy of SOCKS, which is told a user and a password in plain bytes.

use phoenix_streams::Http;
use tokio::io::AsyncReadExt;

use crate::{
    network::{SILENCE, run_by, server},
    planted::{PROXY, PROXY_GIVEN, PROXY_NAMED},
    proxy::at,
    raw::{Raw, closed_port},
    shown::{Shown, recorder},
    socket::Given,
    socks_proxy::SocksProxy,
};

/// A name that nobody but the proxy could find.
const URL: &str = "ws://chat.example/socket";

/// The proxy at this address, with credentials in its URL.
fn by_url(address: &str) -> Http {
    Http::default().proxy(format!("socks5h://ann:{}@{address}", PROXY.text))
}

/// With credentials given apart from it, in place of others.
fn by_value(address: &str) -> Http {
    by_url(address).proxy_credentials("ann", PROXY_GIVEN.text)
}

/// As the system's variables have it, behind one that cannot be used.
fn by_variable(address: &str) -> Http {
    let variables = [
        ("http_proxy", format!("socks5h://:{}@proxy:1", PROXY_NAMED.text)),
        ("all_proxy", format!("socks5h://ann:{}@{address}", PROXY_NAMED.text)),
    ];
    Http::default()
        .proxy_variables(move |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()))
}

const WAYS: [fn(&str) -> Http; 3] = [by_url, by_value, by_variable];

// U-18, DEV-3, T-29
#[tokio::test]
async fn t_29_no_secret_is_shown_by_sockets_behind_a_socks_proxy() {
    recorder();
    let shown = Shown::default();
    let server = server(true).await;
    for (secret, http) in [PROXY, PROXY_GIVEN, PROXY_NAMED].into_iter().zip(WAYS) {
        let right = SocksProxy::start(at(&server), Some(("ann", secret.text))).await;
        let wrong = SocksProxy::start(at(&server), Some(("bob", "other"))).await;
        for given in [Given::Values, Given::Closures] {
            let http = |proxy: &SocksProxy| http(&proxy.address().to_string());
            assert!(run_by(&shown, "through the proxy", URL, given, http(&right)).await, "{secret:?}");
            assert!(!run_by(&shown, "a wrong password", URL, given, http(&wrong)).await, "{secret:?}");
        }
        // What was to be kept secret was told.
        assert!(wrong.told().iter().all(|told| *told == ("ann".to_owned(), secret.text.to_owned())), "{secret:?}");
    }
    for answer in [
        "SSH-2.0\r\n\r\n",
        "\x05",
        "\x05\x02",
        "\x05\x02\x05\x00",
        "\x05\x02\x01\x00\x05\x01\x00",
        "\x05\x02\x01\x00\x05\x02\x00\x01",
        "\x05\x02\x01\x00\x05\x09\x00\x01",
    ] {
        for http in WAYS {
            let raw = Raw::interrupts(answer).await;
            assert!(!run_by(&shown, answer, URL, Given::Values, http(&raw.address)).await, "{answer}");
        }
    }
    let silent = Raw::serve(|mut stream| async move { while stream.read_u8().await.is_ok() {} }).await;
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
