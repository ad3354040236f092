use std::{error::Error as StdError, fmt, sync::Arc};

use http::{HeaderMap, StatusCode};

use super::*;
use crate::{
    message::{Message, Names, Reply},
    payload::Payload,
};

const SECRET: &str = "hunter2";

fn reply() -> Reply {
    Reply::new("error", Payload::from_raw(r#"{"reason":"full"}"#, false))
}

fn refusal(status: u16) -> Box<Refusal> {
    let headers = HeaderMap::from_iter([(http::header::SET_COOKIE, SECRET.parse().unwrap())]);
    Box::new(Refusal::new(StatusCode::from_u16(status).unwrap(), headers, SECRET))
}

fn closed(reason: &str) -> ConnectError {
    ConnectError::ClosedByServer { code: 1011, reason: reason.into() }
}

/// One of every sort, whatever stands in them hidden as it is in use.
fn every() -> Vec<Box<dyn StdError>> {
    let build = || BuildError::Url("relative URL without a base".into());
    let source = || Source::from(BoxError::from("connection reset"));
    let names = Arc::new(Names { topic: "room:1".into(), event: "shout".into() });
    let message = Message::new(names, Payload::from_raw(SECRET, false));
    let decode = || message.json::<u8>().unwrap_err();
    let encode = || EncodeError::new("key must be a string");
    let cause = || Arc::new(ConnectError::Timeout);
    let connect = [
        ConnectError::Build(build()),
        ConnectError::SubprotocolUnanswered,
        ConnectError::Handshake("no Sec-WebSocket-Accept".into()),
        ConnectError::Unresolved(source()),
        ConnectError::Unreachable(source()),
        ConnectError::HandshakeCut(source()),
        ConnectError::Certificate(source()),
        ConnectError::Timeout,
        ConnectError::Provider(source()),
        ConnectError::Transport(source()),
        closed("restarting"),
        closed(""),
        ConnectError::Ended,
        ConnectError::HeartbeatTimeout,
        ConnectError::Closed,
    ];
    let build = [
        build(),
        BuildError::Header("a newline".into()),
        BuildError::Params("a number".into()),
        BuildError::Tls("a root certificate is neither PEM nor DER".into()),
        BuildError::Proxy("it has no host".into()),
        BuildError::NoTransport,
        BuildError::NoRuntime,
    ];
    let socks = [
        SocksRefusal::LoginWanted,
        SocksRefusal::LoginRefused,
        SocksRefusal::General,
        SocksRefusal::NotAllowed,
        SocksRefusal::NetworkUnreachable,
        SocksRefusal::HostUnreachable,
        SocksRefusal::ConnectionRefused,
        SocksRefusal::TtlExpired,
        SocksRefusal::CommandNotSupported,
        SocksRefusal::AddressTypeNotSupported,
    ];
    let join = [
        JoinError::Refused(reply()),
        JoinError::Crashed(reply()),
        JoinError::Timeout,
        JoinError::Left,
        JoinError::Closed,
        JoinError::Stopped(cause()),
        JoinError::GaveUp,
        JoinError::Encode(encode()),
        JoinError::Provider(source()),
        JoinError::Lagged(4),
        JoinError::Decode(decode()),
    ];
    let not_sent = [NotSent::BufferFull, NotSent::NotJoined, NotSent::Left, NotSent::Closed, NotSent::Timeout];
    let push = [
        PushError::Rejected(reply()),
        PushError::Timeout,
        PushError::Disconnected,
        PushError::Encode(encode()),
        PushError::Decode(decode()),
    ];
    let not_joined = [
        NotJoined::ConnectionLost(cause()),
        NotJoined::Crashed(Payload::empty()),
        NotJoined::Refused(reply()),
        NotJoined::TimedOut,
        NotJoined::UnmatchedTopic,
        NotJoined::Unsendable(encode()),
        NotJoined::Provider(source()),
        NotJoined::GaveUp,
        NotJoined::Stopped(cause()),
    ];
    let events = [
        EventError::Lagged(3),
        EventError::Unknown(message.clone()),
        EventError::NotJoined(NotJoined::GaveUp),
        EventError::Decode { message: message.clone(), source: decode() },
    ];
    fn boxed<E: StdError + 'static>(errors: impl IntoIterator<Item = E>) -> impl Iterator<Item = Box<dyn StdError>> {
        errors.into_iter().map(|error| Box::new(error) as Box<dyn StdError>)
    }
    boxed(connect)
        .chain(boxed(
            [200, 301, 401, 403, 404, 429, 500, 502, 503].map(|status| ConnectError::Refused(refusal(status))),
        ))
        .chain(boxed([301, 403, 407, 429, 502, 503].map(|status| ConnectError::ProxyRefused(refusal(status)))))
        .chain(boxed(socks.map(ConnectError::SocksRefused)))
        .chain(boxed(build))
        .chain(boxed(join))
        .chain(boxed(not_sent))
        .chain(boxed(not_sent.map(PushError::NotSent)))
        .chain(boxed(not_sent.map(CastError::NotSent)))
        .chain(boxed([CastError::Encode(encode())]))
        .chain(boxed(push))
        .chain(boxed([
            PingError::NotConnected,
            PingError::Disconnected,
            PingError::Timeout,
            PingError::Encode(encode()),
        ]))
        .chain(boxed([LeaveError::Timeout, LeaveError::Disconnected]))
        .chain(boxed(not_joined))
        .chain(boxed(events))
        .chain(boxed([Lagged(2)]))
        .collect()
}

#[test]
fn every_error_is_one_plain_sentence() {
    for error in every() {
        let sentence = error.to_string();
        assert!(sentence.starts_with(|first: char| first.is_lowercase() || first.is_numeric()), "{sentence}");
        assert!(!sentence.contains(['\n', '\t']) && !sentence.contains("  "), "{sentence}");
        assert!(!sentence.contains(". ") && !sentence.ends_with(['.', ':', ' ', '!']), "{sentence}");
    }
}

// T-29
#[test]
fn no_error_shows_headers_bodies_or_payloads_that_arrived() {
    for error in every() {
        assert!(!error.to_string().contains(SECRET), "{error}");
        assert!(!format!("{error:?}").contains(SECRET), "{error:?}");
    }
}

#[test]
fn errors_say_what_the_peer_said() {
    let said = |error: &dyn fmt::Display, what: &str| assert!(error.to_string().contains(what), "{error}");
    said(&closed("restarting"), "code 1011: restarting");
    said(&PushError::Rejected(reply()), r#"{"reason":"full"}"#);
    said(&JoinError::Refused(reply()), r#"{"reason":"full"}"#);
    assert!(closed("").to_string().ends_with("code 1011"));
}

#[test]
fn only_what_was_certainly_not_sent_may_be_sent_again() {
    assert!(PushError::NotSent(NotSent::Timeout).is_not_sent());
    assert!(PushError::Encode(EncodeError::new("no")).is_not_sent());
    for sent in [PushError::Timeout, PushError::Disconnected, PushError::Rejected(reply())] {
        assert!(!sent.is_not_sent());
    }
}

#[test]
fn sources_lead_to_the_cause() {
    #[derive(Debug, thiserror::Error)]
    #[error("mine")]
    struct Mine;
    let mine = |error: &dyn StdError| error.source().is_some_and(|source| source.is::<Mine>());
    assert!(mine(&EncodeError::new(Mine)));
    assert!(mine(&DecodeError::new(Mine)));
    assert!(mine(&PushError::Encode(EncodeError::new(Mine))));
    let stopped = JoinError::Stopped(Arc::new(ConnectError::transport(Mine)));
    let connect = stopped.source().unwrap();
    assert_eq!(connect.to_string(), "the connection failed: mine");
    assert_eq!(connect.source().unwrap().to_string(), "mine");
}

#[test]
fn stop_gives_back_what_it_wraps() {
    let stop = Stop::new("logged out");
    assert_eq!(stop.to_string(), "logged out");
    assert_eq!(stop.into_inner().to_string(), "logged out");
}

#[test]
fn the_source_of_a_failed_connection_can_be_downcast() {
    let error = ConnectError::transport(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
    let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<std::io::Error>());
    assert_eq!(source.map(std::io::Error::kind), Some(std::io::ErrorKind::ConnectionRefused));
    assert_eq!(error.io_kind(), Some(std::io::ErrorKind::ConnectionRefused));
    // One that wraps another names that one's kind.
    let wrapped = std::io::Error::other(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
    assert_eq!(ConnectError::transport(wrapped).io_kind(), Some(std::io::ErrorKind::ConnectionReset));
    assert_eq!(ConnectError::transport("no route").io_kind(), None);
    assert_eq!(ConnectError::Timeout.io_kind(), None);
}
