//! One attempt to connect: the user's closures are asked, then the transport dials.

use std::{
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use futures::{
    FutureExt,
    future::{MaybeDone, maybe_done},
};
use http::HeaderMap;

#[cfg(feature = "_http")]
use crate::transport::Http;
use crate::{
    endpoint::Endpoint,
    error::{BoxError, ConnectError, Stop},
    transport::{BoxTransport, Connection, Dial, Transport},
};

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Provider<T> = Box<dyn FnMut() -> BoxFuture<Result<T, BoxError>> + Send>;

/// A value, or a closure that is asked for it before every attempt.
pub(crate) enum Source<T> {
    Value(T),
    Provider(Provider<T>),
}

/// Everything needed to connect, again and again.
pub(crate) struct Dialer {
    pub(crate) endpoint: Endpoint,
    /// As a query string.
    pub(crate) params: Source<String>,
    pub(crate) token: Source<Option<Arc<str>>>,
    pub(crate) headers: HeaderMap,
    pub(crate) more_headers: Source<HeaderMap>,
    pub(crate) vsn: Arc<str>,
    #[cfg(feature = "_http")]
    pub(crate) http: Http,
    pub(crate) transport: BoxTransport,
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

impl Dialer {
    /// Whether what is sent may be another at the next attempt.
    pub(crate) fn is_dynamic(&self) -> bool {
        self.params.is_dynamic() || self.token.is_dynamic() || self.more_headers.is_dynamic()
    }

    pub(crate) fn dial(&mut self) -> Dialing {
        let answers = all(self.params.ask("params"), self.token.ask("token"), self.more_headers.ask("headers"));
        let (endpoint, vsn, transport) = (self.endpoint.clone(), self.vsn.clone(), self.transport.clone());
        let mut headers = self.headers.clone();
        #[cfg(feature = "_http")]
        let http = self.http.clone();
        let attempt = async move {
            let (params, token, mut more) = answers.await?;
            more.values_mut().for_each(|value| value.set_sensitive(true));
            let url = endpoint.with_params(&params).map_err(|error| Failure::from(ConnectError::Build(error)))?;
            headers.extend(more);
            let dial = Dial::new(url, headers, vsn, token);
            #[cfg(feature = "_http")]
            let dial = Dial { http, ..dial };
            transport.dial(dial).await.map_err(Failure::from)
        };
        Box::pin(AssertUnwindSafe(attempt).catch_unwind().map(|outcome| {
            outcome.unwrap_or_else(|_| Err(ConnectError::transport("the transport panicked while dialing").into()))
        }))
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
