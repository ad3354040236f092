//! Raw HTTP requests for the long-poll.
#![allow(dead_code, reason = "each test file uses a part of it")]

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// An answer, as it came.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Answer {
    /// `HTTP/1.1 200 OK`
    pub(crate) status: String,
    /// As `name: value`, sorted, without the date.
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
}

impl Answer {
    /// Of a GET that has one.
    pub(crate) fn token(&self) -> String {
        let (_, token) = self.body.split_once(r#","token":""#).unwrap_or_else(|| panic!("no token: {self:?}"));
        token.trim_end_matches("\"}").to_owned()
    }

    /// The body up to its token.
    pub(crate) fn told(&self) -> &str {
        self.body.split(r#","token":"#).next().unwrap()
    }
}

/// A connection that is kept alive.
pub(crate) struct Line(pub(crate) TcpStream, String);

impl Line {
    pub(crate) async fn to(url: &str) -> Self {
        let host = url.trim_start_matches("ws://").split('/').next().unwrap();
        Line(TcpStream::connect(host).await.unwrap(), host.to_owned())
    }

    /// `request` is the first line without its version, and headers.
    pub(crate) async fn send(&mut self, request: &str, body: &[u8]) {
        let (first, headers) = request.split_once('\n').unwrap_or((request, ""));
        let mut head = format!("{first} HTTP/1.1\r\nhost: {}\r\n", self.1);
        headers.lines().for_each(|header| head += &format!("{header}\r\n"));
        if first.starts_with('P') {
            head += &format!("content-length: {}\r\n", body.len());
        }
        self.0.write_all(&[head.as_bytes(), b"\r\n", body].concat()).await.unwrap();
    }

    /// `None` is the end of the connection; an answer that breaks off has what came of it.
    pub(crate) async fn next(&mut self) -> Option<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines().filter(|line| !line.is_empty()).map(str::to_owned);
        let status = lines.next().unwrap();
        let mut headers: Vec<String> = lines.filter(|line| !line.starts_with("date: ")).collect();
        headers.sort();
        let len = headers.iter().find_map(|header| header.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        let mut body = Vec::new();
        (&mut self.0).take(len).read_to_end(&mut body).await.unwrap();
        Some(Answer { status, headers, body: String::from_utf8(body).unwrap() })
    }
}

/// On a connection of its own.
pub(crate) async fn ask(url: &str, request: &str, body: &[u8]) -> Answer {
    let mut line = Line::to(url).await;
    line.send(&format!("{request}\nconnection: close"), body).await;
    line.next().await.unwrap_or_else(|| panic!("no answer: {request}"))
}
