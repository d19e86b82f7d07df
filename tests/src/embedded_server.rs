//! The embedded store as a server of its own, with as much of Elasticsearch's API as a client needs
//! to load and to search it: what is compared with real servers is reached as they are.

use std::{convert::Infallible, path::Path, sync::Arc};

use anyhow::Context;
use embedded::{Embedded, EmbeddedOptions};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode, body::Bytes, body::Incoming, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use store::{Encoding, Store, StoreError};
use tokio::net::TcpListener;

/// Serves the store in `dir` on a free port of 127.0.0.1, which it tells, until the process ends.
///
/// # Errors
/// When the store cannot be opened or the port not be had.
pub async fn serve(dir: &Path, tell: impl FnOnce(u16)) -> anyhow::Result<()> {
    let dir = dir.to_owned();
    let open = move || Embedded::open(&dir, EmbeddedOptions::default());
    let store = Arc::new(tokio::task::spawn_blocking(open).await??);
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .context("cannot listen on 127.0.0.1")?;
    tell(listener.local_addr()?.port());
    loop {
        let (connection, _) = listener.accept().await?;
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let store = Arc::clone(&store);
                async move { Ok::<_, Infallible>(answer(&store, request).await) }
            });
            // A client that goes away is ordinary.
            http1::Builder::new()
                .serve_connection(TokioIo::new(connection), service)
                .await
                .ok();
        });
    }
}

async fn answer(store: &Embedded, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let bytes = body
        .collect()
        .await
        .map_or_else(|_| Bytes::new(), |body| body.to_bytes());
    if path == "/_bulk" {
        return match store.bulk(bytes, Encoding::Identity).await {
            Ok(answer) => respond(answer.status, answer.body),
            Err(error) => respond(503, error.to_string()),
        };
    }
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let answer = match path.rsplit_once('/') {
        Some((index, "_search")) => store.search(name(index), &body).await,
        Some((index, "_count")) => {
            let body = (!body.is_null()).then_some(&body);
            let count = store.count(name(index), body).await;
            count.map(|count| json!({"count": count}))
        }
        Some((index, "_refresh")) => store.refresh(name(index)).await.map(|()| json!({})),
        Some(("", "")) => Ok(json!({"version": {"number": "8.19.0"}})),
        _ => Err(StoreError::Status {
            status: 404,
            reason: "not here".to_owned(),
        }),
    };
    match answer {
        Ok(answer) => respond(200, answer.to_string()),
        Err(error) => respond(error.status().unwrap_or(500), error.to_string()),
    }
}

fn name(index: &str) -> &str {
    index.trim_start_matches('/')
}

fn respond(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    response
}
