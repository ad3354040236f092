//! TCP: names are looked up, and IPv4 and IPv6 raced.

use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use tower_service::Service;

use super::{ByteStream, Target, failed};
use crate::error::{BuildError, ConnectError};

const KEEPALIVE: Duration = Duration::from_secs(60);

pub(super) async fn connect(target: &Target<'_>) -> Result<ByteStream, ConnectError> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_keepalive(Some(KEEPALIVE));
    let address: Uri =
        format!("http://{target}").parse().map_err(|_| BuildError::Url("its host is not legal".into()))?;
    let stream = connector.call(address).await.map_err(|error| failed(target, error))?;
    Ok(Box::new(stream.into_inner()))
}
