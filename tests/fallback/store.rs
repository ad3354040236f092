//! What is remembered of servers.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use phoenix_streams::{Socket, Status, SwitchReason, testing::Fault, transport::FallbackStore};

use crate::support::{Log, builder, in_time, ms, rooms, transport, words};

/// Of one server. A clone is the same.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    until: Option<SystemTime>,
    asked: Vec<String>,
    told: Vec<String>,
}

impl Store {
    fn until(&self) -> Option<SystemTime> {
        self.0.lock().unwrap().until
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().told)
    }
}

impl FallbackStore for Store {
    fn recall(&self, server: &str) -> Option<SystemTime> {
        let mut kept = self.0.lock().unwrap();
        kept.asked.push(server.to_owned());
        kept.until
    }

    fn remember(&self, server: &str, until: SystemTime) {
        let mut kept = self.0.lock().unwrap();
        kept.told.push(format!("remember {server}"));
        kept.until = Some(until);
    }

    fn forget(&self, server: &str) {
        let mut kept = self.0.lock().unwrap();
        kept.told.push(format!("forget {server}"));
        kept.until = None;
    }
}

// F-2, F-8, F-9, DEV-19
#[tokio::test]
async fn f_9_a_store_spares_the_next_socket_the_finding_out() {
    let server = rooms().start().await.unwrap();
    server.misbehave(Fault::RefuseUpgrades(502));
    let store = Store::default();
    let transport = || transport().store(store.clone()).remember_for(Duration::from_secs(3_600));
    let secret = server.url().replace("ws://", "ws://ann:hunter2@") + "?token=hunter2";
    let remember = format!("remember {}", server.url());

    let before = SystemTime::now();
    let first = builder(&server, transport()).idle().unwrap();
    in_time(first.connect()).await.unwrap();
    assert_eq!(store.told(), [&*remember]);
    let kept = store.until().unwrap().duration_since(before).unwrap();
    assert!((3_600..3_630).contains(&kept.as_secs()), "{kept:?}");
    in_time(first.close()).await;

    // By another URL of the same server.
    let second = Socket::builder(secret).transport(transport()).idle().unwrap();
    let mut log = Log::of(&second);
    in_time(second.connect()).await.unwrap();
    assert_eq!(words(&log.until("opened long-poll").await), ["connecting", "opened long-poll"]);
    let remembered = |status| matches!(status, Status::Connected { fallback: Some(SwitchReason::Remembered), .. });
    assert!(remembered(second.status().current()));
    server.behave();
    log.until("opened websocket").await;
    assert_eq!(store.told(), [format!("forget {}", server.url())]);
    assert!(store.0.lock().unwrap().asked.iter().all(|asked| asked == server.url()));

    let third = builder(&server, transport()).idle().unwrap();
    let mut log = Log::of(&third);
    in_time(third.connect()).await.unwrap();
    assert_eq!(words(&log.until("opened websocket").await), ["connecting", "opened websocket"]);
}

// DEV-19
#[tokio::test]
async fn dev_19_what_a_store_says_expires() {
    let server = rooms().start().await.unwrap();
    let store = Store::default();
    store.remember(server.url(), SystemTime::now() - Duration::from_secs(1));
    let socket = builder(&server, transport().store(store)).connect().await.unwrap();
    assert!(matches!(socket.status().current(), Status::Connected { transport: "websocket", fallback: None }));
}

// F-8
#[tokio::test]
async fn f_8_one_that_was_healthy_is_not_remembered_as_useless() {
    let server = rooms().start().await.unwrap();
    let store = Store::default();
    let socket = builder(&server, transport().store(store.clone())).idle().unwrap();
    let mut log = Log::of(&socket);
    in_time(socket.connect()).await.unwrap();
    log.until("opened websocket").await;
    in_time(server.wait_for_connections(1)).await;
    server.misbehave(Fault::RefuseUpgrades(502));
    server.close_all(1012);
    log.until("opened long-poll").await;
    assert_eq!(store.told(), [format!("forget {}", server.url())]);
}

// F-8, DEV-19
#[tokio::test]
async fn clones_share_what_was_learnt() {
    let server = rooms().start().await.unwrap();
    server.misbehave(Fault::RefuseUpgrades(502));
    let transport = transport().probe_every(ms(60_000));
    let first = builder(&server, transport.clone()).connect().await.unwrap();
    let second = builder(&server, transport).idle().unwrap();
    let mut log = Log::of(&second);
    in_time(second.connect()).await.unwrap();
    assert_eq!(words(&log.until("opened long-poll").await), ["connecting", "opened long-poll"]);
    let shown = [first, second].map(|socket| format!("{:?}", socket.status().current()));
    assert!(shown[0].contains("Refused") && shown[0] == shown[1], "{shown:?}");
}
