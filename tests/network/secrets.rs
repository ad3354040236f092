//! What is planted in URLs, proxies and keys, and must not be found in anything that is shown or logged.

use std::{
    fmt::{Debug, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use phoenix_streams::{Backoff, Builder, Http, Socket, Status, Telemetry, json};
use tracing::{Event, Metadata, Subscriber, field, span};

use crate::{address, alone, connect_proxy::ConnectProxy, server};

const SECRETS: [&str; 6] =
    ["planted-userinfo", "planted-param", "planted-header", "planted-token", "planted-proxy", "planted-variable"];

/// All that is logged, by `tracing` and by `log`.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<String>>);

impl Subscriber for Logged {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        span.record(&mut Fields(self));
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut Fields(self));
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Fields(self));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Fields<'a>(&'a Logged);

impl field::Visit for Fields<'_> {
    fn record_debug(&mut self, field: &field::Field, value: &dyn Debug) {
        writeln!(self.0.0.lock().unwrap(), "{} = {value:?}", field.name()).unwrap();
    }
}

impl log::Log for Logged {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        writeln!(self.0.lock().unwrap(), "{}", record.args()).unwrap();
    }

    fn flush(&self) {}
}

/// Runs a socket until it is open, waits or has stopped, and shows all that can be shown of it.
async fn shown(builder: Builder) -> (String, Status) {
    let mut shown = format!("{builder:?}\n");
    let socket = builder.reconnect(Backoff::steps([Duration::from_secs(60)])).idle().unwrap();
    let mut telemetry = socket.telemetry();
    let _connecting = tokio::spawn(socket.connect());
    let settled = |status: &Status| !matches!(status, Status::Idle | Status::Connecting { .. });
    let status = socket.status().wait_for(settled).await.unwrap();
    writeln!(shown, "{socket:?} {status:?}").unwrap();
    if let Status::Waiting { cause, .. } | Status::Stopped { cause } = &status {
        let mut error: Option<&dyn std::error::Error> = Some(&**cause);
        while let Some(cause) = error {
            writeln!(shown, "{cause} {cause:?}").unwrap();
            error = cause.source();
        }
    }
    socket.close().await;
    while let Some(Ok(told)) = futures::StreamExt::next(&mut telemetry).await {
        writeln!(shown, "{told:?}").unwrap();
        if let Telemetry::Failed { cause, .. } | Telemetry::Closed { cause, .. } = told {
            writeln!(shown, "{cause}").unwrap();
        }
    }
    (shown, status)
}

fn describe(host: &str, http: &Http) -> Builder {
    let (scheme, rest) = host.split_once("://").unwrap();
    Socket::builder(format!("{scheme}://ann:planted-userinfo@{rest}/socket?a=planted-param"))
        .params(json!({ "b": "planted-param" }))
        .header("x-secret", "planted-header")
        .auth_token("planted-token")
        .http(http.clone())
}

// U-18, T-29, DEV-3
#[tokio::test]
async fn nothing_that_is_planted_is_found() {
    if !alone("secrets::nothing_that_is_planted_is_found", &[]) {
        return;
    }
    let logged = Logged::default();
    tracing::subscriber::set_global_default(logged.clone()).unwrap();
    log::set_logger(Box::leak(Box::new(logged.clone()))).unwrap();
    log::set_max_level(log::LevelFilter::Trace);

    let server = server().await;
    let credentials = "ann:planted-proxy";
    let basic = format!("Basic {}", STANDARD.encode(credentials)).leak();
    let open = ConnectProxy::start(address(&server), Some(basic)).await;
    let closed = ConnectProxy::start(address(&server), Some("Basic other")).await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let through = |proxy: &dyn std::fmt::Display| Http::default().proxy(format!("http://{credentials}@{proxy}"));
    let variables = Http::default().proxy_variables(move |name| match name {
        "http_proxy" => Some("socks5://ann:planted-variable@proxy:1".into()),
        "all_proxy" => Some(format!("ann:planted-variable@{nobody}")),
        _ => None,
    });
    let mut all = String::new();
    let mut run = async |host: &str, http: &Http| {
        let (shown, status) = shown(describe(host, http)).await;
        all += &shown;
        status
    };
    let direct = format!("ws://{}", address(&server));
    let opened = run(&direct, &Http::default()).await;
    // The embedded server answers no subprotocol unless told to: that is an error too.
    assert!(matches!(opened, Status::Stopped { .. }), "{opened:?}");
    assert!(matches!(run("ws://chat.example", &through(&open.address())).await, Status::Stopped { .. }));
    assert!(matches!(run("ws://chat.example", &through(&closed.address())).await, Status::Stopped { .. }));
    open.answer_next("HTTP/1.1 502 Bad Gateway\r\n\r\n");
    assert!(matches!(run("ws://chat.example", &through(&open.address())).await, Status::Waiting { .. }));
    assert!(matches!(run("ws://chat.example", &through(&nobody)).await, Status::Waiting { .. }));
    assert!(matches!(run("ws://chat.example", &variables).await, Status::Waiting { .. }));
    assert!(matches!(run(&format!("ws://{nobody}"), &Http::default()).await, Status::Waiting { .. }));
    assert!(matches!(
        run(&format!("wss://{}", address(&server)), &Http::default()).await,
        Status::Waiting { .. } | Status::Stopped { .. }
    ));
    let through_open = through(&open.address());
    let opened = Socket::builder("ws://ann:planted-userinfo@chat.example/socket").http(through_open);
    let (open_shown, status) = shown(opened).await;
    assert!(status.is_connected(), "{status:?}");

    let logged = logged.0.lock().unwrap();
    // Whoever logs was heard: of this crate, and of those below.
    assert!(logged.contains("http_proxy") && logged.contains("SOCKS") && logged.contains("Http::connect"), "{logged}");
    for text in [&all, &open_shown, &*logged] {
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        for secret in ["ann:planted-proxy", "ann:planted-userinfo", "ann:planted-variable", "planted-token"] {
            assert!(!text.contains(STANDARD.encode(secret).trim_end_matches('=')), "{secret}: {text}");
        }
    }
}
