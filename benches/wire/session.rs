//! The same server by long-poll: a thread for each connection, which answers its requests out of the sessions.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Condvar, Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use memchr::memmem;

use crate::{
    machine::{self, rate},
    server::{self, Flood},
    trips,
};

/// How many bytes of messages an answer of a flood has.
const ANSWER: usize = 64 << 10;
const WINDOW: Duration = Duration::from_secs(10);
/// How long a token is, as Phoenix makes them.
const TOKEN: usize = 220;

/// What waits for a poll.
#[derive(Default)]
struct Session {
    ready: Mutex<Ready>,
    more: Condvar,
}

#[derive(Default)]
struct Ready {
    /// JSON strings, each with a comma behind it.
    messages: Vec<u8>,
    flood: Option<Running>,
}

/// The same answer so many times.
struct Running {
    answer: Arc<[u8]>,
    left: usize,
}

/// How many messages an answer of a flood has.
pub(crate) fn at_once(size: usize) -> usize {
    ANSWER / size
}

/// The server of this process, on the last core, for as long as the process lives.
pub(crate) fn address() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        let (listener, address) = server::listen();
        let sessions = Arc::new(Mutex::new(Vec::new()));
        thread::spawn(move || {
            machine::pin(&[machine::last_core()]);
            server::serve(listener, move |stream| talk(stream, &sessions));
        });
        address
    })
}

