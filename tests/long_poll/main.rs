//! The long-poll transport: against a server made by hand, which does wrong as it is told, and the embedded one.

mod bed;
mod ends;
mod failing;
mod faults;
mod hostile;
mod keeping;
mod opening;
mod polling;
mod posting;
mod scripted;
mod server;
mod statuses;
