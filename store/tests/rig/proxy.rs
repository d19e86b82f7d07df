//! A TCP proxy in this process that can swallow an answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[derive(Default)]
struct State {
    is_armed: AtomicBool,
    n_lost: AtomicUsize,
}

/// Handle of the proxy, which ends with it.
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub(crate) async fn start(upstream: &str) -> Self {
        let upstream = upstream.trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<State> = Arc::default();
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&upstream).await.unwrap();
                connections.spawn(carry(client, server, Arc::clone(&shared)));
            }
        });
        Self {
            address,
            state,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The answer to the next bulk request closes its connection instead of arriving.
    pub(crate) fn lose_next_bulk_answer(&self) {
        self.state.is_armed.store(true, Ordering::SeqCst);
    }

    /// Answers lost so far.
    pub(crate) fn lost(&self) -> usize {
        self.state.n_lost.load(Ordering::SeqCst)
    }
}

/// Both ways of one connection. A request's head comes in one piece from our client.
async fn carry(mut client: TcpStream, mut server: TcpStream, state: Arc<State>) {
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    let mut is_bulk = false;
    loop {
        tokio::select! {
            n = client.read(&mut up) => {
                let Ok(n @ 1..) = n else { return };
                is_bulk |= up[..n].starts_with(b"POST /_bulk");
                if server.write_all(&up[..n]).await.is_err() { return }
            }
            n = server.read(&mut down) => {
                let Ok(n @ 1..) = n else { return };
                if is_bulk && state.is_armed.swap(false, Ordering::SeqCst) {
                    state.n_lost.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                is_bulk = false;
                if client.write_all(&down[..n]).await.is_err() { return }
            }
        }
    }
}
