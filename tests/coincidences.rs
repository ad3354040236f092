//! The driver where things coincide: connections that open at once, that end while they are written to, sockets that
//! end while somebody still asks.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    FutureExt, Sink, Stream, StreamExt,
    channel::{mpsc, oneshot},
};
use http::{HeaderMap, HeaderValue};
use phoenix_streams::{
    Backoff, CastError, ConnectError, JoinError, Lagged, NotJoined, NotSent, PushError, Socket, Status, Telemetry,
    Transport, json,
    transport::{Connection, Dial, Frame, memory},
};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(3600);

/// A connection made of two halves.
struct Duplex<R, W>(R, W);

impl<R: Stream<Item = Result<Frame, ConnectError>> + Unpin, W: Unpin> Stream for Duplex<R, W> {
    type Item = Result<Frame, ConnectError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl<R: Unpin, W: Sink<Frame> + Unpin> Sink<Frame> for Duplex<R, W> {
    type Error = ConnectError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Pin::new(&mut self.1).poll_ready(cx).map_err(|_| gone())
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), ConnectError> {
        Pin::new(&mut self.1).start_send(frame).map_err(|_| gone())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Pin::new(&mut self.1).poll_flush(cx).map_err(|_| gone())
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Pin::new(&mut self.1).poll_close(cx).map_err(|_| gone())
    }
}

fn gone() -> ConnectError {
    ConnectError::transport("gone")
}

/// Whose attempts are open at once, without waiting for anything.
struct AtOnce(mpsc::UnboundedSender<Server>);

/// Dropped, the connection has ended.
struct Server {
    _to_client: mpsc::UnboundedSender<Result<Frame, ConnectError>>,
    _from_client: mpsc::UnboundedReceiver<Frame>,
}

impl Transport for AtOnce {
    async fn dial(&self, _: Dial) -> Result<Connection, ConnectError> {
        let (to_client, from_server) = mpsc::unbounded();
        let (to_server, from_client) = mpsc::unbounded();
        self.0.unbounded_send(Server { _to_client: to_client, _from_client: from_client }).map_err(|_| gone())?;
        Ok(Connection::new(Duplex(from_server, to_server)))
    }
}

// S-31, T-14
#[tokio::test(start_paused = true)]
async fn a_connection_that_opens_at_once_again_is_read_at_once() {
    let (attempts, mut servers) = mpsc::unbounded();
    let socket = Socket::builder("ws://memory/socket").transport(AtOnce(attempts)).start().unwrap();
    drop(servers.next().await.unwrap());
    // This one opens in the turn of the reconnect timer, and nothing is asked of the driver afterwards.
    let second = servers.next().await.unwrap();
    socket.status().wait_for(Status::is_connected).await.unwrap();
    drop(second);
    timeout(Duration::from_secs(1), servers.next()).await.expect("its end is read when it comes").unwrap();
}

// T-18
#[tokio::test(start_paused = true)]
async fn a_driver_that_has_ended_but_is_kept_leaves_nobody_waiting() {
    let (transport, _peer) = memory::pair();
    let (socket, mut driver) = Socket::builder("ws://memory/socket").transport(transport).driver().unwrap();
    let (mut status, mut log) = (socket.status(), socket.telemetry());
    let room = socket.channel("room:1");
    let (_, ()) = futures::join!(&mut driver, socket.close());
    assert!(matches!(timeout(LONG, room.join(())).await, Ok(Err(JoinError::Closed))));
    let pushed = timeout(LONG, room.push("shout", ())).await;
    assert!(matches!(pushed, Ok(Err(PushError::NotSent(NotSent::Closed)))));
    assert!(timeout(LONG, room.leave()).await.is_ok());
    assert!(timeout(LONG, socket.disconnect()).await.is_ok());
    assert!(matches!(timeout(LONG, socket.connect()).await, Ok(Err(ConnectError::Closed))));
    assert!(timeout(LONG, room.events("shout").next()).await.unwrap().is_none());
    let end = async { while log.next().await.is_some() {} };
    timeout(LONG, end).await.expect("the telemetry ends");
    let end = async { while status.next().await.is_some() {} };
    timeout(LONG, end).await.expect("the status ends");
    drop(driver);
}

// T-18
#[tokio::test]
async fn a_channel_that_the_dropped_driver_never_saw_is_closed_too() {
    let (transport, _peer) = memory::pair();
    let (socket, driver) = Socket::builder("ws://memory/socket").transport(transport).driver().unwrap();
    let room = socket.channel("room:1");
    drop(driver);
    assert!(socket.status().current().is_closed());
    assert!(room.status().current().is_closed());
}

