//! A proxy of SOCKS 5, as `ssh -D` and networks without another way out have it.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

/// It leads to one address, whatever it is asked for, so that no name has to be looked up.
#[derive(Clone)]
pub(crate) struct SocksProxy(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    leads_to: SocketAddr,
    /// Whom it lets through; without it anybody.
    login: Option<(&'static str, &'static str)>,
    asked: Mutex<Vec<Asked>>,
    told: Mutex<Vec<(String, String)>>,
    /// The replies that come next, in place of a way.
    refusals: Mutex<VecDeque<u8>>,
}

/// Where it was asked to lead.
#[derive(Debug, PartialEq)]
pub(crate) enum Asked {
    Name(String, u16),
    Address(SocketAddr),
}

impl SocksProxy {
    pub(crate) async fn start(leads_to: SocketAddr, login: Option<(&'static str, &'static str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, told, refusals) = Default::default();
        let proxy = SocksProxy(Arc::new(Inner { address, leads_to, login, asked, told, refusals }));
        let serving = proxy.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        proxy
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Refuses the next that asks with this reply.
    pub(crate) fn refuse_next(&self, reply: u8) {
        self.0.refusals.lock().unwrap().push_back(reply);
    }

    /// Where it was asked to lead, since it was last asked here.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.0.asked.lock().unwrap())
    }

    /// The users and passwords it was told, since it was last asked here.
    pub(crate) fn told(&self) -> Vec<(String, String)> {
        std::mem::take(&mut *self.0.told.lock().unwrap())
    }

    async fn serve(self, mut stream: TcpStream) {
        // Whoever asks may go away at any time.
        let _ = self.lead(&mut stream).await;
    }

    async fn lead(&self, stream: &mut TcpStream) -> io::Result<()> {
        assert_eq!(stream.read_u8().await?, 5);
        let ways = short(stream).await?;
        let way = if self.0.login.is_some() { 2 } else { 0 };
        if !ways.contains(&way) {
            return stream.write_all(&[5, 0xff]).await;
        }
        stream.write_all(&[5, way]).await?;
        if let Some((user, password)) = self.0.login {
            assert_eq!(stream.read_u8().await?, 1);
            let told = (text(short(stream).await?), text(short(stream).await?));
            let right = told == (user.to_owned(), password.to_owned());
            self.0.told.lock().unwrap().push(told);
            stream.write_all(&[1, u8::from(!right)]).await?;
            if !right {
                return Ok(());
            }
        }
        let mut head = [0; 4];
        stream.read_exact(&mut head).await?;
        assert_eq!(head[..3], [5, 1, 0]);
        let asked = match head[3] {
            1 => {
                Asked::Address((IpAddr::from(stream.read_u32().await?.to_be_bytes()), stream.read_u16().await?).into())
            }
            4 => {
                Asked::Address((IpAddr::from(stream.read_u128().await?.to_be_bytes()), stream.read_u16().await?).into())
            }
            3 => Asked::Name(text(short(stream).await?), stream.read_u16().await?),
            other => panic!("an address of the kind {other}"),
        };
        self.0.asked.lock().unwrap().push(asked);
        let refusal = self.0.refusals.lock().unwrap().pop_front();
        if let Some(reply) = refusal {
            return stream.write_all(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0]).await;
        }
        let mut server = TcpStream::connect(self.0.leads_to).await?;
        stream.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 80]).await?;
        copy_bidirectional(stream, &mut server).await.map(drop)
    }
}

/// Bytes behind their number.
async fn short(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; stream.read_u8().await?.into()];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}
