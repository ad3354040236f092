//! Presence, message by message, and then with many who come and go at once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tokio::{
    sync::Barrier,
    task::{JoinSet, yield_now},
};

use super::{
    BEAT, BEATEN,
    client::{Client, frame},
    connect,
};
use crate::{
    json,
    testing::{Fault, Peer, Response, Server, ServerBuilder},
};

/// Tracks whom the join's params name.
fn rooms() -> ServerBuilder {
    Server::builder()
        .join("room:*", |_, _| async { Ok(json!({})) })
        .after_join("room:*", |peer, params| async move {
            // Others come and go meanwhile: diffs may be there before the state.
            yield_now().await;
            peer.push("presence_state", peer.presences());
            for user in params.json::<BTreeMap<String, Vec<String>>>().unwrap().remove("users").unwrap_or_default() {
                peer.track(&user, json!({ "a": 1 }));
            }
        })
        .on("room:*", "track", |peer, payload| async move {
            Ok(json!(peer.track(payload.json().unwrap(), json!({ "a": 1 }))))
        })
        .on("room:*", "update", |peer, payload| async move {
            Ok(json!(peer.update(payload.json().unwrap(), json!({ "a": 2 }))))
        })
        .on("room:*", "untrack", |peer, payload| async move {
            peer.untrack(payload.json().unwrap());
            Ok(json!({}))
        })
        .on("room:*", "list", |peer, _| async move { Ok(peer.presences()) })
        .on("room:*", "bad meta", |peer, _| async move { Ok(json!(peer.track("x", json!([1])))) })
        .on_with("room:*", "stop", |_, _| async { Response::stop() })
        .on_with("room:*", "crash", |_, _| async { panic!("a crash on request") })
}

async fn next(client: &mut Client) -> Value {
    serde_json::from_str(&client.next().await).unwrap()
}

/// Of a diff, a state or a list: by key, the metas without their refs, which are as they should be.
fn told(state: &Value) -> BTreeMap<&str, Vec<Value>> {
    let told = state.as_object().unwrap().iter().map(|(key, presence)| {
        let metas = presence["metas"].as_array().unwrap().iter().map(|meta| {
            let mut meta = meta.clone();
            let reference = meta.as_object_mut().unwrap().remove("phx_ref").unwrap();
            assert!(is_ref(reference.as_str().unwrap()), "{reference}");
            meta
        });
        (key.as_str(), metas.collect())
    });
    told.collect()
}

