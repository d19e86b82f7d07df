//! A small HTTP server on 127.0.0.1 for the far ends.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, runtime::Runtime};

/// A running server with threads of its own; it stops when dropped.
#[derive(Debug)]
pub(crate) struct Served {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _runtime: Runtime,
}

/// Answers every request on a free port of 127.0.0.1 by `answer`.
pub(crate) fn serve<A, F>(name: &str, answer: A) -> anyhow::Result<Served>
where
    A: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name(name)
        .enable_all()
        .build()
        .with_context(|| format!("cannot start the {name}"))?;
    let listener = runtime
        .block_on(TcpListener::bind(("127.0.0.1", 0)))
        .context("cannot listen on 127.0.0.1")?;
    let address = listener.local_addr().context("cannot tell the port")?;
    let answer = Arc::new(answer);
    // The runtime owns this task and those it spawns, and ends them when it is dropped.
    runtime.spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let answered = answer(request);
                    async move { Ok::<_, Infallible>(answered.await) }
                });
                // A peer that goes away in the middle is ordinary here.
                http1::Builder::new()
                    .serve_connection(TokioIo::new(connection), service)
                    .await
                    .ok();
            });
        }
    });
    Ok(Served {
        address,
        _runtime: runtime,
    })
}
