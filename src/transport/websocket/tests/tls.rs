//! With TLS, and without it.

use super::*;

#[cfg(not(feature = "rustls"))]
#[tokio::test]
async fn wss_without_tls_is_a_clear_error() {
    let error = fails(dial("wss://127.0.0.1:1/socket")).await;
    assert!(error.to_string().contains("enable the feature `rustls`"), "{error}");
}

#[cfg(feature = "rustls")]
#[tokio::test]
async fn wss_to_a_server_without_tls_is_a_failure() {
    let (mut dial, _server) =
        serve(|mut stream| async move { stream.write_all(b"HTTP/1.1 400 Bad\r\n\r\n").await }).await;
    dial.url = dial.url.to_string().replacen("ws", "wss", 1).parse().unwrap();
    assert!(matches!(fails(dial).await, ConnectError::Transport(_)));
}

#[cfg(all(feature = "rustls", target_os = "linux"))]
mod certificates {
    use std::process::Command;

    use tokio_rustls::{
        TlsAcceptor,
        rustls::{
            ServerConfig,
            crypto::aws_lc_rs,
            pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        },
    };

    use super::*;

    const TRUSTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/cert.pem");

    /// Runs the rest of a test in a process of its own, which finds its certificates in this file alone.
    ///
    /// Whether this is that process.
    fn trusting(file: &str, test: &str) -> bool {
        if std::env::var("CERTIFICATES_OF_TEST").is_ok() {
            return true;
        }
        let out = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("transport::websocket::tests::tls::certificates::{test}")])
            .envs([("CERTIFICATES_OF_TEST", file), ("SSL_CERT_FILE", file), ("SSL_CERT_DIR", "/nonexistent")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&out.stderr));
        false
    }

    async fn serve_tls() -> (Dial, JoinHandle<()>) {
        let certificate = CertificateDer::from_pem_slice(include_bytes!("../../../../tests/tls/cert.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("../../../../tests/tls/key.pem")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let (mut dial, server) = serve(move |stream| async move {
            let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await else { return };
            let answer = answer(&read_head(&mut stream).await);
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.write_all(b"\x81\x05hello").await.unwrap();
            stream.flush().await.unwrap();
            // Gone without a goodbye of TLS.
        })
        .await;
        dial.url = dial.url.to_string().replacen("ws", "wss", 1).parse().unwrap();
        (dial, server)
    }

    #[tokio::test]
    async fn a_certificate_that_does_not_verify_has_an_error_of_its_own() {
        let (dial, _server) = serve_tls().await;
        let error = fails(dial).await;
        assert!(matches!(error, ConnectError::Certificate(_)), "{error:?}");
        assert!(error.to_string().contains("127.0.0.1") && error.to_string().contains("UnknownIssuer"), "{error}");
    }

    #[tokio::test]
    async fn a_trusted_certificate_opens() {
        if trusting(TRUSTED, "a_trusted_certificate_opens") {
            let (dial, _server) = serve_tls().await;
            let mut connection = open(dial).await;
            assert_eq!(frame(&mut connection).await, text("hello"));
            assert!(next(&mut connection).await.is_none());
        }
    }

    #[tokio::test]
    async fn without_certificates_ws_still_opens_and_wss_says_why_not() {
        if trusting("/nonexistent", "without_certificates_ws_still_opens_and_wss_says_why_not") {
            let (dial, _server) = serve_open(|socket| async move { socket }).await;
            open(dial).await;
            let error = fails(serve_tls().await.0).await;
            assert!(error.to_string().contains("No CA certificates"), "{error}");
        }
    }
}
