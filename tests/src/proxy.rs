//! A TCP proxy on 127.0.0.1 that makes faults: cut, refused, delayed, silent, answers lost after
//! the request was carried out.
//!
//! It knows just enough of HTTP to tell which answer belongs to which kind of request: a client
//! that waits for its answer starts its next request with a fresh read.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    runtime::Runtime,
    sync::watch,
    task::JoinHandle,
};

use crate::process::free_port;

/// What goes wrong, from now on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Every block of bytes arrives later by this.
    Delay(Duration),
    /// Connections are taken and stay open; nothing passes in either direction.
    Silent,
    /// Requests pass, answers do not.
    OneWay,
    /// Both directions are as slow as this, as with a peer that hardly reads.
    Slow {
        /// Bytes a second that pass on each connection, each way.
        bytes_per_second: u64,
    },
    /// Answers to requests whose head holds `request` are thrown away once they begin, and the
    /// connection is closed: the server has done it, the client cannot know. For `times` answers.
    LoseAnswers {
        /// Part of the request's head: a path, for example.
        request: String,
        /// How many answers.
        times: u64,
    },
    /// Connections are closed after `bytes` of requests have passed on them. For `times`
    /// connections.
    CutRequests {
        /// Bytes from the client that still pass on each connection.
        bytes: u64,
        /// How many connections.
        times: u64,
    },
}

/// A running proxy; it stops when dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: Arc<State>,
    listening: Mutex<Option<JoinHandle<()>>>,
    runtime: Runtime,
}

#[derive(Debug)]
struct State {
    upstream: SocketAddr,
    fault: Mutex<Fault>,
    /// Raised to cut every connection there is.
    cut: watch::Sender<u64>,
    lost_answers: AtomicU64,
    connections: AtomicU64,
}

impl Proxy {
    /// Listens on a free port and passes on to `upstream_port` of 127.0.0.1.
    pub fn start(upstream_port: u16) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("proxy")
            .enable_all()
            .build()
            .context("cannot start a proxy")?;
        let proxy = Self {
            port: free_port()?,
            state: Arc::new(State {
                upstream: SocketAddr::from(([127, 0, 0, 1], upstream_port)),
                fault: Mutex::default(),
                cut: watch::Sender::new(0),
                lost_answers: AtomicU64::new(0),
                connections: AtomicU64::new(0),
            }),
            listening: Mutex::new(None),
            runtime,
        };
        proxy.accept()?;
        Ok(proxy)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sets what goes wrong from now on, also on connections that are open.
    pub fn set(&self, fault: Fault) {
        *self.state.lock_fault() = fault;
    }

    /// Closes every connection there is.
    pub fn cut(&self) {
        self.state.cut.send_modify(|epoch| *epoch += 1);
    }

    /// Closes every connection there is and refuses new ones.
    pub fn refuse(&self) {
        let listening = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = listening {
            task.abort();
            // Wait for the end: the port is refused only when the listener is closed.
            self.runtime.block_on(task).ok();
        }
        self.cut();
    }

    /// Takes connections again after [`Proxy::refuse`].
    pub fn accept(&self) -> anyhow::Result<()> {
        let mut listening = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if listening.is_some() {
            return Ok(());
        }
        let listener = self
            .runtime
            .block_on(TcpListener::bind(("127.0.0.1", self.port)))
            .with_context(|| format!("cannot listen on port {}", self.port))?;
        let state = Arc::clone(&self.state);
        *listening = Some(self.runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                state.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(Arc::clone(&state).connection(client));
            }
        }));
        Ok(())
    }

    /// How many answers were thrown away so far.
    pub fn lost_answers(&self) -> u64 {
        self.state.lost_answers.load(Ordering::Relaxed)
    }

    /// How many connections were taken so far.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::Relaxed)
    }
}

impl State {
    fn lock_fault(&self) -> std::sync::MutexGuard<'_, Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves one connection until either side ends it, or a fault does.
    async fn connection(self: Arc<Self>, client: TcpStream) {
        let mut cut = self.cut.subscribe();
        let Ok(server) = TcpStream::connect(self.upstream).await else {
            return;
        };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let doomed = AtomicBool::new(false);
        // An error or an end in either direction ends both: dropping the halves closes them.
        tokio::select! {
            _ = self.requests(from_client, to_server, &doomed) => {}
            _ = self.answers(from_server, to_client, &doomed) => {}
            _ = cut.changed() => {}
        }
    }

