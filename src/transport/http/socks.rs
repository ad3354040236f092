//! A way through a proxy that speaks SOCKS 5 (RFC 1928), and may ask for a user and a password (RFC 1929).

use tokio_socks::{Error, TargetAddr, tcp::Socks5Stream};

use super::{
    ByteStream, Target, failed,
    proxy::{Names, Proxy},
    tcp,
};
use crate::error::{BuildError, ConnectError, SocksRefusal};

/// The longest name that a request can hold.
const NAME: usize = 255;

/// Where the proxy is to be asked to lead.
pub(super) async fn destination<'a>(target: &Target<'a>, names: Names) -> Result<TargetAddr<'a>, ConnectError> {
    let name = target.name();
    match (target.address(), names) {
        (Some(ip), _) => Ok(TargetAddr::Ip((ip, target.port).into())),
        (None, Names::Here) => Ok(TargetAddr::Ip(tcp::resolve(target).await?)),
        (None, Names::ByProxy) if name.len() > NAME => {
            Err(BuildError::Url("its host is longer than SOCKS can carry".into()).into())
        }
        (None, Names::ByProxy) => Ok(TargetAddr::Domain(name.into(), target.port)),
    }
}

/// Asks the proxy at the other end of a connection for one that leads there.
pub(super) async fn open(
    proxy: &Proxy,
    destination: TargetAddr<'_>,
    stream: ByteStream,
) -> Result<ByteStream, ConnectError> {
    let opened = match proxy.login()? {
        None => Socks5Stream::connect_with_socket(stream, destination).await,
        Some((user, password)) => {
            Socks5Stream::connect_with_password_and_socket(stream, destination, user, password).await
        }
    };
    opened.map(Socks5Stream::into_inner).map_err(|error| cause(proxy, error))
}

