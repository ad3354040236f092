//! How much is done at once.

use super::*;

// Law 10: the present value is there, whatever comes meanwhile.
#[test]
fn what_comes_while_a_list_is_read_is_not_waited_for() {
    let bed = Bed::new(BUDGET);
    let seat = bed.sit();
    bed.join();
    bed.state(0..1);
    for number in 1..50 {
        bed.diff(number..number + 1, 0..0);
    }
    let log = seat.log().unwrap();
    let then = log.now();
    let mut come = 50;
    // Twice as much comes as is read.
    let now = loop {
        if let Some(now) = log.read(1, then) {
            break now;
        }
        for _ in 0..2 {
            bed.diff(come..come + 1, 0..0);
            come += 1;
        }
        assert!(come < 1_000, "{come} have come");
    };
    assert_eq!((now.state, now.people.len()), (PresenceState::Synced, 50), "all that had come then, and no more");
    assert_eq!(read(&seat), (PresenceState::Synced, come));
}

// Law 3, law 10: a short diff may be much work.
#[test]
fn making_room_is_bounded_in_work() {
    let folded = |metas: usize| {
        let bed = Bed::new(BUDGET);
        let seat = bed.sit();
        bed.join();
        bed.say("presence_state", &crowd(0..metas));
        read(&seat);
        let waiting = || lock(&seat.log().unwrap().queue).items.len();
        let mut most = 0;
        for number in metas..metas + 8_000 {
            let (joins, leaves) = (crowd(number..number + 1), crowd(number - metas..number - metas + 1));
            let before = waiting();
            bed.say("presence_diff", &format!(r#"{{"joins":{joins},"leaves":{leaves}}}"#));
            most = most.max(before + 1 - waiting());
        }
        most
    };
    let (few, many) = (folded(1), folded(2_000));
    assert!(few > 50 && many <= 2, "{few} diffs of one meta were folded by an append, {many} of 2000");
}

// Law 3, law 10: diffs that are more work than room can be made for are lost, and the list says so.
#[test]
fn diffs_that_cannot_be_folded_in_time_are_bounded() {
    let bed = Bed::new(BUDGET);
    let seat = bed.sit();
    bed.join();
    bed.say("presence_state", &crowd(0..2_000));
    for number in 2_000..7_000 {
        bed.say("presence_diff", &format!(r#"{{"joins":{},"leaves":{{}}}}"#, crowd(number..number + 1)));
    }
    for number in 0..100 {
        bed.diff(number * 2_000..(number + 1) * 2_000, 0..0);
        assert!(queued(&seat) <= BEHIND, "{} bytes", queued(&seat));
    }
    assert_eq!(read(&seat).0, PresenceState::Stale);
    bed.join();
    bed.state(0..3);
    assert_eq!(read(&seat), (PresenceState::Synced, 3));
}