/// Ends when told, and must not be asked again then.
struct EndsOnce(oneshot::Receiver<()>, Arc<AtomicBool>);

impl Stream for EndsOnce {
    type Item = Result<Frame, ConnectError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.1.load(Ordering::SeqCst) {
            panic!("a stream was polled after its end");
        }
        self.0.poll_unpin(cx).map(|_| {
            self.1.store(true, Ordering::SeqCst);
            None
        })
    }
}

/// A sink that never takes anything.
struct Stuck;

impl Sink<Frame> for Stuck {
    type Error = ConnectError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Pending
    }

    fn start_send(self: Pin<&mut Self>, _: Frame) -> Result<(), ConnectError> {
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Pending
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Pending
    }
}

struct EndsWhileStuck(Mutex<Option<oneshot::Receiver<()>>>);

impl Transport for EndsWhileStuck {
    async fn dial(&self, _: Dial) -> Result<Connection, ConnectError> {
        let end = self.0.lock().unwrap().take().ok_or_else(gone)?;
        Ok(Connection::new(Duplex(EndsOnce(end, Arc::default()), Stuck)))
    }
}

// T-14, T-18
#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_while_its_goodbye_is_stuck_is_not_read_again() {
    let (end, ended) = oneshot::channel();
    let transport = EndsWhileStuck(Mutex::new(Some(ended)));
    let socket = Socket::builder("ws://memory/socket").transport(transport).connect().await.unwrap();
    let begun = tokio::time::Instant::now();
    let mut disconnect = socket.disconnect();
    assert!(futures::poll!(&mut disconnect).is_pending());
    socket.status().wait_for(|status| matches!(status, Status::Disconnected)).await.unwrap();
    end.send(()).unwrap();
    disconnect.await;
    assert!(begun.elapsed() <= Duration::from_millis(3_100));
    // The driver lives.
    assert!(!socket.status().current().is_closed());
    assert!(!matches!(socket.connect().await, Err(ConnectError::Closed)));
}

