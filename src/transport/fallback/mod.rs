//! Two transports as one: the first, and another for where it cannot be used.

mod healing;
mod memo;
mod store;
mod track;
mod trial;
mod trusted;

use std::{fmt, sync::Arc, time::Duration};

pub(crate) use self::memo::Memo;
pub use self::store::FallbackStore;
use self::{
    healing::Healing,
    store::MemoryStore,
    track::Tracks,
    trial::{Untrusted, trial},
    trusted::Trusted,
};
use super::{BoxTransport, Connection, Dial, Transport};
use crate::{
    driver::shared::fresh_id,
    error::ConnectError,
    telemetry::{SwitchReason, Telemetry},
};

/// Two transports as one: the first, and a second for where the first cannot be used. Made by
/// [`or`](Transport::or); open to any two, and to others in turn. A clone shares what was learnt.
///
/// ```
/// use std::time::Duration;
/// use phoenix_streams::{LongPoll, Socket, WebSocket};
///
/// let transport = WebSocket::default().or(LongPoll::default()).threshold(Duration::from_secs(4));
/// let builder = Socket::builder("wss://example.org/socket").transport(transport);
/// # drop(builder);
/// ```
///
/// # Down
///
/// A connection of the first is trusted once it has answered a ping. It is given up for the second, within the same
/// attempt, if it fails before that; if it is not open, or has not answered, within the
/// [threshold](Or::threshold) each; and if its connections die young, [several in a row](Or::short_lived), without a
/// close frame.
///
/// Not for what the second would meet as well: a 401, a 403, 429 or 503 with the `cache-control` that Phoenix itself
/// sends, a proxy's 407, a certificate that does not verify, an auth token that is not answered, what cannot be built.
/// And not for an error of one that [was healthy a moment ago](Or::trust_for), which passes, nor for being slow to open
/// then.
///
/// The second is dialed with the same params, token and headers: closures are asked once for each attempt. Where it fails
/// too, its error is that of the attempt, unless the first's says to come back later; and the next attempt begins with the
/// first again.
///
/// # And up again
///
/// While a connection of the second is open the first is tried beside it [every so often](Or::probe_every), with params,
/// token and headers asked for anew. It is healthy once it answers a ping; one whose connections died young has to
/// outlive [that time](Or::short_lived) too, of which 30 s are enough. Then the open poll of long-poll is read to its end,
/// at most the server's window of 10 s, or for 3.5 s where pushes never pause, and the socket goes over: a connection like
/// any other, on which the channels rejoin. What the server says between the old and the new join is missed, as in any
/// reconnect; the old connection ends with [`ConnectError::Switched`].
///
/// # Shown
///
/// The transport in use, and why it is not the first, stand in
/// [`Status::Connected`](crate::Status::Connected); every switch is told by
/// [`Telemetry::Switched`], every attempt to get back that failed by [`Telemetry::ProbeFailed`]. An attempt that begins
/// with the second, since the first was given up before, is no switch: the status alone says why.
///
/// # Remembered
///
/// That the first was given up, and never was healthy, is kept in a [store](Or::store) for [a while](Or::remember_for), by
/// the server's URL without userinfo and query; whoever connects meanwhile begins with the second.
pub struct Or<A, B> {
    first: Arc<A>,
    second: Arc<B>,
    options: Options,
    tracks: Tracks,
}

#[derive(Clone)]
struct Options {
    /// Of this combination; clones share it.
    id: u64,
    threshold: Duration,
    /// The most that the threshold may be, in fifths of what is left of the attempt.
    share: u32,
    opens: u32,
    young: Duration,
    trust: Duration,
    probe: Duration,
    memory: Duration,
    store: Arc<dyn FallbackStore>,
}

