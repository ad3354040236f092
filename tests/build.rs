//! Describing a socket that cannot be.

use phoenix_streams::{BuildError, Builder, ConnectError, Socket, json};

// U-14, U-15, DEV-1
#[tokio::test]
async fn what_cannot_be_used_is_told_when_the_socket_is_built() {
    for url in ["", "localhost:4000", "/socket", "//h/socket", "ftp://h/socket", "ws://", "ws://h:99999/", "ws://a b/"]
    {
        let error = Socket::builder(url).start().unwrap_err();
        assert!(matches!(error, BuildError::Url(_)), "{url}: {error:?}");
        let error = Socket::builder(url).connect().await.unwrap_err();
        assert!(matches!(error, ConnectError::Build(BuildError::Url(_))), "{url}: {error:?}");
    }
    let whole = || Socket::builder("ws://h/socket");
    for builder in [whole().host("h"), whole().port(1), whole().path("p"), whole().tls(true)] {
        assert!(matches!(builder.start(), Err(BuildError::Url(_))));
    }
    for host in ["", "a b", "h/p", "h:1", "h?x", "u@h"] {
        assert!(matches!(Builder::local().host(host).start(), Err(BuildError::Url(_))), "{host}");
    }
    for builder in [whole().header("a b", "x"), whole().header("", "x"), whole().header("x-a", "line\nbreak")] {
        assert!(matches!(builder.start(), Err(BuildError::Header(_))));
    }
    // DEV-2: what Plug could not read back.
    for params in [json!([1]), json!("text"), json!(7), json!({ "list": [{ "a": 1, "b": 2 }] })] {
        assert!(matches!(whole().params(&params).start(), Err(BuildError::Params(_))), "{params}");
    }
    // The first of several is told.
    let error = whole().header("a b", "x").params(json!(7)).start().unwrap_err();
    assert!(matches!(error, BuildError::Header(_)), "{error:?}");
}

#[test]
fn without_a_runtime_only_the_driver_can_be_had() {
    let builder = || Socket::builder("ws://h/socket");
    assert!(matches!(builder().start(), Err(BuildError::NoRuntime)));
    assert!(matches!(builder().idle(), Err(BuildError::NoRuntime)));
    assert!(builder().driver().is_ok());
}
