//! The application that the transcripts were recorded against, as handlers of the embedded server.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

use phoenix_streams::{
    Binary, Payload, json,
    testing::{Answer, ConnectInfo, Peer, Refuse, Response, Server, ServerBuilder},
};
use serde_json::Value;
use tokio::{sync::Semaphore, task::yield_now};

/// What is slow waits for a permit of `gate`.
pub(crate) fn app(gate: &Arc<Semaphore>) -> ServerBuilder {
    echo(presence(room(intercept(Server::builder()))), gate.clone()).connect(connect)
}

async fn connect(connect: ConnectInfo) -> Result<(), Refuse> {
    let param = |name: &str| connect.params()[name].as_str();
    assert_ne!(param("deny"), Some("raise"), "connect raises on request");
    match (param("deny"), param("token"), connect.auth_token()) {
        (Some("429"), ..) => Err(Refuse::new(429).header("retry-after", "1").body("Too many requests")),
        (Some("503"), ..) => Err(Refuse::new(503).body("Unavailable")),
        (_, Some("bad"), _) | (_, _, Some("bad")) => Err(Refuse::new(403)),
        _ => Ok(()),
    }
}

fn room(server: ServerBuilder) -> ServerBuilder {
    server
        .join("room:*", accept)
        .on("room:*", "shout", |peer, payload| shout(peer, "shout", payload))
        .on("room:*", "shout_bin", |peer, payload| shout(peer, "shout_bin", payload))
        .on("room:*", "shout_from", |peer, payload| async move {
            peer.broadcast_from("shout", payload);
            Ok(json!({}))
        })
}

fn presence(server: ServerBuilder) -> ServerBuilder {
    server
        .join("presence:*", |_, params| async move { Ok(json!({ "user": value(&params)["user"] })) })
        .after_join("presence:*", |peer, params| async move {
            // Of others, who come and go at once with this, diffs may come before the state.
            yield_now().await;
            peer.push("presence_state", peer.presences());
            peer.track(&user(&peer), value(&params).get("meta").unwrap_or(&json!({})));
        })
        .on("presence:*", "update_meta", |peer, meta| async move {
            peer.update(&user(&peer), meta);
            Ok(json!({}))
        })
        .on("presence:*", "tell", |peer, what| async move {
            peer.broadcast_from("told", what);
            Ok(json!({}))
        })
        .on("presence:*", "list", |peer, _| async move { Ok(peer.presences()) })
        .on("presence:*", "untrack", |peer, _| async move {
            peer.untrack(&user(&peer));
            Ok(json!({}))
        })
        .on("presence:*", "track", |peer, _| async move {
            peer.track(&user(&peer), json!({}));
            Ok(json!({}))
        })
}

fn user(peer: &Peer) -> String {
    value(peer.join_params())["user"].as_str().unwrap().to_owned()
}

fn intercept(server: ServerBuilder) -> ServerBuilder {
    server
        .join("intercept:*", accept)
        .on_with("intercept:*", "shout", |peer, payload| async move {
            peer.broadcast("shout", payload);
            Response::nothing()
        })
        .on_with("intercept:*", "plain", |peer, payload| async move {
            peer.broadcast("plain", payload);
            Response::nothing()
        })
        .on("intercept:*", "secret", |peer, payload| shout(peer, "secret", payload))
        .intercept("intercept:*", "shout", |peer, payload| async move {
            let mut payload = value(&payload);
            payload["seen_by"] = value(peer.join_params())["who"].clone();
            peer.push("shout", payload);
        })
        .intercept("intercept:*", "secret", |_, _| async {})
}

fn echo(server: ServerBuilder, gate: Arc<Semaphore>) -> ServerBuilder {
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let behind = gate.clone();
    server
        .join_with("echo:*", move |peer, params| join_echo(peer, params, seen.clone(), gate.clone()))
        .on_with("echo:*", "echo", |_, payload| async { Response::ok(payload) })
        .on_with("echo:*", "echo_bin", |_, payload| async { Response::ok(payload) })
        .on_with("echo:*", "echo_bin_err", |_, payload| async { Response::error(payload) })
        .on("echo:*", "bin_size", |_, payload| async move { Ok(json!({ "size": payload.as_bytes().len() })) })
        .on("echo:*", "err", |_, _| async { Err(json!({ "reason": "nope" })) })
        .on("echo:*", "status", |_, _| async { Ok(json!({})) })
        .on("echo:*", "status_err", |_, _| async { Err(json!({})) })
        .on_with("echo:*", "custom_status", |_, payload| async move {
            Response::reply(value(&payload)["status"].as_str().unwrap(), json!({ "custom": true }))
        })
        .on_with("echo:*", "noreply", |_, _| async { Response::nothing() })
        .on("echo:*", "push_me", push_me)
        .on("echo:*", "push_bin", push_bin)
        .on("echo:*", "whoami", |peer, _| async move { Ok(whoami(&peer)) })
        .on_with("echo:*", "stop", |_, _| async { Response::stop() })
        .on_with("echo:*", "stop_shutdown", |_, _| async { Response::stop() })
        .on_with("echo:*", "stop_reply", |_, _| async { Response::ok(json!({ "bye": true })).then_stop() })
        .on_with("echo:*", "crash", |_, _| async { Response::crash() })
        .on_with("echo:*", "exit", |_, _| async { panic!("an exit on request") })
        .on_with("echo:*", "slow", move |_, payload| {
            let gate = behind.clone();
            async move {
                Response::later(|later| {
                    drop(tokio::spawn(async move {
                        gate.acquire().await.unwrap().forget();
                        later.reply("ok", payload);
                    }))
                })
            }
        })
}

