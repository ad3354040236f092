//! Faults that the random walk has found, each by the shortest way to it.

use super::sim::{Sim, ms};
use crate::{
    core::Command,
    error::LeaveError,
    status::{ChannelClosed, ChannelStatus},
};

// A second leave waited for the first one's deadline, and ended with it.
#[test]
fn each_leave_has_its_own_deadline() {
    let (mut sim, room, _) = Sim::joined("room:1");
    let leave = |sim: &mut Sim, token, within| {
        let deadline = sim.now + ms(within);
        sim.command(Command::Leave { channel: room, token: Some(token), deadline });
    };
    leave(&mut sim, 101, 5_000);
    leave(&mut sim, 102, 1_000);
    leave(&mut sim, 103, 8_000);

    sim.advance(ms(999));
    assert!(sim.is_pending(102));
    sim.advance(ms(1));
    assert!(matches!(sim.left_as(102), Err(LeaveError::Timeout)));
    assert!(matches!(sim.channel_status(room), ChannelStatus::Leaving));

    sim.advance(ms(4_000));
    assert!(matches!(sim.left_as(101), Err(LeaveError::Timeout)));
    assert!(matches!(sim.channel_status(room), ChannelStatus::Leaving));

    sim.reply("phx_leave", "ok", serde_json::json!({}));
    assert!(sim.left_as(103).is_ok());
    assert!(matches!(sim.channel_status(room), ChannelStatus::Closed { cause: ChannelClosed::Left }));
    assert_eq!(sim.core.holdings().callers, 0);
    let timers = sim.core.holdings().timers;
    assert_eq!(timers, 1, "the heartbeat's alone");
}

// C-36: the channel is closed on this side when the last one who waits gives up.
#[test]
fn a_leave_without_an_answer_ends_with_its_last_deadline() {
    let (mut sim, room, _) = Sim::joined("room:1");
    let leave = |sim: &mut Sim, token, within| {
        let deadline = sim.now + ms(within);
        sim.command(Command::Leave { channel: room, token: Some(token), deadline });
    };
    leave(&mut sim, 101, 1_000);
    leave(&mut sim, 102, 3_000);
    sim.advance(ms(2_999));
    assert!(matches!(sim.left_as(101), Err(LeaveError::Timeout)));
    assert!(matches!(sim.channel_status(room), ChannelStatus::Leaving));
    sim.advance(ms(1));
    assert!(matches!(sim.left_as(102), Err(LeaveError::Timeout)));
    assert!(matches!(sim.channel_status(room), ChannelStatus::Closed { cause: ChannelClosed::Left }));
}