// C-37, C-38, T-5
#[tokio::test(start_paused = true)]
async fn what_comes_right_behind_the_answer_to_a_leave_is_not_the_old_streams() {
    let (transport, mut peer) = memory::pair();
    let socket = Socket::builder("ws://memory/socket").transport(transport).start().unwrap();
    let room = socket.channel("room:1");
    let mut server = peer.accept().await;
    let join = tokio::spawn(room.join(()));
    let asked = server.recv().await.unwrap();
    server.reply(&asked, "ok", ()).await;
    join.await.unwrap().unwrap();

    let mut old = room.events("shout");
    let leave = tokio::spawn(room.leave());
    let leaving = server.recv().await.unwrap();
    let mut new = room.events("shout");
    room.join(()).detach();
    // All in one turn: what follows the answer belongs to the next life.
    server.push(&asked, "shout", json!("farewell")).await;
    server.reply(&leaving, "ok", ()).await;
    server.broadcast("room:1", "shout", json!("anew")).await;
    leave.await.unwrap().unwrap();
    assert_eq!(old.next().await.unwrap().unwrap().payload().to_string(), r#""farewell""#);
    assert!(old.next().await.is_none());
    let mut seen = Vec::new();
    while let Some(Some(Ok(message))) = new.next().now_or_never() {
        seen.push(message.payload().to_string());
    }
    assert_eq!(seen.last().map(String::as_str), Some(r#""anew""#));
}

/// Does something between being asked for a frame and giving it.
struct Meanwhile<R>(R, Hook);

type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

impl<R: Stream + Unpin> Stream for Meanwhile<R> {
    type Item = R::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let frame = self.0.poll_next_unpin(cx);
        if frame.is_ready()
            && let Some(hook) = self.1.lock().unwrap().take()
        {
            hook();
        }
        frame
    }
}

struct Interposed(memory::Memory, Hook);

impl Transport for Interposed {
    async fn dial(&self, dial: Dial) -> Result<Connection, ConnectError> {
        let (sink, stream) = self.0.dial(dial).await?.split();
        Ok(Connection::new(Duplex(Meanwhile(stream, self.1.clone()), sink)))
    }
}

// A stream taken before a push cannot miss what the push causes. The turn that reads it has begun before.
#[tokio::test(start_paused = true)]
async fn a_stream_taken_while_a_turn_is_under_way_sees_what_comes_after_it() {
    let (transport, mut peer) = memory::pair();
    let hook = Hook::default();
    let transport = Interposed(transport, hook.clone());
    let socket = Socket::builder("ws://memory/socket").transport(transport).start().unwrap();
    let room = socket.channel("room:1");
    let mut server = peer.accept().await;
    let join = tokio::spawn(room.join(()));
    let asked = server.recv().await.unwrap();
    server.reply(&asked, "ok", ()).await;
    join.await.unwrap().unwrap();

    let (taken, stream) = oneshot::channel();
    *hook.lock().unwrap() = Some(Box::new(move || drop(taken.send(room.events("shout")))));
    server.broadcast("room:1", "shout", json!("caused")).await;
    let mut shouts = stream.await.unwrap();
    let heard = timeout(LONG, shouts.next()).await.expect("it is not missed").unwrap().unwrap();
    assert_eq!(heard.payload().to_string(), r#""caused""#);
}

// T-18, Q-14
#[tokio::test(start_paused = true)]
async fn what_a_dropped_driver_had_not_written_was_not_sent() {
    let (transport, mut peer) = memory::pair_with_capacity(1);
    let (socket, driver) = Socket::builder("ws://memory/socket").transport(transport).driver().unwrap();
    let driver = tokio::spawn(driver);
    let (mut server, ()) = futures::join!(peer.accept(), socket.connect().map(Result::unwrap));
    let room = socket.channel("room:1");
    let join = tokio::spawn(room.join(()));
    let asked = server.recv().await.unwrap();
    server.reply(&asked, "ok", ()).await;
    join.await.unwrap().unwrap();
    while timeout(Duration::from_millis(1), room.cast("fill", ())).await.is_ok() {}
    let (mut cast, mut push) = (room.cast("late", ()), room.push("late", ()));
    // All others are idle before the clock moves: both wait behind the connection now.
    assert!(timeout(Duration::from_millis(1), &mut cast).await.is_err());
    assert!(timeout(Duration::from_millis(1), &mut push).await.is_err());
    driver.abort();
    assert!(matches!(cast.await, Err(CastError::NotSent(NotSent::Closed))));
    assert!(matches!(push.await, Err(PushError::NotSent(NotSent::Closed))));
}

// T-29: what a closure gives is as secret as what is given as a value.
#[tokio::test(start_paused = true)]
async fn headers_of_a_closure_do_not_show_in_debug() {
    let (transport, mut peer) = memory::pair();
    let headers = || async {
        let mut headers = HeaderMap::new();
        headers.insert("x-secret", HeaderValue::from_static("hunter2"));
        Ok(headers)
    };
    let builder = Socket::builder("ws://memory/socket").header("x-other", "hunter2").headers_with(headers);
    let _socket = builder.transport(transport).start().unwrap();
    let attempt = peer.dialed().await;
    let sent = &attempt.dial().headers;
    assert_eq!((&sent["x-secret"], &sent["x-other"]), (&"hunter2".parse().unwrap(), &"hunter2".parse().unwrap()));
    assert!(!format!("{sent:?}").contains("hunter2"), "{sent:?}");
}

// A server that crashes with megabytes each time is not collected by whoever does not read the telemetry.
#[tokio::test(start_paused = true)]
async fn telemetry_that_nobody_reads_holds_a_bounded_number_of_bytes() {
    const MIB: usize = 1 << 20;
    let (transport, mut peer) = memory::pair();
    let often = Backoff::steps([Duration::from_millis(1)]);
    let socket = Socket::builder("ws://memory/socket").transport(transport).heartbeat(None).rejoin(often);
    let socket = socket.start().unwrap();
    let mut log = socket.telemetry();
    let room = socket.channel("room:1");
    room.join(()).detach();
    let mut server = peer.accept().await;
    for _ in 0..20 {
        let asked = server.recv().await.unwrap();
        server.error(&asked, "x".repeat(MIB)).await;
    }
    server.recv().await.unwrap();
    let (mut held, mut lost) = (0, 0);
    while let Some(Some(item)) = log.next().now_or_never() {
        match item {
            Ok(Telemetry::Errored { cause: NotJoined::Crashed(payload), .. }) => held += payload.as_bytes().len(),
            Ok(_) => {}
            Err(Lagged(items)) => lost += items,
        }
    }
    assert!((1..=8 * MIB).contains(&held), "{held} bytes were held");
    assert!(lost > 0, "and what is not there is told");
}

// T-17
#[test]
fn a_push_waits_for_room_outside_of_a_runtime_too() {
    let (transport, _peer) = memory::pair();
    let (socket, driver) = Socket::builder("ws://memory/socket").transport(transport).driver().unwrap();
    let room = socket.channel("room:1");
    let mut pushes: Vec<_> = (0..1_024).map(|_| room.push("shout", ())).collect();
    let mut late = room.push("late", ());
    let cx = &mut Context::from_waker(futures::task::noop_waker_ref());
    assert!(pushes.iter_mut().all(|push| push.poll_unpin(cx).is_pending()));
    assert!(late.poll_unpin(cx).is_pending());
    drop(driver);
    assert!(matches!(late.poll_unpin(cx), Poll::Ready(Err(PushError::NotSent(NotSent::Closed)))));
}

// T-17
#[tokio::test(start_paused = true)]
async fn a_push_that_waits_for_room_is_not_overtaken_for_ever() {
    let (transport, _peer) = memory::pair();
    let (socket, mut driver) = Socket::builder("ws://memory/socket").transport(transport).driver().unwrap();
    let room = socket.channel("room:1");
    let mut first: Vec<_> = (0..1_024).map(|_| room.push("first", ())).collect();
    for push in &mut first {
        assert!(futures::poll!(push).is_pending());
    }
    let mut waiting = room.push("waiting", ());
    assert!(futures::poll!(&mut waiting).is_pending());
    for _ in 0..3 {
        assert!(futures::poll!(&mut driver).is_pending());
        // Others come while its task was not yet run.
        let mut later: Vec<_> = (0..1_024).map(|_| room.push("later", ())).collect();
        for push in &mut later {
            let _ = futures::poll!(push);
        }
        if let Poll::Ready(outcome) = futures::poll!(&mut waiting) {
            assert!(matches!(outcome, Err(PushError::NotSent(NotSent::NotJoined))));
            return;
        }
        std::mem::forget(later);
    }
    panic!("three times a thousand later ones went before it");
}

// T-19
#[tokio::test(start_paused = true)]
async fn a_push_whose_deadline_passes_while_it_waits_for_room_says_so() {
    let (transport, mut peer) = memory::pair_with_capacity(1);
    let socket = Socket::builder("ws://memory/socket").heartbeat(None).transport(transport).start().unwrap();
    let room = socket.channel("room:1");
    let mut server = peer.accept().await;
    let join = tokio::spawn(room.join(()));
    let asked = server.recv().await.unwrap();
    server.reply(&asked, "ok", ()).await;
    join.await.unwrap().unwrap();
    let big = "x".repeat(1 << 10);
    let mut pushes: Vec<_> = (0..3_000).map(|_| tokio::spawn(room.cast("fill", &big).timeout(LONG))).collect();
    tokio::time::advance(Duration::from_millis(1)).await;
    let begun = tokio::time::Instant::now();
    let late = room.push("late", ()).timeout(Duration::from_secs(2)).await;
    assert!(matches!(late, Err(PushError::NotSent(NotSent::Timeout))));
    assert!(begun.elapsed() < Duration::from_millis(2_100));
    drop(room);
    // The others are all sent, each once, as soon as the server reads.
    let mut read = 0;
    while read < pushes.len() {
        assert_eq!(&*server.recv().await.unwrap().event, "fill");
        read += 1;
    }
    for push in pushes.drain(..) {
        push.await.unwrap().unwrap();
    }
}

// A cast is ready when it was written. One that a disconnect finds behind a blocked write is not said to be, since the
// goodbye may be given up before.
#[tokio::test(start_paused = true)]
async fn a_cast_that_a_stuck_goodbye_never_wrote_does_not_say_that_it_was_sent() {
    let (transport, mut peer) = memory::pair_with_capacity(1);
    let socket = Socket::builder("ws://memory/socket").transport(transport).heartbeat(None).start().unwrap();
    let room = socket.channel("room:1");
    let mut server = peer.accept().await;
    let join = tokio::spawn(room.join(()));
    let asked = server.recv().await.unwrap();
    server.reply(&asked, "ok", ()).await;
    join.await.unwrap().unwrap();
    while timeout(Duration::from_millis(1), room.cast("fill", ())).await.is_ok() {}
    let mut late = room.cast("late", ());
    assert!(timeout(Duration::from_millis(1), &mut late).await.is_err());
    socket.disconnect().await;
    assert!(matches!(late.await, Err(CastError::Disconnected)));
    while let Some(frame) = server.recv_frame().await {
        assert!(!matches!(frame, Frame::Text(text) if String::from_utf8_lossy(&text).contains("late")));
    }
}
