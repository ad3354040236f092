//! Small things that everyone needs.

use futures::StreamExt;
use phoenix_streams::{Channel, JoinError, PushError, Socket, Status, json};
use serde::Deserialize;

#[derive(Deserialize, Clone)]
struct Hello {
    text: String,
}

async fn greet(room: &Channel, name: &str) -> Result<Hello, PushError> {
    Ok(room.push("greet", json!({ "name": name })).await?.json()?)
}

async fn enter(room: &Channel) -> Result<Hello, JoinError> {
    Ok(room.join(()).await?.json()?)
}

fn component(socket: &Socket) -> impl Texts + use<> {
    let room = socket.channel("room:1");
    let s = room.events_as::<Hello>("hello").lossy();
    room.join(()).detach();
    s.map(|h| h.text)
}

trait Texts: futures::Stream<Item = String> + Send + 'static {}
impl<T: futures::Stream<Item = String> + Send + 'static> Texts for T {}
pub(crate) async fn main() -> anyhow::Result<()> {
    let v: http::HeaderValue = "Bearer x".parse()?;
    let name = String::from("x-b");
    let s = Socket::builder("ws://x")
        .header("x-app", "demo")
        .header(http::header::AUTHORIZATION, v)
        .header(name.as_str(), name.clone())
        .headers_with(|| async {
            let mut h = http::HeaderMap::new();
            h.insert("a", "b".parse()?);
            Ok(h)
        })
        .start()?;
    s.status().wait_for(Status::is_connected).await;
    let room = s.channel("a");
    enter(&room).await?;
    greet(&room, "x").await?;
    let _ = component(&s);
    Ok(())
}
