//! An auction, followed by its typed events: an enum whose variant the event names, combinators, one loop over all.

use std::{error::Error, future::ready};

use futures::{StreamExt, TryStreamExt, stream};
use phoenix_streams::{Socket, Status, json, testing::Server};
use serde::{Deserialize, Serialize};

/// Everything that happens at a lot. What a newer server adds is `Unknown`, and no error.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Auction {
    Bid(Bid),
    GoingOnce,
    Sold {
        to: String,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Serialize, Deserialize)]
struct Bid {
    by: String,
    euros: u32,
}

enum Seen {
    Auction(Auction),
    Record(u32),
    Status(Status),
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::builder()
        .join("lot:*", |_, _| async { Ok(json!({})) })
        .on("lot:*", "bid", |peer, bid| async move {
            peer.broadcast("bid", bid);
            Ok(json!({}))
        })
        .on("lot:*", "hammer", |peer, _| async move {
            let last = json!({ "euros": "a lot", "to": "bob" });
            ["bid", "going_once", "confetti", "sold"].iter().for_each(|event| peer.broadcast(event, &last));
            Ok(json!({}))
        });
    let server = server.start().await?;
    let lot = Socket::builder(server.url()).connect().await?.channel("lot:7");
    // Streams are taken before the join, so that none of them misses anything.
    let auction = lot.messages_as::<Auction>().map_ok(Seen::Auction);
    let records = lot.events_as::<Bid>("bid").lossy().scan(0, |highest, bid| {
        let record = (bid.euros > *highest).then_some(bid.euros);
        *highest = bid.euros.max(*highest);
        ready(Some(record))
    });
    let records = records.filter_map(ready).map(|euros| Ok(Seen::Record(euros)));
    let status = lot.socket().status().map(|status| Ok(Seen::Status(status)));
    let mut all = stream::select_all([auction.boxed(), records.boxed(), status.boxed()]);
    lot.join(()).await?;
    let bids = [("ann", 20), ("bob", 25), ("ann", 22), ("bob", 40)];
    let bids = stream::iter(bids).map(|(by, euros)| lot.push("bid", Bid { by: by.into(), euros }));
    println!("{} bids were taken", bids.buffered(2).try_collect::<Vec<_>>().await?.len());
    lot.cast("hammer", ()).await?;
    while let Some(seen) = all.next().await {
        match seen {
            Ok(Seen::Status(status)) => println!("the socket is {status:?}"),
            Ok(Seen::Record(euros)) => println!("    the highest bid so far: {euros} euros"),
            Ok(Seen::Auction(Auction::Bid(Bid { by, euros }))) => println!("{by} bids {euros} euros"),
            Ok(Seen::Auction(Auction::GoingOnce)) => println!("going once"),
            Ok(Seen::Auction(Auction::Unknown)) => println!("something that this program does not know"),
            Ok(Seen::Auction(Auction::Sold { to })) => {
                println!("sold to {to}");
                return Ok(());
            }
            Err(error) => println!("{error}"),
        }
    }
    Err("the lot was closed before it was sold".into())
}
