//! An open session: messages out of polls, and into posts.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
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
    transport::{Frame, Http, WindDown, http::Requests},
};

pub(super) struct Open {
    session: Arc<Session>,
    polls: BoxStream<'static, Result<Frame, ConnectError>>,
    batches: Batches,
    /// The one that is under way, with the connection it goes over; or that connection alone.
    post: Post,
    /// Nothing more is to be sent.
    closing: bool,
    ended: bool,
}

enum Post {
    Idle(Box<Requests>),
    Busy(BoxFuture<'static, (Box<Requests>, Result<(), ConnectError>)>),
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
            polls: Box::pin(polls(requests, session.clone(), wind_down)),
            session,
            batches: Batches::new(options.max_batch_size),
            post: Post::Idle(Box::new(Requests::new(http))),
            closing: false,
            ended: false,
        }
    }

    fn is_flushed(&self) -> bool {
        self.batches.is_empty() && !matches!(self.post, Post::Busy(_))
    }

    /// Posts what waits, one request after the other; ready once all is acknowledged.
    fn poll_posts(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        loop {
            let (requests, outcome) = match &mut self.post {
                Post::Busy(post) => ready!(post.as_mut().poll(cx)),
                Post::Failed => return Poll::Ready(Err(ConnectError::transport("a request before has failed"))),
                Post::Idle(_) if self.batches.is_empty() => return Poll::Ready(Ok(())),
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
                    return Poll::Ready(Err(cause));
                }
            };
        }
    }
}

/// One post; and the connection it went over, for the next.
async fn post(
    mut requests: Box<Requests>,
    session: Arc<Session>,
    batch: Batch,
) -> (Box<Requests>, Result<(), ConnectError>) {
    let posted = acknowledged(&mut requests, &session, batch).await;
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
        self.ended |= self.closing && self.is_flushed();
        if self.ended {
            return Poll::Ready(None);
        }
        let item = ready!(self.polls.as_mut().poll_next(cx));
        self.ended = !matches!(item, Some(Ok(_)));
        Poll::Ready(item)
    }
}

impl Sink<Frame> for Open {
    type Error = ConnectError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        if self.closing {
            return Poll::Ready(Err(ConnectError::transport("it is closing, and nothing more can be sent")));
        }
        if self.batches.is_full()
            && let Poll::Ready(Err(cause)) = self.poll_posts(cx)
        {
            return Poll::Ready(Err(cause));
        }
        if self.batches.is_full() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), ConnectError> {
        self.closing |= matches!(frame, Frame::Close { .. });
        self.batches.push(&frame);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        let flushed = ready!(self.poll_posts(cx));
        if self.closing && !self.ended {
            // The stream ends now, and was perhaps asked before.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(flushed)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.closing = true;
        self.poll_posts(cx)
    }
}