fn is_ref(reference: &str) -> bool {
    reference.len() == 16 && reference.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn keys(state: &Value) -> Vec<&str> {
    told(state).into_keys().collect()
}

/// Joined with ref 1 as these users, and all of that heard.
async fn present(server: &Server, users: &[&str]) -> Client {
    let mut client = connect(server).await;
    client.send(&json!(["1", "1", "room:1", "phx_join", { "users": users }]).to_string()).await;
    assert_eq!(client.next().await, r#"["1","1","room:1","phx_reply",{"response":{},"status":"ok"}]"#);
    let state = next(&mut client).await;
    assert_eq!(state[3], "presence_state");
    for user in users {
        assert_eq!(keys(&joins(&mut client).await), [*user]);
    }
    client
}

async fn joins(client: &mut Client) -> Value {
    let mut diff = next(client).await;
    assert_eq!(diff[4]["leaves"], json!({}), "{diff}");
    diff[4]["joins"].take()
}

async fn leaves(client: &mut Client) -> Value {
    let mut diff = next(client).await;
    assert_eq!((&diff[3], &diff[4]["joins"]), (&json!("presence_diff"), &json!({})), "{diff}");
    diff[4]["leaves"].take()
}

// P-12, N-10
#[tokio::test]
async fn the_state_is_a_push_behind_the_reply_and_a_diff_is_a_broadcast() {
    let server = rooms().start().await.unwrap();
    let mut ann = present(&server, &["ann"]).await;
    let mut bob = connect(&server).await;
    let join = frame(0x81, br#"["7","7","room:1","phx_join",{"users":["bob"]}]"#);
    // At once with the join, and still behind all that comes of it.
    bob.raw(&[join, frame(0x81, br#"["7","8","room:1","list",null]"#)].concat()).await;
    assert_eq!(bob.next().await, r#"["7","7","room:1","phx_reply",{"response":{},"status":"ok"}]"#);
    let (state, diff) = (next(&mut bob).await, bob.next().await);
    let list = server.presences("room:1");
    assert_eq!(keys(&list), ["ann", "bob"]);
    let reference = |key: &str| list[key]["metas"][0]["phx_ref"].as_str().unwrap();
    let before = json!({ "ann": { "metas": [{ "phx_ref": reference("ann"), "a": 1 }] } });
    assert_eq!(state, json!(["7", null, "room:1", "presence_state", before]));
    // Their own fields come last: what Phoenix sends is the same to the byte.
    let bob_joins = format!(
        r#"[null,null,"room:1","presence_diff",{{"joins":{{"bob":{{"metas":[{{"phx_ref":"{}","a":1}}]}}}},"leaves":{{}}}}]"#,
        reference("bob"),
    );
    assert_eq!([diff, ann.next().await], [bob_joins.clone(), bob_joins]);
    assert_eq!(next(&mut bob).await, json!(["7", "8", "room:1", "phx_reply", { "response": list, "status": "ok" }]));
}

// P-35
#[tokio::test]
async fn an_update_is_one_diff() {
    let server = rooms()
        .on("room:*", "own refs", |peer, _| async move {
            Ok(json!(peer.update("ann", json!({ "phx_ref": "mine", "phx_ref_prev": 1, "z": 0 }))))
        })
        .start()
        .await
        .unwrap();
    let mut ann = present(&server, &["ann"]).await;
    let mut other = present(&server, &["ann"]).await;
    joins(&mut ann).await;
    let mut old = server.presences("room:1")["ann"]["metas"][0]["phx_ref"].clone();
    let mut fields = r#""a":1"#;
    for (event, after) in [("update", r#""a":2"#), ("own refs", r#""z":0"#)] {
        ann.send(&json!(["1", "2", "room:1", event, "ann"]).to_string()).await;
        let diff = other.next().await;
        assert_eq!(ann.next().await, diff);
        let new = next(&mut ann).await[4]["response"].clone();
        assert!(is_ref(new.as_str().unwrap()) && new != old);
        let prev = diff.split_once(r#""leaves""#).unwrap().1.contains("phx_ref_prev");
        assert_eq!(prev, event == "own refs");
        let joined = format!(r#"{{"joins":{{"ann":{{"metas":[{{"phx_ref":{new},"phx_ref_prev":{old},{after}}}]}}}},"#);
        assert!(diff.contains(&joined), "{diff} {joined}");
        assert!(diff.contains(&format!(r#""leaves":{{"ann":{{"metas":[{{"phx_ref":{old}"#)), "{diff}");
        assert!(diff.ends_with(&format!("{fields}}}]}}}}}}]")), "{diff} {fields}");
        // It keeps its place.
        let list = server.presences("room:1");
        assert_eq!(list["ann"]["metas"].as_array().unwrap().len(), 2);
        assert_eq!(list["ann"]["metas"][0]["phx_ref"], new);
        (old, fields) = (new, after);
    }
}

#[tokio::test]
async fn however_a_channel_ends_the_others_get_one_diff() {
    let server = rooms().start().await.unwrap();
    let mut other = present(&server, &["ann"]).await;
    for (end, its_own) in [
        (r#"["1","2","room:1","phx_leave",{}]"#, &["phx_reply", "phx_close"][..]),
        (r#"["1","2","room:1","stop",{}]"#, &["phx_close"]),
        (r#"["1","2","room:1","crash",{}]"#, &["phx_error"]),
        (r#"["1","2","room:1","phx_join",{}]"#, &["phx_reply", "phx_close", "presence_state"]),
        ("not a message", &[]),
    ] {
        let mut client = present(&server, &["bob", "ann"]).await;
        assert_eq!([keys(&joins(&mut other).await), keys(&joins(&mut other).await)], [["bob"], ["ann"]]);
        client.send(end).await;
        let left = leaves(&mut other).await;
        let meta = || vec![json!({ "a": 1 })];
        assert_eq!(told(&left), BTreeMap::from([("ann", meta()), ("bob", meta())]), "{end}");
        assert_eq!(told(&server.presences("room:1")), BTreeMap::from([("ann", meta())]), "{end}");
        // Itself it has got none.
        for event in its_own {
            assert_eq!(next(&mut client).await[3], *event, "{end}");
        }
        client.send(BEAT).await;
        assert_eq!(client.next().await == BEATEN, !its_own.is_empty(), "{end}");
    }
}

#[tokio::test]
async fn those_killed_or_cut_off_are_present_no_more() {
    let server = rooms().start().await.unwrap();
    let mut clients = [present(&server, &["ann"]).await, present(&server, &["bob"]).await];
    server.kill_channels("room:1");
    for client in &mut clients {
        while next(client).await[3] != "phx_error" {}
    }
    assert_eq!(server.presences("room:1"), json!({}));
    present(&server, &["ann"]).await;
    server.drop_connections();
    server.wait_for_connections(0).await;
    while server.channels("room:1") > 0 {
        yield_now().await;
    }
    assert_eq!(server.presences("room:1"), json!({}));
}

#[tokio::test]
async fn what_cannot_be_done_crashes_the_channel() {
    let server = rooms().start().await.unwrap();
    for (event, key) in [("track", "ann"), ("update", "bob"), ("bad meta", "")] {
        let mut client = present(&server, &["ann"]).await;
        client.send(&json!(["1", "2", "room:1", event, key]).to_string()).await;
        assert_eq!(client.next().await, r#"["1","1","room:1","phx_error",{"reason":"channel_crash"}]"#);
        assert_eq!(server.presences("room:1"), json!({}));
    }
    // To take away what is not there is no mistake.
    let mut client = present(&server, &["ann"]).await;
    for (key, left) in [("bob", &[][..]), ("ann", &["ann"]), ("ann", &[])] {
        client.send(&json!(["1", "2", "room:1", "untrack", key]).to_string()).await;
        if !left.is_empty() {
            assert_eq!(keys(&leaves(&mut client).await), left);
        }
        assert_eq!(client.next().await, r#"["1","2","room:1","phx_reply",{"response":{},"status":"ok"}]"#);
    }
}

// P-14
#[tokio::test]
async fn no_key_is_special() {
    let server = rooms().start().await.unwrap();
    let odd = ["", "*", "__proto__", "constructor", "metas", "é"];
    let mut client = present(&server, &odd).await;
    assert_eq!(keys(&server.presences("room:1")), odd);
    client.send(r#"["1","2","room:1","list",{}]"#).await;
    assert_eq!(keys(&next(&mut client).await[4]["response"]), odd);
}

#[tokio::test]
async fn a_peer_that_is_gone_tracks_nothing() {
    let kept: Arc<Mutex<Vec<Peer>>> = Arc::default();
    let keep = kept.clone();
    let server = rooms().on("room:*", "keep", move |peer, _| {
        keep.lock().unwrap().push(peer);
        async { Ok(json!({})) }
    });
    let server = server.start().await.unwrap();
    let mut other = present(&server, &[]).await;
    for end in ["stop", "crash"] {
        let mut client = present(&server, &["ann"]).await;
        client.send(r#"["1","2","room:1","keep",{}]"#).await;
        client.next().await;
        let peer = kept.lock().unwrap().pop().unwrap();
        // Not from a handler, and all the same this channel's.
        peer.track("bob", ());
        client.send(&json!(["1", "3", "room:1", end, {}]).to_string()).await;
        assert_eq!([keys(&joins(&mut other).await), keys(&joins(&mut other).await)], [["ann"], ["bob"]]);
        assert_eq!(keys(&leaves(&mut other).await), ["ann", "bob"]);
        assert!(is_ref(&peer.track("ann", json!({}))) && is_ref(&peer.update("cid", json!({}))));
        peer.untrack("ann");
        assert_eq!(server.presences("room:1"), json!({}));
    }
    other.send(BEAT).await;
    assert_eq!(other.next().await, BEATEN);
}

#[tokio::test]
async fn what_is_fetched_stands_beside_the_metas() {
    let server = rooms()
        .presence_fetch("room:*", |key| {
            assert_ne!(key, "unknown", "a fetch that fails");
            json!({ "name": key.to_uppercase(), "metas": "are not fetched" })
        })
        .presence_fetch("*", |_| json!("of several the first counts"))
        .start()
        .await
        .unwrap();
    let mut client = connect(&server).await;
    client.send(r#"["1","1","room:1","phx_join",{"users":["ann"]}]"#).await;
    client.next().await;
    client.next().await;
    assert_eq!(joins(&mut client).await["ann"]["name"], "ANN");
    client.send(r#"["1","2","room:1","update","ann"]"#).await;
    let diff = &next(&mut client).await[4];
    assert_eq!([&diff["joins"]["ann"]["name"], &diff["leaves"]["ann"]["name"]], ["ANN", "ANN"]);
    assert_eq!(next(&mut client).await[3], "phx_reply");
    let list = server.presences("room:1");
    assert_eq!((&list["ann"]["name"], list["ann"]["metas"][0]["a"].as_u64()), (&json!("ANN"), Some(2)));
    let mut other = present(&server, &[]).await;
    client.send(r#"["1","3","room:1","track","unknown"]"#).await;
    assert_eq!(leaves(&mut other).await["ann"]["name"], "ANN");
    assert_eq!(client.next().await, r#"["1","1","room:1","phx_error",{"reason":"channel_crash"}]"#);
}

/// Also while the channel's own panic unwinds.
#[tokio::test]
async fn a_fetch_that_fails_at_the_end_leaves_no_ghost() {
    let fails = Arc::new(Mutex::new(false));
    let failing = fails.clone();
    let server = rooms().presence_fetch("room:*", move |_| {
        let fails = *failing.lock().unwrap();
        assert!(!fails, "a fetch that fails");
        json!({ "name": "a" })
    });
    let server = server.start().await.unwrap();
    let mut other = present(&server, &[]).await;
    for end in ["stop", "crash"] {
        let mut client = present(&server, &["ann"]).await;
        joins(&mut other).await;
        *fails.lock().unwrap() = true;
        client.send(&json!(["1", "2", "room:1", end, {}]).to_string()).await;
        let left = leaves(&mut other).await;
        assert_eq!((keys(&left), &left["ann"]["name"]), (vec!["ann"], &Value::Null));
        *fails.lock().unwrap() = false;
        assert_eq!(server.presences("room:1"), json!({}));
    }
}

#[tokio::test]
async fn a_join_may_track_and_be_refused() {
    let server = Server::builder()
        .join("room:*", |peer, _| async move {
            peer.track("ann", ());
            if peer.topic() == "room:1" { Ok(json!({})) } else { Err(json!({})) }
        })
        .start()
        .await
        .unwrap();
    let mut client = connect(&server).await;
    for (topic, status) in [("room:1", "ok"), ("room:2", "error")] {
        client.send(&json!(["1", "1", topic, "phx_join", {}]).to_string()).await;
        assert_eq!(next(&mut client).await[4]["status"], status);
        while server.presences(topic).as_object().unwrap().is_empty() != (status == "error") {
            yield_now().await;
        }
    }
}

#[tokio::test]
async fn of_several_after_join_the_first_runs() {
    let push = |name: &'static str| move |peer: Peer, _| async move { peer.push(name, json!({})) };
    let server = Server::builder()
        .after_join("room:1", push("first"))
        .after_join("room:*", push("second"))
        .after_join("room:2", push("third"))
        .join("*", |_, _| async { Ok(json!({})) })
        .start()
        .await
        .unwrap();
    let mut client = connect(&server).await;
    for (topic, event) in [("room:1", "first"), ("room:2", "second"), ("hall", "phx_reply")] {
        client.send(&json!(["1", "1", topic, "phx_join", {}]).to_string()).await;
        assert_eq!(next(&mut client).await[3], "phx_reply");
        client.send(BEAT).await;
        assert_eq!(next(&mut client).await[3], event);
        if event != "phx_reply" {
            assert_eq!(client.next().await, BEATEN);
        }
    }
}

#[tokio::test]
async fn a_diff_is_a_broadcast_like_any_other() {
    let server = rooms()
        .presence_diff_event("room:*", "diff")
        .intercept("room:*", "diff", |peer, payload| async move { peer.push("seen", payload) })
        .start()
        .await
        .unwrap();
    let mut client = connect(&server).await;
    client.send(r#"["1","1","room:1","phx_join",{"users":["ann"]}]"#).await;
    client.next().await;
    client.next().await;
    let seen = next(&mut client).await;
    assert_eq!((&seen[0], &seen[3], keys(&seen[4]["joins"])), (&json!("1"), &json!("seen"), vec!["ann"]));

    let server = rooms().start().await.unwrap();
    server.misbehave(Fault::BroadcastWithJoinRef);
    let mut client = connect(&server).await;
    client.send(r#"["1","1","room:1","phx_join",{"users":["ann"]}]"#).await;
    client.next().await;
    client.next().await;
    assert_ne!(next(&mut client).await[0], Value::Null);
}

/// Refs and metas, by key.
type Folded = BTreeMap<String, BTreeMap<String, Value>>;

/// A client that keeps the list of those present, as the protocol would have it.
struct Folding {
    client: Client,
    user: String,
    join_ref: u64,
    pending: Option<Vec<Value>>,
    list: Folded,
}

impl Folding {
    async fn new(server: &Server, user: String) -> Self {
        let client = connect(server).await;
        let mut folding = Folding { client, user, join_ref: 0, pending: None, list: Folded::new() };
        folding.join().await;
        folding
    }

    async fn join(&mut self) {
        self.join_ref += 1;
        (self.pending, self.list) = (Some(Vec::new()), Folded::new());
        let join_ref = self.join_ref.to_string();
        self.client.send(&json!([join_ref, "j", "room:1", "phx_join", { "users": [self.user] }]).to_string()).await;
        self.until("phx_reply").await;
    }

    /// Of a channel that ends, diffs may come up to its `phx_close`. None does behind it.
    async fn closed(&mut self) {
        self.until("phx_close").await;
        self.pending = Some(Vec::new());
    }

    async fn push(&mut self, event: &str) -> Value {
        let push = json!([self.join_ref.to_string(), "p", "room:1", event, self.user]);
        self.client.send(&push.to_string()).await;
        self.until("phx_reply").await[4]["response"].take()
    }

    async fn until(&mut self, event: &str) -> Value {
        let join_ref = json!(self.join_ref.to_string());
        loop {
            let message = next(&mut self.client).await;
            match message[3].as_str().unwrap() {
                name if name == event => return message,
                // Of the channel that was replaced.
                "presence_state" if message[0] != join_ref => {}
                "presence_state" => {
                    self.list = folded(&message[4]);
                    for diff in self.pending.take().unwrap() {
                        self.apply(&diff);
                    }
                }
                "presence_diff" => match &mut self.pending {
                    Some(pending) => pending.push(message),
                    None => self.apply(&message),
                },
                _ => panic!("unexpected: {message}"),
            }
        }
    }

    fn apply(&mut self, diff: &Value) {
        for (key, metas) in folded(&diff[4]["joins"]) {
            self.list.entry(key).or_default().extend(metas);
        }
        for (key, metas) in folded(&diff[4]["leaves"]) {
            self.list.entry(key).or_default().retain(|reference, _| !metas.contains_key(reference));
        }
        self.list.retain(|_, metas| !metas.is_empty());
    }
}

fn folded(state: &Value) -> Folded {
    let state = state.as_object().unwrap().iter().map(|(key, presence)| {
        let metas = presence["metas"].as_array().unwrap().iter();
        (key.clone(), metas.map(|meta| (meta["phx_ref"].as_str().unwrap().to_owned(), meta.clone())).collect())
    });
    state.collect()
}

// P-37, P-38
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_comes_to_another_list_than_the_servers() {
    const CLIENTS: usize = 24;
    const STEPS: usize = 40;
    let seed = fastrand::u64(..);
    let server = rooms().start().await.unwrap();
    let barrier = Arc::new(Barrier::new(CLIENTS));
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        let (server, barrier) = (server.clone(), barrier.clone());
        clients.spawn(async move {
            let mut random = fastrand::Rng::with_seed(seed + n as u64);
            // Some are the same user.
            let user = || format!("u{}", n % (CLIENTS / 2));
            let mut client = Folding::new(&server, user()).await;
            for _ in 0..STEPS {
                match random.u8(..6) {
                    0 | 1 => drop(client.push("update").await),
                    2 => {
                        client.push("untrack").await;
                        client.push("track").await;
                    }
                    3 => {
                        client.push("phx_leave").await;
                        client.closed().await;
                        client.join().await;
                    }
                    4 => {
                        client.join().await;
                        client.closed().await;
                    }
                    _ => client = Folding::new(&server, user()).await,
                }
            }
            // All are present again, and then those who were cut off are no more.
            client.push("list").await;
            barrier.wait().await;
            while server.channels("room:1") > CLIENTS {
                yield_now().await;
            }
            let list = client.push("list").await;
            assert_eq!(client.list, folded(&list), "seed {seed}");
            assert_eq!(list, server.presences("room:1"), "seed {seed}");
            assert_eq!(list.as_object().unwrap().len(), CLIENTS / 2);
            // None goes before all have compared.
            barrier.wait().await;
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
}
