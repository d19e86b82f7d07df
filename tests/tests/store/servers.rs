//! The servers that the tests of this binary share, and clients for them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::Method;
use serde_json::Value;
use store::{Auth, Elasticsearch, ElasticsearchOptions, InstallOptions, Store as _};
use tests::server::{Product, Server};
use tokio::sync::{OnceCell, RwLock};

/// Held for reading by every test, for writing by one that changes settings of a whole server.
pub(crate) static SETTINGS: RwLock<()> = RwLock::const_new(());

/// Low enough that a test can go over it, and above the bodies of all others.
pub(crate) const MAX_CONTENT_BYTES: u64 = 2 << 20;

/// A shared server with a client of its own.
pub(crate) struct Node {
    pub(crate) client: Arc<Elasticsearch>,
    pub(crate) server: &'static Server,
}

/// One node of each make, with the templates put.
pub(crate) async fn nodes() -> Vec<Node> {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let mut out = Vec::new();
    for server in shared().await {
        let client = connect(&server.url(), Auth::None, None).await;
        out.push(Node { client, server });
    }
    let put = async {
        for node in &out {
            put_templates(&node.client).await;
        }
    };
    INSTALLED.get_or_init(|| put).await;
    out
}

/// The servers, started at the first call.
async fn shared() -> [&'static Server; 2] {
    static SHARED: OnceLock<[&Server; 2]> = OnceLock::new();
    let start = |product| {
        let limit = MAX_CONTENT_BYTES.to_string() + "b";
        let server = Server::start_with(product, &[("http.max_content_length", &limit)]);
        server.unwrap().share().unwrap()
    };
    // Starting blocks for seconds, which no task may do.
    let servers = tokio::task::spawn_blocking(move || {
        *SHARED.get_or_init(|| [Product::OpenSearch, Product::Elasticsearch8].map(start))
    });
    servers.await.unwrap()
}

pub(crate) async fn connect(url: &str, auth: Auth, ca_pem: Option<Vec<u8>>) -> Arc<Elasticsearch> {
    let mut options = ElasticsearchOptions::new(vec![url.to_owned()]);
    options.request_timeout = Duration::from_secs(20);
    options.auth = auth;
    options.ca_pem = ca_pem;
    Arc::new(Elasticsearch::connect(options).await.unwrap())
}

/// Templates for the data streams of these tests, with few fields allowed.
pub(crate) fn install_options() -> InstallOptions {
    InstallOptions {
        data_stream_patterns: vec!["logs-tr*".into()],
        max_fields: 60,
        retention: Some(store::Retention::default()),
        replicas: Some(0),
        ..InstallOptions::default()
    }
}

pub(crate) async fn put_templates(client: &Elasticsearch) {
    let report = client.install(&install_options()).await;
    for name in ["tailrace-logs", "tailrace-dead-letter", "tailrace-audit"] {
        assert!(
            report.installed.iter().any(|path| path.ends_with(name)),
            "{report:?}"
        );
    }
}

/// A request that must be answered 200.
pub(crate) async fn ask(client: &Elasticsearch, method: Method, path: &str, body: Value) -> Value {
    let body = Some(&body).filter(|body| !body.is_null());
    let answer = client.request(method, path, body).await.unwrap();
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    serde_json::from_slice(&answer.body).unwrap()
}

/// Documents of an index, unrefreshed ones too.
pub(crate) async fn count(client: &Elasticsearch, index: &str) -> u64 {
    client.refresh(index).await.unwrap();
    client.count(index, None).await.unwrap()
}