fn cause(proxy: &Proxy, error: Error) -> ConnectError {
    let at = proxy.target();
    let refusal = match error {
        Error::Io(error) => return failed(&at, error),
        // It may also insist without having been offered a user.
        Error::NoAcceptableAuthMethods | Error::AuthorizationRequired => SocksRefusal::LoginWanted,
        Error::PasswordAuthFailure(_) => SocksRefusal::LoginRefused,
        Error::GeneralSocksServerFailure => SocksRefusal::General,
        Error::ConnectionNotAllowedByRuleset => SocksRefusal::NotAllowed,
        Error::NetworkUnreachable => SocksRefusal::NetworkUnreachable,
        Error::HostUnreachable => SocksRefusal::HostUnreachable,
        Error::ConnectionRefused => SocksRefusal::ConnectionRefused,
        Error::TtlExpired => SocksRefusal::TtlExpired,
        Error::CommandNotSupported => SocksRefusal::CommandNotSupported,
        Error::AddressTypeNotSupported => SocksRefusal::AddressTypeNotSupported,
        // A version, a method or a reply that RFC 1928 does not know.
        _ => return ConnectError::Handshake(format!("it cannot be read as SOCKS 5: {}", at.called()).into()),
    };
    ConnectError::SocksRefused(refusal)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const NAME: &str = "chat.example";

    /// Goes through a proxy that does this.
    async fn through(proxy: &str, script: impl AsyncFnOnce(&mut DuplexStream)) -> Result<ByteStream, ConnectError> {
        let proxy = Proxy::parse(proxy).unwrap();
        let (near, mut far) = duplex(16 * 1024);
        let opening = open(&proxy, TargetAddr::Domain(NAME.into(), 80), Box::new(near));
        let both = futures::future::join(opening, script(&mut far));
        tokio::time::timeout(Duration::from_secs(20), both).await.expect("it hangs").0
    }

    /// Goes through a proxy that has all its answers ready, and nothing behind them.
    async fn answering(proxy: &str, answers: &[u8]) -> Result<ByteStream, ConnectError> {
        through(proxy, async |far| {
            far.write_all(answers).await.unwrap();
            far.shutdown().await.unwrap();
        })
        .await
    }

    const PLAIN: &str = "socks5h://proxy";
    const KNOWN: &str = "socks5h://ann:hunter2@proxy";
    const OPENED: [&[u8]; 4] = [
        &[5, 0, 5, 0, 0, 1, 10, 0, 0, 1, 0, 80],
        &[5, 0, 5, 0, 0, 4, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 80],
        &[5, 0, 5, 0, 0, 3, 4, b'n', b'a', b'm', b'e', 0, 80],
        &[5, 0, 5, 0, 0, 3, 0, 0, 80],
    ];

    #[tokio::test]
    async fn whatever_comes_with_the_answer_of_the_proxy_is_not_lost() {
        for answer in OPENED {
            let stream = through(PLAIN, async |far| {
                far.write_all(&[answer, b"hello"].concat()).await.unwrap();
                far.write_all(b" and more").await.unwrap();
                let mut asked = vec![0; 3 + 5 + NAME.len() + 2];
                far.read_exact(&mut asked).await.unwrap();
                assert_eq!(asked, [&[5, 1, 0, 5, 1, 0, 3, 12], NAME.as_bytes(), &[0, 80]].concat());
            })
            .await;
            let mut said = String::new();
            stream.unwrap().read_to_string(&mut said).await.unwrap();
            assert_eq!(said, "hello and more", "{answer:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_ends_early_is_told_as_such_wherever_it_ends() {
        let known = [&[5, 2, 1, 0], &OPENED[0][2..]].concat();
        let all = OPENED.map(|answer| (PLAIN, answer)).into_iter().chain([(KNOWN, &*known), (KNOWN, OPENED[0])]);
        for (proxy, answer) in all {
            for end in 0..answer.len() {
                let Err(error) = answering(proxy, &answer[..end]).await else { panic!("{end} of {answer:?}") };
                assert!(matches!(error, ConnectError::HandshakeCut(_)), "{end} of {answer:?}: {error:?}");
                assert!(error.to_string().contains("the proxy proxy:1080"), "{error}");
            }
            assert!(answering(proxy, answer).await.is_ok(), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_proxy_that_speaks_something_else_is_told_as_such() {
        for (proxy, answer) in [
            (PLAIN, &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..]),
            (PLAIN, &[4, 0]),
            (PLAIN, &[5, 1]),
            (PLAIN, &[5, 3]),
            (KNOWN, &[5, 1]),
            (KNOWN, &[5, 0x80]),
            (KNOWN, &[5, 2, 5, 0]),
            (PLAIN, &[5, 0, 4, 0, 0, 1]),
            (PLAIN, &[5, 0, 5, 0, 1, 1]),
            (PLAIN, &[5, 0, 5, 0, 0, 2]),
            (PLAIN, &[5, 0, 5, 9, 0, 1]),
            (PLAIN, &[5, 0, 5, 255, 0, 1]),
            (PLAIN, &[5, 0, 5, 0, 0, 3, 1, 0xff, 0, 80]),
        ] {
            let Err(error) = answering(proxy, answer).await else { panic!("{answer:?}") };
            assert!(matches!(error, ConnectError::Handshake(_)), "{answer:?}: {error:?}");
            let said = error.to_string();
            assert!(said.contains("SOCKS") && said.contains("the proxy proxy:1080"), "{said}");
        }
    }

    // No bytes of any value make it panic or wait for more than they say.
    #[tokio::test]
    async fn no_answer_of_few_bytes_does_harm() {
        let mut random = fastrand::Rng::with_seed(0);
        for _ in 0..5_000 {
            let mut answer =
                [5, 0, 5, 0, 0, 3, 1, 1, 1, 1].map(|byte| if random.u8(..) < 200 { byte } else { random.u8(..) });
            let count = random.usize(..=answer.len());
            let proxy = if random.bool() { PLAIN } else { KNOWN };
            answer[1] = if random.bool() { answer[1] } else { 2 };
            if let Err(error) = answering(proxy, &answer[..count]).await {
                assert!(!error.to_string().contains("hunter2"));
            }
        }
    }

    #[tokio::test]
    async fn refusals_are_told_apart() {
        for (proxy, answer, expected) in [
            (PLAIN, &[5, 0xff][..], SocksRefusal::LoginWanted),
            (PLAIN, &[5, 2], SocksRefusal::LoginWanted),
            (KNOWN, &[5, 0xff], SocksRefusal::LoginWanted),
            (KNOWN, &[5, 2, 1, 1], SocksRefusal::LoginRefused),
            (KNOWN, &[5, 2, 1, 255], SocksRefusal::LoginRefused),
            (KNOWN, &[5, 2, 1, 0, 5, 5, 0, 1], SocksRefusal::ConnectionRefused),
            // Not all of them trouble to send an address then.
            (PLAIN, &[5, 0, 5, 2, 0, 0], SocksRefusal::NotAllowed),
        ] {
            match answering(proxy, answer).await {
                Err(ConnectError::SocksRefused(refusal)) => assert_eq!(refusal, expected, "{answer:?}"),
                other => panic!("{answer:?}: {:?}", other.err()),
            }
        }
    }

    #[tokio::test]
    async fn a_name_that_is_too_long_is_an_error_and_not_cut() {
        let url = |name: String| format!("ws://{name}/socket").parse().unwrap();
        let (fits, exceeds) = (url("x".repeat(255)), url("x".repeat(256)));
        assert!(destination(&Target::of(&fits), Names::ByProxy).await.is_ok());
        let error = destination(&Target::of(&exceeds), Names::ByProxy).await;
        assert!(matches!(error, Err(ConnectError::Build(BuildError::Url(_)))));
    }
}
