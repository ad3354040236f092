//! A server made by hand, so that it can do wrong.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// It does the same with every connection.
pub(crate) struct Raw {
    pub(crate) address: String,
    /// As a socket takes it.
    pub(crate) url: String,
    connections: Arc<AtomicUsize>,
}

impl Raw {
    pub(crate) async fn serve<F>(script: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            loop {
                let stream = listener.accept().await.unwrap().0;
                count.fetch_add(1, SeqCst);
                tokio::spawn(script(stream));
            }
        });
        Raw { url: format!("ws://{address}/socket"), address, connections }
    }

    /// Answers a request with these bytes and ends the connection.
    pub(crate) async fn answers(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        Raw::serve(move |mut stream| {
            let answer = answer.clone();
            async move {
                read_head(&mut stream).await;
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await
    }

    /// Answers whatever comes first with these bytes and ends the connection.
    pub(crate) async fn interrupts(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        Raw::serve(move |mut stream| {
            let answer = answer.clone();
            async move {
                assert!(stream.read(&mut vec![0; 16_384]).await.unwrap() > 0);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await
    }

    /// Answers a request with a reset.
    pub(crate) async fn resets() -> Self {
        Raw::serve(|mut stream| async move {
            read_head(&mut stream).await;
            stream.set_zero_linger().unwrap();
        })
        .await
    }

    /// Answers a request with silence, until the client has had enough.
    pub(crate) async fn is_silent() -> Self {
        Raw::serve(|mut stream| async move {
            read_head(&mut stream).await;
            assert!(stream.read_u8().await.is_err());
        })
        .await
    }

    /// Reads this many bytes, at most, and ends the connection: with a FIN if that was all, else with a reset.
    pub(crate) async fn reads(bytes: usize) -> Self {
        Raw::serve(move |mut stream| async move {
            assert!(stream.read(&mut vec![0; bytes]).await.unwrap() > 0);
        })
        .await
    }

    /// How many connections it has had.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

/// An address where nothing listens.
pub(crate) async fn closed_port() -> String {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

/// A whole answer that is no WebSocket's.
pub(crate) fn page(status: &str, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\nx-node: n7\r\n{headers}Content-Length: 13\r\n\r\n<h1>no</h1>\r\n")
}

pub(crate) async fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
}
