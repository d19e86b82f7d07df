//! The server over real sockets, on a runtime of one thread.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use http_body_util::BodyExt as _;
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;

use super::*;

/// No test here takes longer than its own deadlines.
const DEADLINE: Duration = Duration::from_secs(20);

fn endpoints(ready: &Arc<AtomicBool>) -> Endpoints {
    let mut registry = Registry::default();
    let lines = Counter::<u64>::default();
    lines.inc_by(7);
    registry.register("tailrace_lines", "Lines", lines);
    let ready = Arc::clone(ready);
    Endpoints::new(registry)
        .ready_when("store", move || match ready.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err("no answer \"yet\"".to_owned()),
        })
        .detail("rules", || Some("the old ones are in force".to_owned()))
        .page("/status", || "{\"lag\":3}".to_owned())
        .local_page(
            "/lines",
            |headers| headers.get("host").is_some_and(|host| host == "x"),
            || "[\"a line\"]".to_owned(),
        )
}

fn request(method: &str, path: &str) -> Request<()> {
    Request::builder()
        .method(method)
        .uri(path)
        .body(())
        .unwrap()
}

async fn body(response: Response<Full<Bytes>>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn each_path_has_its_answer() {
    let ready = Arc::new(AtomicBool::new(false));
    let endpoints = endpoints(&ready);
    let cases = [
        ("GET", "/metrics", 200, "tailrace_lines_total 7"),
        ("GET", "/healthz", 200, "ok"),
        ("HEAD", "/healthz", 200, ""),
        ("GET", "/status?pretty", 200, "{\"lag\":3}"),
        ("GET", "/readyz", 503, r#""store":"no answer \"yet\""#),
        (
            "GET",
            "/readyz",
            503,
            r#""rules":"the old ones are in force""#,
        ),
        ("GET", "/lines", 403, "only for programs"),
        ("POST", "/metrics", 405, "only GET"),
    ];
    for (method, path, status, part) in cases {
        let response = handle(&endpoints, &request(method, path)).unwrap();
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
        let body = body(response).await;
        assert!(body.contains(part), "{method} {path}: {body}");
    }
    ready.store(true, Ordering::Relaxed);
    let response = handle(&endpoints, &request("GET", "/readyz")).unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(handle(&endpoints, &request("GET", "/v1/batch")).is_none());
}

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

async fn start() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let endpoints = Arc::new(endpoints(&Arc::new(AtomicBool::new(true))));
    let task = tokio::spawn(serve(
        listener,
        endpoints,
        async move { drop(stopped.await) },
    ));
    Server {
        address,
        stop,
        task,
    }
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn requests_are_served_and_the_server_stops() {
    let server = start().await;
    let metrics = get(server.address, "/metrics").await;
    assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
    assert!(metrics.contains("tailrace_lines_total 7"), "{metrics}");
    assert!(
        get(server.address, "/nothing")
            .await
            .starts_with("HTTP/1.1 404")
    );
    let address = server.address;
    let fetched = tokio::task::spawn_blocking(move || {
        (fetch(address, "/status"), fetch(address, "/nothing"))
    });
    let (page, nothing) = fetched.await.unwrap();
    assert_eq!(page.unwrap(), "{\"lag\":3}");
    assert!(nothing.unwrap_err().to_string().contains("404"));
    server.stop.send(()).unwrap();
    tokio::time::timeout(DEADLINE, server.task)
        .await
        .unwrap()
        .unwrap();
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "the port is still open"
    );
}

#[tokio::test]
async fn connections_that_say_nothing_do_not_keep_others_out() {
    let server = start().await;
    let mut silent = Vec::new();
    for _ in 0..=MAX_CONNECTIONS {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    // Every place is taken until the head time-out frees them.
    let answer = tokio::time::timeout(DEADLINE, get(server.address, "/healthz"))
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(silent);
    server.stop.send(()).unwrap();
    tokio::time::timeout(DEADLINE, server.task)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn lines_are_for_those_on_this_machine() {
    let endpoints = endpoints(&Arc::new(AtomicBool::new(true)));
    let mut asked = request("GET", "/lines");
    for (peer, status) in [
        ("127.0.0.1:9", 200),
        ("[::1]:9", 200),
        ("[::ffff:127.0.0.1]:9", 200),
        ("10.0.0.1:9", 403),
        ("[::ffff:10.0.0.1]:9", 403),
    ] {
        asked.extensions_mut().insert(Peer(peer.parse().unwrap()));
        let status_for = |asked: &Request<()>| handle(&endpoints, asked).unwrap().status();
        asked
            .headers_mut()
            .insert("host", HeaderValue::from_static("x"));
        assert_eq!(status_for(&asked).as_u16(), status, "{peer}");
        // Another name that leads here.
        let elsewhere = HeaderValue::from_static("elsewhere.example");
        asked.headers_mut().insert("host", elsewhere);
        assert_eq!(status_for(&asked).as_u16(), 403, "{peer}");
    }
}

/// What an operator should mend is told, and traffic is taken all the same.
#[tokio::test]
async fn a_detail_does_not_make_it_unready() {
    let endpoints = endpoints(&Arc::new(AtomicBool::new(true)));
    let response = handle(&endpoints, &request("GET", "/readyz")).unwrap();
    assert_eq!(response.status().as_u16(), 200);
    let said = body(response).await;
    assert!(
        said.contains(r#""ready":true"#) && said.contains("the old ones"),
        "{said}"
    );
}
