//! What is held is charged, and what is charged is held.

use futures::{FutureExt, StreamExt};

use super::*;
use crate::presence::{Entry, PresenceEvent};

/// The least that it keeps.
fn kept(entry: &Entry<serde_json::Value>) -> usize {
    entry.raw_metas().map(str::len).sum()
}

// Law 3, law 12: whoever comes once more is told with all who were here before, and these are not in the list any more.
#[test]
fn joins_and_leaves_that_nobody_reads_are_charged_what_they_keep() {
    const LIMIT: usize = 1 << 20;
    let bed = Bed::new(BUDGET);
    let who = bed.sit();
    let (_seat, mut told) = bed.listen(LIMIT);
    bed.join();
    bed.say("presence_state", &crowd(0..500));
    for number in 500..1_000 {
        let (joins, leaves) = (crowd(number..number + 1), crowd(number - 500..number - 499));
        bed.say("presence_diff", &format!(r#"{{"joins":{joins},"leaves":{leaves}}}"#));
        read(&who);
    }
    let (charged, mut held, mut lost) = (bed.budget.used(), 0, 0);
    while let Some(Some(said)) = told.next().now_or_never() {
        match said.map(Result::unwrap) {
            Ok(Said::Step(step)) => match PresenceEvent::new(step) {
                PresenceEvent::Joined { before: other, joined: person }
                | PresenceEvent::Left { remaining: other, left: person } => {
                    held += kept(&person) + other.as_ref().map_or(0, kept);
                }
                PresenceEvent::Synced | PresenceEvent::Stale => unreachable!("no step"),
            },
            Ok(_) => {}
            Err(lagged) => lost += lagged.0,
        }
    }
    assert!(held <= LIMIT && held <= charged, "{held} bytes were held, of {LIMIT}; {charged} were charged");
    assert!(held > LIMIT / 10 && lost > 0, "{held} bytes were held, {lost} were lost");
}

// Law 3: nobody may ever read the rest of it.
#[test]
fn a_state_half_read_is_charged_what_was_made_of_it() {
    let bed = Bed::new(BUDGET);
    let seat = bed.sit();
    bed.join();
    bed.state(0..10_000);
    let (log, unread) = (seat.log().unwrap(), bed.budget.used());
    assert!(log.read(list(0..10_000).len() / 2, u64::MAX).is_none());
    let half = bed.budget.used() - unread;
    assert_eq!(read(&seat), (PresenceState::Synced, 10_000));
    let all = bed.budget.used();
    assert!(half > all / 3 && half < all, "{half} bytes for one half, {all} for both");
}

// Law 3: what will be told of it is held beside the list, until all of it is read.
#[test]
fn the_joins_and_leaves_of_a_state_half_read_are_charged_too() {
    let half = |is_told: bool| {
        let bed = Bed::new(BUDGET);
        let seat = bed.sit();
        let _told = is_told.then(|| bed.listen(BUDGET));
        bed.join();
        bed.state(0..5_000);
        read(&seat);
        // Everybody has come from another place.
        let state = list(0..5_000).replace("ref:", "new:");
        bed.say("presence_state", &state);
        let unread = bed.budget.used();
        assert!(seat.log().unwrap().read(2 * state.len(), u64::MAX).is_none());
        bed.budget.used() - unread
    };
    let (list, all) = (half(false), half(true));
    assert!(all > 3 * list, "{list} bytes for the list, {all} with all that will be told");
}

// Law 3
#[test]
fn a_state_for_which_no_room_is_left_is_given_up_and_not_charged() {
    let bed = Bed::new(BUDGET);
    let seat = bed.sit();
    bed.join();
    bed.state(0..10_000);
    let log = seat.log().unwrap();
    assert!(log.read(10_000, u64::MAX).is_none());
    let rest = BUDGET - bed.budget.used();
    assert!(bed.budget.take(rest));
    let now = log.read(10_000, u64::MAX).unwrap();
    assert_eq!((now.state, now.people.len()), (PresenceState::Awaiting, 0));
    assert_eq!(bed.budget.used(), rest);
}

// Law 12: the state alone would have fitted.
#[test]
fn a_list_that_is_not_taken_is_not_charged() {
    let bed = Bed::new(100 << 10);
    let seat = bed.sit();
    bed.join();
    bed.diff(300..700, 0..0);
    bed.state(0..300);
    assert_eq!(read(&seat), (PresenceState::Awaiting, 0));
    assert_eq!(bed.budget.used(), 0);
}
