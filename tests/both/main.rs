//! The embedded server over each transport. What is in `cases` runs over both, as it is; what only one of them has, or
//! has otherwise, stands beside: `websocket/` and `long_poll/`.
#![allow(clippy::duplicate_mod, reason = "the cases are there twice, once over each transport")]

#[cfg(feature = "rustls")]
#[allow(dead_code, reason = "another test file uses the rest")]
#[path = "../network/certificates.rs"]
mod certificates;
#[path = "../support/company.rs"]
mod company;
mod long_poll;
#[path = "../support/raw.rs"]
mod raw;
mod websocket;
