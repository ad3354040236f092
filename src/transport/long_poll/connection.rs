//! An open session: messages out of polls, and into posts.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{Sink, Stream, future::BoxFuture, stream::BoxStream};

use super::{
    LongPoll,
    answer::read,
    batches::{Batch, Batches},
    polls::polls,
    session::Session,
};
use crate::{
    error::ConnectError,
    runtime::{Instant, Sleep, sleep},
    transport::{Frame, Http, WindDown, http::Requests},
};

/// How long what was sent before a goodbye may take to be acknowledged; and how long the open poll may go on where a post
/// has failed, since the server may have handed over messages to it.
const PATIENCE: Duration = Duration::from_millis(1_500);

pub(super) struct Open {
    session: Arc<Session>,
    polls: BoxStream<'static, Result<Frame, ConnectError>>,
    batches: Batches,
    /// The one that is under way, with the connection it goes over; or that connection alone.
    post: Post,
    /// Nothing more is to be sent, and what was has so long.
    closing: Option<Pin<Box<Sleep>>>,
    /// A post has failed by this cause, which is told once the open poll has brought what it brings.
    failing: Option<(ConnectError, Pin<Box<Sleep>>)>,
    /// The stream had nothing when it was asked last.
    dry: bool,
    wind_down: WindDown,
    ended: bool,
}

enum Post {
    Idle(Requests),
    Busy(BoxFuture<'static, (Requests, Result<(), ConnectError>)>),
    /// One has failed.
    Failed,
}

impl Open {
    pub(super) fn new(
        options: &LongPoll,
        session: Arc<Session>,
        requests: Requests,
        http: Http,
        wind_down: WindDown,
    ) -> Self {
        Open {
            polls: Box::pin(polls(requests, session.clone(), wind_down.clone())),
            session,
            batches: Batches::new(options.max_batch_size),
            post: Post::Idle(Requests::new(http)),
            closing: None,
            failing: None,
            dry: true,
            wind_down,
            ended: false,
        }
    }

    fn close(&mut self) {
        self.closing.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
    }

    /// Whether all has been said, as far as it could be.
    fn has_said_goodbye(&mut self, cx: &mut Context<'_>) -> bool {
        let flushed = self.batches.is_empty() && !matches!(self.post, Post::Busy(_));
        self.closing.as_mut().is_some_and(|patience| flushed || patience.as_mut().poll(cx).is_ready())
    }

    /// A post has failed. Whoever says goodbye does not wait for more than that.
    fn fail(&mut self, cause: ConnectError, cx: &Context<'_>) -> Poll<Result<(), ConnectError>> {
        if self.closing.is_some() {
            return Poll::Ready(Err(cause));
        }
        self.wind_down.begin();
        self.failing = Some((cause, Box::pin(sleep(PATIENCE))));
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The cause by which a post has failed, once the open poll has had its time.
    fn poll_failed(&mut self, cx: &mut Context<'_>) -> Poll<ConnectError> {
        match &mut self.failing {
            Some((cause, patience)) => patience.as_mut().poll(cx).map(|()| cause.clone()),
            None => Poll::Pending,
        }
    }

    /// Posts what waits, one request after the other; ready once all is acknowledged.
    fn poll_posts(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        if self.failing.is_some() {
            return if self.dry { self.poll_failed(cx).map(Err) } else { Poll::Pending };
        }
        loop {
            let (requests, outcome) = match &mut self.post {
                Post::Busy(post) => ready!(post.as_mut().poll(cx)),
                Post::Failed => return Poll::Ready(Err(ConnectError::transport("a request before has failed"))),
                Post::Idle(requests) if self.batches.is_empty() => {
                    requests.rest(cx);
                    return Poll::Ready(Ok(()));
                }
                Post::Idle(_) => {
                    if let Post::Idle(requests) = std::mem::replace(&mut self.post, Post::Failed)
                        && let Some(batch) = self.batches.pop()
                    {
                        self.post = Post::Busy(Box::pin(post(requests, self.session.clone(), batch)));
                    }
                    continue;
                }
            };
            self.post = match outcome {
                Ok(()) => Post::Idle(requests),
                Err(cause) => {
                    self.post = Post::Failed;
                    return self.fail(cause, cx);
                }
            };
        }
    }
}

/// One post; and the connection it went over, for the next.
async fn post(mut requests: Requests, session: Arc<Session>, batch: Batch) -> (Requests, Result<(), ConnectError>) {
    session.posts.begin();
    let posted = acknowledged(&mut requests, &session, batch).await;
    session.posts.end();
    (requests, posted)
}

async fn acknowledged(requests: &mut Requests, session: &Session, batch: Batch) -> Result<(), ConnectError> {
    let answered = read(session.post(requests, batch).await?)?;
    match answered.status {
        200 => Ok(()),
        410 => Err(ConnectError::SessionGone),
        _ => Err(answered.refused()),
    }
}

impl Stream for Open {
    type Item = Result<Frame, ConnectError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Whoever says goodbye has waited for the open poll as long as they would: it is given up.
        if self.ended || self.has_said_goodbye(cx) {
            self.ended = true;
            return Poll::Ready(None);
        }
        let item = match self.polls.as_mut().poll_next(cx) {
            Poll::Ready(item) => item,
            Poll::Pending => {
                self.dry = true;
                if let Post::Idle(requests) = &mut self.post {
                    requests.rest(cx);
                }
                Some(Err(ready!(self.poll_failed(cx))))
            }
        };
        let ended = !matches!(item, Some(Ok(_)));
        (self.dry, self.ended) = (ended, ended);
        match &mut self.failing {
            // The first that went wrong is the cause.
            Some((cause, _)) if ended => Poll::Ready(Some(Err(cause.clone()))),
            Some((_, patience)) => {
                // It counts from where there is nothing to read.
                patience.as_mut().reset(Instant::now() + PATIENCE);
                Poll::Ready(item)
            }
            None => Poll::Ready(item),
        }
    }
}

impl Sink<Frame> for Open {
    type Error = ConnectError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        if self.closing.is_some() {
            return Poll::Ready(Err(ConnectError::transport("it is closing, and nothing more can be sent")));
        }
        if self.batches.is_full()
            && let Poll::Ready(Err(cause)) = self.poll_posts(cx)
        {
            return Poll::Ready(Err(cause));
        }
        // Behind a post that has failed it would go nowhere.
        if self.failing.is_some() {
            return self.poll_posts(cx);
        }
        if self.batches.is_full() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), ConnectError> {
        if matches!(frame, Frame::Close { .. }) {
            self.close();
        }
        self.batches.push(&frame);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        let flushed = ready!(self.poll_posts(cx));
        if self.closing.is_some() && !self.ended {
            // The stream ends now, and was perhaps asked before.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(flushed)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.close();
        self.poll_posts(cx)
    }
}
