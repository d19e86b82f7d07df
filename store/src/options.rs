//! Options of the client, the sender and the installation. The binary maps its configuration to
//! these; secrets are given as values, files are read by the caller.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::BoxFuture;

/// How the client names itself to the server.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// User and password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// Elasticsearch API key, in its encoded form (base64 of `id:key`).
    ApiKey(String),
    /// Bearer token.
    Bearer(String),
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Basic { .. } => "Basic(…)",
            Self::ApiKey(_) => "ApiKey(…)",
            Self::Bearer(_) => "Bearer(…)",
        })
    }
}

/// Compression of request bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// zstd where the server takes it, gzip elsewhere and until that is known.
    #[default]
    Auto,
    /// gzip.
    Gzip,
    /// zstd; the caller knows that the server takes it.
    Zstd,
    /// None.
    Identity,
}

/// Resolves a host name and port to addresses. Static binaries cannot use the C library's.
pub type Resolver =
    Arc<dyn Fn(String, u16) -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Options of [`crate::Elasticsearch`].
#[derive(Clone)]
pub struct ElasticsearchOptions {
    /// `http://` or `https://` URLs; each may carry a path prefix (`https://host/elastic`).
    pub hosts: Vec<String>,
    /// Credentials, sent to every host.
    pub auth: Auth,
    /// Certificates to trust in place of the built-in public ones, PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// From sending a request to the end of its answer. Default 60 s.
    pub request_timeout: Duration,
    /// For the TCP connection and the TLS handshake together. Default 10 s.
    pub connect_timeout: Duration,
    /// How bodies shall be compressed. Default [`Compression::Auto`].
    pub compression: Compression,
    /// Name resolution; `None` asks the system.
    pub resolver: Option<Resolver>,
}

impl ElasticsearchOptions {
    /// Defaults for these hosts.
    pub fn new(hosts: Vec<String>) -> Self {
        Self {
            hosts,
            auth: Auth::None,
            ca_pem: None,
            request_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            compression: Compression::Auto,
            resolver: None,
        }
    }
}

/// Options of [`crate::Sender`].
#[derive(Debug, Clone)]
pub struct SenderOptions {
    /// Most requests at a time; the sender finds the right number below it. Default 8.
    pub max_in_flight: usize,
    /// Largest request before compression, in bytes: small bodies are joined up to it, documents
    /// that are sent again are cut at it. A single body that is larger goes as it is. Default 8 MB.
    pub max_body_bytes: u64,
    /// First pause after a failure. Default 500 ms.
    pub retry_min: Duration,
    /// Longest pause. Default 60 s.
    pub retry_max: Duration,
    /// Pause before a 409 that follows an unanswered try is asked again, where there are replicas
    /// (delivery rule 21). Default 3 s: well below the 10 s after which an aggregator that waits
    /// for the store answers its agent, or each try would end in doubt again.
    pub confirm_after: Duration,
    /// How long documents of one data stream are sent again on item 429 and 5xx while others pass,
    /// before they are parked. Default 2 min.
    pub park_after: Duration,
    /// What is installed at start; `None`: nothing.
    pub install: Option<InstallOptions>,
}

impl Default for SenderOptions {
    fn default() -> Self {
        Self {
            max_in_flight: 8,
            max_body_bytes: 8_000_000,
            retry_min: Duration::from_millis(500),
            retry_max: Duration::from_secs(60),
            confirm_after: Duration::from_secs(3),
            park_after: Duration::from_secs(120),
            install: None,
        }
    }
}

/// What is put on the server at start: [`crate::Store::install`].
#[derive(Debug, Clone)]
pub struct InstallOptions {
    /// Index patterns of the data streams in use, such as `logs-kubernetes.container_logs-*`.
    pub data_stream_patterns: Vec<String>,
    /// Index patterns of plain indices in use, such as `logs-shop-2*`.
    pub plain_patterns: Vec<String>,
    /// Priority of the templates, above the vendors' own. Default 500.
    pub priority: u64,
    /// Primary shards. Default 1.
    pub shards: u32,
    /// Copies; `None` leaves it to the server.
    pub replicas: Option<u32>,
    /// Refresh interval. Default 5 s.
    pub refresh: Duration,
    /// Cap on fields of an index. Default 2,000.
    pub max_fields: u32,
    /// Retention policy; `None`: no policy is put.
    pub retention: Option<Retention>,
}

impl Default for InstallOptions {
    fn default() -> Self {
        Self {
            data_stream_patterns: vec![
                "logs-kubernetes.container_logs-*".to_owned(),
                "logs-generic-*".to_owned(),
                "logs-system.journal-*".to_owned(),
                "logs-kubernetes.events-*".to_owned(),
            ],
            plain_patterns: Vec::new(),
            priority: 500,
            shards: 1,
            replicas: None,
            refresh: Duration::from_secs(5),
            max_fields: 2_000,
            retention: None,
        }
    }
}

/// When backing indices are rolled over and deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Roll over at this age. Default 1 day.
    pub rollover_age: Duration,
    /// Roll over at this size of a primary shard, in bytes. Default 50 GB.
    pub rollover_bytes: u64,
    /// Delete this long after the rollover. Default 30 days.
    pub delete_after: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            rollover_age: Duration::from_secs(86_400),
            rollover_bytes: 50_000_000_000,
            delete_after: Duration::from_secs(30 * 86_400),
        }
    }
}