impl<A: Transport, B: Transport> Or<A, B> {
    pub(crate) fn new(first: A, second: B) -> Self {
        let options = Options {
            id: fresh_id(),
            share: 2,
            threshold: Duration::from_millis(2_500),
            opens: 3,
            young: Duration::from_secs(10),
            trust: Duration::from_secs(60),
            probe: Duration::from_secs(5 * 60),
            memory: Duration::from_secs(24 * 60 * 60),
            store: Arc::new(MemoryStore::default()),
        };
        Or { first: Arc::new(first), second: Arc::new(second), options, tracks: Tracks::default() }
    }

    /// How long the first may take to open, and then again to answer a ping: 2.5 s by default. At most two fifths of the
    /// connect timeout, so that there is time left for the second.
    #[must_use]
    pub fn threshold(mut self, threshold: Duration) -> Self {
        self.options.threshold = threshold;
        self
    }

    /// How many connections of the first in a row may die, without a close frame, each within this long of its opening:
    /// 3 and 10 s by default. Then the second is used, until one of the first lives so long.
    #[must_use]
    pub fn short_lived(mut self, opens: u32, within: Duration) -> Self {
        (self.options.opens, self.options.young) = (opens.max(1), within);
        self
    }

    /// How long after the first was last known to be healthy its errors count as passing, and lead to no switch: 60 s by
    /// default.
    #[must_use]
    pub fn trust_for(mut self, time: Duration) -> Self {
        self.options.trust = time;
        self
    }

    /// How often the first is tried while the second is in use: every 5 min by default, and at least 10 ms apart.
    #[must_use]
    pub fn probe_every(mut self, interval: Duration) -> Self {
        self.options.probe = interval.max(Duration::from_millis(10));
        self
    }

    /// How long the store is told to keep it that the first was given up: 24 h by default.
    #[must_use]
    pub fn remember_for(mut self, time: Duration) -> Self {
        self.options.memory = time;
        self
    }

    /// Where it is kept that the first was given up. By default in memory, shared by the clones of this value.
    #[must_use]
    pub fn store(mut self, store: impl FallbackStore) -> Self {
        self.options.store = Arc::new(store);
        self
    }

    /// Falls back to another one where neither of these can be used. The threshold of the whole is twice that of these
    /// two, so that the second has its turn where the first hangs.
    #[must_use]
    pub fn or<T: Transport>(self, other: T) -> Or<Self, T> {
        let threshold = self.options.threshold.saturating_mul(2);
        let mut whole = Or::new(self, other);
        (whole.options.threshold, whole.options.share) = (threshold, 3);
        whole
    }

    /// This transport, chosen at run time.
    #[must_use]
    pub fn boxed(self) -> BoxTransport {
        Transport::boxed(self)
    }

    /// The second, in the place of the first, which is tried again from time to time; and at once if the second fails.
    async fn second(&self, dial: Dial, server: &Server, reason: SwitchReason) -> Result<Connection, ConnectError> {
        server.track.doubt();
        dial.socket.backchannel.memo(self.options.id, |memo| memo.young = None);
        let connection = self.second.dial(dial.clone()).await?;
        server.track.stands();
        let name = connection.transport(self.second.name());
        self.options.uses(&dial, name);
        let connection = connection.with_traits(|traits| {
            traits.transport = Some(name);
            traits.fallback = Some(reason);
        });
        Ok(Healing::around(connection, self.first.clone(), dial, self.options.clone(), server.clone()))
    }
}

/// One server, and what was learnt of it.
#[derive(Clone)]
struct Server {
    url: Arc<str>,
    track: track::Track,
}

impl Options {
    fn threshold(&self, dial: &Dial) -> Duration {
        self.threshold.min(dial.timeout / 5 * self.share)
    }

