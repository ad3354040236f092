//! Law 11: what a program gives as a secret is shown nowhere, whatever comes of its connections.
//!
//! Secrets are planted wherever one can be given. Then connects succeed, and fail in every way that is known; all that
//! is shown meanwhile, and all that is logged at the finest level by this crate and those below it, is searched.

mod build;
#[cfg(all(feature = "websocket", feature = "rustls"))]
#[path = "../network/certificates.rs"]
#[allow(dead_code, reason = "another test file uses the rest")]
mod certificates;
#[cfg(feature = "websocket")]
#[path = "../network/connect_proxy.rs"]
#[allow(dead_code, reason = "another test file uses the rest")]
mod connect_proxy;
#[cfg(all(feature = "websocket", feature = "rustls"))]
#[path = "../network/front.rs"]
mod front;
#[cfg(all(feature = "websocket", feature = "long-poll"))]
mod long_poll;
mod memory;
#[cfg(feature = "websocket")]
mod network;
mod planted;
#[cfg(feature = "websocket")]
mod proxy;
#[cfg(feature = "websocket")]
#[path = "../support/raw.rs"]
mod raw;
#[path = "../support/recorder.rs"]
mod recorder;
mod shown;
mod socket;
#[cfg(feature = "websocket")]
mod socks;
#[cfg(feature = "websocket")]
#[path = "../network/socks_proxy.rs"]
#[allow(dead_code, reason = "another test file uses the rest")]
mod socks_proxy;
#[cfg(all(feature = "websocket", feature = "rustls"))]
mod tls;
