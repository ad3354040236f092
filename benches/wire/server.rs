//! Whoever both sides talk to: a thread for each connection, which answers and, told to `go`, writes frames that it
//! made before, as fast as the socket takes them.

use std::{
    fmt::Write as _,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, OnceLock},
    thread,
};

use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::{self, ServerConfig, ServerConnection, StreamOwned, pki_types::PrivatePkcs8KeyDer};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::machine;

/// What a flood is made of.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Flood {
    /// Bytes of a payload.
    pub(crate) size: usize,
    pub(crate) frames: usize,
    /// `room:0`, `room:1`, .. in turn.
    pub(crate) topics: usize,
    /// In turn.
    pub(crate) events: [Event; 2],
}

/// What its messages are named: those that are compared are as long.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Event {
    Msg,
    Other,
    Another,
    PresenceState,
    PresenceDiff,
}

impl Flood {
    /// Of one channel and one event.
    pub(crate) const fn of(size: usize, frames: usize) -> Self {
        Flood { size, frames, topics: 1, events: [Event::Msg; 2] }
    }
}

/// The server of this process, which serves from the last core for as long as the process lives.
pub(crate) fn address() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        let (listener, address) = listen();
        thread::spawn(move || {
            machine::pin(&[machine::last_core()]);
            serve(listener, talk);
        });
        address
    })
}

/// Serves for as long as the process lives, also by TLS, having said where and with which certificate.
pub(crate) fn speak_and_serve() {
    let ((plain, address), (secure, secure_address)) = (listen(), listen());
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![own.cert.der().clone()], key.into()))
        .expect("a configuration");
    let certificate: String = own.cert.der().iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{address} {} {certificate}", secure_address.port());
    let config = Arc::new(config);
    thread::spawn(|| serve(plain, talk));
    serve(secure, move |stream| {
        let session = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        talk(StreamOwned::new(session, stream))
    });
}

pub(crate) fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

pub(crate) fn serve(listener: TcpListener, talk: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) {
    const STACK: usize = 256 << 10;
    for stream in listener.incoming().map_while(Result::ok) {
        let talk = talk.clone();
        // A peer that is gone ends its thread, and nothing else.
        let talk = move || stream.set_nodelay(true).and_then(|()| talk(stream)).unwrap_or_default();
        thread::Builder::new().stack_size(STACK).spawn(talk).expect("a thread");
    }
}

/// One connection, from its handshake on.
fn talk(mut stream: impl Read + Write) -> io::Result<()> {
    let mut received = accept(&mut stream)?;
    let (mut part, mut answers, mut floods) = (vec![0; 64 << 10], Vec::new(), Vec::new());
    loop {
        let mut taken = 0;
        while let Some((text, len)) = unmasked(&mut received[taken..]) {
            floods.extend(text.and_then(|text| answer(text, |reply| frame(&mut answers, reply))));
            taken += len;
        }
        received.drain(..taken);
        stream.write_all(&answers)?;
        answers.clear();
        for flood in floods.drain(..) {
            blast(&mut stream, flood)?;
        }
        match stream.read(&mut part)? {
            0 => return Ok(()),
            len => received.extend_from_slice(&part[..len]),
        }
    }
}

/// Answers the handshake; what came behind it.
fn accept(stream: &mut (impl Read + Write)) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    let end = loop {
        let mut part = [0; 4096];
        let len = stream.read(&mut part)?;
        request.extend_from_slice(&part[..len]);
        match request.windows(4).position(|window| window == b"\r\n\r\n") {
            Some(at) => break at + 4,
            None if len == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            None => {}
        }
    };
    let behind = request.split_off(end);
    let head = String::from_utf8_lossy(&request);
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim().to_owned())
    };
    let key = head.lines().find_map(header).ok_or(io::ErrorKind::InvalidData)?;
    let accept = derive_accept_key(key.as_bytes());
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket";
    stream.write_all(format!("{answer}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n").as_bytes())?;
    Ok(behind)
}

/// The first frame, unmasked where it stands, if it is text, and how long it is.
fn unmasked(bytes: &mut [u8]) -> Option<(Option<&[u8]>, usize)> {
    let (len, mask) = match *bytes.get(1)? & 127 {
        126 => (usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)), 4),
        127 => (u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize, 10),
        short => (usize::from(short), 2),
    };
    let key: [u8; 4] = *bytes.get(mask..)?.first_chunk()?;
    let is_text = bytes[0] & 15 == 1;
    let content = bytes.get_mut(mask + 4..mask + 4 + len)?;
    for four in content.chunks_mut(4) {
        four.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
    }
    Some((is_text.then_some(content), mask + 4 + len))
}

