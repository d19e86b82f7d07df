//! Reading Events from a server that does what real ones do seldom: forgets, falls silent, was
//! restored; into a sink that takes them badly.

#![expect(clippy::unwrap_used, reason = "the server of a test may panic")]

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Bytes, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use k8s::{
    Access,
    events::{
        ANNOTATION, EventBatch, EventChoice, EventMetrics, EventSink, EventState, Events, QUIET,
        SinkError, run,
    },
    lease::LeaseOptions,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

const LIMIT: Duration = Duration::from_secs(20);

/// A server's Events and one Lease.
#[derive(Default)]
struct Server {
    version: u64,
    lease: Option<Value>,
    /// Each state that ever was, as a watch tells it.
    told: Vec<Value>,
    /// States that a list has: uid and state.
    there: Vec<Value>,
    /// Watches from versions below get 410.
    forgotten: u64,
    /// Watches tell nothing.
    is_silent: bool,
    /// Watches that were begun.
    n_watches: usize,
}

#[derive(Clone, Default)]
struct Api(Arc<Mutex<Server>>);

type Body = UnsyncBoxBody<Bytes, Infallible>;

impl Api {
    fn with<T>(&self, work: impl FnOnce(&mut Server) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }

    /// An Event is made, or happens again.
    fn report(&self, uid: &str) -> u64 {
        self.with(|server| {
            server.version += 1;
            let event = json!({
                "metadata": {"name": uid, "namespace": "shop", "uid": uid,
                    "resourceVersion": server.version.to_string(),
                    "creationTimestamp": "2026-11-26T10:00:00Z"},
                "involvedObject": {"kind": "Pod", "name": "web"}, "type": "Normal",
            });
            server.there.retain(|it| it["metadata"]["uid"] != uid);
            server.there.push(event.clone());
            server.told.push(json!({"type": "ADDED", "object": event}));
            server.version
        })
    }

    fn position(&self) -> Option<u64> {
        self.with(|server| {
            let note = &server.lease.as_ref()?["metadata"]["annotations"][ANNOTATION];
            note.as_str()?.split(' ').next()?.parse().ok()
        })
    }

    fn leave(&self, holder: &str, note: &str) {
        let lease = json!({
            "metadata": {"name": "l", "namespace": "ns", "uid": "lease-1", "resourceVersion": "1",
                "annotations": {ANNOTATION: note}},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 1},
        });
        self.with(|server| server.lease = Some(lease));
    }

    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let this = self.clone();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let this = this.clone();
                let service = service_fn(move |request| {
                    let this = this.clone();
                    async move { Ok::<_, Infallible>(this.reply(request).await) }
                });
                let serving = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
                // A client that goes away ends it.
                tokio::spawn(async move { serving.await.ok() });
            }
        });
        url
    }

    async fn reply(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let query = head.uri.query().unwrap_or_default().to_owned();
        match (head.method.as_str(), head.uri.path()) {
            ("GET", "/api/v1/events") if query.contains("watch=true") => self.watch(&query),
            ("GET", "/api/v1/events") => answer(200, &self.list(&query)),
            ("GET", _) => match self.with(|server| server.lease.clone()) {
                Some(lease) => answer(200, &lease),
                None => status(404, "NotFound"),
            },
            (_, _) => self.write(serde_json::from_slice(&body).unwrap()),
        }
    }

    fn write(&self, mut lease: Value) -> Response<Body> {
        self.with(|server| {
            let known = server.lease.as_ref();
            let known = known.map(|it| it["metadata"]["resourceVersion"].clone());
            if known.is_some_and(|known| known != lease["metadata"]["resourceVersion"]) {
                return status(409, "Conflict");
            }
            server.version += 1;
            lease["metadata"]["uid"] = "lease-1".into();
            lease["metadata"]["resourceVersion"] = server.version.to_string().into();
            server.lease = Some(lease.clone());
            answer(200, &lease)
        })
    }

    /// Two Events a page.
    fn list(&self, query: &str) -> Value {
        let from: usize = parameter(query, "continue").unwrap_or(0);
        self.with(|server| {
            let rest = server.there.get(from..).unwrap_or_default();
            let (page, rest) = rest.split_at(rest.len().min(2));
            let more = (!rest.is_empty()).then(|| (from + 2).to_string());
            json!({
                "apiVersion": "v1", "kind": "EventList",
                "metadata": {"resourceVersion": server.version.to_string(), "continue": more},
                "items": page,
            })
        })
    }

    fn watch(&self, query: &str) -> Response<Body> {
        let from: u64 = parameter(query, "resourceVersion").unwrap();
        let is_odd = from % 2 == 1;
        let is_forgotten = self.with(|server| {
            server.n_watches += 1;
            from < server.forgotten
        });
        // Servers say it in either way.
        if is_forgotten && is_odd {
            return status(410, "Expired");
        }
        let this = self.clone();
        let lines = stream::unfold(0usize, move |at| {
            let this = this.clone();
            async move {
                if is_forgotten && at == 0 {
                    let object = json!({"status": "Failure", "code": 410, "reason": "Expired", "message": "old"});
                    return Some((json!({"type": "ERROR", "object": object}), 1));
                }
                loop {
                    let next = this.with(|server| {
                        let next = server.told.get(at).cloned();
                        next.filter(|_| !server.is_silent)
                    });
                    if let Some(next) = next {
                        return Some((next, at + 1));
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        });
        let lines = lines.filter(move |line| {
            let version = line["object"]["metadata"]["resourceVersion"].as_str();
            let is_new = version.is_none_or(|it| it.parse::<u64>().unwrap() > from);
            std::future::ready(is_new)
        });
        let frames = lines.map(|line| Ok(Frame::data(Bytes::from(format!("{line}\n")))));
        Response::new(StreamBody::new(frames).boxed_unsync())
    }
}

fn parameter<T: std::str::FromStr>(query: &str, name: &str) -> Option<T> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name)?.1.parse().ok()
}

