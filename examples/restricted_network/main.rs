//! News, read in networks that keep WebSockets out, each in its own way: the socket falls back to long-poll, goes on, and
//! is back on the WebSocket once that is let through. What it has found out is kept in a file, for the next socket.

mod file_store;

use std::{
    error::Error,
    path::Path,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use futures::{StreamExt, future::ready};
use phoenix_streams::{
    Builder, Channel, EventsAs, LongPoll, Socket, Status, SwitchReason, Telemetry, TelemetryStream, WebSocket, json,
    testing::{Fault, Server},
};
use serde::Deserialize;

use file_store::FileStore;

const NETWORKS: [(&str, Fault); 3] = [
    ("a proxy knows no WebSockets", Fault::RefuseUpgrades(501)),
    ("a proxy opens WebSockets, and swallows what they carry", Fault::SwallowFrames),
    ("a proxy resets WebSockets after 400 ms", Fault::ResetUpgraded(Duration::from_millis(400))),
];

#[derive(Deserialize)]
struct News {
    number: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::temp_dir().join(format!("restricted_network-{}", std::process::id()));
    let toured = tokio::time::timeout(Duration::from_secs(25), tour(&file)).await;
    // There is none where it ended early.
    let _ = std::fs::remove_file(file);
    toured.map_err(|_| "what should happen next does not happen")?
}

async fn tour(file: &Path) -> Result<(), Box<dyn Error>> {
    let server = serve().await?;
    let socket = describe(&server, file).idle()?;
    let (mut log, mut heard) = (socket.telemetry(), 0);
    let channel = socket.channel("news");
    let mut news = channel.events_as("published");
    channel.join(()).detach();
    for (network, fault) in NETWORKS {
        println!("\n-- {network} --");
        server.misbehave(fault);
        tokio::spawn(socket.connect());
        until("falls back", &mut log).await?;
        until("joined", &mut log).await?;
        publish(&channel, &mut news, &mut heard).await?;
        if let Fault::RefuseUpgrades(_) = fault {
            start_another(&server, file).await?;
        }
        until("tried", &mut log).await?;

        println!("-- and now it lets them through --");
        server.behave();
        until("goes back", &mut log).await?;
        until("joined", &mut log).await?;
        publish(&channel, &mut news, &mut heard).await?;
        socket.disconnect().await;
        until("closed", &mut log).await?;
    }
    socket.close().await;
    Ok(())
}

/// A server that numbers its news. One comes out in the middle of each join, and so for nobody to hear.
async fn serve() -> std::io::Result<Server> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    Server::builder()
        .join("news", |_, _| {
            COUNT.fetch_add(1, Relaxed);
            ready(Ok(json!({})))
        })
        .on("news", "publish", |peer, _| {
            let number = json!({ "number": COUNT.fetch_add(1, Relaxed) });
            peer.broadcast("published", &number);
            ready(Ok(number))
        })
        .window(Duration::from_millis(300))
        .start()
        .await
}

/// With times that can be watched: by default they are seconds and minutes.
fn describe(server: &Server, file: &Path) -> Builder {
    let ms = Duration::from_millis;
    let transport = WebSocket::default().or(LongPoll::default()).store(FileStore::at(file));
    let transport = transport.threshold(ms(500)).short_lived(2, ms(800)).trust_for(ms(0)).probe_every(ms(300));
    Socket::builder(server.url()).transport(transport)
}

/// As of a program that starts again.
async fn start_another(server: &Server, file: &Path) -> Result<(), Box<dyn Error>> {
    let socket = describe(server, file).connect().await?;
    let Status::Connected { transport, fallback: Some(reason @ SwitchReason::Remembered) } = socket.status().current()
    else {
        return Err("the file was not asked".into());
    };
    show("another", format!("socket begins with {transport}: {reason}"));
    socket.close().await;
    Ok(())
}

/// A push with its reply, and the event that comes of it. Its number shows what was missed before.
async fn publish(channel: &Channel, news: &mut EventsAs<News>, heard: &mut u64) -> Result<(), Box<dyn Error>> {
    let reply: News = channel.push("publish", ()).await?.json()?;
    let News { number } = news.next().await.ok_or("the channel is closed")??;
    if *heard + 1 < number {
        show("missed", format!("news {:?}, between two connections", Vec::from_iter(*heard + 1..number)));
    }
    show("pushed", format!("and answered: this is news {}", reply.number));
    show("heard", format!("news {number}"));
    *heard = number;
    Ok(())
}

/// Shows what happens to the socket, until this does.
async fn until(wanted: &str, log: &mut TelemetryStream) -> Result<(), Box<dyn Error>> {
    while let Some(happened) = log.next().await {
        let (what, details) = match happened? {
            Telemetry::Connecting { attempt } => ("connecting", format!("attempt {attempt}")),
            Telemetry::Opened { transport } => ("open", format!("by {transport}")),
            Telemetry::Switched { from, to, reason: SwitchReason::Healed } => {
                ("goes back", format!("from {from} to {to}"))
            }
            Telemetry::Switched { from, to, reason } => ("falls back", format!("from {from} to {to}: {reason}")),
            Telemetry::ProbeFailed { transport, cause } => ("tried", format!("{transport}, in vain: {cause}")),
            Telemetry::Closed { cause, .. } => ("closed", cause.to_string()),
            Telemetry::Joined { topic, .. } => ("joined", topic.to_string()),
            Telemetry::Stopped { cause } => return Err(cause.into()),
            _ => continue,
        };
        show(what, details);
        if what == wanted {
            return Ok(());
        }
    }
    Err("the socket has ended".into())
}

fn show(what: &str, details: String) {
    println!("{what:>10}  {details}");
}
