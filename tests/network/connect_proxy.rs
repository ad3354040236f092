//! A proxy as companies have them: it knows `CONNECT`, and who may ask.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

/// It leads to one address, whatever name it is asked for, so that no name has to be looked up.
#[derive(Clone)]
pub(crate) struct ConnectProxy(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    leads_to: SocketAddr,
    /// What has to stand in `Proxy-Authorization`.
    password: Option<&'static str>,
    asked: Mutex<Vec<String>>,
    /// What it answers to the next that ask, in place of a way.
    answers: Mutex<Vec<&'static str>>,
}

impl ConnectProxy {
    pub(crate) async fn start(leads_to: SocketAddr, password: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, answers) = Default::default();
        let proxy = ConnectProxy(Arc::new(Inner { address, leads_to, password, asked, answers }));
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

    /// Answers the next that asks in this way.
    pub(crate) fn answer_next(&self, head: &'static str) {
        self.0.answers.lock().unwrap().push(head);
    }

    /// Where it was asked to lead, since it was last asked here.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.asked.lock().unwrap())
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        let head = String::from_utf8(head).unwrap();
        let to = head.strip_prefix("CONNECT ").and_then(|rest| rest.split_once(" HTTP/1.1\r\n"));
        let (to, headers) = to.unwrap_or_else(|| panic!("no CONNECT: {head}"));
        self.0.asked.lock().unwrap().push(to.to_owned());
        let told = headers.lines().find_map(|line| line.strip_prefix("proxy-authorization: "));
        let answer = self.0.answers.lock().unwrap().pop();
        if let Some(answer) = answer {
            let _ = stream.write_all(answer.as_bytes()).await;
        } else if self.0.password.is_some() && told != self.0.password {
            let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n";
            let _ = stream.write_all(refusal).await;
        } else {
            let mut server = TcpStream::connect(self.0.leads_to).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut server).await;
        }
    }
}
