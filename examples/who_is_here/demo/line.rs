//! A line to the server that can be cut, for one client alone.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::AbortHandle,
};

/// Dropped, nothing listens any more.
pub(crate) struct Line {
    url: String,
    is_cut: watch::Sender<bool>,
    accept: AbortHandle,
}

impl Line {
    /// To a `ws://` URL with a port.
    pub(crate) async fn to(url: &str) -> io::Result<Self> {
        let address = url.split('/').nth(2).unwrap_or_default();
        let server = address.parse().map_err(io::Error::other)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = url.replacen(address, &listener.local_addr()?.to_string(), 1);
        let is_cut = watch::Sender::new(false);
        let accept = tokio::spawn(accept(listener, server, is_cut.subscribe())).abort_handle();
        Ok(Line { url, is_cut, accept })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// On it, `true` cuts the line and keeps it cut.
    pub(crate) fn switch(&self) -> watch::Sender<bool> {
        self.is_cut.clone()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, is_cut: watch::Receiver<bool>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(carry(client, server, is_cut.clone()));
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr, mut is_cut: watch::Receiver<bool>) -> io::Result<()> {
    client.set_nodelay(true)?;
    if *is_cut.borrow() {
        // What is cut right away is told as a reset or as an end, as it happens.
        return client.read(&mut [0; 4096]).await.map(drop);
    }
    tokio::select! {
        _ = is_cut.wait_for(|is_cut| *is_cut) => Ok(()),
        carried = async {
            let mut server = TcpStream::connect(server).await?;
            server.set_nodelay(true)?;
            copy_bidirectional(&mut client, &mut server).await
        } => carried.map(drop),
    }
}
