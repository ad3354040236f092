//! One attempt to connect: the user's closures are asked, then the transport dials.

use std::{
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use futures::{
    FutureExt, StreamExt,
    future::{MaybeDone, maybe_done},
};
use http::HeaderMap;

#[cfg(feature = "_http")]
use crate::transport::Http;
use crate::{
    core::{Refs, heartbeat, refs::parse},
    endpoint::Endpoint,
    error::{BoxError, ConnectError, Stop},
    runtime::{Instant, timeout},
    serializer::{Codec, Kept},
    transport::{Answers, Asks, Backchannel, BoxTransport, Connection, Dial, Frame, Renewed, SocketSide, Transport},
};

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Provider<T> = Box<dyn FnMut() -> BoxFuture<Result<T, BoxError>> + Send>;

/// A value, or a closure that is asked for it before every attempt.
pub(crate) enum Source<T> {
    Value(T),
    Provider(Provider<T>),
}

/// Everything needed to connect, again and again. A clone is the same.
#[derive(Clone)]
pub(crate) struct Dialer(Arc<Recipe>);

pub(crate) struct Recipe {
    pub(crate) endpoint: Endpoint,
    pub(crate) sources: Mutex<Sources>,
    pub(crate) headers: HeaderMap,
    pub(crate) timeout: Duration,
    #[cfg(feature = "_http")]
    pub(crate) http: Http,
    pub(crate) transport: BoxTransport,
    pub(crate) codec: Codec,
    pub(crate) refs: Refs,
    pub(crate) backchannel: Backchannel,
}

/// What is asked for before every attempt.
pub(crate) struct Sources {
    /// As a query string.
    pub(crate) params: Source<String>,
    pub(crate) token: Source<Option<Arc<str>>>,
    pub(crate) headers: Source<HeaderMap>,
}

/// Why an attempt failed, and whether a closure said not to try again.
#[derive(Clone)]
pub(crate) struct Failure {
    pub(crate) cause: ConnectError,
    pub(crate) stop: bool,
}

pub(crate) type Dialing = BoxFuture<Result<Connection, Failure>>;

impl<T: Clone + Send + 'static> Source<T> {
    fn is_dynamic(&self) -> bool {
        matches!(self, Source::Provider(_))
    }

    fn ask(&mut self, what: &'static str) -> BoxFuture<Result<T, Failure>> {
        // What a panic says is not repeated: it may quote a secret.
        let panicked = move || provider_failed(format!("the one for the {what} panicked").into());
        match self {
            Source::Value(value) => Box::pin(std::future::ready(Ok(value.clone()))),
            // The closure itself may panic, and so may its future: either costs this attempt only.
            Source::Provider(provider) => match std::panic::catch_unwind(AssertUnwindSafe(provider)) {
                Ok(answer) => Box::pin(AssertUnwindSafe(answer).catch_unwind().map(move |answer| match answer {
                    Ok(answer) => answer.map_err(provider_failed),
                    Err(_) => Err(panicked()),
                })),
                Err(_) => Box::pin(std::future::ready(Err(panicked()))),
            },
        }
    }
}

impl Sources {
    /// Whether what is sent may be another at the next attempt.
    pub(crate) fn is_dynamic(&self) -> bool {
        self.params.is_dynamic() || self.token.is_dynamic() || self.headers.is_dynamic()
    }
}

impl Dialer {
    pub(crate) fn new(recipe: Recipe) -> Self {
        Dialer(Arc::new(recipe))
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    pub(crate) fn transport_name(&self) -> &'static str {
        self.0.transport.name()
    }

    /// What transports tell.
    pub(super) fn backchannel(&self) -> &Backchannel {
        &self.0.backchannel
    }

    /// Opens a connection; one that a transport has handed over is open already.
    pub(crate) fn dial(&self) -> Dialing {
        if let Some(connection) = self.0.backchannel.replacement().and_then(alive) {
            return Box::pin(std::future::ready(Ok(connection)));
        }
        let (dial, transport) = (self.ask(), self.0.transport.clone());
        let attempt = async move { transport.dial(dial.await?).await.map_err(Failure::from) };
        Box::pin(AssertUnwindSafe(attempt).catch_unwind().map(|outcome| {
            outcome.unwrap_or_else(|_| Err(ConnectError::transport("the transport panicked while dialing").into()))
        }))
    }

