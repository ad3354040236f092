//! What a program may do with the types: move them between threads, hold them in structs, key maps and UI
//! subscriptions with them, pass errors on. Checked by the compiler, but for the identity of handles.

use std::{
    cell::Cell,
    collections::HashMap,
    error::Error,
    fmt::{Debug, Display},
    hash::Hash,
    marker::PhantomPinned,
    mem::size_of,
    rc::Rc,
    time::Duration,
};

use futures::{FutureExt, Sink, Stream};
use phoenix_streams::{
    Backoff, Binary, BoxTransport, BuildError, Builder, Cast, CastError, Change, Channel, ChannelClosed, ChannelStatus,
    Close, Connect, ConnectError, Connecting, DecodeError, Delays, Disconnect, Driver, EncodeError, Entry, Envelope,
    EventError, EventSink, Events, EventsAs, Http, IntoPayload, Join, JoinError, Joins, Lagged, LastSeen, Latest,
    Leave, LeaveError, Lossy, Message, Messages, MessagesAs, NotJoined, NotSent, Payload, Ping, PingError, Presence,
    PresenceEvent, PresenceEvents, PresenceNames, PresenceState, Push, PushError, Refusal, Reply, Retry, Serializer,
    Socket, SocketMessages, Stats, Status, Stop, Telemetry, TelemetryStream, Topic, Transport, V2, WebSocket, json,
    testing::{ConnectInfo, Fault, Peer, Refuse, Server},
    transport::{Connection, Dial, Frame, memory},
};
use static_assertions::{
    assert_impl_all, assert_not_impl_any, assert_obj_safe, assert_type_eq_all, const_assert, const_assert_eq,
};

/// What no bound may be asked of: neither `Send` nor `Sync` nor `Unpin`.
struct Awkward {
    _not_send: Rc<()>,
    _pinned: PhantomPinned,
}

// Handles: cheap clones that key maps and outlive whoever made them.
assert_impl_all!(Socket: Send, Sync, Unpin, Clone, Eq, Hash, Debug);
assert_impl_all!(Channel: Send, Sync, Unpin, Clone, Eq, Hash, Debug);
const_assert_eq!(size_of::<Socket>(), size_of::<usize>());
const_assert_eq!(size_of::<Channel>(), size_of::<usize>());

// A builder needs no more of its closures than `Send`, and so is not `Sync` itself.
assert_impl_all!(Builder: Send, Unpin, Debug);
assert_not_impl_any!(Builder: Sync);

// Operations and the driver are futures that can be held, raced by `&mut` and spawned.
macro_rules! futures {
    ($($future:ty => $output:ty),* $(,)?) => { $(
        assert_impl_all!($future: Future<Output = $output>, Send, Unpin, Debug);
        const _: fn() = needs_static::<$future>;
    )* };
}
fn needs_static<T: 'static>() {}
futures! {
    Connect => Result<Socket, ConnectError>,
    Connecting => Result<(), ConnectError>,
    Disconnect => (),
    Close => (),
    Join => Result<Reply, JoinError>,
    Leave => Result<(), LeaveError>,
    Push => Result<Reply, PushError>,
    Cast => Result<(), CastError>,
    Ping => Result<Duration, PingError>,
    Driver => (),
}
assert_impl_all!(Push: Sync);
assert_impl_all!(Cast: Sync);
assert_impl_all!(Join: Sync);
assert_impl_all!(Leave: Sync);
assert_impl_all!(Ping: Sync);

// Streams are owned, whatever they decode to.
macro_rules! streams {
    ($($stream:ty => $item:ty),* $(,)?) => { $(
        assert_impl_all!($stream: Stream<Item = $item>, Send, Unpin, Debug);
        const _: fn() = needs_static::<$stream>;
    )* };
}
streams! {
    Events => Result<Message, EventError>,
    EventsAs<String> => Result<String, EventError>,
    Messages => Result<Message, EventError>,
    Lossy<Events> => Message,
    Lossy<EventsAs<String>> => String,
    MessagesAs<String> => Result<String, EventError>,
    Lossy<Messages> => Message,
    Lossy<MessagesAs<String>> => String,
    Joins => Result<Reply, JoinError>,
    SocketMessages => Result<Envelope, Lagged>,
    Latest<Option<Duration>> => Option<Duration>,
    Latest<Status> => Status,
    Latest<ChannelStatus> => ChannelStatus,
    Latest<Presence<Awkward>> => Presence<Awkward>,
    PresenceEvents<Awkward> => Result<PresenceEvent<Awkward>, EventError>,
    Lossy<PresenceEvents<Awkward>> => PresenceEvent<Awkward>,
    TelemetryStream => Result<Telemetry, Lagged>,
}
assert_impl_all!(Events: Sync);
assert_impl_all!(Messages: Sync);
assert_impl_all!(EventsAs<Awkward>: Send, Sync, Unpin, Debug);
const _: fn() = needs_static::<EventsAs<Awkward>>;
assert_impl_all!(MessagesAs<Awkward>: Send, Sync, Unpin, Debug);
const _: fn() = needs_static::<MessagesAs<Awkward>>;

