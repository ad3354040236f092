//! The core by hand-moved instants: no runtime, no sockets, tokens that are numbers.

#![allow(dead_code)]

mod first;
mod forget;
mod join;
mod leave;
mod peer;
mod push;
mod receive;
mod rejoin;
mod sim;
mod waiting;