/// Replies to a message; what it asks for, if that is a flood.
pub(crate) fn answer(text: &[u8], reply: impl FnOnce(&[&[u8]])) -> Option<Flood> {
    // The names with their quotes: none of them is escaped.
    let mut parts = text.strip_prefix(b"[")?.splitn(5, |byte| *byte == b',');
    let [join_ref, reference, topic, event] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    if event == b"\"go\"" {
        return serde_json::from_slice(parts.next()?.strip_suffix(b"]")?).ok();
    }
    let response = br#""phx_reply",{"response":{"i":1},"status":"ok"}]"#;
    let [open, comma] = [&b"["[..], b","];
    reply(&[open, join_ref, comma, reference, comma, topic, comma, response]);
    None
}

/// Writes the flood, a few megabytes of frames over and over.
fn blast(stream: &mut impl Write, flood: Flood) -> io::Result<()> {
    // As many for each topic as for any other.
    let prebuilt = ((4 << 20) / (flood.size + 50)).div_ceil(flood.topics) * flood.topics;
    let (mut bytes, mut ends) = (Vec::new(), vec![0]);
    for number in 0..prebuilt {
        frame(&mut bytes, &[message(flood, number).as_bytes()]);
        ends.push(bytes.len());
    }
    let mut left = flood.frames;
    while left > 0 {
        let now = left.min(prebuilt);
        stream.write_all(&bytes[..ends[now]])?;
        left -= now;
    }
    Ok(())
}

/// One of a flood.
pub(crate) fn message(flood: Flood, number: usize) -> String {
    let topic = number * 7919 % flood.topics;
    let event = match flood.events[number % 2] {
        Event::Msg => "msg",
        Event::Other => "other_message",
        Event::Another => "another_event",
        Event::PresenceState => "presence_state",
        Event::PresenceDiff => "presence_diff",
    };
    format!("[null,null,\"room:{topic}\",\"{event}\",{}]", payload(flood.size, number))
}

/// A JSON object of exactly this many bytes, at least 16.
fn payload(size: usize, number: usize) -> String {
    let mut text = format!("{{\"n\":{},\"t\":\"", 100 + number % 900);
    while text.len() < size - 2 {
        text.push(char::from(b'a' + (text.len() % 26) as u8));
    }
    let _ = write!(text, "\"}}");
    text
}

fn frame(out: &mut Vec<u8>, text: &[&[u8]]) {
    const FIN_TEXT: u8 = 0x81;
    out.push(FIN_TEXT);
    match text.iter().map(|part| part.len()).sum() {
        len @ ..126usize => out.push(len as u8),
        len @ ..0x1_0000 => {
            out.push(126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    text.iter().for_each(|part| out.extend_from_slice(part));
}

/// How many frames a second this writes where nothing is done with them.
pub(crate) fn raw_rate(server: SocketAddr, flood: Flood) -> f64 {
    machine::pin(&[0]);
    let mut stream = TcpStream::connect(server).expect("the server");
    let handshake = "GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(handshake.as_bytes()).expect("a handshake");
    let mut sink = vec![0; 256 << 10];
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let len = stream.read(&mut sink[..1]).expect("an answer");
        head.extend_from_slice(&sink[..len]);
    }
    let mut one = Vec::new();
    frame(&mut one, &[message(flood, 0).as_bytes()]);
    let mut left = one.len() * flood.frames;
    let go = go(flood);
    let mut masked = vec![0x81, 0x80 | go.len() as u8, 0, 0, 0, 0];
    masked.extend_from_slice(go.as_bytes());
    let start = std::time::Instant::now();
    stream.write_all(&masked).expect("the word to go");
    while left > 0 {
        left = left.saturating_sub(stream.read(&mut sink).expect("a flood"));
    }
    machine::rate(flood.frames, start)
}

/// The message that sets a flood off.
pub(crate) fn go(flood: Flood) -> String {
    format!(r#"["1","2","room:0","go",{}]"#, serde_json::to_string(&flood).expect("JSON"))
}
