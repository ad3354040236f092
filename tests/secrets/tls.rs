//! Over TLS, whose certificates pass or do not.

use std::net::SocketAddr;

use phoenix_streams::Http;

use crate::{
    certificates::Authority,
    front::front,
    network::{run_by, server},
    shown::{Shown, recorder},
    socket::Given,
};

// U-18, DEV-3, T-29
#[tokio::test]
async fn t_29_no_secret_is_shown_by_sockets_over_tls() {
    recorder();
    let shown = Shown::default();
    let server = server(true).await;
    let behind: SocketAddr = server.url().strip_prefix("ws://").unwrap().split('/').next().unwrap().parse().unwrap();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let trusting = || Http::default().no_system_roots().root_certificate(authority.pem());
    for (case, certificate, opens) in [
        ("trusted", authority.server(&["127.0.0.1"]), true),
        ("an unknown issuer", stranger.server(&["127.0.0.1"]), false),
        ("another host", authority.server(&["example.org"]), false),
        ("expired", authority.expired(&["127.0.0.1"]), false),
    ] {
        let url = format!("wss://{}/socket", front(behind, &certificate, None).await);
        for given in [Given::Values, Given::Closures] {
            assert_eq!(run_by(&shown, case, &url, given, trusting()).await, opens, "{case}");
        }
    }
    // Shows a certificate whose key is a secret.
    let client = authority.client();
    let url = format!("wss://{}/socket", front(behind, &authority.server(&["127.0.0.1"]), Some(&authority)).await);
    let known = trusting().client_certificate(&client.chain, &client.key);
    assert!(run_by(&shown, "a client certificate", &url, Given::Values, known).await);
    assert!(!run_by(&shown, "no client certificate", &url, Given::Values, trusting()).await);
    shown.holds_no(&client.key.lines().nth(1).unwrap()[..40]);
    shown.holds_none();
}
