//! TLS in front of a server that knows nothing of it, as a load balancer puts it there.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{copy, copy_bidirectional, sink},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::WebPkiClientVerifier,
    },
};

use crate::certificates::{Authority, Issued};

const H2: &[u8] = b"h2";

/// Where TLS is spoken in front of this address. Whoever `clients` names has to be shown a certificate of it.
pub(crate) async fn front(behind: SocketAddr, certificate: &Issued, clients: Option<&Authority>) -> SocketAddr {
    let acceptor = TlsAcceptor::from(Arc::new(config(certificate, clients)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(acceptor.clone(), stream, behind));
        }
    });
    address
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, behind: SocketAddr) {
    match acceptor.accept(stream).into_fallible().await {
        // One that may speak HTTP/2 does, and knows no WebSocket then.
        Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(H2) => {}
        Ok(mut stream) => {
            let mut server = TcpStream::connect(behind).await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut server).await;
        }
        Err((_, mut stream)) => {
            // To close before all is read would reset the connection, and the alert with it.
            let _ = copy(&mut stream, &mut sink()).await;
        }
    }
}

fn config(certificate: &Issued, clients: Option<&Authority>) -> ServerConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.der().to_vec().into()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
            config.with_client_cert_verifier(verifier)
        }
    };
    let chain = CertificateDer::pem_slice_iter(certificate.chain.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).unwrap();
    let mut config = config.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![H2.to_vec(), b"http/1.1".to_vec()];
    config
}
