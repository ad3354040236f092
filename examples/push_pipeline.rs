//! A sensor's readings, forwarded into a channel while the server cuts the connection; in the end the counts add up.

use std::{
    collections::BTreeSet,
    error::Error,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{StreamExt, future::ready, stream};
use phoenix_streams::{ChannelStatus, Socket, json, testing::Server};
use serde::{Deserialize, Serialize};
use tokio::time::interval;
use tokio_stream::wrappers::IntervalStream;

const READINGS: u32 = 600;

#[derive(Serialize, Deserialize)]
struct Reading {
    number: u32,
    celsius: f32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arrived = Arc::new(Mutex::new(BTreeSet::new()));
    let note = arrived.clone();
    let server = Server::builder()
        .join("sensor:*", |_, _| async { Ok(json!({})) })
        .on("sensor:*", "reading", move |_, reading| {
            let reading = reading.json::<Reading>().map_err(|error| json!({ "reason": error.to_string() }));
            ready(reading.map(|reading| json!({ "new": note.lock().is_ok_and(|mut all| all.insert(reading.number)) })))
        })
        .on("sensor:*", "done", |_, _| async { Ok(json!({})) });
    let server = server.start().await?;
    let socket = Socket::builder(server.url()).connect().await?;
    let sensor = socket.channel("sensor:7");
    sensor.join(()).await?;

    // Two thousand a second; at a third of the way the connection is cut.
    let ticks = IntervalStream::new(interval(Duration::from_micros(500))).zip(stream::iter(0..READINGS));
    let readings = ticks.map(|(_, number)| {
        if number == READINGS / 3 {
            println!("reading {number}: the server cuts the connection");
            server.drop_connections();
        }
        Ok(Reading { number, celsius: 20.0 + (number as f32 / 50.0).sin() })
    });
    let watch = sensor.status().take_while(|status| ready(!status.is_closed())).for_each(|status| {
        match status {
            ChannelStatus::Errored { cause } => println!("the pipeline waits: {cause}"),
            status => println!("the channel is {status:?}"),
        }
        ready(())
    });

    // The sink holds the readings back while there is no connection, and fails only where the channel is left, refused or
    // closed. What must arrive, such as the last word here, is a push with a reply.
    let forwarded = async {
        readings.forward(sensor.sink("reading")).await?;
        sensor.push("done", ()).await?;
        sensor.leave().await?;
        Ok::<_, Box<dyn Error>>(())
    };
    let (forwarded, ()) = tokio::join!(forwarded, watch);
    forwarded?;

    let arrived = arrived.lock().map_err(|_| "a handler panicked")?;
    let lost: Vec<u32> = (0..READINGS).filter(|number| !arrived.contains(number)).collect();
    println!("{READINGS} written = {} arrived + {} lost with the connection: {lost:?}", arrived.len(), lost.len());
    Ok(())
}
