//! Without TLS.

use super::*;

#[tokio::test]
async fn wss_without_tls_is_a_clear_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = fails(dial(&format!("wss://{}/socket", listener.local_addr().unwrap()))).await;
    assert!(error.to_string().contains("enable the feature `rustls` or `native-tls`"), "{error}");
}
