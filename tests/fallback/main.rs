//! The fallback from WebSocket to long-poll and back, against the embedded server.

mod down;
mod goodbye;
mod store;
mod support;
mod up;
