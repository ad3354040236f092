//! A socket with a secret in every place, and what is seen of it in its life.

use std::time::Duration;

use futures::{FutureExt, SinkExt, StreamExt, TryStreamExt};
use http::HeaderMap;
use phoenix_streams::{
    Backoff, Binary, BoxError, Builder, Channel, ConnectError, Socket, Status, Stop, Transport, json,
    serializer::Envelope,
    transport::{Connection, Dial},
};
use serde_json::Value;

use crate::{
    planted::{
        HEADER, HEADER_GIVEN, JOIN, JOIN_GIVEN, PANIC, PARAMS, PARAMS_GIVEN, PUSH, QUERY, TOKEN, TOKEN_GIVEN, USERINFO,
    },
    shown::Shown,
};

/// How the secrets are given, and how it goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Given {
    Values,
    Closures,
    /// Closures of which this one fails.
    Failing(Kind, Fault),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Params,
    Token,
    Headers,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    Fails,
    Panics,
    NeverReady,
    /// Params of which no query can be made.
    Unencodable,
    Stops,
}

impl Given {
    /// Every closure, failing in every way.
    pub(crate) fn failing() -> impl Iterator<Item = Given> {
        let faults = [Fault::Fails, Fault::Panics, Fault::NeverReady, Fault::Stops];
        let each = [Kind::Params, Kind::Token, Kind::Headers].into_iter();
        let each = each.flat_map(move |kind| faults.map(|fault| Given::Failing(kind, fault)));
        each.chain([Given::Failing(Kind::Params, Fault::Unencodable)])
    }

    fn fault_of(self, kind: Kind) -> Option<Fault> {
        match self {
            Given::Failing(failing, fault) if failing == kind => Some(fault),
            _ => None,
        }
    }

    async fn answer<T>(self, kind: Kind, good: T) -> Result<T, BoxError> {
        match self.fault_of(kind) {
            Some(Fault::Fails) => Err("no session".into()),
            Some(Fault::Panics) => panic!("on purpose, with {}", PANIC.text),
            Some(Fault::NeverReady) => std::future::pending().await,
            Some(Fault::Stops) => Err(Stop::new("logged out").into()),
            Some(Fault::Unencodable) | None => Ok(good),
        }
    }
}

/// The URL, with a secret as its password and one in its query.
pub(crate) fn secret_url(url: &str) -> String {
    format!("{}?key={}", url.replacen("://", &format!("://ann:{}@", USERINFO.text), 1), QUERY.text)
}

pub(crate) fn describe(url: &str, given: Given) -> Builder {
    let builder = Socket::builder(secret_url(url))
        .reconnect(Backoff::steps([Duration::from_secs(60)]))
        .rejoin(Backoff::steps([Duration::from_millis(1)]))
        .connect_timeout(Duration::from_secs(5))
        .header("x-key", HEADER.text)
        .header("cookie", format!("session={}", HEADER.text.replace([';', ',', '"', ' '], "")));
    if given == Given::Values {
        let params = json!({ "key": PARAMS.text, "all": [PARAMS.text], "of": { (PARAMS.text): PARAMS.text } });
        return builder.params(params).auth_token(TOKEN.text);
    }
    builder
        .params_with(move || {
            let text = PARAMS_GIVEN.text;
            let unencodable = given.fault_of(Kind::Params) == Some(Fault::Unencodable);
            given.answer(Kind::Params, if unencodable { json!([text]) } else { json!({ "key": text }) })
        })
        .auth_token_with(move || given.answer(Kind::Token, TOKEN_GIVEN.text))
        .headers_with(move || {
            given.answer(
                Kind::Headers,
                HeaderMap::from_iter([("x-key".parse().unwrap(), HEADER_GIVEN.text.parse().unwrap())]),
            )
        })
}

/// Runs a socket until it is connected or not, uses it if it is, and ends it; whether it was.
pub(crate) async fn live(shown: &Shown, case: &str, builder: Builder) -> bool {
    shown.debug(case, &builder);
    let (socket, driver) = builder.driver().unwrap();
    let (mut telemetry, mut status) = (socket.telemetry(), socket.status());
    shown.debug(case, &(&driver, &socket, &telemetry, &status));
    let running = tokio::spawn(driver);
    let connecting = socket.connect();
    shown.debug(case, &connecting);
    let connecting = tokio::spawn(connecting);
    let connected = loop {
        let now = status.next().await.unwrap();
        shown.debug(case, &now);
        match now {
            Status::Connected { .. } => break true,
            Status::Waiting { cause, .. } | Status::Stopped { cause } => {
                shown.error(case, &*cause);
                break false;
            }
            _ => {}
        }
    };
    if connected {
        use_it(shown, case, &socket).await;
    }
    shown.debug(case, &(&socket, socket.stats()));
    let closing = socket.close();
    shown.debug(case, &closing);
    closing.await;
    if let Err(error) = connecting.await.unwrap() {
        shown.error(case, &error);
    }
    running.await.unwrap();
    while let Some(Some(told)) = telemetry.next().now_or_never() {
        shown.debug(case, &told);
    }
    while let Some(Some(now)) = status.next().now_or_never() {
        shown.debug(case, &now);
    }
    connected
}

