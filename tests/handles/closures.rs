//! Closures for params, token and headers that do not do what they should: each costs an attempt whose cause is told,
//! and never more.

use std::{
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use http::HeaderMap;
use phoenix_streams::{BoxError, BuildError, Builder, ConnectError, Status, Stop, Telemetry, transport::memory};
use serde::{Serialize, Serializer, ser};
use tokio::{
    sync::Semaphore,
    time::{Instant, advance},
};

use crate::support::{builder, poll, settle, until};

/// The connect timeout.
const PATIENCE: Duration = Duration::from_secs(4);
/// How many attempts go wrong before one does not.
const FAULTY: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Params,
    Token,
    Headers,
}
const KINDS: [Kind; 3] = [Kind::Params, Kind::Token, Kind::Headers];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Fails,
    /// The closure does.
    Panics,
    /// Its future does.
    PanicsLater,
    NeverReady,
    /// Ready only once the attempt was given up.
    Slow,
    /// What it gives has no form in a query.
    Unencodable,
    /// What it gives panics when it is serialized.
    PanicsEncoded,
    Stops,
}

#[derive(Clone)]
struct Closure {
    fault: Fault,
    asked: Arc<AtomicUsize>,
    /// How many of its futures are there.
    alive: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Closure {
    fn new(fault: Fault) -> Self {
        Closure { fault, asked: Arc::default(), alive: Arc::default(), gate: Arc::new(Semaphore::new(0)) }
    }

    fn given_to(&self, builder: Builder, kind: Kind) -> Builder {
        let closure = self.clone();
        match kind {
            Kind::Params => builder.params_with(move || closure.ask()),
            Kind::Token => builder.auth_token_with(move || closure.ask().map(|answer| answer.map(|_| "token"))),
            Kind::Headers => builder.headers_with(move || closure.ask().map(|answer| answer.map(|_| HeaderMap::new()))),
        }
    }

    /// What the closure does when it is asked.
    fn ask(&self) -> impl Future<Output = Result<Given, BoxError>> + Send + use<> {
        let fault = (self.asked.fetch_add(1, SeqCst) < FAULTY).then_some(self.fault);
        assert!(fault != Some(Fault::Panics), "on purpose");
        self.alive.fetch_add(1, SeqCst);
        let (alive, gate) = (Alive(self.alive.clone()), self.gate.clone());
        async move {
            let _alive = alive;
            match fault {
                Some(Fault::Fails) => Err(io::Error::other("no session"))?,
                Some(Fault::PanicsLater) => panic!("on purpose"),
                Some(Fault::NeverReady) => pending().await,
                Some(Fault::Slow) => gate.acquire().await?.forget(),
                Some(Fault::Stops) => Err(Stop::new(io::Error::other("logged out")))?,
                _ => {}
            }
            Ok(Given(fault))
        }
    }
}

struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// As params, it is what the fault makes of it.
struct Given(Option<Fault>);

impl Serialize for Given {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(Fault::Unencodable) => serializer.collect_seq([1, 2]),
            Some(Fault::PanicsEncoded) => panic!("on purpose"),
            _ => ser::SerializeMap::end(serializer.serialize_map(Some(0))?),
        }
    }
}

/// What a first attempt of this kind fails with, and after how long.
fn is_told(kind: Kind, fault: Fault, cause: &ConnectError) -> bool {
    let text = cause.to_string();
    match (fault, cause) {
        (Fault::NeverReady | Fault::Slow, ConnectError::Timeout) => true,
        (Fault::Fails, ConnectError::Provider(error)) => error.is::<io::Error>() && text.contains("no session"),
        (Fault::Stops, ConnectError::Provider(error)) => error.is::<io::Error>() && text.contains("logged out"),
        (Fault::Unencodable, ConnectError::Provider(error)) => {
            matches!(error.downcast_ref(), Some(BuildError::Params(_)))
        }
        (Fault::Panics | Fault::PanicsLater | Fault::PanicsEncoded, ConnectError::Provider(_)) => {
            // Which one, but not what it said.
            let which = format!("the one for the {} panicked", format!("{kind:?}").to_lowercase());
            text.contains(&which) && !text.contains("on purpose")
        }
        _ => false,
    }
}

