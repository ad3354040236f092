//! In place of TLS, in a build without any.

use super::{ByteStream, Target};
use crate::error::{BuildError, ConnectError};

#[derive(Clone, Debug, Default)]
pub(super) struct Tls {}

impl Tls {
    pub(super) fn check(&self) -> Result<(), BuildError> {
        Ok(())
    }

    pub(super) async fn connect(&self, _: &Target<'_>, _: ByteStream) -> Result<ByteStream, ConnectError> {
        Err(BuildError::Tls("TLS is not compiled in: enable the feature `rustls` or `native-tls`".into()).into())
    }
}