    async fn requests(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        doomed: &AtomicBool,
    ) -> io::Result<()> {
        let mut block = vec![0; 64 << 10];
        let mut passed = 0u64;
        loop {
            let mut n_bytes = from.read(&mut block).await?;
            if n_bytes == 0 {
                return Ok(());
            }
            let fault = self.hold(false).await;
            self.slow_down(n_bytes).await;
            if let Fault::LoseAnswers { request, times } = &fault {
                let head = &block[..n_bytes.min(2048)];
                let begins = [&b"POST "[..], b"PUT ", b"GET "]
                    .iter()
                    .any(|it| head.starts_with(it));
                if begins {
                    let named = String::from_utf8_lossy(head).contains(request.as_str());
                    doomed.store(named && *times > 0, Ordering::Relaxed);
                }
            }
            if let Fault::CutRequests { bytes, .. } = fault {
                let left = usize::try_from(bytes.saturating_sub(passed)).unwrap_or(usize::MAX);
                if left < n_bytes && self.take_cut() {
                    n_bytes = left;
                    to.write_all(&block[..n_bytes]).await?;
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
            }
            to.write_all(&block[..n_bytes]).await?;
            passed += n_bytes as u64;
        }
    }

    async fn answers(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        doomed: &AtomicBool,
    ) -> io::Result<()> {
        let mut block = vec![0; 64 << 10];
        loop {
            let n_bytes = from.read(&mut block).await?;
            if n_bytes == 0 {
                return Ok(());
            }
            self.hold(true).await;
            self.slow_down(n_bytes).await;
            if doomed.swap(false, Ordering::Relaxed) && self.take_lost_answer() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            to.write_all(&block[..n_bytes]).await?;
        }
    }

    /// Waits as long as a slow peer would for so many bytes.
    async fn slow_down(&self, n_bytes: usize) {
        let fault = self.lock_fault().clone();
        let Fault::Slow { bytes_per_second } = fault else {
            return;
        };
        let time = Duration::from_secs_f64(n_bytes as f64 / bytes_per_second.max(1) as f64);
        tokio::time::sleep(time).await;
    }

    /// Waits as the fault says and returns the fault that holds then.
    async fn hold(&self, is_answer: bool) -> Fault {
        loop {
            let fault = self.lock_fault().clone();
            match fault {
                Fault::Delay(delay) => {
                    tokio::time::sleep(delay).await;
                    return fault;
                }
                Fault::Silent => tokio::time::sleep(Duration::from_millis(20)).await,
                Fault::OneWay if is_answer => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                _ => return fault,
            }
        }
    }

    fn take_cut(&self) -> bool {
        let mut fault = self.lock_fault();
        let Fault::CutRequests { times, .. } = &mut *fault else {
            return false;
        };
        let may = *times > 0;
        *times = times.saturating_sub(1);
        may
    }

    fn take_lost_answer(&self) -> bool {
        let mut fault = self.lock_fault();
        let Fault::LoseAnswers { times, .. } = &mut *fault else {
            return false;
        };
        if *times == 0 {
            return false;
        }
        *times -= 1;
        self.lost_answers.fetch_add(1, Ordering::Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Http;
    use bench::null_store::{Claim, NullStore, Options};

    fn parts() -> (NullStore, Proxy, Http) {
        let store = NullStore::start(Options {
            claim: Claim::OpenSearch,
            markers: Some(10),
        })
        .unwrap();
        let proxy = Proxy::start(store.port()).unwrap();
        let http = Http::local(proxy.port());
        (store, proxy, http)
    }

    fn bulk(http: &Http) -> anyhow::Result<u16> {
        let body = b"{\"create\":{}}\n{\"m\":\"tr-00000001\"}\n".to_vec();
        http.send("POST", "/_bulk", "application/x-ndjson", body)
            .map(|reply| reply.status)
    }

    #[test]
    fn a_lost_answer_was_carried_out() {
        let (store, proxy, http) = parts();
        assert_eq!(bulk(&http).unwrap(), 200);
        proxy.set(Fault::LoseAnswers {
            request: "/_bulk".into(),
            times: 1,
        });
        assert_eq!(http.get("/").unwrap().status, 200);
        assert!(bulk(&http).is_err());
        assert_eq!((store.counts().documents, proxy.lost_answers()), (2, 1));
        assert_eq!(bulk(&http).unwrap(), 200);
    }

    #[test]
    fn refused_connections_are_taken_again() {
        let (_store, proxy, http) = parts();
        proxy.refuse();
        assert!(bulk(&http).is_err());
        proxy.accept().unwrap();
        assert_eq!(bulk(&http).unwrap(), 200);
    }

    #[test]
    fn a_cut_request_never_arrives() {
        let (store, proxy, http) = parts();
        proxy.set(Fault::CutRequests {
            bytes: 40,
            times: 1,
        });
        assert!(bulk(&http).is_err());
        proxy.set(Fault::Delay(Duration::from_millis(5)));
        assert_eq!(bulk(&http).unwrap(), 200);
        assert_eq!(store.counts().documents, 1);
    }
}
