//! How the API server or the kubelet is reached.

use std::{
    env,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Request, header::AUTHORIZATION};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
};
use tokio::time::Instant;
use tower::util::MapRequestLayer;

use crate::token::Token;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Before a client is made again.
const PAUSE: Duration = Duration::from_secs(5);

/// A server, and what is shown to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// `https://host:port`.
    pub url: String,
    /// Certificates that the server's is signed by. Those of the system do not count: in an empty
    /// image there are none.
    pub ca_file: Option<PathBuf>,
    /// Bearer token; read again as it changes.
    pub token_file: Option<PathBuf>,
    /// Any certificate is good: kubelets often have one that nobody signed.
    pub accept_any_certificate: bool,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL is none.
    #[error("cannot use the URL `{0}`: {1}")]
    Url(String, String),
    /// Certificates or the token cannot be read.
    #[error("cannot make a client for `{0}`: {1}")]
    Client(String, String),
}

/// The API server of the cluster that this pod runs in, as its environment tells; `None` outside
/// of one.
pub fn cluster_url() -> Option<String> {
    let host = env::var("KUBERNETES_SERVICE_HOST").ok()?;
    let port = env::var("KUBERNETES_SERVICE_PORT").unwrap_or_else(|_| "443".to_owned());
    (!host.is_empty()).then(|| https(&host, &port))
}

/// A URL of an address, which may be one of IPv6.
pub fn https(host: &str, port: &str) -> String {
    match host.contains(':') {
        true => format!("https://[{host}]:{port}"),
        false => format!("https://{host}:{port}"),
    }
}

impl Access {
    /// A client, when there is what it needs: files may come late. `failed` is told of each try.
    pub(crate) async fn patient_client(&self, mut failed: impl FnMut(&ClientError)) -> Client {
        loop {
            match self.client() {
                Ok(client) => return client,
                Err(error) => failed(&error),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A client. Runs within a tokio runtime.
    pub(crate) fn client(&self) -> Result<Client, ClientError> {
        let url = self.url.parse::<http::Uri>();
        let url = url.map_err(|error| ClientError::Url(self.url.clone(), error.to_string()))?;
        let mut config = Config::new(url);
        config.connect_timeout = Some(CONNECT);
        config.accept_invalid_certs = self.accept_any_certificate;
        // Without any `kube` asks the system for its certificates before it looks at the file, and gives
        // up where there are none: in an empty image. Nobody is trusted for being in this list.
        config.root_cert = Some(Vec::new());
        if !self.accept_any_certificate {
            config.root_cert_file.clone_from(&self.ca_file);
        }
        let cannot = |why: String| ClientError::Client(self.url.clone(), why);
        let builder = ClientBuilder::try_from(config).map_err(|error| cannot(chain(&error)))?;
        let Some(path) = &self.token_file else {
            return Ok(builder.build());
        };
        let mut token = Token::new(path.clone());
        let first = token.authorization(Instant::now());
        first.map_err(|error| cannot(error.to_string()))?;
        let token = Arc::new(Mutex::new(token));
        let show = move |mut request: Request<Body>| {
            let mut token = token.lock().unwrap_or_else(PoisonError::into_inner);
            // There was one: at worst it stands.
            if let Ok(value) = token.authorization(Instant::now()) {
                request.headers_mut().insert(AUTHORIZATION, value);
            }
            request
        };
        Ok(builder.with_layer(&MapRequestLayer::new(show)).build())
    }
}

/// An error with what caused it: the outer one alone says little.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_kinds_make_urls() {
        assert_eq!(https("10.0.0.1", "443"), "https://10.0.0.1:443");
        assert_eq!(https("fd00::1", "10250"), "https://[fd00::1]:10250");
    }
}