// A sink too, whatever is put into it.
assert_impl_all!(EventSink<String>: Sink<String, Error = CastError>, Send, Sync, Unpin, Debug);
assert_impl_all!(EventSink<Binary<Vec<u8>>>: Sink<Binary<Vec<u8>>, Error = CastError>);
assert_impl_all!(EventSink<Awkward>: Send, Sync, Unpin, Debug);
const _: fn() = needs_static::<EventSink<Awkward>>;

// What streams and futures yield goes anywhere, and can be kept.
assert_impl_all!(Message: Send, Sync, Unpin, Clone, Debug);
assert_impl_all!(Reply: Send, Sync, Unpin, Clone, Eq, Debug);
assert_impl_all!(Payload: Send, Sync, Unpin, Clone, Eq, Debug, Display, IntoPayload);
assert_impl_all!(&Payload: IntoPayload);
assert_impl_all!(Binary<Vec<u8>>: Send, Sync, Clone, Eq, Debug, IntoPayload);
assert_impl_all!(&Binary<Vec<u8>>: IntoPayload);
assert_impl_all!((): IntoPayload);
assert_impl_all!(&str: IntoPayload);
assert_impl_all!(&HashMap<String, Vec<u8>>: IntoPayload);
assert_not_impl_any!(Payload: serde::Serialize);
assert_impl_all!(Status: Send, Sync, Unpin, Clone, Debug);
assert_impl_all!(ChannelStatus: Send, Sync, Unpin, Clone, Debug);
assert_impl_all!(ChannelClosed: Send, Sync, Unpin, Clone, Debug);
assert_impl_all!(Presence<Awkward>: Send, Sync, Unpin, Clone, Default, Debug);
assert_impl_all!(Entry<Awkward>: Send, Sync, Unpin, Clone, Debug);
assert_impl_all!(Change<Awkward>: Send, Sync, Unpin, Clone, Debug);
assert_impl_all!(PresenceEvent<Awkward>: Send, Sync, Unpin, Clone, Debug);
assert_impl_all!(PresenceNames: Send, Sync, Unpin, Clone, Eq, Default, Debug);
assert_impl_all!(PresenceState: Send, Sync, Copy, Eq, Default, Debug);
assert_impl_all!(Telemetry: Send, Sync, Unpin, Clone, Debug);
assert_impl_all!(Stats: Send, Sync, Unpin, Copy, Eq, Debug);
assert_impl_all!(Backoff: Send, Sync, Unpin, Clone, PartialEq, Debug, IntoIterator<Item = Duration>);
assert_impl_all!(Delays: Send, Sync, Unpin, Clone, Debug, Iterator<Item = Duration>);
assert_impl_all!(Retry: Send, Sync, Copy, Eq, Debug);
assert_impl_all!(LastSeen: Send, Sync, Unpin, Clone, Default, Debug);
assert_impl_all!(Refusal: Send, Sync, Unpin, Clone, Debug, Display);
assert_type_eq_all!(Topic, std::sync::Arc<str>);

// Errors are kept, compared by `matches!`, passed on by `?` and across threads, and are small to return.
macro_rules! errors {
    ($($error:ty: $bytes:literal),* $(,)?) => { $(
        assert_impl_all!($error: Error, Clone, Send, Sync, Unpin, Debug, Display);
        const _: fn() = needs_static::<$error>;
        const_assert!(size_of::<$error>() <= $bytes);
    )* };
}
errors! {
    BuildError: 24,
    ConnectError: 32,
    JoinError: 72,
    PushError: 64,
    CastError: 24,
    LeaveError: 8,
    PingError: 24,
    EventError: 72,
    NotJoined: 64,
    NotSent: 1,
    EncodeError: 16,
    DecodeError: 16,
    Lagged: 8,
}
assert_impl_all!(Stop: Error, Send, Sync);
assert_impl_all!(NotSent: Copy, Eq);
assert_impl_all!(Lagged: Copy, Eq);
assert_impl_all!(JoinError: From<EncodeError>, From<DecodeError>);
assert_impl_all!(PushError: From<EncodeError>, From<DecodeError>);
assert_impl_all!(CastError: From<EncodeError>);
assert_impl_all!(ConnectError: From<BuildError>);
const_assert!(size_of::<Result<Reply, PushError>>() <= 72);
const_assert!(size_of::<Result<Message, EventError>>() <= 72);