/// Every operation, on a server that knows the topics `room:*`, and refuses or crashes on request.
async fn use_it(shown: &Shown, case: &str, socket: &Socket) {
    let secret = || json!({ "key": PUSH.text });
    let room = socket.channel("room:1");
    let streams = (room.events("said"), room.events_as::<Value>("said"), room.messages(), room.joins(), room.status());
    let join = room.join(json!({ "key": JOIN.text }));
    shown.debug(case, &(&room, &streams, &join));
    shown.debug(case, &join.await.unwrap());

    for event in ["ok", "error", "crash", "never"] {
        let push = room.push(event, secret()).timeout(Duration::from_millis(300));
        shown.debug(case, &push);
        match push.await {
            Ok(reply) => shown.debug(case, &reply),
            Err(error) => shown.error(case, &error),
        }
    }
    let cast = room.cast("never", Binary(PUSH.text));
    shown.debug(case, &cast);
    cast.await.unwrap();
    let mut sink = room.sink("never");
    sink.send(secret()).await.unwrap();
    shown.debug(case, &sink);
    shown.error(case, &room.push("never", [((1, PUSH.text), 2)].into_iter().collect::<Unkeyed>()).await.unwrap_err());
    let raw = Envelope {
        join_ref: None,
        r#ref: Some(socket.next_ref()),
        topic: "phoenix".into(),
        event: "never".into(),
        payload: phoenix_streams::IntoPayload::into_payload(secret()).unwrap(),
    };
    shown.debug(case, &raw);
    let raw = socket.cast(raw);
    shown.debug(case, &raw);
    raw.await.unwrap();

    given_by_a_closure(shown, case, &socket.channel("room:2")).await;
    for topic in ["room:refused", "room:crashed", "nowhere"] {
        let join = socket.channel(topic).join(json!({ "key": JOIN.text }));
        shown.error(case, &join.await.unwrap_err());
    }
    room.leave().await.unwrap();
    shown.debug(case, &(streams, socket.stats()));
}

async fn given_by_a_closure(shown: &Shown, case: &str, room: &Channel) {
    let mut asked = 0;
    let join = room.join_with(move |_| {
        asked += 1;
        async move {
            assert!(asked > 1, "on purpose, with {}", PANIC.text);
            Ok(json!({ "key": JOIN_GIVEN.text }))
        }
    });
    shown.debug(case, &join);
    match join.await {
        Ok(reply) => shown.debug(case, &reply),
        Err(error) => shown.error(case, &error),
    }
    let mut status = room.status();
    shown.debug(case, &status.next().await);
    let again = room.rejoin();
    shown.debug(case, &again);
    shown.debug(case, &again.await.unwrap());
}

/// A map that JSON has no form for.
type Unkeyed = std::collections::HashMap<(u8, &'static str), u8>;

/// A transport that looks at all that passes.
pub(crate) struct Nosy<T>(pub(crate) T, pub(crate) Shown);

impl<T: Transport> Transport for Nosy<T> {
    async fn dial(&self, dial: Dial) -> Result<Connection, ConnectError> {
        let Nosy(transport, shown) = self;
        shown.debug("what is dialed", &dial);
        let headers: Vec<_> = dial.headers.iter().collect();
        shown.debug("the headers", &headers);
        let dialed = transport.dial(dial).await;
        match &dialed {
            Ok(connection) => shown.debug("a connection", connection),
            Err(error) => shown.error("a failed attempt", error),
        }
        let (received, sent) = (shown.clone(), shown.clone());
        let connection = dialed?.inspect_ok(move |frame| received.debug("a frame received", frame));
        Ok(Connection::new(connection.with(move |frame| {
            sent.debug("a frame sent", &frame);
            std::future::ready(Ok::<_, ConnectError>(frame))
        })))
    }
}