fn answer(status: u16, body: &Value) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()).boxed_unsync())
        .unwrap()
}

fn status(code: u16, reason: &str) -> Response<Body> {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "reason": reason, "message": reason});
    answer(code, &body)
}

/// What a sink was given: versions, doubt, whether suspect.
type Given = (Vec<u64>, Option<u64>, bool);

/// Notes what it is given, and answers as it is told, else that it is durable.
#[derive(Clone, Default)]
struct Notes {
    given: Arc<Mutex<Vec<Given>>>,
    answers: Arc<Mutex<VecDeque<Result<(), SinkError>>>>,
}

impl EventSink for Notes {
    async fn keep(&self, batch: EventBatch<'_>) -> Result<(), SinkError> {
        assert_eq!(batch.lease_uid, "lease-1");
        let versions = batch.documents.iter().map(|it| it.version).collect();
        let given = (versions, batch.doubt_since_ms, batch.suspect);
        self.given.lock().unwrap().push(given);
        self.answers.lock().unwrap().pop_front().unwrap_or(Ok(()))
    }
}

impl Notes {
    fn given(&self) -> Vec<Given> {
        self.given.lock().unwrap().clone()
    }

    fn versions(&self) -> Vec<u64> {
        self.given().into_iter().flat_map(|given| given.0).collect()
    }
}

