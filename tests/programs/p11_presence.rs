//! A presence list bound to a draw loop: by way of a watch, or without.

use futures::StreamExt;
use phoenix_streams::{Change, Presence, PresenceState, Socket};
use serde::Deserialize;
use std::time::Duration;
use tokio::sync::watch;

#[derive(Deserialize, Debug, PartialEq)]
struct Meta {
    nick: String,
    online_at: u64,
}
#[derive(Deserialize)]
struct User {
    name: String,
}
struct Frame(Vec<String>);
fn draw(p: &Presence<Meta>, f: &mut Frame) {
    f.0.push(match p.state() {
        PresenceState::Awaiting => "…".into(),
        PresenceState::Stale => format!("{} (stale)", p.len()),
        _ => p.len().to_string(),
    });
    for e in p.iter() {
        let name = e.json::<User>().map(|u| u.name).unwrap_or_else(|_| e.key().to_owned());
        f.0.push(format!("{name} {}", e.metas().first().map_or("", |m| m.nick.as_str())));
    }
}
pub(crate) async fn main() -> anyhow::Result<()> {
    let socket = Socket::builder("ws://localhost:4000/socket").start()?;
    let room = socket.channel("room:1");
    let mut who = room.presence::<Meta>();
    room.join(()).await?;
    let (tx, rx) = watch::channel(Presence::<Meta>::default());
    tokio::spawn(async move {
        let mut before = Presence::default();
        while let Some(now) = who.next().await {
            for c in now.changes_since(&before) {
                match c {
                    Change::Joined(e) => println!("+{}", e.key()),
                    Change::Left(e) => println!("-{}", e.key()),
                    Change::Updated { old, new } => println!("{:?}->{:?}", old.metas(), new.metas()),
                }
            }
            before = now.clone();
            if tx.send(now).is_err() {
                break;
            }
        }
    });
    let mut tick = tokio::time::interval(Duration::from_millis(33));
    let mut rx2 = rx.clone();
    loop {
        tokio::select! { _ = tick.tick() => {}, r = rx2.changed() => if r.is_err() { break } }
        let mut f = Frame(vec![]);
        draw(&rx2.borrow_and_update(), &mut f);
        println!("{}", f.0.join("\n"));
    }
    // without watch at all: the stream is one
    let who = room.presence::<Meta>();
    let mut f = Frame(vec![]);
    draw(&who.current(), &mut f);
    Ok(())
}
