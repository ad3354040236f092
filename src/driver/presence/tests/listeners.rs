//! Readers that come and go.

use super::*;

/// How many are waited for, by the log and by its fold.
fn listeners(log: &PresenceLog) -> usize {
    lock(&log.queue).items.iter().filter(|queued| matches!(queued.item, Item::Listen(_))).count()
        + lock(&log.fold).listeners()
}

// Law 10: they hold nothing that a server sent.
#[test]
fn listeners_that_come_and_go_do_not_push_the_list_out() {
    let bed = Bed::new(BUDGET);
    let seat = bed.sit();
    bed.join();
    bed.state(0..10);
    assert_eq!(read(&seat), (PresenceState::Synced, 10));
    drop(seat);
    for _ in 0..10_000 {
        drop(bed.listen(1 << 20));
    }
    assert!(bed.diff(10..11, 0..0), "it is kept for whoever comes");
    assert_eq!(read(&bed.sit()), (PresenceState::Synced, 11));
}

// Law 3
#[test]
fn listeners_that_come_and_go_leave_no_trail() {
    for is_read in [false, true] {
        let bed = Bed::new(BUDGET);
        let seat = bed.sit();
        let log = seat.log().unwrap();
        bed.join();
        for _ in 0..1_000 {
            drop(bed.listen(1 << 20));
            if is_read {
                read(&seat);
            }
        }
        assert!(listeners(log) < 3, "{} listeners, where it is read: {is_read}", listeners(log));
    }
}

// Law 3: of other names nothing is kept for those who may come.
#[test]
fn logs_of_other_names_that_nobody_reads_keep_nothing() {
    let bed = Bed::new(BUDGET);
    for number in 0..100 {
        let (seat, end) = Seat::new();
        bed.lives.attach(PresenceNames::default().state(format!("state:{number}")), end, None, false);
        drop(seat);
    }
    bed.diff(0..1, 0..0);
    let cost = OVERHEAD + format!(r#"{{"joins":{},"leaves":{{}}}}"#, list(0..1)).len();
    assert!(bed.used() <= 2 * cost, "{} bytes, of {cost} for each log", bed.used());
}