async fn join_echo(peer: Peer, params: Payload, seen: Arc<Mutex<HashSet<String>>>, gate: Arc<Semaphore>) -> Response {
    let topic = peer.topic().to_owned();
    let first = seen.lock().unwrap().insert(topic.clone());
    let mut params =
        if params.is_binary() { json!({ "binary_size": params.as_bytes().len() }) } else { value(&params) };
    let sleeps = params.as_object_mut().is_some_and(|params| params.remove("sleep_ms").is_some());
    if topic == "echo:slowjoin" || sleeps {
        gate.acquire().await.unwrap().forget();
    }
    let joined = Response::ok(json!({ "joined": topic, "params": params }));
    match topic.split(':').collect::<Vec<_>>()[1..] {
        _ if params["crash"].is_u64() => Response::crash(),
        ["refuse"] => Response::error(json!({ "reason": "unauthorized" })),
        ["crashjoin"] => panic!("a crash on request"),
        ["flaky", key] if first => Response::error(json!({ "reason": "flaky", "key": key })),
        ["once", key] if !first => Response::error(json!({ "reason": "once", "key": key })),
        ["autoclose"] => joined.then_stop(),
        ["pushfirst"] => {
            peer.push("hello", json!({ "first": true }));
            joined
        }
        _ => joined,
    }
}

async fn push_me(peer: Peer, payload: Payload) -> Answer {
    let (count, size) = count_and_size(&payload);
    for i in 1..=count {
        peer.push("msg", json!({ "i": i, "data": "x".repeat(size) }));
    }
    Ok(json!({ "n": count }))
}

async fn push_bin(peer: Peer, payload: Payload) -> Answer {
    let (count, size) = count_and_size(&payload);
    let byte = if value(&payload)["ascii"] == true { b'A' } else { 0xff };
    for i in 1..=count {
        peer.push("bin", Binary([&i.to_be_bytes()[..], &vec![byte; size]].concat()));
    }
    Ok(json!({ "n": count }))
}

fn whoami(peer: &Peer) -> Value {
    let connect = peer.connect();
    let long_poll = connect.uri().path().ends_with("/longpoll");
    let own = connect.headers().iter().filter(|(name, _)| name.as_str().starts_with("x-"));
    let own: HashMap<_, _> = own.map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let mut who = json!({
        "auth_token": connect.auth_token(), "channel_pid": "#PID<0.1.0>", "transport_pid": "#PID<0.2.0>",
        "id": connect.params()["user_id"].as_str().map(|id| format!("user:{id}")),
        "join_params": value(peer.join_params()), "params": connect.params(),
        "serializer": "Phoenix.Socket.V2.JSONSerializer", "transport": if long_poll { "longpoll" } else { "websocket" },
        "uri": format!("http://{}{}", connect.headers()["host"].to_str().unwrap(), connect.uri()),
        "peer": format!("%{{address: {{127, 0, 0, 1}}, port: {}, ssl_cert: nil}}", connect.peer().port()),
        "user_agent": null, "x_headers": own,
    });
    // What no handler here can know, as it was recorded over each.
    let (join_count, reference) = if long_poll { (1, "2") } else { (2, "15") };
    for (key, value) in [("join_count", json!(join_count)), ("join_ref", json!("1")), ("ref", json!(reference))] {
        who[key] = value;
    }
    who
}

async fn accept(_: Peer, _: Payload) -> Answer {
    Ok(json!({}))
}

async fn shout(peer: Peer, event: &str, payload: Payload) -> Answer {
    peer.broadcast(event, payload);
    Ok(json!({}))
}

fn count_and_size(payload: &Payload) -> (u32, usize) {
    let payload = value(payload);
    (payload["n"].as_u64().unwrap_or(1) as u32, payload["size"].as_u64().unwrap_or(0) as usize)
}

fn value(payload: &Payload) -> Value {
    payload.json().unwrap()
}
