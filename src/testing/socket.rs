//! WebSocket frames (RFC 6455) over a TCP stream, read as strictly as Phoenix' web servers read them.

use std::{io, sync::Arc};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
};

use crate::transport::Frame;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

const CHUNK: usize = 16 * 1024;

/// What a client sent, defragmented and unmasked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    Text(Bytes),
    Binary(Bytes),
    Ping(Bytes),
    Pong,
    /// The code and, where there was none, `None`.
    Close(Option<u16>),
}

/// Why nothing more can be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The connection is gone.
    Gone,
    /// The client broke the protocol; close with this code.
    Protocol(u16),
}

/// The reading half. `next` may be dropped and called again: nothing is lost.
#[derive(Debug)]
pub(super) struct Reader {
    io: OwnedReadHalf,
    decoder: Decoder,
}

/// The writing half: frames gather until they are flushed.
#[derive(Debug)]
pub(super) struct Writer {
    io: OwnedWriteHalf,
    out: Vec<u8>,
}

impl Reader {
    pub(super) fn new(io: OwnedReadHalf, read: &[u8], max: usize) -> Self {
        Reader { io, decoder: Decoder { buffer: BytesMut::from(read), partial: None, max } }
    }

    pub(super) async fn next(&mut self) -> Result<Received, Broken> {
        loop {
            if let Some(received) = self.decoder.next()? {
                return Ok(received);
            }
            self.decoder.buffer.reserve(CHUNK);
            match self.io.read_buf(&mut self.decoder.buffer).await {
                Ok(0) | Err(_) => return Err(Broken::Gone),
                Ok(_) => {}
            }
        }
    }

    /// Reads and forgets, until the client ends the connection.
    pub(super) async fn drain(&mut self) {
        let mut buffer = vec![0; CHUNK];
        while matches!(self.io.read(&mut buffer).await, Ok(1..)) {}
    }
}

/// Ends the connection with a reset.
pub(super) fn reset(reader: Reader, writer: Writer) {
    // A half alone would end with a FIN. One that has ended already cannot be reset.
    if let Ok(stream) = reader.io.reunite(writer.io) {
        let _ = stream.set_zero_linger();
    }
}

impl Writer {
    pub(super) fn new(io: OwnedWriteHalf) -> Self {
        Writer { io, out: Vec::new() }
    }

    pub(super) fn frame(&mut self, frame: &Frame) {
        match frame {
            Frame::Text(text) => self.push(TEXT, text),
            Frame::Binary(bytes) => self.push(BINARY, bytes),
            Frame::Close { code, reason } => self.close(Some(*code).filter(|code| *code != 1005), reason),
        }
    }

    pub(super) fn pong(&mut self, data: &[u8]) {
        self.push(PONG, data);
    }

    pub(super) fn waiting(&self) -> usize {
        self.out.len()
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let written = self.io.write_all(&self.out).await;
        self.out.clear();
        written
    }

    /// Ends the writing direction: the client reads to the end of what was written.
    pub(super) async fn finish(&mut self) {
        let _ = self.io.shutdown().await;
    }

    fn close(&mut self, code: Option<u16>, reason: &Arc<str>) {
        match code {
            Some(code) => self.push(CLOSE, &[&code.to_be_bytes()[..], reason.as_bytes()].concat()),
            None => self.push(CLOSE, b""),
        }
    }

