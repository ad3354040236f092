//! Ways through proxies, made by hand so that they can do wrong.

use std::{future::Future, net::SocketAddr, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::error::Refusal;

const URL: &str = "ws://ann:hunter2@chat.example:4000/socket?token=hunter2";

/// Goes through a proxy that does this once it was asked, and says what it was asked.
async fn through<F>(url: &str, script: impl FnOnce(TcpStream) -> F) -> (String, Result<ByteStream, ConnectError>)
where
    F: Future<Output = ()>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = Http::default().proxy(format!("http://{}", listener.local_addr().unwrap()));
    let proxy = async {
        let mut stream = listener.accept().await.unwrap().0;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        script(stream).await;
        String::from_utf8(head).unwrap()
    };
    let url = url.parse().unwrap();
    let both = futures::future::join(proxy, http.connect(&url));
    tokio::time::timeout(Duration::from_secs(20), both).await.expect("it hangs")
}

async fn answering(answer: impl AsRef<[u8]>) -> Result<ByteStream, ConnectError> {
    through(URL, async |mut stream| stream.write_all(answer.as_ref()).await.unwrap()).await.1
}

async fn refusal(answer: &str) -> Refusal {
    match answering(answer).await {
        Err(ConnectError::ProxyRefused(refusal)) => *refusal,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it opened"),
    }
}

async fn failure(answer: impl AsRef<[u8]>) -> String {
    match answering(answer).await {
        Err(error @ (ConnectError::Handshake(_) | ConnectError::HandshakeCut(_))) => error.to_string(),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it opened"),
    }
}

#[tokio::test]
async fn the_proxy_is_told_where_to_and_nothing_else() {
    for (url, to) in [
        (URL, "chat.example:4000"),
        ("ws://chat.example/socket", "chat.example:80"),
        ("ws://[2001:db8::1]/socket", "[2001:db8::1]:80"),
        ("http://10.0.0.1:4000", "10.0.0.1:4000"),
    ] {
        let script = async |mut stream: TcpStream| stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let (asked, stream) = through(url, script).await;
        assert!(stream.is_ok());
        assert_eq!(asked.to_lowercase(), format!("connect {to} http/1.1\r\nhost: {to}\r\n\r\n"), "{url}");
    }
}

#[tokio::test]
async fn whatever_comes_with_the_answer_of_the_proxy_is_not_lost() {
    for answer in [
        "HTTP/1.1 200 Connection established\r\nProxy-Agent: test\r\n\r\nhello",
        // What a body would be measured by means nothing here (RFC 9110, 9.3.6).
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\n\r\nhello",
        "HTTP/1.1 299 Well\r\n\r\nhello",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello",
    ] {
        let (asked, stream) = through(URL, async |mut stream| {
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.write_all(b" and more").await.unwrap();
        })
        .await;
        let mut said = String::new();
        let mut stream = stream.unwrap_or_else(|error| panic!("{answer}: {error}, {asked}"));
        stream.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "hello and more", "{answer}");
    }
}

#[tokio::test]
async fn bytes_go_both_ways() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = Http::default().proxy(format!("http://{}", listener.local_addr().unwrap()));
    let proxy = async {
        let mut stream = listener.accept().await.unwrap().0;
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nearly").await.unwrap();
        let mut ping = [0; 4];
        stream.read_exact(&mut ping).await.unwrap();
        stream.write_all(&ping).await.unwrap();
    };
    let client = async {
        let mut stream = http.connect(&URL.parse().unwrap()).await.unwrap();
        // Written before anything is read, and read in small pieces.
        stream.write_all(b"ping").await.unwrap();
        stream.flush().await.unwrap();
        let mut said = Vec::new();
        let mut piece = [0; 3];
        while let Ok(count @ 1..) = stream.read(&mut piece).await {
            said.extend_from_slice(&piece[..count]);
        }
        assert_eq!(said, b"earlyping");
        stream.shutdown().await.unwrap();
    };
    futures::future::join(proxy, client).await;
}

