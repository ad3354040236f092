//! The core by hand-moved instants: no runtime, no sockets, tokens that are numbers.

#![allow(dead_code)]

mod first;
mod given;
mod heartbeat;
mod ledger;
mod link;
mod offline;
mod reconnect;
mod server_facts;
mod sim;
mod stopping;
mod teardown;
mod timelines;
