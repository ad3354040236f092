//! Against the embedded server, which misbehaves as it is told: every push is settled once, and the session comes back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::{StreamExt, future::join_all};
use phoenix_streams::{
    Backoff, Channel, ChannelStatus, ConnectError, LongPoll, PushError, Socket, Stats, Telemetry, TelemetryStream,
    json,
    testing::{Fault, Server},
};

use super::{bed::builder, scripted::within, server::rooms};

struct Faulty {
    server: Server,
    socket: Socket,
    room: Channel,
    telemetry: TelemetryStream,
    /// How many pushes the server has handled.
    handled: Arc<AtomicUsize>,
}

impl Faulty {
    async fn new() -> Self {
        let handled = Arc::new(AtomicUsize::new(0));
        let count = handled.clone();
        let server = rooms()
            .on("room:*", "count", move |_, _| {
                count.fetch_add(1, SeqCst);
                async { Ok(json!({})) }
            })
            .start()
            .await
            .unwrap();
        // Longer than the window.
        let long_poll = LongPoll::default().timeout(Duration::from_millis(800));
        let quick = Backoff::steps([Duration::from_millis(5)]);
        let socket = within(builder(server.url()).transport(long_poll).reconnect(quick).connect()).await.unwrap();
        let room = socket.channel("room:1");
        within(room.join(())).await.unwrap();
        let telemetry = socket.telemetry();
        Faulty { server, socket, room, telemetry, handled }
    }

    /// Pushes under this fault; how many were answered, and how many lost. Each was one or the other.
    async fn pushes(&mut self, fault: Fault) -> (usize, usize) {
        self.server.misbehave(fault);
        let pushes = join_all((0..20).map(|_| self.room.push("count", ()))).await;
        let answered = pushes.iter().filter(|push| push.is_ok()).count();
        let lost = pushes.iter().filter(|push| matches!(push, Err(PushError::Disconnected))).count();
        assert_eq!(answered + lost, pushes.len(), "{pushes:?}");
        (answered, lost)
    }

    async fn lost(&mut self) -> Arc<ConnectError> {
        loop {
            if let Telemetry::Closed { cause, .. } = within(self.telemetry.next()).await.unwrap().unwrap() {
                return cause;
            }
        }
    }

    /// It is back, and nothing is kept.
    async fn is_well(&mut self) {
        self.server.behave();
        within(self.room.status().wait_for(ChannelStatus::is_joined)).await.unwrap();
        within(self.room.push("count", ())).await.unwrap();
        let Stats { pending_pushes, callers, outgoing_bytes, .. } = self.socket.stats();
        assert_eq!((pending_pushes, callers, outgoing_bytes), (0, 0, 0));
    }
}

// L-37, Q-15, DEV-12
#[tokio::test]
async fn messages_that_are_lost_with_their_answer() {
    let mut bed = Faulty::new().await;
    assert_eq!(within(bed.pushes(Fault::LoseMessages(1))).await, (0, 20));
    assert!(matches!(*bed.lost().await, ConnectError::Transport(_)));
    bed.is_well().await;
    // All were handled, once each: the answers alone were lost.
    assert_eq!(bed.handled.load(SeqCst), 21);
}

// T-27, L-28, DEV-12
#[tokio::test]
async fn acknowledgements_that_are_lost() {
    let mut bed = Faulty::new().await;
    let (answered, lost) = within(bed.pushes(Fault::LoseAcks(1))).await;
    // Replies may come by the poll before the POST is known to be lost.
    assert!(answered == 20 || lost > 0);
    assert!(matches!(*bed.lost().await, ConnectError::Transport(_)));
    bed.is_well().await;
    assert_eq!(bed.handled.load(SeqCst), 21);
}

// T-27, L-28
#[tokio::test]
async fn posts_that_are_swallowed() {
    let mut bed = Faulty::new().await;
    assert_eq!(within(bed.pushes(Fault::SwallowPosts(1))).await, (0, 20));
    assert!(matches!(*bed.lost().await, ConnectError::RequestTimeout));
    bed.is_well().await;
    assert_eq!(bed.handled.load(SeqCst), 1);
}

// L-16, L-18
#[tokio::test]
async fn a_gateway_that_does_not_reach_the_server() {
    let mut bed = Faulty::new().await;
    assert_eq!(within(bed.pushes(Fault::BadGateway(usize::MAX))).await, (0, 20));
    let cause = bed.lost().await;
    assert!(matches!(&*cause, ConnectError::Refused(refusal) if refusal.status() == 502), "{cause:?}");
    // The gateway refuses the POST, perhaps the poll, and then those who would open a session.
    loop {
        match within(bed.telemetry.next()).await.unwrap().unwrap() {
            Telemetry::Connecting { attempt: 3 } => break,
            Telemetry::Failed { cause, .. } => assert!(matches!(*cause, ConnectError::Refused(_)), "{cause:?}"),
            _ => {}
        }
    }
    bed.is_well().await;
    assert_eq!(bed.handled.load(SeqCst), 1);
}

// L-16, T-14
#[tokio::test]
async fn answers_that_break_off() {
    for count in [1, 2] {
        let mut bed = Faulty::new().await;
        let (answered, lost) = within(bed.pushes(Fault::HalfClose(count))).await;
        assert!(answered == 20 || lost > 0);
        let cause = bed.lost().await;
        assert!(matches!(*cause, ConnectError::Transport(_)), "{cause:?}");
        bed.is_well().await;
    }
}

// L-19, L-27
#[tokio::test]
async fn answers_that_are_late_are_waited_for_and_those_that_are_too_late_are_not() {
    let mut bed = Faulty::new().await;
    assert_eq!(within(bed.pushes(Fault::DelayAnswers(Duration::from_millis(100)))).await, (20, 0));
    bed.is_well().await;
    assert_eq!(within(bed.pushes(Fault::DelayAnswers(Duration::from_secs(2)))).await, (0, 20));
    assert!(matches!(*bed.lost().await, ConnectError::RequestTimeout));
    bed.is_well().await;
}

// L-19, T-13
#[tokio::test]
async fn a_server_that_reads_nothing_or_says_nothing() {
    for fault in [Fault::Deaf, Fault::Mute] {
        let mut bed = Faulty::new().await;
        assert_eq!(within(bed.pushes(fault)).await, (0, 20));
        assert!(matches!(*bed.lost().await, ConnectError::RequestTimeout));
        bed.is_well().await;
    }
}
