//! Over real networks, all of them on loopback: TLS with certificates made here, and proxies.

#[path = "../support/alone.rs"]
mod alone;
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod certificates;
mod connect_proxy;
#[cfg(feature = "long-poll")]
mod forward_proxy;
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod front;
#[cfg(all(feature = "websocket", feature = "long-poll"))]
mod long_poll;
mod proxy;
mod socks;
mod socks_proxy;
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod tls;

use std::{net::SocketAddr, time::Duration};

use alone::alone;
use phoenix_streams::{Backoff, Builder, ConnectError, Http, Socket, json, testing::Server};

/// A server with one channel, whose replies say that it was reached.
async fn server() -> Server {
    let server = Server::builder().join("room:*", |_, _| async { Ok(json!({ "welcome": true })) });
    server.start().await.unwrap()
}

/// Where it is.
fn address(server: &Server) -> SocketAddr {
    server.url().strip_prefix("ws://").unwrap().split('/').next().unwrap().parse().unwrap()
}

/// One attempt to connect, and a join to show that frames go both ways.
async fn attempt(url: &str, http: &Http) -> Result<Socket, ConnectError> {
    let socket = once(Socket::builder(url).http(http.clone())).connect().await?;
    let reply = socket.channel("room:1").join(()).await.unwrap();
    assert_eq!(reply.payload().as_str(), Some(r#"{"welcome":true}"#));
    Ok(socket)
}

fn once(builder: Builder) -> Builder {
    builder.reconnect(Backoff::steps([Duration::ZERO]).limit(0))
}
