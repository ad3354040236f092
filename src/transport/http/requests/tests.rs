//! Requests over a connection in memory, under a paused clock.

use std::{
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Context,
};

use http::HeaderValue;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    time::sleep,
};

use super::*;

const TIME: Duration = Duration::from_secs(20);
const LIMITS: Limits = Limits { time: TIME, bytes: 1 << 20 };

/// Requests that have a connection already, and its other end. There is no way to make another.
async fn connected() -> (Requests, DuplexStream) {
    let (ours, theirs) = duplex(4 * 1024);
    let line = Line { stream: Box::new(ours), form: Form::Origin };
    let kept = Kept::new(line).await.unwrap();
    (Requests { http: Http::default().no_proxy(), kept: Some(Box::new(kept)) }, theirs)
}

/// `.invalid` is nowhere.
async fn ask(requests: &mut Requests, body: Bytes) -> Result<Answer, ConnectError> {
    let url = Uri::from_static("http://nowhere.invalid/socket");
    requests.ask(&url, Request::post("/").body(Full::new(body)).unwrap(), LIMITS).await
}

async fn read_head(stream: &mut DuplexStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Answers one request with these bytes, each so long after the last.
async fn answer(stream: &mut DuplexStream, parts: impl IntoIterator<Item = (Duration, Vec<u8>)>) {
    read_head(stream).await;
    for (after, part) in parts {
        sleep(after).await;
        if stream.write_all(&part).await.is_err() {
            break;
        }
    }
}

fn is_timeout(answer: &Result<Answer, ConnectError>) -> bool {
    matches!(answer, Err(ConnectError::RequestTimeout))
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_rested_for_too_long_is_not_used_again() {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let (mut requests, mut peer) = connected().await;
    for rest in [Duration::ZERO, KEPT / 2, KEPT - Duration::from_millis(1)] {
        sleep(rest).await;
        let (answered, ()) =
            tokio::join!(ask(&mut requests, Bytes::new()), answer(&mut peer, [(Duration::ZERO, OK.to_vec())]));
        assert_eq!(answered.unwrap().body, "ok");
    }
    sleep(KEPT).await;
    // Another one is to be made.
    let refused = ask(&mut requests, Bytes::new()).await;
    assert!(refused.is_err());
    assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
}

// L-19, L-28
#[tokio::test(start_paused = true)]
async fn an_answer_has_the_whole_time_until_it_begins() {
    let (mut requests, mut peer) = connected().await;
    let asked = Instant::now();
    let slow = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".map(|byte| (Duration::from_secs(1), vec![byte]));
    let (answered, ()) = tokio::join!(
        async {
            let answered = ask(&mut requests, Bytes::new()).await;
            drop(requests);
            answered
        },
        answer(&mut peer, slow)
    );
    assert!(is_timeout(&answered) && asked.elapsed() >= TIME, "{:?}", asked.elapsed());
    assert!(asked.elapsed() <= TIME + Duration::from_secs(2), "{:?}", asked.elapsed());
}

// L-19
#[tokio::test(start_paused = true)]
async fn an_answer_that_has_begun_has_the_time_again_for_each_64_kib() {
    let piece = |len: usize| (TIME - Duration::from_secs(1), vec![b'x'; len]);
    let head = |len: usize| (Duration::ZERO, format!("HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n\r\n").into_bytes());
    const KIB: usize = 1024;
    for (parts, comes) in [
        (vec![head(192 * KIB), piece(64 * KIB), piece(64 * KIB), piece(64 * KIB)], true),
        (vec![head(192 * KIB), piece(100 * KIB), piece(92 * KIB)], true),
        (vec![head(192 * KIB), piece(63 * KIB), piece(129 * KIB)], false),
        (vec![head(2), piece(1), piece(1)], false),
    ] {
        let (mut requests, mut peer) = connected().await;
        let answered = async {
            let answered = ask(&mut requests, Bytes::new()).await;
            drop(requests);
            answered
        };
        let (answered, ()) = tokio::join!(answered, answer(&mut peer, parts));
        assert_eq!(answered.is_ok(), comes);
        assert_ne!(is_timeout(&answered), comes);
    }
}

// T-23
#[tokio::test(start_paused = true)]
async fn the_words_of_a_refusal_have_a_second() {
    let (mut requests, mut peer) = connected().await;
    let asked = Instant::now();
    let head = b"HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 90\r\n\r\nas far";
    let (answered, ()) = tokio::join!(ask(&mut requests, Bytes::new()), async {
        answer(&mut peer, [(Duration::ZERO, head.to_vec())]).await;
    });
    let answered = answered.unwrap();
    assert_eq!((answered.head.status.as_u16(), &answered.body[..]), (503, &b"as far"[..]));
    assert_eq!(answered.head.headers["retry-after"], HeaderValue::from_static("7"));
    assert!(asked.elapsed() < Duration::from_secs(2));
    // What is left of it would be taken for another answer.
    assert!(requests.kept.is_none());
}

// L-28, T-13
#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_read_is_given_up() {
    let (mut requests, _peer) = connected().await;
    let asked = Instant::now();
    let answered = ask(&mut requests, Bytes::from(vec![b'x'; 1 << 20])).await;
    assert!(is_timeout(&answered));
    assert!(asked.elapsed() >= TIME && requests.kept.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_before_the_request_was_read_is_one() {
    for headers in ["", "connection: close\r\n"] {
        let (mut requests, mut peer) = connected().await;
        let asked = Instant::now();
        let early = format!("HTTP/1.1 413 Too Large\r\n{headers}content-length: 2\r\n\r\nno").into_bytes();
        let (answered, ()) = tokio::join!(
            ask(&mut requests, Bytes::from(vec![b'x'; 1 << 20])),
            answer(&mut peer, [(Duration::ZERO, early)])
        );
        assert_eq!(answered.unwrap().head.status, 413);
        assert_eq!(asked.elapsed(), Duration::ZERO);
    }
}

// T-27
#[tokio::test(start_paused = true)]
async fn what_was_written_once_is_not_written_again() {
    let (mut requests, mut peer) = connected().await;
    let (answered, head) = tokio::join!(ask(&mut requests, Bytes::from_static(b"once")), async {
        let head = read_head(&mut peer).await;
        drop(peer);
        head
    });
    assert!(head.starts_with("POST /socket HTTP/1.1\r\n"), "{head}");
    // Had another connection been tried, it could not have been made.
    assert!(matches!(answered, Err(ConnectError::HandshakeCut(_))), "{:?}", answered.map(|_| ()));
}

#[tokio::test(start_paused = true)]
async fn what_comes_unasked_ends_a_connection_that_rests() {
    let (mut requests, mut peer) = connected().await;
    let answers =
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad".to_vec();
    let (answered, ()) = tokio::join!(ask(&mut requests, Bytes::new()), answer(&mut peer, [(Duration::ZERO, answers)]));
    assert_eq!(answered.unwrap().body, "ok");
    let kept = requests.kept.take().unwrap();
    assert!(kept.alive().await.is_none());
}

/// Interim answers to a request, as fast as they are read. They end after a while, so that a test can.
#[derive(Default)]
struct Flood {
    asked: bool,
    read: Arc<AtomicUsize>,
}

impl AsyncRead for Flood {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        const INTERIM: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
        let read = self.read.load(SeqCst);
        if !self.asked || read > 64 * TURN {
            return Poll::Pending;
        }
        let part: Vec<u8> = INTERIM.iter().copied().cycle().skip(read % INTERIM.len()).take(into.remaining()).collect();
        into.put_slice(&part);
        self.read.store(read + part.len(), SeqCst);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.asked = true;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

// T-13
#[tokio::test]
async fn a_flood_is_read_in_turns() {
    let flood = Flood::default();
    let read = flood.read.clone();
    let kept = Kept::new(Line { stream: Box::new(flood), form: Form::Origin }).await.unwrap();
    let mut requests = Requests { http: Http::default().no_proxy(), kept: Some(Box::new(kept)) };
    let mut asked = pin!(ask(&mut requests, Bytes::new()));
    assert!(futures::poll!(&mut asked).is_pending());
    for _ in 0..4 {
        let before = read.load(SeqCst);
        assert!(futures::poll!(&mut asked).is_pending());
        let come = read.load(SeqCst) - before;
        assert!(come > 0 && come <= 4 * TURN, "{come} bytes were read at once");
    }
}

#[test]
fn no_time_is_too_long() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    assert!(after(Duration::MAX) > Instant::now() + AGE / 2);
    assert!(after(TIME) < Instant::now() + AGE / 2);
}
