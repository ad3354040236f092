//! A long-poll server made by hand: it answers as it is told, and hands out all that it is asked.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{
        Mutex as Turn,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    },
    time::timeout,
};

/// The token of every session that nothing else is said of.
pub(crate) const TOKEN: &str = "token-1";

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Opens a session.
    Open,
    Poll,
    Post,
}

/// A request, whole.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    /// By which connection it came, counted from 1.
    pub(crate) connection: usize,
    /// `GET /path?query HTTP/1.1`
    pub(crate) line: String,
    /// Their names in small letters.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(header, _)| header == name);
        let value = found.next().map(|(_, value)| &**value);
        assert!(found.next().is_none(), "{name} stands twice in {self:?}");
        value
    }

    fn session(&self) -> Option<&str> {
        self.header("x-phoenix-longpoll-token")
    }
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// These bytes; the connection is kept.
    Says(Vec<u8>),
    /// These bytes, and the connection's end.
    Ends(Vec<u8>),
    /// These bytes, and the end of this side; that of the client is waited for.
    HalfCloses(Vec<u8>),
    /// The connection's end, and nothing told of it.
    Resets,
    /// These bytes, then those again and again.
    Floods(Vec<u8>, Vec<u8>),
    /// These bytes, and no more.
    Stalls(Vec<u8>),
}

/// What the server sees, in order.
#[derive(Debug)]
pub(crate) enum Seen {
    Asked(Request),
    /// The client has given up a request that was not answered.
    Gone(Kind),
}

pub(crate) struct Scripted {
    pub(crate) address: String,
    /// As a socket takes it.
    pub(crate) url: String,
    steps: HashMap<Kind, UnboundedSender<Step>>,
    seen: UnboundedReceiver<Seen>,
    /// What was seen before what was waited for.
    passed: VecDeque<Seen>,
    connections: Arc<AtomicUsize>,
    script: Arc<Script>,
}

struct Script {
    /// POSTs wait for what they are to get.
    held: AtomicBool,
    steps: HashMap<Kind, Turn<UnboundedReceiver<Step>>>,
    seen: UnboundedSender<Seen>,
    /// The polls under way, by session.
    polls: Mutex<HashMap<String, usize>>,
}

impl Scripted {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let (tell, seen) = unbounded_channel();
        let (mut give, mut take) = (HashMap::new(), HashMap::new());
        for kind in [Kind::Open, Kind::Poll, Kind::Post] {
            let (sender, receiver) = unbounded_channel();
            give.insert(kind, sender);
            take.insert(kind, Turn::new(receiver));
        }
        let script =
            Arc::new(Script { held: AtomicBool::new(false), steps: take, seen: tell, polls: Mutex::default() });
        let (count, serving) = (connections.clone(), script.clone());
        tokio::spawn(async move {
            loop {
                let stream = listener.accept().await.unwrap().0;
                let number = count.fetch_add(1, SeqCst) + 1;
                let script = serving.clone();
                tokio::spawn(async move { script.serve(stream, number).await });
            }
        });
        Scripted {
            url: format!("ws://{address}/socket"),
            address,
            steps: give,
            seen,
            passed: VecDeque::new(),
            connections,
            script,
        }
    }

    /// What the next request of this kind is to get. Without it, openings and POSTs are answered well, and polls wait.
    pub(crate) fn next(&self, kind: Kind, step: Step) {
        self.steps[&kind].send(step).unwrap();
    }

    /// From here on POSTs wait, as polls do.
    pub(crate) fn hold_posts(&self) {
        self.script.held.store(true, SeqCst);
    }

    /// Acknowledges a POST that is held, or the next.
    pub(crate) fn acknowledge(&self) {
        self.next(Kind::Post, Step::Says(json(ACK)));
    }

    /// Answers a poll, the one that waits or the next.
    pub(crate) fn poll(&self, body: impl AsRef<str>) {
        self.next(Kind::Poll, Step::Says(json(body)));
    }

    /// Answers polls with nothing from here on, up to many: whoever waits for one to be over does not wait.
    pub(crate) fn answer_polls(&self) {
        (0..50).for_each(|_| self.poll(NOTHING));
    }

    /// What is seen next.
    pub(crate) async fn sees(&mut self) -> Seen {
        match self.passed.pop_front() {
            Some(seen) => seen,
            None => within(self.seen.recv()).await.unwrap(),
        }
    }

    /// What is seen within this time, if anything is.
    pub(crate) async fn sees_within(&mut self, time: Duration) -> Option<Seen> {
        timeout(time, self.sees()).await.ok()
    }

    /// The next request of this kind. What comes before it is kept for those who ask for it.
    pub(crate) async fn asked(&mut self, kind: Kind) -> Request {
        let mut passed = VecDeque::new();
        loop {
            match self.sees().await {
                Seen::Asked(request) if request.kind == kind => {
                    passed.append(&mut self.passed);
                    self.passed = passed;
                    return request;
                }
                other => passed.push_back(other),
            }
        }
    }

    /// Waits until the client gives up a request of this kind, and shows what it asked meanwhile.
    pub(crate) async fn gone(&mut self, kind: Kind) -> Vec<Request> {
        let mut asked = Vec::new();
        loop {
            match self.sees().await {
                Seen::Gone(gone) if gone == kind => return asked,
                Seen::Gone(_) => {}
                Seen::Asked(request) => asked.push(request),
            }
        }
    }

    /// All that was seen and not handed out yet.
    pub(crate) fn seen(&mut self) -> Vec<Seen> {
        let mut seen = Vec::from(std::mem::take(&mut self.passed));
        seen.extend(std::iter::from_fn(|| self.seen.try_recv().ok()));
        seen
    }

    /// How many TCP connections it has had.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

