//! Polling the kubelet: its answers as they come, good and bad. A kubelet itself needs a container
//! runtime; what it answers is a list of pods as the API server writes it.

#![expect(clippy::unwrap_used, reason = "the server of a test may panic")]

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use k8s::{
    Access, Choice, Metrics, Place, Pods,
    kubelet::{Poll, run},
};
use tokio::net::TcpListener;

const INTERVAL: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(20);

/// What the server says from now on, and what it was asked.
#[derive(Clone, Default)]
struct Kubelet {
    answer: Arc<Mutex<(u16, String)>>,
    n_asked: Arc<AtomicUsize>,
    token: Arc<Mutex<String>>,
}

impl Kubelet {
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let this = self.clone();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let this = this.clone();
                let service = service_fn(move |request| {
                    let reply = this.reply(&request);
                    async move { Ok::<_, Infallible>(reply) }
                });
                let serving = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
                // A client that goes away ends it.
                tokio::spawn(async move { serving.await.ok() });
            }
        });
        url
    }

    fn reply(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        self.n_asked.fetch_add(1, Ordering::Relaxed);
        let shown = request.headers().get("authorization");
        let shown = shown.map(|it| it.to_str().unwrap().to_owned());
        let wanted = format!("Bearer {}", self.token.lock().unwrap());
        let (status, body) = match (request.uri().path(), shown) {
            ("/pods", Some(shown)) if shown == wanted => self.answer.lock().unwrap().clone(),
            ("/pods", _) => (401, "Unauthorized".to_owned()),
            _ => (404, String::new()),
        };
        Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .body(Full::from(body))
            .unwrap()
    }

    fn say(&self, status: u16, body: &str) {
        *self.answer.lock().unwrap() = (status, body.to_owned());
    }

    /// Waits until it was asked twice more: what it said last has been taken in.
    async fn asked(&self) {
        let before = self.n_asked.load(Ordering::Relaxed);
        let asked = async {
            while self.n_asked.load(Ordering::Relaxed) < before + 3 {
                tokio::time::sleep(INTERVAL).await;
            }
        };
        let said = self.answer.lock().unwrap().clone();
        let asked = tokio::time::timeout(LIMIT, asked).await;
        asked.unwrap_or_else(|_| panic!("not asked again after {said:?}"));
    }
}

fn list(names: &[&str]) -> String {
    let pod = |name: &&str| {
        format!(
            r#"{{"metadata":{{"name":"{name}","namespace":"shop","uid":"u-{name}","labels":{{"app":"{name}"}}}},"spec":{{"nodeName":"n","containers":[{{"name":"c","image":"i"}}]}},"status":{{"phase":"Running"}}}}"#
        )
    };
    let pods: Vec<String> = names.iter().map(pod).collect();
    format!(
        r#"{{"kind":"PodList","apiVersion":"v1","metadata":{{}},"items":[{}]}}"#,
        pods.join(",")
    )
}

fn is_known(pods: &Pods, name: &str) -> bool {
    let uid = format!("u-{name}");
    let place = Place {
        namespace: "shop",
        pod: name,
        uid: Some(&uid),
    };
    pods.find(place)
        .is_some_and(|pod| pod.labels["app"] == name)
}

#[tokio::test]
async fn lists_are_followed_and_bad_answers_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    // As an editor leaves it.
    std::fs::write(&token_file, "t1\n").unwrap();
    let kubelet = Kubelet::default();
    *kubelet.token.lock().unwrap() = "t1".to_owned();
    kubelet.say(200, &list(&["a", "b"]));
    let poll = Poll {
        access: Access {
            url: kubelet.start().await,
            ca_file: None,
            token_file: Some(token_file),
            accept_any_certificate: true,
        },
        interval: INTERVAL,
        choice: Choice::default(),
    };
    let (pods, metrics) = (Pods::default(), Metrics::default());
    let task = tokio::spawn(run(poll, pods.clone(), metrics.clone()));
    kubelet.asked().await;
    assert!(is_known(&pods, "a") && is_known(&pods, "b"));
    assert_eq!((pods.counts(), metrics.up.get()), ((2, 0), 1));

    // What is gone stays for its files.
    kubelet.say(200, &list(&["b", "c"]));
    kubelet.asked().await;
    assert_eq!(pods.counts(), (2, 1));
    assert!(is_known(&pods, "a") && is_known(&pods, "c"));

    for (status, body) in [
        (500, "kubelet is restarting"),
        (
            403,
            r#"{"kind":"Status","status":"Failure","message":"forbidden","reason":"Forbidden","code":403}"#,
        ),
        (200, "{\"items\": [{\"metadata\""),
        (200, "no JSON"),
        (401, "Unauthorized"),
    ] {
        let before = metrics.errors.get();
        kubelet.say(status, body);
        kubelet.asked().await;
        assert!(metrics.errors.get() > before, "{status} {body}");
        assert_eq!(
            (pods.counts(), metrics.up.get()),
            ((2, 1), 0),
            "{status} {body}"
        );
    }
    kubelet.say(200, &list(&["c"]));
    kubelet.asked().await;
    assert_eq!((pods.counts(), metrics.up.get()), ((1, 2), 1));
    task.abort();
}

/// Once an interval, whatever happens: an answer that fails at once is no reason to ask at once.
#[tokio::test]
async fn a_kubelet_that_refuses_is_not_asked_more_often() {
    let kubelet = Kubelet::default();
    let poll = Poll {
        access: Access {
            url: kubelet.start().await,
            ca_file: None,
            token_file: None,
            accept_any_certificate: true,
        },
        interval: Duration::from_millis(200),
        choice: Choice::default(),
    };
    let task = tokio::spawn(run(poll, Pods::default(), Metrics::default()));
    kubelet.asked().await;
    let started = tokio::time::Instant::now();
    kubelet.asked().await;
    assert!(started.elapsed() >= Duration::from_millis(350));
    task.abort();
}
