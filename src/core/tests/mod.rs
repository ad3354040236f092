//! The core by hand-moved instants: no runtime, no sockets, tokens that are numbers.

#![allow(dead_code)]

mod first;
mod join;
mod peer;
mod sim;