impl Script {
    /// To the end of the connection.
    async fn serve(&self, mut stream: TcpStream, number: usize) -> Option<()> {
        loop {
            let request = read(&mut stream, number).await?;
            let (kind, session) = (request.kind, request.session().unwrap_or_default().to_owned());
            let poll = (kind == Kind::Poll).then(|| self.polls(&session, 1));
            assert!(poll.is_none_or(|polls| polls == 1), "two polls at once (L-21): {request:?}");
            self.tell(Seen::Asked(request));
            let step = self.step(kind, &mut stream).await;
            if poll.is_some() {
                self.polls(&session, -1);
            }
            let Some(step) = step else {
                self.tell(Seen::Gone(kind));
                return None;
            };
            match step {
                Step::Says(bytes) => stream.write_all(&bytes).await.ok()?,
                Step::Ends(bytes) => {
                    stream.write_all(&bytes).await.ok()?;
                    return None;
                }
                Step::HalfCloses(bytes) => {
                    stream.write_all(&bytes).await.ok()?;
                    stream.shutdown().await.ok()?;
                    ends(&stream).await;
                    self.tell(Seen::Gone(kind));
                    return None;
                }
                Step::Resets => {
                    stream.set_zero_linger().unwrap();
                    return None;
                }
                Step::Floods(head, more) => {
                    let mut outcome = stream.write_all(&head).await;
                    while outcome.is_ok() {
                        outcome = stream.write_all(&more).await;
                    }
                    self.tell(Seen::Gone(kind));
                    return None;
                }
                Step::Stalls(bytes) => {
                    stream.write_all(&bytes).await.ok()?;
                    ends(&stream).await;
                    self.tell(Seen::Gone(kind));
                    return None;
                }
            }
        }
    }

    /// `None` if the client has gone meanwhile, or asks again without an answer.
    async fn step(&self, kind: Kind, stream: &mut TcpStream) -> Option<Step> {
        let mut steps = self.steps[&kind].lock().await;
        if let Ok(step) = steps.try_recv() {
            return Some(step);
        }
        match kind {
            Kind::Open => Some(Step::Says(opened(TOKEN))),
            Kind::Post if !self.held.load(SeqCst) => Some(Step::Says(json(ACK))),
            Kind::Post | Kind::Poll => tokio::select! {
                biased;
                () = ends(stream) => None,
                step = steps.recv() => Some(step.unwrap_or(Step::Stalls(Vec::new()))),
            },
        }
    }

    fn polls(&self, session: &str, change: isize) -> usize {
        let mut polls = self.polls.lock().unwrap();
        let count = polls.entry(session.to_owned()).or_default();
        *count = count.checked_add_signed(change).unwrap();
        *count
    }

    fn tell(&self, seen: Seen) {
        // A test that is over sees nothing more.
        let _ = self.seen.send(seen);
    }
}

/// Until the client ends the connection. It sends nothing before it is answered.
async fn ends(stream: &TcpStream) {
    let more = stream.peek(&mut [0]).await.unwrap_or(0);
    assert_eq!(more, 0, "a request was sent behind one that is not answered");
}

async fn read(stream: &mut TcpStream, connection: usize) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines().filter(|line| !line.is_empty());
    let line = lines.next()?.to_owned();
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: Vec<_> = lines.map(|line| header(line).unwrap_or_else(|| panic!("{line}"))).collect();
    let value = |name| headers.iter().find(|(header, _)| header == name).map(|(_, value)| &**value);
    let kind = match value("x-phoenix-longpoll-token") {
        None => Kind::Open,
        Some(_) if line.starts_with("GET ") => Kind::Poll,
        Some(_) => Kind::Post,
    };
    let mut body = vec![0; value("content-length").map_or(0, |len| len.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { kind, connection, line, headers, body: String::from_utf8(body).unwrap() })
}

/// An answer with a body; `status` is such as `200 OK`, and headers are whole lines.
pub(crate) fn answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// An answer of the protocol.
pub(crate) fn json(body: impl AsRef<str>) -> Vec<u8> {
    answer("200 OK", "content-type: application/json; charset=utf-8\r\n", body.as_ref())
}

/// A session is open.
pub(crate) fn opened(token: &str) -> Vec<u8> {
    json(serde_json::json!({ "messages": [], "status": 410, "token": token }).to_string())
}

/// The body that brings these messages.
pub(crate) fn messages<M: AsRef<str>>(messages: impl IntoIterator<Item = M>) -> String {
    let messages: Vec<String> = messages.into_iter().map(|message| message.as_ref().to_owned()).collect();
    serde_json::json!({ "messages": messages, "status": 200, "token": TOKEN }).to_string()
}

/// The body that acknowledges a POST.
pub(crate) const ACK: &str = r#"{"status":200}"#;

/// The body that says that there is nothing.
pub(crate) const NOTHING: &str = r#"{"messages":[],"status":204,"token":"token-1"}"#;

/// Long enough for anything that does not hang.
pub(crate) async fn within<T>(outcome: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), outcome).await.expect("it hangs")
}
