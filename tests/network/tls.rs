//! Who is trusted and who is not, and how that is said.

use std::time::Duration;

use phoenix_streams::{BuildError, ConnectError, Http, Socket, Status, testing::Server};
use tokio::net::TcpListener;

use crate::{
    address, alone, attempt,
    certificates::{Authority, Issued},
    front::front,
    once, server,
};

/// Of every library that is compiled in, the default first.
fn libraries() -> Vec<Http> {
    vec![
        Http::default(),
        #[cfg(all(feature = "rustls", feature = "native-tls"))]
        Http::default().native_tls(),
    ]
}

/// Trusting this authority alone.
pub(crate) fn trusting(authority: &Authority) -> Vec<Http> {
    libraries().into_iter().map(|http| http.root_certificate(authority.pem()).no_system_roots()).collect()
}

/// Where a server is found that shows this certificate.
async fn showing(certificate: &Issued) -> (Server, String) {
    let server = server().await;
    let at = front(address(&server), certificate, None).await;
    (server, format!("wss://127.0.0.1:{}/socket", at.port()))
}

async fn refused(url: &str, http: &Http) -> String {
    match Socket::builder(url).http(http.clone()).connect().await {
        Err(error @ ConnectError::Certificate(_)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn whoever_is_trusted_by_a_given_root_opens() {
    let authority = Authority::new();
    let (_server, url) = showing(&authority.server(&["127.0.0.1", "localhost"])).await;
    let other = Authority::new().pem();
    for http in libraries() {
        let http = &http;
        let only = || http.clone().no_system_roots();
        attempt(&url, &only().root_certificate(authority.pem())).await.unwrap();
        attempt(&url, &only().root_certificate(authority.der())).await.unwrap();
        attempt(&url, &only().root_certificate(format!("{other}{}", authority.pem()))).await.unwrap();
        attempt(&url, &only().root_certificate(&other).root_certificate(authority.pem())).await.unwrap();
        // With the system's beside it; and by name, as `https`.
        let url = url.replace("127.0.0.1", "localhost").replace("wss:", "https:");
        attempt(&url, &http.clone().root_certificate(authority.pem())).await.unwrap();
    }
}

#[tokio::test]
async fn whoever_is_not_trusted_is_refused_in_words_that_say_why() {
    let (authority, stranger, impostor) = (Authority::named("a"), Authority::named("b"), Authority::named("a"));
    for (certificate, why) in [
        (stranger.server(&["127.0.0.1"]), "its issuer is not known here"),
        (impostor.server(&["127.0.0.1"]), "issuer"),
        (authority.server(&["other.example"]), "it is for another host"),
        (authority.expired(&["127.0.0.1"]), "expired"),
        (authority.not_yet_valid(&["127.0.0.1"]), "it is not valid"),
    ] {
        let (_server, url) = showing(&certificate).await;
        for http in trusting(&authority) {
            let said = refused(&url, &http).await;
            assert!(said.contains(why) && said.contains("the server's certificate"), "{said}");
            assert!(said.contains(url.split('/').nth(2).unwrap()), "{said}");
        }
    }
}

#[tokio::test]
async fn a_certificate_for_many_hosts_makes_no_long_error() {
    let authority = Authority::new();
    let names: Vec<String> = (0..500).map(|number| format!("host-{number}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (_server, url) = showing(&authority.server(&names)).await;
    for http in trusting(&authority) {
        let said = refused(&url, &http).await;
        assert!(said.len() < 500, "{said}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_whoever_asks() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let server = server().await;
    let at = front(address(&server), &authority.server(&["127.0.0.1"]), Some(&clients)).await;
    let url = format!("wss://{at}/socket");
    for http in trusting(&authority) {
        let me = clients.client();
        attempt(&url, &http.clone().client_certificate(me.chain, me.key)).await.unwrap();

        let none = attempt(&url, &http).await.unwrap_err();
        assert!(matches!(none, ConnectError::Transport(_)), "{none:?}");
        assert!(none.to_string().to_lowercase().contains("certificate"), "{none}");

        let stranger = authority.client();
        let wrong = attempt(&url, &http.clone().client_certificate(stranger.chain, stranger.key)).await.unwrap_err();
        assert!(matches!(wrong, ConnectError::Transport(_)), "{wrong:?}");
    }
    // To whoever does not ask, it makes no difference.
    let (_server, url) = showing(&authority.server(&["127.0.0.1"])).await;
    for http in trusting(&authority) {
        let me = clients.client();
        attempt(&url, &http.client_certificate(me.chain, me.key)).await.unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_told_when_the_socket_is_built() {
    let authority = Authority::new();
    let (me, other) = (authority.client(), authority.client());
    let broken = me.chain.replace("MII", "M*I");
    for http in libraries() {
        let given = || http.clone();
        for http in [
            given().root_certificate(""),
            given().root_certificate("no certificate"),
            given().root_certificate(&broken),
            given().root_certificate(&me.key),
            given().no_system_roots(),
            given().client_certificate(&me.chain, "no key"),
            given().client_certificate("no certificate", &me.key),
            given().client_certificate(&me.chain, &other.key),
            given().client_certificate(&me.chain, &me.chain),
            given().client_certificate(&broken, &me.key),
            given().tls_config("no config"),
        ] {
            let error = Socket::builder("ws://127.0.0.1:1/socket").http(http.clone()).driver().unwrap_err();
            assert!(matches!(error, BuildError::Tls(_)), "{error:?}");
            let shown = format!("{error} {error:?} {http:?}");
            // A key is all of its lines.
            for line in me.key.lines().chain(other.key.lines()).filter(|line| !line.starts_with("-----")) {
                assert!(!shown.contains(line), "{shown}");
            }
        }
    }
}

// U-18, T-29
#[tokio::test]
async fn certificates_and_keys_do_not_show() {
    let me = Authority::new().client();
    for http in libraries() {
        let http = http.client_certificate(&me.chain, &me.key).root_certificate(&me.chain);
        let builder = Socket::builder("ws://127.0.0.1:1/socket").http(http.clone());
        let shown = format!("{http:?} {builder:?}");
        assert!(shown.contains("client_certificate: true") && shown.contains("roots: 1"), "{shown}");
        for line in me.key.lines().chain(me.chain.lines()) {
            assert!(!shown.contains(line), "{shown}");
        }
    }
}

#[cfg(feature = "rustls")]
mod own {
    use std::sync::Arc;

    use tokio_rustls::rustls::{
        ClientConfig, RootCertStore,
        crypto::{CryptoProvider, aws_lc_rs, ring},
    };

    use super::*;

    fn config(authority: &Authority) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().to_vec().into()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth()
    }

    #[tokio::test]
    async fn a_config_of_ones_own_is_taken_by_value_and_shared() {
        let authority = Authority::new();
        let (_server, url) = showing(&authority.server(&["127.0.0.1"])).await;
        let mut h2 = config(&authority);
        h2.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        attempt(&url, &Http::default().tls_config(h2)).await.unwrap();
        attempt(&url, &Http::default().tls_config(Arc::new(config(&authority)))).await.unwrap();
        let stranger = config(&Authority::new());
        assert!(refused(&url, &Http::default().tls_config(stranger)).await.contains("its issuer is not known"));
    }

    // Both ring and aws-lc-rs are compiled into these tests, and none of them is installed: rustls panics by itself.
    #[tokio::test]
    async fn two_crypto_providers_and_none_installed_do_no_harm() {
        assert!(CryptoProvider::get_default().is_none());
        assert!(std::panic::catch_unwind(ClientConfig::builder).is_err(), "there is nothing to be tested");
        let authority = Authority::new();
        let (_server, url) = showing(&authority.server(&["127.0.0.1"])).await;
        for http in trusting(&authority) {
            attempt(&url, &http).await.unwrap();
        }
    }

    #[tokio::test]
    async fn the_provider_that_is_installed_is_the_one_that_is_used() {
        if !alone("tls::own::the_provider_that_is_installed_is_the_one_that_is_used", &[]) {
            return;
        }
        // One that can do nothing: no handshake works with it.
        let crippled = CryptoProvider { kx_groups: vec![], ..aws_lc_rs::default_provider() };
        crippled.install_default().unwrap();
        let authority = Authority::new();
        let (_server, url) = showing(&authority.server(&["127.0.0.1"])).await;
        let http = Http::default().root_certificate(authority.pem()).no_system_roots();
        assert!(attempt(&url, &http).await.is_err());
    }
}

#[cfg(feature = "native-tls")]
#[tokio::test]
async fn a_native_connector_of_ones_own_is_taken() {
    let authority = Authority::new();
    let (_server, url) = showing(&authority.server(&["127.0.0.1"])).await;
    let connector = |authority: &Authority| {
        let root = native_tls::Certificate::from_der(authority.der()).unwrap();
        native_tls::TlsConnector::builder().add_root_certificate(root).build().unwrap()
    };
    attempt(&url, &Http::default().tls_config(connector(&authority))).await.unwrap();
    let stranger = Http::default().tls_config(connector(&Authority::new()));
    assert!(refused(&url, &stranger).await.contains("its issuer is not known"));
}

/// Files that stand for the system's certificates, for as long as the test runs.
#[cfg(target_os = "linux")]
mod system {
    use std::path::PathBuf;

    use super::*;

    struct File(PathBuf);

    impl File {
        fn new(test: &str, content: &str) -> Self {
            let path = std::env::temp_dir().join(format!("phoenix-streams-{test}-{}.pem", std::process::id()));
            std::fs::write(&path, content).unwrap();
            File(path)
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn with(test: &str, certificates: &str) -> bool {
        if std::env::var("TEST_ALONE").is_ok() {
            return true;
        }
        let file = File::new(test, certificates);
        let file = file.0.to_str().unwrap();
        let variables = [("SSL_CERT_FILE", file), ("SSL_CERT_DIR", "/nonexistent"), ("TEST_KEY", certificates)];
        alone(&format!("tls::system::{test}"), &variables)
    }

    #[tokio::test]
    async fn whoever_the_system_trusts_opens() {
        // Key and certificate are made by the parent, and stand in the file that the child takes for the system's.
        let made = Authority::new();
        let issued = made.server(&["127.0.0.1"]);
        let certificates = format!("{}{}{}", made.pem(), issued.chain, issued.key);
        if with("whoever_the_system_trusts_opens", &certificates) {
            let made = std::env::var("TEST_KEY").unwrap();
            let end = "-----END CERTIFICATE-----\n";
            let (_, rest) = made.split_at(made.find(end).unwrap() + end.len());
            let (chain, key) = rest.split_at(rest.find(end).unwrap() + end.len());
            let (_server, url) = showing(&Issued { chain: chain.into(), key: key.into() }).await;
            for http in libraries() {
                attempt(&url, &http).await.unwrap();
                // A root of one's own comes on top, or in place.
                let other = http.root_certificate(Authority::new().pem());
                attempt(&url, &other).await.unwrap();
                refused(&url, &other.no_system_roots()).await;
            }
        }
    }

    #[tokio::test]
    async fn where_the_system_trusts_nobody_ws_opens_and_wss_says_why_not() {
        if with("where_the_system_trusts_nobody_ws_opens_and_wss_says_why_not", "") {
            let plain = server().await;
            let authority = Authority::new();
            let (_server, url) = showing(&authority.server(&["127.0.0.1"])).await;
            for http in libraries() {
                attempt(plain.url(), &http).await.unwrap();
                assert!(attempt(&url, &http).await.is_err());
                attempt(&url, &http.root_certificate(authority.pem())).await.unwrap();
            }
            #[cfg(feature = "rustls")]
            {
                let error = attempt(&url, &Http::default()).await.unwrap_err();
                assert!(matches!(error, ConnectError::Build(BuildError::Tls(_))), "{error:?}");
                assert!(error.to_string().contains("No CA certificates"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_is_a_failure() {
    let server = server().await;
    let url = server.url().replacen("ws", "wss", 1);
    for http in libraries() {
        let error = attempt(&url, &http).await.unwrap_err();
        assert!(matches!(error, ConnectError::Transport(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://{}/socket", listener.local_addr().unwrap());
    for http in libraries() {
        let builder = Socket::builder(&url).http(http).connect_timeout(Duration::from_millis(50));
        let error = once(builder).connect().await.unwrap_err();
        assert!(matches!(error, ConnectError::Timeout), "{error:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_verify_stops_the_socket() {
    let authority = Authority::new();
    let (_server, url) = showing(&Authority::new().server(&["127.0.0.1"])).await;
    for http in trusting(&authority) {
        let socket = Socket::builder(&url).http(http).start().unwrap();
        let stopped = socket.status().wait_for(|status| matches!(status, Status::Stopped { .. })).await;
        let Some(Status::Stopped { cause }) = stopped else { panic!("{stopped:?}") };
        assert!(matches!(&*cause, ConnectError::Certificate(_)), "{cause:?}");
    }
}
