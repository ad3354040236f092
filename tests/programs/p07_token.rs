//! Tokens that expire, and telling the errors apart.

use std::sync::Arc;

use phoenix_streams::{ConnectError, Socket, Stop, json};
use tokio::sync::Mutex;

#[derive(Debug, thiserror::Error)]
enum OAuthError {
    #[error("expired")]
    Expired,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

struct OAuth {
    current: Mutex<Option<String>>,
}

impl OAuth {
    async fn token(&self) -> Result<String, OAuthError> {
        self.current.lock().await.clone().ok_or(OAuthError::Expired)
    }
}

async fn free() -> Result<String, OAuthError> {
    Ok("t".into())
}

async fn any() -> anyhow::Result<String> {
    Ok("t".into())
}

pub(crate) async fn main() -> anyhow::Result<()> {
    let oauth = Arc::new(OAuth { current: Mutex::new(None) });
    let o = oauth.clone();
    let p = oauth.clone();
    let mut attempt = 0u32;
    let socket = Socket::builder("wss://example.org/socket")
        .auth_token_with(move || {
            let o = o.clone();
            async move { Ok(o.token().await?) }
        })
        .params_with(move || {
            attempt += 1;
            let n = attempt;
            let p = p.clone();
            async move {
                let t = p.token().await?;
                Ok(json!({ "token": t, "attempt": n }))
            }
        })
        .connect()
        .await;
    let socket = match socket {
        Ok(s) => s,
        Err(ConnectError::Refused(r)) if r.status() == http::StatusCode::FORBIDDEN => {
            anyhow::bail!("{} {:?}", r.status(), r.body())
        }
        Err(ConnectError::Provider(e)) => match e.downcast_ref::<OAuthError>() {
            Some(OAuthError::Expired) => anyhow::bail!("log in again"),
            _ => return Err(anyhow::anyhow!(e.to_string())),
        },
        Err(e) => return Err(e.into()),
    };
    let _b = Socket::builder("x")
        .auth_token_with(|| async { Ok(any().await?) })
        .auth_token_with(|| async { Ok(free().await?) })
        .params_with(|| async { Err::<(), _>("no session".into()) })
        .params_with(|| async {
            match free().await {
                Err(OAuthError::Expired) => Err(Stop::new(OAuthError::Expired))?,
                other => Ok(other?),
            }
        })
        .params_with(|| async { std::env::var("X").map_err(Into::into) });
    let _ = socket;
    Ok(())
}
