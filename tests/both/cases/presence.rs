//! Who is present, as many clients see it that come and go, whose connections are cut and whose channels crash.

use futures::future::join_all;
use phoenix_streams::{Value, json, testing::Peer};
use tokio::task::yield_now;

use super::{server_of_short_polls, transport};
use crate::company::{Member, list_of};

const TOPIC: &str = "room:1";
const MEMBERS: usize = 5;

// P-9, P-11, P-12, P-38, DEV-17
#[tokio::test]
async fn every_list_is_the_servers_own_after_all_that_can_happen() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    let server = server_of_short_polls()
        .join("room:*", |_, _| async { Ok(json!({})) })
        .after_join("room:*", |peer, params| async move {
            // Of others, who come and go at once with this, diffs may come before the state.
            yield_now().await;
            peer.push("presence_state", peer.presences());
            peer.track(&user(&peer), params.json::<Value>().unwrap()["meta"].clone());
        })
        .on("room:*", "update_meta", |peer, meta| async move {
            peer.untrack(&user(&peer));
            peer.track(&user(&peer), json!({ "first": true }));
            peer.update(&user(&peer), meta);
            Ok(json!({}))
        })
        .on("room:*", "track", |peer, _| async move {
            peer.untrack(&user(&peer));
            peer.track(&user(&peer), json!({}));
            Ok(json!({}))
        })
        .on("room:*", "untrack", |peer, _| async move {
            peer.untrack(&user(&peer));
            Ok(json!({}))
        })
        .on("room:*", "list", |peer, _| async move { Ok(peer.presences()) })
        .start()
        .await
        .unwrap();
    let names = ["ann", "bob", "__proto__"];
    let enter = |n: usize| Member::enter(server.url(), transport(), TOPIC, names[n % 3], seed ^ n as u64);
    let mut members = join_all((0..MEMBERS).map(enter)).await;
    let mut random = fastrand::Rng::with_seed(seed);
    for _round in 0..8 {
        let storm = async {
            for _ in 0..random.u32(..20) {
                yield_now().await;
            }
            match random.u32(..3) {
                0 => server.drop_connections(),
                1 => server.kill_channels(TOPIC),
                _ => {}
            }
        };
        let acting = join_all(members.iter_mut().map(async |member| {
            for _ in 0..10 {
                member.act().await;
            }
        }));
        futures::join!(storm, acting);
    }
    for member in &mut members {
        member.settle(true).await;
    }
    // Those who were cut are gone once nobody is left but these.
    while list_of(&server.presences(TOPIC)).values().map(|metas| metas.len()).sum::<usize>() != MEMBERS {
        yield_now().await;
    }
    for member in &mut members {
        let list = member.agrees().await;
        assert_eq!(list, list_of(&server.presences(TOPIC)));
    }
}

fn user(peer: &Peer) -> String {
    peer.join_params().json::<Value>().unwrap()["user"].as_str().unwrap().to_owned()
}
