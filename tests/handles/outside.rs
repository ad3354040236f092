//! Without a runtime: nothing that is dropped needs one.

use std::{
    future::{Future, pending, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures::{Stream, StreamExt};
use phoenix_streams::{
    BuildError, Channel, ConnectError, Connecting, Driver, NotSent, PushError, Socket,
    transport::{Connection, Dial, memory},
};

use crate::support::{builder, poll};

/// Something that is made of a socket and a channel, polled this often, and dropped.
type Made = fn(&Socket, &Channel, polls: usize) -> Box<dyn Send>;

fn polled<F: Future + Unpin + Send + 'static>(mut future: F, polls: usize) -> Box<dyn Send> {
    for _ in 0..polls {
        if poll(&mut future).is_ready() {
            break;
        }
    }
    Box::new(future)
}

fn read<S: Stream + Unpin + Send + 'static>(mut stream: S, polls: usize) -> Box<dyn Send> {
    for _ in 0..polls {
        let _ = stream.poll_next_unpin(&mut Context::from_waker(Waker::noop()));
    }
    Box::new(stream)
}

const MADE: &[Made] = &[
    |socket, _, _| Box::new(socket.clone()),
    |_, room, _| Box::new(room.clone()),
    |socket, _, polls| polled(socket.connect(), polls),
    |socket, _, polls| polled(socket.disconnect(), polls),
    |socket, _, polls| polled(socket.close(), polls),
    |socket, _, polls| read(socket.status(), polls),
    |socket, _, polls| read(socket.telemetry(), polls),
    |_, room, polls| polled(room.join(()), polls),
    |_, room, polls| polled(room.rejoin(), polls),
    |_, room, polls| polled(room.leave(), polls),
    |_, room, polls| polled(room.push("ask", ()), polls),
    |_, room, polls| polled(room.cast("tell", ()), polls),
    |_, room, polls| read(room.events("shout"), polls),
    |_, room, polls| read(room.events("shout").lossy(), polls),
    |_, room, polls| read(room.events_as::<u32>("shout"), polls),
    |_, room, polls| read(room.messages(), polls),
    |_, room, polls| read(room.status(), polls),
];

fn described() -> (Socket, Driver) {
    let (transport, peer) = memory::pair();
    std::mem::forget(peer);
    builder(transport).driver().unwrap()
}

// T-18
#[test]
fn drop_without_a_runtime() {
    for made in MADE {
        for polls in 0..3 {
            let (socket, driver) = described();
            let room = socket.channel("room:1");
            let part = made(&socket, &room, polls);
            // The driver, which never ran, last.
            drop((socket, room));
            drop(part);
            drop(driver);

            let (socket, driver) = described();
            let room = socket.channel("room:1");
            let part = made(&socket, &room, polls);
            // The driver first: what is made of an ended socket is ended.
            drop(driver);
            let late = made(&socket, &room, polls);
            drop((part, late, socket, room));
        }
    }
}

// T-18
#[test]
fn drop_after_its_runtime_is_gone() {
    for made in MADE {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (transport, mut peer) = memory::pair();
        let (socket, room, server, parts) = runtime.block_on(async {
            let socket = builder(transport).start().unwrap();
            let room = socket.channel("room:1");
            room.join(()).detach();
            let mut server = peer.accept().await;
            let join = server.recv().await.unwrap();
            server.reply(&join, "ok", ()).await;
            let parts = [made(&socket, &room, 0), made(&socket, &room, 1)];
            (socket, room, server, parts)
        });
        drop(runtime);
        drop(parts);
        let late = made(&socket, &room, 1);
        drop((late, room, socket, server));
    }
}

#[test]
fn drop_a_driver_in_the_middle_of_a_farewell() {
    let (transport, mut peer) = memory::pair_with_capacity(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (driver, server) = runtime.block_on(async {
        let (socket, mut driver) = builder(transport).driver().unwrap();
        let mut connecting = socket.connect();
        assert!(poll(&mut connecting).is_pending());
        assert!(poll(&mut driver).is_pending());
        let server = peer.accept().await;
        assert!(poll(&mut driver).is_pending());
        assert!(poll(&mut connecting).is_ready());
        drop((connecting, socket));
        assert!(poll(&mut driver).is_pending(), "it waits for the close frame of the peer");
        (driver, server)
    });
    drop(runtime);
    drop((driver, server));
}

#[test]
fn only_what_spawns_needs_a_runtime() {
    let (transport, _peer) = memory::pair();
    assert!(matches!(builder(transport.clone()).start(), Err(BuildError::NoRuntime)));
    assert!(matches!(builder(transport.clone()).idle(), Err(BuildError::NoRuntime)));
    let mut connect = builder(transport.clone()).connect();
    let outcome = Pin::new(&mut connect).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(outcome, Poll::Ready(Err(ConnectError::Build(BuildError::NoRuntime)))));
    drop(builder(transport.clone()));
    drop(builder(transport.clone()).connect());
    drop(builder(transport.clone()).params_with(|| ready(Ok("unasked"))));
    let (socket, driver) = builder(transport).driver().unwrap();
    drop(socket);
    drop(driver);
}

#[test]
fn a_driver_made_outside_runs_inside() {
    let (transport, mut peer) = memory::pair();
    let (socket, driver) = builder(transport).driver().unwrap();
    let room = socket.channel("room:1");
    let mut shouts = room.events("shout");
    room.join(()).detach();
    let mut connecting: Connecting = socket.connect();
    assert!(poll(&mut connecting).is_pending());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let driver = tokio::spawn(driver);
        let mut server = peer.accept().await;
        connecting.await.unwrap();
        let join = server.recv().await.unwrap();
        server.reply(&join, "ok", ()).await;
        server.push(&join, "shout", "hi").await;
        assert_eq!("hi", shouts.next().await.unwrap().unwrap().json::<String>().unwrap());
        drop((shouts, room, socket));
        assert_eq!("phx_leave", &*server.recv().await.unwrap().event);
        assert!(server.recv().await.is_none());
        server.close(1000);
        driver.await.unwrap();
    });
}

// T-17
#[test]
fn waiting_for_the_driver_needs_no_runtime() {
    let (socket, driver) = described();
    let room = socket.channel("room:1");
    let mut pushes: Vec<_> = (0..1_100).map(|_| room.push("ask", ())).collect();
    for push in &mut pushes {
        assert!(poll(push).is_pending());
    }
    assert_eq!(1_100, socket.stats().pending_pushes);
    drop(driver);
    for push in &mut pushes {
        assert!(matches!(poll(push), Poll::Ready(Err(PushError::NotSent(NotSent::Closed)))));
    }
}

/// A transport that waits for ever, and panics when it is told to.
struct Stuck;

impl phoenix_streams::Transport for Stuck {
    async fn dial(&self, _: Dial) -> Result<Connection, ConnectError> {
        pending().await
    }
}

#[test]
fn dropping_a_dialing_driver() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (socket, mut driver) = builder(Stuck).driver().unwrap();
    let mut connecting = socket.connect();
    assert!(poll(&mut connecting).is_pending());
    runtime.block_on(async {
        assert!(poll(&mut driver).is_pending());
    });
    drop(runtime);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(driver))).is_ok());
    assert!(matches!(poll(&mut connecting), Poll::Ready(Err(ConnectError::Closed))));
}
