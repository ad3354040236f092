//! A session: the transport process of a long-poll client, which keeps what goes out until it is polled for.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{
        mpsc::{self, UnboundedReceiver, UnboundedSender},
        oneshot,
    },
    time::{Instant, sleep, sleep_until},
};

use super::{
    super::{
        connect::ConnectInfo,
        server::{Line, Shared},
        topics::{Out, Topics},
    },
    token::SessionId,
};
use crate::transport::Frame;

/// How many waiting messages are gathered before a poll is answered.
const TURN: usize = 1024;

/// What the requests of a session ask it.
#[derive(Debug)]
pub(in super::super) enum Ask {
    /// Whether it is there.
    Resume(oneshot::Sender<()>),
    /// What there is, or comes next.
    Poll(oneshot::Sender<Vec<Frame>>),
    /// To handle a POST's frames in turn, each with a word when it is done. Once nobody listens, the rest is left.
    Post(Vec<Frame>, UnboundedSender<()>),
}

/// How a session is reached.
#[derive(Clone, Debug)]
pub(in super::super) struct Asks(UnboundedSender<(Instant, Ask)>);

impl Asks {
    /// One that has ended answers nothing.
    pub(super) fn ask(&self, ask: Ask) {
        let _ = self.0.send((Instant::now(), ask));
    }

    pub(super) async fn resume(&self) -> Option<()> {
        let (tell, told) = oneshot::channel();
        self.ask(Ask::Resume(tell));
        told.await.ok()
    }
}

/// Starts one.
pub(super) fn open(connect: ConnectInfo, shared: &Arc<Shared>) -> SessionId {
    let mut cut = shared.cut.subscribe();
    let (topics, mailbox) = Topics::new(connect, shared.clone());
    let (ask, asks) = mpsc::unbounded_channel();
    let registered = shared.register(Line::long_poll(topics.transport().clone(), Asks(ask)));
    let id = SessionId { server: shared.key, id: registered.id };
    let mut session = Session::new(topics, mailbox, asks, shared.clone());
    tokio::spawn(async move {
        tokio::select! {
            _ended = session.run() => {}
            _ = cut.changed() => {}
        }
        // Its channels first.
        drop(session);
        drop(registered);
    });
    id
}

struct Session {
    topics: Topics,
    mailbox: UnboundedReceiver<Out>,
    asks: UnboundedReceiver<(Instant, Ask)>,
    buffer: Vec<Frame>,
    poll: Option<oneshot::Sender<Vec<Frame>>>,
    polled: Instant,
    /// When the session looks at whether it is still polled.
    look: Instant,
    patience: Duration,
    /// Since when it has had no POST in hand.
    free: Instant,
    shared: Arc<Shared>,
}

impl Session {
    fn new(
        topics: Topics,
        mailbox: UnboundedReceiver<Out>,
        asks: UnboundedReceiver<(Instant, Ask)>,
        shared: Arc<Shared>,
    ) -> Self {
        let (now, patience) = (Instant::now(), shared.app.window * 3 / 2);
        let (buffer, poll) = (Vec::new(), None);
        Session { topics, mailbox, asks, buffer, poll, polled: now, look: now + patience, patience, free: now, shared }
    }

    /// To its end: `None`, for the sake of `?`.
    async fn run(&mut self) -> Option<()> {
        loop {
            self.gather()?;
            self.hand_over();
            tokio::select! {
                biased;
                Some((asked, ask)) = self.asks.recv() => {
                    if asked > self.look {
                        self.still_polled()?;
                    }
                    self.answer(ask).await?;
                }
                Some(out) = self.mailbox.recv() => self.tell(out)?,
                () = sleep_until(self.look) => self.still_polled()?,
            }
        }
    }

    fn gather(&mut self) -> Option<()> {
        for _ in 0..TURN {
            let Ok(out) = self.mailbox.try_recv() else { break };
            self.tell(out)?;
        }
        Some(())
    }

    fn tell(&mut self, out: Out) -> Option<()> {
        let closed = self.topics.tell(out);
        self.keep();
        closed.is_none().then_some(())
    }

    /// What is to go out, for the next poll.
    fn keep(&mut self) {
        let mute = self.shared.faults.borrow().mute;
        self.buffer.extend(self.topics.outgoing.drain(..).filter(|_| !mute));
    }

    /// All of it to the poll that waits, if it still does.
    fn hand_over(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        if let Some(poll) = self.poll.take() {
            self.buffer = poll.send(std::mem::take(&mut self.buffer)).err().unwrap_or_default();
        }
    }

    async fn answer(&mut self, ask: Ask) -> Option<()> {
        match ask {
            // One that has stopped waiting needs no word.
            Ask::Resume(tell) => drop(tell.send(())),
            Ask::Poll(poll) => {
                self.polled = Instant::now();
                // One that waits already waits on, in vain.
                self.poll = Some(poll);
            }
            Ask::Post(frames, done) => {
                for frame in frames.iter().take_while(|_| !done.is_closed()) {
                    let delay = self.shared.faults.borrow().delay;
                    if let Some(delay) = delay {
                        sleep(delay).await;
                    }
                    self.topics.receive(frame).await?;
                    self.keep();
                    let _ = done.send(());
                }
                self.free = Instant::now();
            }
        }
        Some(())
    }

    /// Looks, as late as a POST in hand may have made it.
    fn still_polled(&mut self) -> Option<()> {
        let now = self.look.max(self.free);
        self.look = now + self.patience;
        (now.saturating_duration_since(self.polled) <= self.patience).then_some(())
    }
}