/// A reader at work.
struct Running {
    notes: Notes,
    metrics: EventMetrics,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

async fn start(api: &Api, notes: Notes, quiet: Duration) -> Running {
    let events = Events {
        access: Access {
            url: api.start().await,
            ca_file: None,
            token_file: None,
            accept_any_certificate: false,
        },
        lease: LeaseOptions {
            namespace: "ns".to_owned(),
            name: "l".to_owned(),
            identity: "me".to_owned(),
            annotation: ANNOTATION,
            duration: Duration::from_secs(4),
            renew_deadline: Duration::from_secs(3),
            retry_period: Duration::from_millis(20),
        },
        choice: EventChoice {
            include: vec!["*".to_owned()],
            ..EventChoice::default()
        },
        from_beginning: true,
        quiet,
    };
    let (stop, stopped) = watch::channel(false);
    let metrics = EventMetrics::default();
    let state = EventState::default();
    let task = run(events, notes.clone(), metrics.clone(), state, stopped);
    Running {
        notes,
        metrics,
        stop,
        task: tokio::spawn(task),
    }
}

impl Running {
    async fn end(self) {
        self.stop.send(true).unwrap();
        tokio::time::timeout(LIMIT, self.task)
            .await
            .unwrap()
            .unwrap();
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let limit = tokio::time::Instant::now() + LIMIT;
    while !is_so() {
        assert!(
            tokio::time::Instant::now() < limit,
            "waited in vain for {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn lists_are_read_by_pages_and_the_lease_tells_how_far() {
    let api = Api::default();
    for uid in ["a", "b", "c", "a", "d"] {
        api.report(uid);
    }
    let running = start(&api, Notes::default(), QUIET).await;
    until("the list", || running.notes.versions().len() == 4).await;
    // By pages; nobody knows whether somebody had read them.
    let made_ms = 1_795_687_200_000;
    assert_eq!(
        running.notes.given(),
        [
            (vec![2, 3], Some(made_ms), false),
            (vec![4, 5], Some(made_ms), false)
        ]
    );
    let more = api.report("a");
    until("the next state", || {
        running.notes.versions().contains(&more)
    })
    .await;
    assert_eq!(
        running.notes.given().last().unwrap(),
        &(vec![more], None, false)
    );
    until("the position", || api.position() >= Some(more)).await;
    running.end().await;
    let holder = api.with(|it| it.lease.clone().unwrap()["spec"]["holderIdentity"].clone());
    assert_eq!(holder, "");
}

#[tokio::test]
async fn what_the_holder_before_may_have_tried_is_in_doubt() {
    let api = Api::default();
    let versions: Vec<u64> = ["a", "b", "a"].map(|uid| api.report(uid)).into();
    api.leave("", &format!("{} 2026-11-26T11:00:00Z", versions[0]));
    let running = start(&api, Notes::default(), QUIET).await;
    until("the states", || running.notes.versions().len() == 2).await;
    let later = api.report("c");
    until("a later state", || running.notes.versions().len() == 3).await;
    let given = running.notes.given();
    // Five minutes earlier than the position tells, as clocks differ.
    let since = 1_795_690_500_000;
    for (versions, doubt, _) in &given {
        let expected = versions.iter().any(|it| *it < later).then_some(since);
        assert_eq!(*doubt, expected, "{given:?}");
    }
    running.end().await;
    assert!(api.position() >= Some(later));
}

#[tokio::test]
async fn a_live_holder_is_waited_for() {
    let api = Api::default();
    api.leave("other", "");
    let first = api.report("a");
    let running = start(&api, Notes::default(), QUIET).await;
    let began = tokio::time::Instant::now();
    until("the end of the Lease", || {
        running.notes.versions() == [first]
    })
    .await;
    // Its record names one second.
    assert!(began.elapsed() >= Duration::from_secs(1));
    let lease = api.with(|server| server.lease.clone().unwrap());
    assert_eq!(lease["spec"]["leaseTransitions"], 1);
    running.end().await;
}

#[tokio::test]
async fn what_a_sink_takes_badly_comes_again_in_doubt_in_parts_or_unparsed() {
    let api = Api::default();
    api.leave("", "0 2026-11-26T11:00:00Z");
    let notes = Notes::default();
    let answers: [Result<(), SinkError>; 6] = [
        Err(SinkError::Refused("full".to_owned())),
        Err(SinkError::Unknown("late".to_owned())),
        Ok(()),
        Err(SinkError::Poison("bug".to_owned())),
        Err(SinkError::Poison("bug".to_owned())),
        Ok(()),
    ];
    notes.answers.lock().unwrap().extend(answers);
    let running = start(&api, notes.clone(), QUIET).await;
    // What a list finds may have been tried by the holder before.
    until("the watch", || api.with(|server| server.n_watches) > 0).await;
    let first = api.report("a");
    until("three tries", || notes.given().len() == 3).await;
    let given = notes.given();
    assert!(given.iter().all(|it| it.0 == [first]), "{given:?}");
    // A refusal leaves nothing behind; a try that came to no end may have.
    assert_eq!((given[0].1, given[1].1), (None, None));
    assert!(given[2].1.is_some());
    let second = api.report("b");
    until("a poison's tries", || notes.given().len() == 5).await;
    let given = notes.given();
    assert_eq!((&given[3].0, given[3].2), (&vec![second], false));
    assert_eq!((&given[4].0, given[4].2), (&vec![second], true));
    until("the poison to be counted", || {
        running.metrics.lost.get() == 1
    })
    .await;

    // Behind it, reading goes on. Two at once that are too large come one by one.
    api.with(|server| server.is_silent = true);
    let third = api.report("c");
    let fourth = api.report("d");
    notes.answers.lock().unwrap().clear();
    notes
        .answers
        .lock()
        .unwrap()
        .push_back(Err(SinkError::TooLarge("no".to_owned())));
    api.with(|server| server.is_silent = false);
    until("both", || notes.versions().contains(&fourth)).await;
    let given = notes.given();
    let last: Vec<&Vec<u64>> = given.iter().map(|it| &it.0).skip(5).collect();
    let all_at_once = last == [&vec![third, fourth], &vec![third], &vec![fourth]];
    // Where they did not come together, the first alone was lost to its size.
    let one_by_one = last == [&vec![third], &vec![fourth]];
    assert!(all_at_once || one_by_one, "{given:?}");
    running.end().await;
}

#[tokio::test]
async fn what_a_server_forgot_is_listed_and_counted_as_a_gap() {
    for first in [1, 2] {
        let api = Api::default();
        for uid in ["a", "b", "c", "a"] {
            api.report(uid);
        }
        api.leave("", &format!("{first} 2026-11-26T11:00:00Z"));
        api.with(|server| server.forgotten = 4);
        let running = start(&api, Notes::default(), QUIET).await;
        until("the list", || running.notes.versions().contains(&4)).await;
        let mut versions = running.notes.versions();
        versions.sort_unstable();
        let expected: Vec<u64> = (2..=4).filter(|it| *it > first).collect();
        assert_eq!(versions, expected);
        until("the gap", || running.metrics.gaps.get() == 1).await;
        assert!(running.metrics.gap_seconds.get() > 0.0);
        let next = api.report("d");
        until("what comes", || {
            running.notes.versions().last() == Some(&next)
        })
        .await;
        assert_eq!(running.metrics.gaps.get(), 1);
        running.end().await;
    }
}

/// Versions that went back: etcd was restored. What is there is read again, its ids are the same.
#[tokio::test]
async fn a_restored_server_is_read_from_the_beginning() {
    let api = Api::default();
    let versions = ["a", "b"].map(|uid| api.report(uid));
    api.leave("", "4711 2026-11-26T11:00:00Z");
    let running = start(&api, Notes::default(), QUIET).await;
    until("all of it", || running.notes.versions() == versions).await;
    assert!(running.notes.given().iter().all(|it| it.1.is_some()));
    until("the position", || {
        api.position().is_some_and(|it| it < 4711)
    })
    .await;
    running.end().await;
}

/// Real servers tell nothing while no Event comes, and forget versions after minutes.
#[tokio::test]
async fn a_quiet_watch_moves_the_position_and_a_deaf_one_is_begun_again() {
    let api = Api::default();
    let first = api.report("a");
    let running = start(&api, Notes::default(), Duration::from_millis(50)).await;
    until("the list", || running.notes.versions() == [first]).await;
    // Versions go on with each renewal of the Lease.
    let now = api.with(|server| server.version);
    until("the position to go on", || api.position() > Some(now)).await;
    assert_eq!(running.metrics.lists.get(), 1);

    api.with(|server| server.is_silent = true);
    let missed = api.report("b");
    let other = api.report("c");
    // The watch is found deaf, and so is the next one.
    let n_watches = || api.with(|server| server.n_watches);
    let n_begun = n_watches();
    until("another watch", || n_watches() >= n_begun + 2).await;
    assert!(api.position() < Some(missed));
    api.with(|server| server.is_silent = false);
    until("what was missed", || {
        running.notes.versions().ends_with(&[missed, other])
    })
    .await;
    assert_eq!(running.notes.versions(), [first, missed, other]);
    running.end().await;
}
