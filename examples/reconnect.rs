//! What a socket does when the server refuses it, restarts, closes it, and at last does not know it any more: each
//! failure, how long is waited, and what stops.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use futures::StreamExt;
use phoenix_streams::{
    Backoff, ConnectError, Socket, Telemetry,
    testing::{Refuse, Server},
};

type Trouble = (&'static str, fn(&Server));

/// What the server does to an open connection, one after the other.
const TROUBLE: [Trouble; 4] = [
    ("the server restarts: it closes with 1012", |server| server.close_all(1012)),
    ("the server has had enough: it closes with 1000", |server| server.close_all(1000)),
    ("the user is disconnected: it closes with 1001", |server| server.close_all(1001)),
    ("the token has expired: it cuts the connection, and refuses the next with 401", |server| {
        server.refuse_next_with(Refuse::new(401).body("log in again"), 1);
        server.drop_connections();
    }),
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::builder().start().await?;
    println!("telemetry, and at the right the status\n");
    println!("   -- the server is busy: it refuses with 503 and Retry-After: 1 --");
    server.refuse_next_with(Refuse::new(503).header("retry-after", "1"), 1);

    // No jitter here, so that the times can be read.
    let backoff = Backoff::steps([10, 50, 100, 500].map(Duration::from_millis)).jitter(false);
    let socket = Socket::builder(server.url()).reconnect(backoff).idle()?;
    let (mut status, mut telemetry) = (socket.status(), socket.telemetry());
    let connecting = tokio::spawn(socket.connect());
    let (started, mut trouble) = (Instant::now(), TROUBLE.into_iter());
    loop {
        tokio::select! {
            // The status is for whoever shows one: the present state, however fast it changes.
            Some(status) = status.next() => {
                let name = format!("{status:?}");
                println!("{:>36}", name.split(' ').next().unwrap_or_default());
            }
            // The telemetry is for whoever keeps books: everything, in order, with its cause.
            Some(happened) = telemetry.next() => {
                let at = format!("{:5.2} s", started.elapsed().as_secs_f32());
                match happened? {
                    Telemetry::Connecting { attempt } => println!("{at}  attempt {attempt}"),
                    Telemetry::Failed { cause, .. } => println!("{at}  failed: {cause}"),
                    Telemetry::Waiting { delay } => println!("{at}  the next attempt comes in {} ms", delay.as_millis()),
                    Telemetry::Closed { cause, .. } => println!("{at}  closed: {cause}"),
                    Telemetry::Stopped { cause } => {
                        println!("{at}  stopped: {cause}");
                        if let ConnectError::Refused(refusal) = &*cause {
                            println!("         the server says: {}", String::from_utf8_lossy(refusal.body()));
                        }
                        break;
                    }
                    Telemetry::Opened { transport } => {
                        println!("{at}  open, by {transport}");
                        server.wait_for_connections(1).await;
                        let (words, act) = trouble.next().ok_or("it should have stopped")?;
                        println!("   -- {words} --");
                        act(&server);
                    }
                    _ => {}
                }
            }
        }
    }
    connecting.await??;
    socket.close().await;
    Ok(())
}