// The seams.
assert_impl_all!(BoxTransport: Transport, Clone, Debug);
assert_impl_all!(Http: Send, Sync, Unpin, Clone, Default, Debug);
assert_impl_all!(WebSocket: Transport, Clone, Default, Debug);
assert_impl_all!(memory::Memory: Transport, Clone, Debug);
assert_impl_all!(
    Connection: Stream<Item = Result<Frame, ConnectError>>, Sink<Frame, Error = ConnectError>, Send, Unpin, Debug
);
assert_impl_all!(Dial: Send, Clone, Debug);
assert_impl_all!(Frame: Send, Sync, Clone, Eq, Debug);
assert_impl_all!(V2: Serializer, Clone, Default, Debug);
assert_impl_all!(Envelope: Send, Sync, Clone, Debug);
assert_obj_safe!(Serializer);

// The embedded server, in the hands of a test.
assert_impl_all!(Server: Send, Sync, Clone, Debug);
assert_impl_all!(Peer: Send, Sync, Clone, Debug);
assert_impl_all!(ConnectInfo: Send, Sync, Clone, Debug);
assert_impl_all!(Refuse: Send, Sync, Clone, Debug);
assert_impl_all!(Fault: Send, Sync, Copy, Eq, Debug);
assert_impl_all!(memory::Peer: Send, Debug);
assert_impl_all!(memory::PeerConnection: Send, Debug);

/// The bounds of iced's `Subscription::run_with`: the data is the identity, and a plain function makes the stream.
fn run_with<D: Hash + 'static, S: Stream + Send + 'static>(data: D, stream: fn(&D) -> S) -> S {
    stream(&data)
}

/// The bounds of leptos' `Signal::from_stream`.
fn from_stream<T: Send + Sync + 'static>(stream: impl Stream<Item = T> + Send + 'static) -> impl Send {
    stream
}

#[tokio::test]
async fn ui_frameworks_take_handles_and_streams() {
    let (socket, _driver) = Socket::builder("ws://memory/socket").driver().unwrap();
    let room = socket.channel("room:1");
    let mut status = run_with(socket.clone(), Socket::status);
    assert!(run_with((room.clone(), 7), |(room, _)| room.events_as::<u8>("a")).next_now().is_none());
    assert!(run_with(room.clone(), Channel::messages).next_now().is_none());
    assert!(run_with(room.clone(), |room| room.messages_as::<u8>().max_messages(10)).next_now().is_none());
    assert!(run_with(room.clone(), Channel::joins).next_now().is_none());
    assert!(run_with(room.clone(), Channel::presence::<u8>).next_now().is_none());
    assert!(run_with(room.clone(), Channel::presence_events::<u8>).next_now().is_none());
    assert!(run_with(socket.clone(), Socket::latency).next_now().is_some());
    assert!(run_with(socket.clone(), Socket::messages).next_now().is_none());
    assert!(run_with(room.clone(), |room| room.events("a").lossy()).next_now().is_none());
    assert!(matches!(status.next_now(), Some(Some(Status::Idle))));
    drop((from_stream(room.events("a")), from_stream(room.status()), from_stream(socket.telemetry())));
}

/// What a stream has ready, without waiting.
trait NextNow: Stream + Unpin {
    fn next_now(&mut self) -> Option<Option<Self::Item>> {
        futures::StreamExt::next(self).now_or_never()
    }
}
impl<S: Stream + Unpin> NextNow for S {}

#[test]
#[expect(clippy::mutable_key_type, reason = "a handle is hashed by its identity alone")]
fn a_handle_is_equal_to_its_clones_alone() {
    let socket = || Socket::builder("ws://memory/socket").driver().unwrap().0;
    let (one, two) = (socket(), socket());
    assert_eq!(one, one.clone());
    assert_ne!(one, two);
    let room = one.channel("room:1");
    assert_eq!(room, one.channel("room:1"));
    assert_ne!(room, one.channel("room:2"));
    assert_ne!(room, two.channel("room:1"));
    assert_eq!(room.socket(), one);
    let seats = HashMap::from([(room.clone(), 1), (one.channel("room:2"), 2)]);
    assert_eq!(seats[&one.channel("room:1")], 1);
}

/// A hash is all that a UI keeps of a handle: one that is gone must not come back as another's.
#[test]
fn an_identity_is_never_used_again() {
    let (socket, _driver) = Socket::builder("ws://memory/socket").driver().unwrap();
    let hash = |room: &Channel| {
        use std::hash::BuildHasher;
        std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default().hash_one(room)
    };
    let seen: std::collections::HashSet<u64> = (0..1000).map(|_| hash(&socket.channel("room:1"))).collect();
    assert_eq!(seen.len(), 1000);
}

/// Needs no runtime either.
#[test]
fn closures_need_only_be_send_and_may_count() {
    let attempts = Cell::new(0);
    let built = Socket::builder("ws://memory/socket")
        .params_with(move || {
            attempts.set(attempts.get() + 1);
            let attempt = attempts.get();
            async move { Ok(json!({ "attempt": attempt })) }
        })
        .timeout(Duration::from_secs(1))
        .driver();
    assert!(built.is_ok());
}
