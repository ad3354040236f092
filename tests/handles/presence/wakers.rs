//! Wakers that poll at once, as some executors have it.

use std::{
    sync::{Arc, Mutex, mpsc},
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use futures::Stream;

use super::*;

/// Reads all that there is whenever it is woken, there and then.
struct Inline<S: Stream> {
    stream: Mutex<S>,
    read: Mutex<Vec<S::Item>>,
}

impl<S: Stream> Inline<S> {
    fn new(stream: S) -> Arc<Self> {
        Arc::new(Inline { stream: stream.into(), read: Mutex::default() })
    }
}

impl<S> Wake for Inline<S>
where
    S: Stream<Item: Send> + Unpin + Send + 'static,
{
    fn wake(self: Arc<Self>) {
        // Under way already.
        let Ok(mut stream) = self.stream.try_lock() else { return };
        let waker = Waker::from(self.clone());
        while let Poll::Ready(Some(item)) = stream.poll_next_unpin(&mut Context::from_waker(&waker)) {
            self.read.lock().unwrap().push(item);
        }
    }
}

async fn read_inline() {
    let (_peer, mut server, room, who, join) = room().await;
    let events: PresenceEvents<Value> = room.presence_events();
    settle().await;
    let (who, events) = (Inline::new(who), Inline::new(events));
    who.clone().wake();
    events.clone().wake();
    state(&mut server, &join, company([("ann", &["1"])])).await;
    server.error(&join, ()).await;
    settle().await;
    let leave = room.leave();
    settle().await;
    leave.await.unwrap();
    assert_eq!(who.read.lock().unwrap().last().map(shown), Some((PresenceState::Closed, json!({ "ann": ["1"] }))));
    assert_eq!(events.read.lock().unwrap().len(), 3, "Ann, synced, stale");
}

// Nothing is locked when somebody is woken.
#[test]
fn a_waker_may_poll_at_once() {
    let (done, is_done) = mpsc::channel();
    let reading = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(read_inline());
        done.send(()).unwrap();
    });
    // What is locked twice never ends; what fails drops its end.
    if is_done.recv_timeout(Duration::from_secs(60)) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("a deadlock");
    }
    reading.join().unwrap();
}
