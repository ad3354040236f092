//! The handles over the in-memory transport, under a paused clock.

mod attempts;
mod cancel;
mod ends;
mod holding;
mod lagging;
mod lane;
mod life;
mod outside;
mod streams;
mod support;
