//! The server, and what it is told to do wrong.

use std::{io, sync::Arc, time::Duration};

use fastrand::Rng;
use phoenix_streams::{
    json,
    testing::{Fault, Server},
};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::timeout};

use super::{Books, Phase, TOPICS, WINDOW, kind, topic};

/// What a channel joins with.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Params {
    pub(crate) who: u64,
    pub(crate) epoch: u64,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Pushed {
    pub(crate) id: usize,
}

/// Counts what it handles, and tells each join apart in the stream of its ticks.
pub(crate) async fn server(books: &Arc<Books>) -> io::Result<Server> {
    let books = books.clone();
    Server::builder()
        .window(WINDOW)
        .pubsub_timeout(WINDOW / 2)
        .join("room:*", |peer, params| async move {
            let Params { epoch, .. } = params.json().expect("params");
            peer.push("tick", json!({ "epoch": epoch }));
            Ok(json!({}))
        })
        .on("room:*", "echo", move |peer, payload| {
            let books = books.clone();
            async move {
                let Params { who, epoch } = peer.join_params().json().expect("params");
                let Pushed { id } = payload.json().expect("a push");
                books.handled(id, who, epoch);
                Ok(json!({ "id": id }))
            }
        })
        .start()
        .await
}

/// Until it is calm.
pub(crate) async fn rage(server: Server, mut rng: Rng, books: Arc<Books>, mut phases: watch::Receiver<Phase>) {
    loop {
        misbehave(&server, &mut rng, &books);
        let while_it_lasts = Duration::from_millis(rng.u64(30..400));
        let calm = phases.wait_for(|phase| *phase != Phase::Storm);
        if timeout(while_it_lasts, calm).await.is_ok() {
            break;
        }
        if rng.f64() < 0.4 {
            server.behave();
        }
    }
    server.behave();
}

fn misbehave(server: &Server, rng: &mut Rng, books: &Books) {
    let mut millis = |range| Duration::from_millis(rng.u64(range));
    let (short, long) = (millis(0..100), millis(20..300));
    let few = rng.usize(1..4);
    let fault = match rng.u32(0..24) {
        0..3 => Fault::LoseMessages(few),
        3..6 => Fault::LoseAcks(few),
        6..9 => Fault::SwallowPosts(few),
        9..12 => Fault::BadGateway(few),
        12..15 => Fault::HalfClose(few),
        15..17 => Fault::DelayAnswers(long),
        17..19 => Fault::RefuseUpgrades(502),
        19 => Fault::ResetUpgraded(short),
        20 => Fault::HangHandshake,
        21 => {
            server.kill_channels(&topic(rng.usize(0..TOPICS)));
            return books.count("storm", "killed channels");
        }
        22 => {
            server.refuse_next([500, 502, 503][rng.usize(0..3)], few);
            return books.count("storm", "refused opens");
        }
        _ if rng.bool() => {
            server.drop_connections();
            return books.count("storm", "dropped connections");
        }
        _ => {
            server.close_all([1001, 1012][rng.usize(0..2)]);
            return books.count("storm", "closed all");
        }
    };
    server.misbehave(fault);
    books.count("storm", kind(&fault));
}
