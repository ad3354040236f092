//! A proxy that opens no tunnels: it takes requests whole, and hands them on.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

/// It leads to one address, whatever it is asked for.
#[derive(Clone)]
pub(crate) struct ForwardProxy(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    leads_to: SocketAddr,
    /// What has to stand in `Proxy-Authorization`.
    password: Option<&'static str>,
    asked: Mutex<Vec<String>>,
}

impl ForwardProxy {
    pub(crate) async fn start(leads_to: SocketAddr, password: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = ForwardProxy(Arc::new(Inner { address, leads_to, password, asked: Mutex::default() }));
        let serving = proxy.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        proxy
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// The first request of each connection, without its query.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.asked.lock().unwrap())
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        let text = String::from_utf8(head.clone()).unwrap();
        let line = text.split([' ', '?']).take(2).collect::<Vec<_>>().join(" ");
        self.0.asked.lock().unwrap().push(line.clone());
        let told = text.lines().find_map(|line| line.strip_prefix("proxy-authorization: "));
        if self.0.password.is_some() && told != self.0.password {
            let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
            let _ = stream.write_all(refusal).await;
        } else if line.starts_with("CONNECT") {
            let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
        } else {
            assert!(line.contains(" http://"), "it is not for a proxy: {line}");
            // A server takes requests in this form too.
            let mut server = TcpStream::connect(self.0.leads_to).await.unwrap();
            server.write_all(&head).await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut server).await;
        }
    }
}
