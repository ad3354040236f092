//! The WebSocket's transport process: one serial task per connection, which reads, routes to channels and writes.

use std::{sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    sync::{mpsc::UnboundedReceiver, watch},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    connect::ConnectInfo,
    fault::Faults,
    server::{Line, Shared},
    socket::{Broken, Reader, Received, Writer, reset},
    topics::{Out, Topics},
};
use crate::transport::Frame;

/// How many waiting messages are written before the client is read again.
const TURN: usize = 1024;
/// How much is gathered before it is written.
const BATCH: usize = 64 * 1024;
/// How long a client may take to end a connection that was closed.
const LINGER: Duration = Duration::from_secs(2);

/// Runs a connection to its end.
pub(super) async fn run(stream: TcpStream, read: &[u8], connect: ConnectInfo, shared: Arc<Shared>) {
    let (topics, mailbox) = Topics::new(connect, shared.clone());
    let registered = shared.register(Line::websocket(topics.transport().clone()));
    let doomed = shared.faults.borrow().reset_upgraded;
    let (reader, writer) = stream.into_split();
    let mut connection = WebSocket {
        reader: Reader::new(reader, read, shared.app.max_frame_size),
        writer: Writer::new(writer),
        faults: shared.faults.subscribe(),
        topics,
        mailbox,
        shared,
    };
    let ended = tokio::select! {
        ended = connection.serve() => ended,
        () = sleep(doomed.unwrap_or_default()), if doomed.is_some() => Ended::Reset,
    };
    let WebSocket { mut reader, mut writer, topics, .. } = connection;
    // Its channels first, and before the client may take its time.
    drop(topics);
    drop(registered);
    match ended {
        Ended::Gone => {}
        Ended::Reset => reset(reader, writer),
        Ended::Close(frame) => {
            writer.frame(&frame);
            if writer.flush().await.is_ok() {
                writer.finish().await;
                // Read on, or TCP would answer with a reset, which may overtake the close frame.
                let _ = timeout(LINGER, reader.drain()).await;
            }
        }
    }
}

enum Ended {
    Gone,
    Reset,
    Close(Frame),
}

impl Ended {
    fn code(code: u16) -> Self {
        Ended::Close(Frame::Close { code, reason: "".into() })
    }
}

struct WebSocket {
    reader: Reader,
    writer: Writer,
    faults: watch::Receiver<Faults>,
    topics: Topics,
    mailbox: UnboundedReceiver<Out>,
    shared: Arc<Shared>,
}

impl WebSocket {
    async fn serve(&mut self) -> Ended {
        let idle = self.shared.app.idle_timeout;
        let mut deadline = Instant::now() + idle;
        loop {
            if let Some(ended) = self.write_waiting().await {
                return ended;
            }
            let deaf = self.faults.borrow_and_update().deaf;
            let received = tokio::select! {
                biased;
                received = self.reader.next(), if !deaf => received,
                Some(out) = self.mailbox.recv() => {
                    if let Some(ended) = self.write(out) {
                        return ended;
                    }
                    continue;
                }
                () = sleep_until(deadline) => return Ended::code(self.shared.app.idle_code),
                Ok(()) = self.faults.changed() => continue,
            };
            let ended = match received {
                Ok(received) => self.handle(received).await,
                Err(Broken::Gone) => Some(Ended::Gone),
                Err(Broken::Protocol(code)) => Some(Ended::code(code)),
            };
            if let Some(ended) = ended {
                return ended;
            }
            deadline = Instant::now() + idle;
        }
    }

    async fn write_waiting(&mut self) -> Option<Ended> {
        for _ in 0..TURN {
            let Ok(out) = self.mailbox.try_recv() else { break };
            if let Some(ended) = self.write(out) {
                return Some(ended);
            }
            if self.writer.waiting() > BATCH && self.writer.flush().await.is_err() {
                return Some(Ended::Gone);
            }
        }
        self.writer.flush().await.err().map(|_| Ended::Gone)
    }

    fn write(&mut self, out: Out) -> Option<Ended> {
        let close = self.topics.tell(out);
        self.write_outgoing();
        close.map(Ended::Close)
    }

    fn write_outgoing(&mut self) {
        let silent = self.faults.borrow().swallows_frames();
        for frame in self.topics.outgoing.drain(..).filter(|_| !silent) {
            self.writer.frame(&frame);
        }
    }

    async fn handle(&mut self, received: Received) -> Option<Ended> {
        let (silent, delay) = {
            let faults = self.faults.borrow();
            (faults.swallows_frames(), faults.delay)
        };
        if let Some(delay) = delay {
            sleep(delay).await;
        }
        let frame = match received {
            Received::Close(code) => {
                let code = if self.shared.app.close_echo { code.unwrap_or(1005) } else { 1000 };
                return Some(Ended::code(code));
            }
            _ if silent => return None,
            Received::Ping(data) => {
                self.writer.pong(&data);
                return None;
            }
            Received::Pong => return None,
            Received::Text(text) => Frame::Text(text),
            Received::Binary(bytes) => Frame::Binary(bytes),
        };
        let received = self.topics.receive(&frame).await;
        self.write_outgoing();
        received.is_none().then(|| Ended::code(1011))
    }
}