// T-24, DEV-22
#[tokio::test(start_paused = true)]
async fn t_24_whatever_a_closure_does_costs_one_attempt_and_is_its_cause() {
    use Fault::{Fails, NeverReady, Panics, PanicsEncoded, PanicsLater, Slow, Unencodable};
    let of_each_kind = [Fails, Panics, PanicsLater, NeverReady, Slow].map(|fault| KINDS.map(|kind| (kind, fault)));
    let of_params = [(Kind::Params, Unencodable), (Kind::Params, PanicsEncoded)];
    for (kind, fault) in of_each_kind.into_iter().flatten().chain(of_params) {
        let closure = Closure::new(fault);
        let (transport, mut peer) = memory::pair();
        let builder = closure.given_to(builder(transport).connect_timeout(PATIENCE), kind);
        let (socket, driver) = builder.driver().unwrap();
        let mut telemetry = socket.telemetry();
        tokio::spawn(driver);
        let mut connect = socket.connect();
        assert!(poll(&mut connect).is_pending());

        let begun = Instant::now();
        let Status::Waiting { cause, attempt, .. } = until(&socket, |it| matches!(it, Status::Waiting { .. })).await
        else {
            unreachable!()
        };
        assert!(is_told(kind, fault, &cause), "{kind:?} {fault:?}: {cause:?}");
        let patience = if matches!(fault, NeverReady | Slow) { PATIENCE } else { Duration::ZERO };
        assert_eq!((begun.elapsed(), attempt), (patience, 2), "{kind:?} {fault:?}");
        assert_eq!(closure.alive.load(SeqCst), 0, "{kind:?} {fault:?}");
        // Ready only now, it is ready for nobody.
        closure.gate.add_permits(1);
        settle().await;
        assert_eq!(closure.gate.forget_permits(1), 1, "{kind:?} {fault:?}");

        let attempt = peer.dialed().await;
        assert_eq!(closure.asked.load(SeqCst), FAULTY + 1, "{kind:?} {fault:?}");
        let _server = attempt.accept();
        connect.await.unwrap();
        let mut failed = 0;
        while let Some(Some(Ok(told))) = telemetry.next().now_or_never() {
            if let Telemetry::Failed { cause, .. } = told {
                assert!(is_told(kind, fault, &cause), "{kind:?} {fault:?}: {cause:?}");
                failed += 1;
            }
        }
        assert_eq!(failed, FAULTY, "{kind:?} {fault:?}");
    }
}

// T-24, T-21
#[tokio::test(start_paused = true)]
async fn t_24_stop_ends_the_attempts_whichever_closure_says_it() {
    for kind in KINDS {
        let closure = Closure::new(Fault::Stops);
        let (transport, mut peer) = memory::pair();
        let socket = closure.given_to(builder(transport), kind).start().unwrap();
        let Status::Stopped { cause } = until(&socket, |it| matches!(it, Status::Stopped { .. })).await else {
            unreachable!()
        };
        assert!(is_told(kind, Fault::Stops, &cause), "{kind:?}: {cause:?}");
        advance(Duration::from_secs(3600)).await;
        settle().await;
        assert_eq!(closure.asked.load(SeqCst), 1, "{kind:?}");
        // Told to connect it asks again, and stops again.
        assert!(is_told(kind, Fault::Stops, &socket.connect().await.unwrap_err()));
        let (connected, _server) = tokio::join!(socket.connect(), peer.accept());
        connected.unwrap();
    }
}