/// One connection.
fn talk(stream: TcpStream, sessions: &Mutex<Vec<Arc<Session>>>) -> io::Result<()> {
    let mut line = Line::new(stream);
    loop {
        let (head, body) = line.next()?;
        let token = memmem::find(&head, b"token=").map(|at| &head[at + 6..at + 6 + TOKEN]);
        let number = token.and_then(|token| std::str::from_utf8(token).ok()?.parse::<usize>().ok());
        let session = number.map(|number| sessions.lock().unwrap_or_else(PoisonError::into_inner)[number].clone());
        match session {
            None => {
                let mut sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
                let number = sessions.len();
                sessions.push(Arc::default());
                let opened = format!(r#"{{"status":410,"token":"{number:0TOKEN$}","messages":[]}}"#);
                line.stream.write_all(&answer(opened.as_bytes()))?;
            }
            Some(session) if head.starts_with(b"GET ") => line.stream.write_all(&session.poll())?,
            Some(session) => {
                session.post(&body);
                line.stream.write_all(&answer(br#"{"status":200}"#))?;
            }
        }
    }
}

impl Session {
    fn poll(&self) -> Arc<[u8]> {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let none = |ready: &mut Ready| ready.messages.is_empty() && ready.flood.is_none();
        let waited = self.more.wait_timeout_while(ready, WINDOW, none);
        let mut ready = waited.unwrap_or_else(PoisonError::into_inner).0;
        if let Some(flood) = &mut ready.flood {
            flood.left -= 1;
            let answer = flood.answer.clone();
            ready.flood.take_if(|flood| flood.left == 0);
            return answer;
        }
        messages(&std::mem::take(&mut ready.messages)).into()
    }

    fn post(&self, lines: &[u8]) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        for line in lines.split(|byte| *byte == b'\n') {
            let quote = |reply: &[&[u8]]| quoted(&mut ready.messages, &reply.concat());
            if let Some(flood) = server::answer(line, quote) {
                ready.flood = Some(Running::new(flood));
            }
        }
        self.more.notify_one();
    }
}

impl Running {
    fn new(flood: Flood) -> Self {
        let mut prebuilt = Vec::new();
        for number in 0..at_once(flood.size) {
            quoted(&mut prebuilt, server::message(flood, number).as_bytes());
        }
        Running { answer: messages(&prebuilt).into(), left: flood.frames / at_once(flood.size) }
    }
}

/// As a JSON string, with a comma behind it.
fn quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.extend_from_slice(b"\",");
}

/// The answer to a poll.
fn messages(strings: &[u8]) -> Vec<u8> {
    let status = if strings.is_empty() { 204 } else { 200 };
    let begin = format!(r#"{{"status":{status},"token":null,"messages":["#);
    answer(&[begin.as_bytes(), strings.strip_suffix(b",").unwrap_or_default(), b"]}"].concat())
}

fn answer(body: &[u8]) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\naccess-control-allow-origin: *\r\ncache-control: max-age=0, private, must-revalidate\r\n\
                content-type: application/json; charset=utf-8\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\ncontent-length";
    [format!("{head}: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

/// One end of a connection: heads and bodies, requests' or answers'.
struct Line {
    stream: TcpStream,
    part: Vec<u8>,
    received: Vec<u8>,
}

impl Line {
    fn new(stream: TcpStream) -> Self {
        Line { stream, part: vec![0; 256 << 10], received: Vec::new() }
    }

    fn next(&mut self) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let head = loop {
            match memmem::find(&self.received, b"\r\n\r\n") {
                Some(end) => break self.received.drain(..end + 4).collect::<Vec<_>>(),
                None => self.read()?,
            }
        };
        let len = memmem::find(&head, b"content-length: ").map_or(0, |at| {
            let digits = head[at + 16..].iter().take_while(|byte| byte.is_ascii_digit());
            digits.fold(0, |len, digit| len * 10 + usize::from(digit - b'0'))
        });
        while self.received.len() < len {
            self.read()?;
        }
        Ok((head, self.received.drain(..len).collect()))
    }

    fn read(&mut self) -> io::Result<()> {
        let len = self.stream.read(&mut self.part)?;
        self.received.extend_from_slice(&self.part[..len]);
        if len == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    fn ask(&mut self, request: &str) -> Vec<u8> {
        self.stream.write_all(request.as_bytes()).expect("the server");
        self.next().expect("an answer").1
    }
}

/// A client that does nothing with what it receives.
struct Raw {
    polls: Line,
    posts: Line,
    token: String,
}

impl Raw {
    fn open(server: SocketAddr) -> Self {
        machine::pin(&[0]);
        let line = || Line::new(TcpStream::connect(server).expect("the server"));
        let (mut polls, posts) = (line(), line());
        let opened = polls.ask("GET / HTTP/1.1\r\n\r\n");
        let token = opened.split(|byte| *byte == b'"').find(|part| part.len() == TOKEN).expect("a token");
        Raw { token: String::from_utf8_lossy(token).into_owned(), polls, posts }
    }

    fn poll(&mut self) -> Vec<u8> {
        self.polls.ask(&format!("GET /?token={} HTTP/1.1\r\n\r\n", self.token))
    }

    fn post(&mut self, lines: &str) {
        let length = lines.len();
        self.posts.ask(&format!("POST /?token={} HTTP/1.1\r\ncontent-length: {length}\r\n\r\n{lines}", self.token));
    }
}

/// How many messages a second this hands over where nothing is done with them.
pub(crate) fn raw_rate(server: SocketAddr, flood: Flood) -> f64 {
    let mut raw = Raw::open(server);
    let start = Instant::now();
    raw.post(&server::go(flood));
    (0..flood.frames / at_once(flood.size)).for_each(|_| drop(raw.poll()));
    rate(flood.frames, start)
}

/// How many messages a second this answers, so many at a time, where nothing is done with the answers.
pub(crate) fn raw_trips(server: SocketAddr, at_once: usize, count: usize) -> f64 {
    let mut raw = Raw::open(server);
    let lines: Vec<_> = (0..at_once).map(trips::request).collect();
    let lines = lines.join("\n");
    let start = Instant::now();
    for _ in 0..count / at_once {
        raw.post(&lines);
        let mut left = at_once;
        while left > 0 {
            left -= memmem::find_iter(&raw.poll(), "phx_reply").count();
        }
    }
    rate(count, start)
}