    /// Asks for what an attempt takes.
    fn ask(&self) -> BoxFuture<Result<Dial, Failure>> {
        let Sources { params, token, headers } = &mut *self.0.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = all(params.ask("params"), token.ask("token"), headers.ask("headers"));
        let (dialer, begin) = (self.clone(), Instant::now());
        Box::pin(async move {
            let (params, token, mut more) = answers.await?;
            more.values_mut().for_each(|value| value.set_sensitive(true));
            let recipe = &*dialer.0;
            let mut headers = recipe.headers.clone();
            headers.extend(more);
            Ok(Dial {
                url: recipe.endpoint.with_params(&params).map_err(ConnectError::Build)?,
                headers,
                vsn: recipe.codec.vsn().into(),
                token,
                timeout: recipe.timeout.saturating_sub(begin.elapsed()),
                #[cfg(feature = "_http")]
                http: recipe.http.clone(),
                socket: SocketSide { backchannel: recipe.backchannel.clone(), asks: Some(Arc::new(dialer.clone())) },
            })
        })
    }
}

/// A connection that nobody has read for a while, if it has not ended meanwhile. Nothing comes before a join.
fn alive(mut connection: Connection) -> Option<Connection> {
    connection.next().now_or_never().is_none().then_some(connection)
}

impl Asks for Dialer {
    fn ping(&self) -> Option<(Frame, Answers)> {
        let (mut codec, reference) = (self.0.codec.clone(), self.0.refs.next());
        let frame = heartbeat(&codec, reference).ok()?;
        let answers = move |frame: &Frame| {
            let mut kept = Kept::default();
            let decoded = codec.decode(frame, &mut kept);
            decoded.is_ok_and(|message| message.reference.and_then(parse) == Some(reference))
        };
        Some((frame, Box::new(answers)))
    }

    fn renew(&self) -> Renewed {
        let (limit, asked) = (self.0.timeout, self.ask());
        Box::pin(async move {
            let asked = timeout(limit, asked).await.map_err(|_| ConnectError::Timeout)?;
            asked.map_err(|failure| failure.cause)
        })
    }
}

type Answer<T> = BoxFuture<Result<T, Failure>>;

/// All answers; or a failure as soon as there is one, and of several the one that says not to try again.
async fn all<A, B, C>(one: Answer<A>, two: Answer<B>, three: Answer<C>) -> Result<(A, B, C), Failure> {
    let (mut one, mut two, mut three) = (maybe_done(one), maybe_done(two), maybe_done(three));
    poll_fn(|cx| {
        let ready = [one.poll_unpin(cx), two.poll_unpin(cx), three.poll_unpin(cx)];
        let failures = [failed(&one), failed(&two), failed(&three)].into_iter().flatten();
        match failures.min_by_key(|failure| !failure.stop) {
            Some(failure) => Poll::Ready(Err(failure)),
            None if ready.iter().all(Poll::is_ready) => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    })
    .await?;
    Ok((answer(one)?, answer(two)?, answer(three)?))
}

fn failed<T>(asked: &MaybeDone<Answer<T>>) -> Option<Failure> {
    let MaybeDone::Done(answer) = asked else { return None };
    answer.as_ref().err().cloned()
}

fn answer<T>(asked: MaybeDone<Answer<T>>) -> Result<T, Failure> {
    match asked {
        MaybeDone::Done(answer) => answer,
        _ => unreachable!("all have answered"),
    }
}

impl From<ConnectError> for Failure {
    fn from(cause: ConnectError) -> Self {
        Failure { cause, stop: false }
    }
}

fn provider_failed(error: BoxError) -> Failure {
    match error.downcast::<Stop>() {
        Ok(stop) => Failure { cause: ConnectError::Provider(stop.into_inner().into()), stop: true },
        Err(error) => ConnectError::Provider(error.into()).into(),
    }
}
