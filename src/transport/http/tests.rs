//! Ways through proxies, made by hand so that they can do wrong.

use std::{future::Future, net::SocketAddr, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::Request;
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

/// What comes out at the other end of a line: the request as the proxy, or the server, reads it.
async fn written(url: &str, describe: impl FnOnce(Http, SocketAddr) -> Http) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let http = describe(Http::default(), at);
    let url: Uri = url.replace("{at}", &at.to_string()).parse().unwrap();
    let other = async {
        let mut stream = listener.accept().await.unwrap().0;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        String::from_utf8(head).unwrap().replace(&at.to_string(), "{at}")
    };
    let client = async {
        let line = http.connect_for_requests(&url).await.unwrap();
        let mut request = Request::new(http_body_util::Empty::new());
        line.form.address(&mut request, &url).unwrap();
        assert_eq!(exchange::ask(line.stream, request).await.unwrap().status(), 200);
    };
    let both = futures::future::join(other, client);
    tokio::time::timeout(Duration::from_secs(20), both).await.expect("it hangs").0
}

#[tokio::test]
async fn requests_that_are_not_encrypted_are_handed_to_the_proxy_whole() {
    let through = |http: Http, at| http.proxy(format!("http://{at}"));
    for (url, uri, host) in [
        (URL, "http://chat.example:4000/socket?token=hunter2", "chat.example:4000"),
        ("http://chat.example:80", "http://chat.example/", "chat.example"),
        ("http://[2001:db8::1]/a%20b?", "http://[2001:db8::1]/a%20b?", "[2001:db8::1]"),
    ] {
        assert_eq!(written(url, through).await, format!("GET {uri} HTTP/1.1\r\nhost: {host}\r\n\r\n"));
    }
    let told = "proxy-authorization: Basic YW5uOnM6QGZl\r\n";
    let given = written(URL, |http, at| through(http, at).proxy_credentials("ann", "s:@fe")).await;
    let found = |_, at| Http::default().proxy_variables(move |_| Some(format!("http://ann:s%3A%40fe@{at}")));
    for head in [given, written("http://chat.example:4000/socket", found).await] {
        assert!(head.starts_with("GET http://chat.example:4000/socket") && head.contains(told), "{head}");
    }
}

#[tokio::test]
async fn without_a_proxy_requests_name_the_path_alone() {
    let system = |http: Http| http.proxy_variables(|_| Some("nowhere.invalid:1".into()));
    for describe in [Http::no_proxy, system] {
        // Whatever the variables say, a loopback address is reached without.
        let head = written("ws://ann:hunter2@{at}/socket?a=b", |http, _| describe(http)).await;
        assert_eq!(head, "GET /socket?a=b HTTP/1.1\r\nhost: {at}\r\n\r\n");
    }
}

// What is encrypted is nothing a proxy could read.
#[tokio::test]
async fn requests_that_are_encrypted_take_a_tunnel() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = Http::default().proxy(format!("http://ann:hunter2@{}", listener.local_addr().unwrap()));
    let proxy = async {
        let mut stream = listener.accept().await.unwrap().0;
        let mut head = [0; 1024];
        let count = stream.read(&mut head).await.unwrap();
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.unwrap();
        String::from_utf8_lossy(&head[..count]).into_owned()
    };
    let url = "https://chat.example/socket".parse().unwrap();
    let (head, line) = futures::future::join(proxy, http.connect_for_requests(&url)).await;
    assert!(head.starts_with("CONNECT chat.example:443 "), "{head}");
    assert!(matches!(line, Err(ConnectError::ProxyRefused(_))));
}

// What a proxy of SOCKS passes on it does not read.
#[tokio::test]
async fn through_socks_requests_name_the_path_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = Http::default().proxy(format!("socks5h://{}", listener.local_addr().unwrap()));
    let proxy = async {
        let mut stream = listener.accept().await.unwrap().0;
        stream.write_all(&[5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
        stream
    };
    let url = URL.parse().unwrap();
    let (_stream, line) = futures::future::join(proxy, http.connect_for_requests(&url)).await;
    assert!(matches!(line.unwrap_or_else(|error| panic!("{error}")).form, Form::Origin));
}