// T-23, T-29
#[tokio::test]
async fn what_the_proxy_refuses_is_told_whole_and_is_not_the_servers() {
    let refused = refusal(
        "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 4\r\n\r\nwhom",
    )
    .await;
    assert_eq!((refused.status().as_u16(), &refused.body()[..]), (407, &b"whom"[..]));
    assert_eq!(refused.headers()["proxy-authenticate"], "Basic realm=\"x\"");
    let busy = refusal("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(busy.retry_after(), Some(Duration::from_secs(7)));
    for status in [101, 302, 400, 403, 404, 500, 502, 504] {
        let refused = refusal(&format!("HTTP/1.1 {status} So\r\n\r\n")).await;
        assert_eq!(refused.status().as_u16(), status);
    }
    let error = ConnectError::ProxyRefused(Box::new(refused));
    assert!(error.to_string().contains("the proxy") && error.to_string().contains("407"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[tokio::test]
async fn of_an_endless_refusal_64_kib_are_kept() {
    let (_, stream) = through(URL, async |mut stream| {
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.unwrap();
        // Until the client has had enough.
        while stream.write_all(&[b'x'; 10_000]).await.is_ok() {}
    })
    .await;
    let Err(ConnectError::ProxyRefused(refusal)) = stream else { panic!("it opened") };
    assert_eq!(refusal.body().len(), 64 * 1024);
}

#[tokio::test]
async fn a_proxy_that_speaks_no_http_is_a_failure() {
    for answer in ["", "?\r\n", "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nProxy-"] {
        let said = failure(answer).await;
        assert!(said.contains("the proxy 127.0.0.1:") && !said.contains("hunter2"), "{answer}: {said}");
    }
}

#[tokio::test]
async fn a_head_without_an_end_is_given_up() {
    for line in ["x: y\r\n", "xxxxxxxx"] {
        let (_, stream) = through(URL, async |mut stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
            // Until the client has had enough.
            while stream.write_all(line.repeat(1000).as_bytes()).await.is_ok() {}
        })
        .await;
        assert!(matches!(stream, Err(ConnectError::Handshake(_))));
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_a_failure_that_names_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let http = Http::default().proxy(format!("http://ann:hunter2@{at}"));
    let Err(error) = http.connect(&URL.parse().unwrap()).await else { panic!("it opened") };
    let said = error.to_string();
    assert!(said.contains(&format!("the proxy {at}")) && said.contains("refused"), "{said}");
    assert!(!format!("{error} {error:?} {http:?}").contains("hunter2"));
}

/// The credentials that go out.
async fn told(describe: impl FnOnce(Http, SocketAddr) -> Http) -> Option<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = describe(Http::default(), listener.local_addr().unwrap());
    let proxy = async {
        let mut stream = listener.accept().await.unwrap().0;
        let mut head = [0; 1024];
        let count = stream.read(&mut head).await.unwrap();
        String::from_utf8_lossy(&head[..count]).into_owned()
    };
    let url = URL.parse().unwrap();
    let (head, _) = futures::future::join(proxy, http.connect(&url)).await;
    let line = head.lines().find_map(|line| line.strip_prefix("proxy-authorization: Basic "))?;
    Some(String::from_utf8(STANDARD.decode(line).unwrap()).unwrap())
}

#[tokio::test]
async fn credentials_go_to_the_proxy_they_are_for() {
    let url = |at: SocketAddr| format!("http://ann:s%40fe@{at}");
    assert_eq!(told(|http, at| http.proxy(at.to_string())).await, None);
    assert_eq!(told(|http, at| http.proxy(url(at))).await.as_deref(), Some("ann:s@fe"));
    let given = told(|http, at| http.proxy(url(at)).proxy_credentials("bob", "p:@/")).await;
    assert_eq!(given.as_deref(), Some("bob:p:@/"));
    let before = told(|http, at| http.proxy_credentials("bob", "p").proxy(at.to_string())).await;
    assert_eq!(before.as_deref(), Some("bob:p"));
    let other = told(|http, at| {
        let lookup = move |name: &str| (name == "all_proxy").then(|| format!("sys:tem@{at}"));
        http.proxy_credentials("bob", "p").proxy_variables(lookup)
    })
    .await;
    assert_eq!(other.as_deref(), Some("sys:tem"));
}
