//! The handles over the in-memory transport, under a paused clock.

mod attempts;
mod backlog;
mod bounds;
mod cancel;
mod closures;
mod ends;
mod fallback;
mod falling;
mod ghosts;
mod holding;
mod joining;
mod lagging;
mod lane;
mod life;
mod outside;
mod presence;
mod raw;
mod sinks;
mod streams;
mod support;
mod switching;
