//! The core by hand-moved instants: no runtime, no sockets, tokens that are numbers.

mod first;
mod forget;
mod given;
mod heartbeat;
mod join;
mod leave;
mod ledger;
mod link;
mod offline;
mod peer;
mod policies;
mod push;
mod receive;
mod reconnect;
mod regressions;
mod rejoin;
mod server_facts;
mod sim;
mod stopping;
mod teardown;
mod timelines;
mod transcripts;
mod waiting;
mod walk;