    fn push(&mut self, opcode: u8, data: &[u8]) {
        self.out.push(0x80 | opcode);
        match data.len() {
            len @ ..126 => self.out.push(len as u8),
            len @ ..0x1_0000 => {
                self.out.push(126);
                self.out.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                self.out.push(127);
                self.out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        self.out.extend_from_slice(data);
    }
}

#[derive(Debug)]
struct Decoder {
    buffer: BytesMut,
    partial: Option<(u8, BytesMut)>,
    max: usize,
}

struct Header {
    fin: bool,
    opcode: u8,
    mask: [u8; 4],
    /// Of the header itself.
    size: usize,
    len: usize,
}

impl Decoder {
    fn next(&mut self) -> Result<Option<Received>, Broken> {
        while let Some(header) = self.header()? {
            if self.buffer.len() < header.size + header.len {
                self.buffer.reserve(header.size + header.len - self.buffer.len());
                return Ok(None);
            }
            self.buffer.advance(header.size);
            let mut data = self.buffer.split_to(header.len);
            unmask(&mut data, header.mask);
            if let Some(received) = self.frame(&header, data)? {
                return Ok(Some(received));
            }
        }
        Ok(None)
    }

    fn header(&self) -> Result<Option<Header>, Broken> {
        let [first, second, rest @ ..] = &self.buffer[..] else { return Ok(None) };
        let (fin, opcode, len) = (first & 0x80 != 0, first & 0x0f, second & 0x7f);
        let control = opcode & 0x08 != 0;
        let known = matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG);
        let out_of_turn = !control && (opcode == CONTINUATION) != self.partial.is_some();
        let (reserved, masked) = (first & 0x70 != 0, second & 0x80 != 0);
        if reserved || !known || !masked || out_of_turn || (control && (!fin || len > 125)) {
            return Err(Broken::Protocol(1002));
        }
        let extended: usize = match len {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some((size, rest)) = rest.split_at_checked(extended) else { return Ok(None) };
        let len = match extended {
            0 => u64::from(len),
            _ => size.iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
        };
        let gathered = self.partial.as_ref().map_or(0, |(_, data)| data.len());
        if !control && len > (self.max - gathered) as u64 {
            return Err(Broken::Protocol(1009));
        }
        let Some((mask, _)) = rest.split_first_chunk() else { return Ok(None) };
        // Within `max`, or a control frame of 125: it fits.
        Ok(Some(Header { fin, opcode, mask: *mask, size: 6 + extended, len: len as usize }))
    }

    fn frame(&mut self, header: &Header, data: BytesMut) -> Result<Option<Received>, Broken> {
        match header.opcode {
            PING => return Ok(Some(Received::Ping(data.freeze()))),
            PONG => return Ok(Some(Received::Pong)),
            CLOSE => return close(&data).map(Some),
            _ => {}
        }
        let (opcode, message) = match self.partial.take() {
            Some((opcode, mut begun)) => {
                begun.extend_from_slice(&data);
                (opcode, begun)
            }
            None => (header.opcode, data),
        };
        if !header.fin {
            self.partial = Some((opcode, message));
            return Ok(None);
        }
        match opcode {
            TEXT if std::str::from_utf8(&message).is_err() => Err(Broken::Protocol(1007)),
            TEXT => Ok(Some(Received::Text(message.freeze()))),
            _ => Ok(Some(Received::Binary(message.freeze()))),
        }
    }
}

fn close(data: &[u8]) -> Result<Received, Broken> {
    let Some((code, reason)) = data.split_first_chunk() else {
        return if data.is_empty() { Ok(Received::Close(None)) } else { Err(Broken::Protocol(1002)) };
    };
    match u16::from_be_bytes(*code) {
        _ if std::str::from_utf8(reason).is_err() => Err(Broken::Protocol(1007)),
        code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => Ok(Received::Close(Some(code))),
        _ => Err(Broken::Protocol(1002)),
    }
}

fn unmask(data: &mut [u8], mask: [u8; 4]) {
    let mut words = data.chunks_exact_mut(4);
    for word in &mut words {
        for (byte, key) in word.iter_mut().zip(mask) {
            *byte ^= key;
        }
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(mask) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    fn masked(first: u8, data: &[u8]) -> Vec<u8> {
        let mut data = data.to_vec();
        unmask(&mut data, MASK);
        let size = match data.len() {
            len @ ..126 => vec![0x80 | len as u8],
            len => [&[0xfe][..], &(len as u16).to_be_bytes()].concat(),
        };
        [&[first][..], &size, &MASK, &data].concat()
    }

    fn decode(frames: &[Vec<u8>]) -> Vec<Result<Received, Broken>> {
        let mut decoder = Decoder { buffer: BytesMut::new(), partial: None, max: 300 };
        let mut all = Vec::new();
        // Byte by byte: every cut of the stream is one that happens.
        for byte in frames.concat() {
            decoder.buffer.extend_from_slice(&[byte]);
            match decoder.next() {
                Ok(None) => {}
                Ok(Some(received)) => all.push(Ok(received)),
                Err(broken) => {
                    all.push(Err(broken));
                    break;
                }
            }
        }
        all
    }

    #[test]
    fn fragments_are_joined_and_pings_may_stand_between() {
        let all = decode(&[masked(0x01, b"a"), masked(0x89, b"pp"), masked(0x00, "é".as_bytes()), masked(0x80, b"z")]);
        let text = Received::Text(Bytes::from_static("aéz".as_bytes()));
        assert_eq!(all, [Ok(Received::Ping(Bytes::from_static(b"pp"))), Ok(text)]);
    }

    #[test]
    fn every_violation_has_its_code() {
        let unmasked = vec![0x81, 1, b'x'];
        for (frame, code) in [
            (unmasked, 1002),
            (masked(0xc1, b"x"), 1002),
            (masked(0x83, b"x"), 1002),
            (masked(0x80, b"x"), 1002),
            (masked(0x89, &[b'x'; 126]), 1002),
            (masked(0x09, b"x"), 1002),
            (masked(0x88, b"\x03"), 1002),
            (masked(0x88, b"\x03\xed"), 1002),
            (masked(0x81, b"\xff"), 1007),
            (masked(0x82, &[0; 301]), 1009),
            ([masked(0x02, &[0; 200]), masked(0x80, &[0; 101])].concat(), 1009),
            ([masked(0x01, b"a"), masked(0x81, b"b")].concat(), 1002),
        ] {
            assert_eq!(decode(std::slice::from_ref(&frame)), [Err(Broken::Protocol(code))], "{frame:?}");
        }
    }

    #[test]
    fn a_close_is_read_with_and_without_a_code() {
        assert_eq!(decode(&[masked(0x88, b"")]), [Ok(Received::Close(None))]);
        assert_eq!(decode(&[masked(0x88, b"\x0f\xa0app")]), [Ok(Received::Close(Some(4000)))]);
    }

    #[test]
    fn up_to_the_limit_is_read() {
        let data = vec![7; 300];
        assert_eq!(decode(&[masked(0x82, &data)]), [Ok(Received::Binary(data.into()))]);
    }
}