    /// Notes which transport the socket uses; and the one that it used before.
    fn uses(&self, dial: &Dial, name: &'static str) -> Option<&'static str> {
        dial.socket.backchannel.memo(self.id, |memo| memo.used.replace(name))
    }

    /// The first has answered: it is used, and watched.
    fn trusted<A: Transport>(&self, first: &A, server: &Server, dial: &Dial, answered: trial::Answered) -> Connection {
        let trial::Answered { connection, early } = answered;
        let name = connection.transport(first.name());
        let connection = connection.with_traits(|traits| traits.transport = Some(name));
        connection.wrap(|inner| Trusted::new(inner, early, self, server, &dial.socket.backchannel))
    }

    /// Whether too many connections of the first in a row have died young.
    fn short_lived(&self, dial: &Dial) -> Option<SwitchReason> {
        let young = dial.socket.backchannel.memo(self.id, |memo| memo.young.clone());
        let (opens, cause) = young.filter(|(opens, _)| *opens >= self.opens)?;
        Some(SwitchReason::ShortLived { opens, cause })
    }
}

impl<A: Transport, B: Transport> Transport for Or<A, B> {
    async fn dial(&self, dial: Dial) -> Result<Connection, ConnectError> {
        let options = &self.options;
        let url = server(&dial);
        let server = Server { track: self.tracks.of(&url), url };
        let (from, to) = (self.first.name(), self.second.name());
        let tell = |from, to, reason| dial.socket.backchannel.tell(Telemetry::Switched { from, to, reason });
        if let Some(reason) = server.track.fallen(options, &server.url) {
            let used = dial.socket.backchannel.memo(options.id, |memo| memo.used);
            if used == Some(from) {
                // Another socket has found that out.
                tell(from, to, reason.clone());
            }
            return self.second(dial, &server, reason).await;
        }
        let may_fall = server.track.may_fall(options);
        let reason = match options.short_lived(&dial) {
            Some(reason) => reason,
            None => {
                match trial(&*self.first, &dial, options.threshold(&dial), may_fall).await {
                    Ok(answered) => {
                        let connection = options.trusted(&*self.first, &server, &dial, answered);
                        let name = connection.transport(from);
                        if let Some(used) = options.uses(&dial, name)
                            && used == to
                        {
                            tell(used, name, SwitchReason::Healed);
                        }
                        return Ok(connection);
                    }
                    // That frames are swallowed is no error that passes.
                    Err(untrusted @ Untrusted::Silent(_)) => untrusted.into_reason(),
                    Err(untrusted) if may_fall && !untrusted.is_of_the_server() => untrusted.into_reason(),
                    Err(untrusted) => return Err(untrusted.into_cause()),
                }
            }
        };
        tell(from, to, reason.clone());
        let connection = self.second(dial, &server, reason.clone()).await.map_err(|cause| both(&reason, cause))?;
        server.track.falls(options, &server.url, reason);
        Ok(connection)
    }

    fn name(&self) -> &'static str {
        self.first.name()
    }
}

/// What is said of an attempt in which both have failed: the second's error, unless the first's says to come back later,
/// or the second's may be of something that knows nothing of the second's path.
fn both(reason: &SwitchReason, second: ConnectError) -> ConnectError {
    let SwitchReason::Failed(first) = reason else { return second };
    let delay = |cause: &ConnectError| match cause.refusal() {
        Some(refusal) if matches!(refusal.status().as_u16(), 429 | 503) => refusal.retry_after().unwrap_or_default(),
        _ => Duration::ZERO,
    };
    let is_forbidden = |cause: &ConnectError| cause.refusal().is_some_and(|refusal| refusal.status() == 403);
    let foreign = is_forbidden(&second) && !is_forbidden(first);
    if !trial::is_of_the_server(&second) && (foreign || delay(first) > delay(&second)) {
        return (**first).clone();
    }
    second
}

/// The server by its URL, which holds no secret so.
fn server(dial: &Dial) -> Arc<str> {
    let authority = dial.url.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{}://{host}{}", dial.url.scheme_str().unwrap_or_default(), dial.url.path()).into()
}

impl<A, B> Clone for Or<A, B> {
    fn clone(&self) -> Self {
        Or {
            first: self.first.clone(),
            second: self.second.clone(),
            options: self.options.clone(),
            tracks: self.tracks.clone(),
        }
    }
}

impl<A: fmt::Debug, B: fmt::Debug> fmt::Debug for Or<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Or").field("first", &self.first).field("second", &self.second).finish_non_exhaustive()
    }
}
