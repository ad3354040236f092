//! An event name as a sink.

use std::{
    collections::VecDeque,
    fmt,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::Sink;

use crate::{
    channel::Inner,
    error::{CastError, NotSent},
    operation::Sending,
    payload::IntoPayload,
    word::Word,
};

/// So many items are on their way at once, and about so many bytes of them.
const ITEMS: usize = 128;
const BYTES: usize = 64 << 10;

/// An event name as a sink, whose items are [casts](crate::Channel::cast): [`Channel::sink`](crate::Channel::sink).
///
/// It is backpressure: while 128 items or 64 KiB are on their way, to the join or to the connection, it takes no more.
/// Its flush waits until all are written to the connection, and so does its close, behind which it takes nothing. An
/// item waits as long as it takes, unless there is a [`timeout`](EventSink::timeout).
///
/// An item is on its way once the next is asked for, or the sink is flushed; what is fed last waits for that. An error is
/// that of one item, and the sink goes on with the others. What was written when a connection breaks may
/// not have arrived: what must arrive is a [push](crate::Channel::push). It holds the channel joined.
///
/// # Cancel safety
/// A dropped `send` or `feed` may have handed its item over. Dropped, the sink gives up what is not written: flush or
/// close it first.
#[must_use = "sinks do nothing unless polled"]
pub struct EventSink<T> {
    channel: Arc<Inner>,
    event: Word,
    timeout: Duration,
    /// With the bytes of each.
    sending: VecDeque<(Sending<Result<(), CastError>>, usize)>,
    bytes: usize,
    /// Whether the last one has not left for the driver yet.
    fresh: bool,
    closed: bool,
    items: PhantomData<fn(T)>,
}

impl<T> EventSink<T> {
    pub(crate) fn new(channel: Arc<Inner>, event: Word) -> Self {
        EventSink {
            channel,
            event,
            timeout: Duration::MAX,
            sending: VecDeque::new(),
            bytes: 0,
            fresh: false,
            closed: false,
            items: PhantomData,
        }
    }

    /// How long an item may wait, from when it is handed over; then it is [`NotSent::Timeout`]. Without end by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Hands the last item to the driver.
    fn hand_over(&mut self, cx: &mut Context<'_>) -> Result<(), CastError> {
        let Some((last, bytes)) = self.sending.back_mut().filter(|_| self.fresh) else { return Ok(()) };
        self.fresh = false;
        let Poll::Ready(outcome) = last.poll(cx) else { return Ok(()) };
        self.bytes -= *bytes;
        self.sending.pop_back();
        outcome
    }

    /// Takes out what is written, from the front.
    fn settle(&mut self, cx: &mut Context<'_>) -> Result<(), CastError> {
        while let Some((first, bytes)) = self.sending.front_mut()
            && let Poll::Ready(outcome) = first.poll(cx)
        {
            self.bytes -= *bytes;
            self.sending.pop_front();
            outcome?;
        }
        Ok(())
    }
}

impl<T: IntoPayload> Sink<T> for EventSink<T> {
    type Error = CastError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), CastError>> {
        self.hand_over(cx)?;
        self.settle(cx)?;
        let room = self.sending.len() < ITEMS && self.bytes < BYTES;
        if room { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn start_send(mut self: Pin<&mut Self>, item: T) -> Result<(), CastError> {
        if self.closed {
            return Err(CastError::NotSent(NotSent::Closed));
        }
        let payload = item.into_payload()?;
        let bytes = payload.as_bytes().len();
        let sending = Sending::patient(self.channel.clone(), self.event.clone(), payload, self.timeout);
        self.sending.push_back((sending, bytes));
        self.bytes += bytes;
        self.fresh = true;
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), CastError>> {
        self.hand_over(cx)?;
        self.settle(cx)?;
        if self.sending.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), CastError>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.closed = true;
        Poll::Ready(Ok(()))
    }
}

impl<T> fmt::Debug for EventSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSink")
            .field("topic", &self.channel.topic)
            .field("event", &self.event)
            .field("sending", &self.sending.len())
            .finish()
    }
}