/// Every pair of closures, one with each of these faults.
fn pairs(one: Fault, other: Fault) -> impl Iterator<Item = (Kind, Builder, memory::Peer)> {
    let pairs = KINDS.into_iter().flat_map(|first| KINDS.map(|second| (first, second)));
    pairs.filter(|(first, second)| first != second).map(move |(first, second)| {
        let (transport, peer) = memory::pair();
        let builder = Closure::new(one).given_to(builder(transport).connect_timeout(PATIENCE), first);
        (first, Closure::new(other).given_to(builder, second), peer)
    })
}

// T-24, T-21
#[tokio::test(start_paused = true)]
async fn t_24_stop_counts_more_than_what_another_closure_fails_with() {
    for (kind, builder, _peer) in pairs(Fault::Stops, Fault::Fails) {
        let failed = builder.connect().await.unwrap_err();
        assert!(is_told(kind, Fault::Stops, &failed), "{kind:?}: {failed:?}");
    }
}

// T-24
#[tokio::test(start_paused = true)]
async fn t_24_a_closure_that_fails_does_not_wait_for_another() {
    for (kind, builder, _peer) in pairs(Fault::Fails, Fault::NeverReady) {
        let begun = Instant::now();
        let failed = builder.connect().timeout(Duration::from_millis(1)).await.unwrap_err();
        assert!(is_told(kind, Fault::Fails, &failed), "{kind:?}: {failed:?}");
        assert_eq!(begun.elapsed(), Duration::from_millis(1));
    }
}

// T-24, T-18
#[tokio::test(start_paused = true)]
async fn t_24_a_closure_that_is_never_ready_holds_up_no_goodbye() {
    for kind in KINDS {
        let closure = Closure::new(Fault::NeverReady);
        let (transport, _peer) = memory::pair();
        let socket = closure.given_to(builder(transport), kind).start().unwrap();
        let begun = Instant::now();
        settle().await;
        assert_eq!(closure.alive.load(SeqCst), 1, "{kind:?}");
        socket.disconnect().await;
        assert_eq!(closure.alive.load(SeqCst), 0, "{kind:?}");
        let mut connect = socket.connect();
        assert!(poll(&mut connect).is_pending());
        settle().await;
        assert_eq!(closure.alive.load(SeqCst), 1, "{kind:?}");
        socket.close().await;
        assert!(matches!(connect.await, Err(ConnectError::Closed)), "{kind:?}");
        assert_eq!((closure.alive.load(SeqCst), begun.elapsed()), (0, Duration::ZERO), "{kind:?}");
    }
}

// T-24
#[tokio::test(start_paused = true)]
async fn t_24_a_first_connect_says_what_the_closure_failed_with() {
    for kind in KINDS {
        let closure = Closure::new(Fault::Fails);
        let (transport, _peer) = memory::pair();
        let patience = Duration::from_millis(5);
        let failed = closure.given_to(builder(transport), kind).connect().timeout(patience).await.unwrap_err();
        assert!(is_told(kind, Fault::Fails, &failed), "{kind:?}: {failed:?}");
    }
}

// T-24
#[tokio::test(start_paused = true)]
async fn t_24_the_connect_timeout_covers_closures_and_transport_together() {
    let closure = Closure::new(Fault::Slow);
    let (transport, mut peer) = memory::pair();
    let socket = closure.given_to(builder(transport).connect_timeout(PATIENCE), Kind::Token).start().unwrap();
    let begun = Instant::now();
    settle().await;
    advance(PATIENCE * 3 / 4).await;
    closure.gate.add_permits(1);
    let attempt = peer.dialed().await;
    let timed_out = until(&socket, |it| matches!(it, Status::Waiting { .. })).await;
    assert!(matches!(timed_out, Status::Waiting { cause, .. } if matches!(*cause, ConnectError::Timeout)));
    assert_eq!(begun.elapsed(), PATIENCE);
    assert!(attempt.accept().recv().await.is_none(), "accepted too late, it is dropped");
}
