//! TCP: names are looked up, and IPv4 and IPv6 raced.

use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use futures::{TryFutureExt, future::MapErr};
use http::Uri;
use hyper_util::client::legacy::connect::{
    HttpConnector,
    dns::{GaiAddrs, GaiFuture, GaiResolver, Name},
};
use tower_service::Service;

use super::{
    ByteStream, Target,
    failed::{Unresolved, unreachable},
};
use crate::error::{BuildError, ConnectError};

const KEEPALIVE: Duration = Duration::from_secs(60);

pub(super) async fn connect(target: &Target<'_>) -> Result<ByteStream, ConnectError> {
    let mut connector = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
    connector.set_nodelay(true);
    connector.set_keepalive(Some(KEEPALIVE));
    let address: Uri =
        format!("http://{target}").parse().map_err(|_| BuildError::Url("its host is not legal".into()))?;
    let stream = connector.call(address).await.map_err(|error| unreachable(target, error))?;
    Ok(Box::new(stream.into_inner()))
}

/// The first address of a name, as the system puts them in order.
pub(super) async fn resolve(target: &Target<'_>) -> Result<SocketAddr, ConnectError> {
    let name = target.name().parse().map_err(|_| BuildError::Url("its host is not legal".into()))?;
    let found = Resolver(GaiResolver::new()).call(name).await;
    let first = found.and_then(|mut all| {
        all.next().ok_or_else(|| Unresolved(io::Error::new(io::ErrorKind::NotFound, "it has no address")))
    });
    let mut address = first.map_err(|error| unreachable(target, error))?;
    address.set_port(target.port);
    Ok(address)
}

/// The system's, whose errors are known again.
#[derive(Clone)]
struct Resolver(GaiResolver);

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = Unresolved;
    type Future = MapErr<GaiFuture, fn(io::Error) -> Unresolved>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        self.0.poll_ready(cx).map_err(Unresolved)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        self.0.call(name).map_err(Unresolved)
    }
}
