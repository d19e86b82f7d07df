//! The kubelet's own list of its pods, `/pods`: for clusters whose API server shall not be asked by
//! every node. Polled once an interval, never for a file or a record.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    client::{Access, chain},
    metrics::Metrics,
    object::PodObjectList,
    pod::{Choice, Pod},
    pods::Pods,
    watch::Trouble,
};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// What polling runs with.
#[derive(Debug, Clone)]
pub struct Poll {
    /// The kubelet, `https://<node's address>:10250`.
    pub access: Access,
    /// Between two polls.
    pub interval: Duration,
    /// What is kept of pods.
    pub choice: Choice,
}

/// Fills `pods` for as long as it is polled; never ends.
pub async fn run(poll: Poll, pods: Pods, metrics: Metrics) {
    let mut trouble = Trouble::new(metrics.clone());
    let mut ticks = interval(poll.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut client = None;
    loop {
        ticks.tick().await;
        let list = match &client {
            None => match poll.access.client() {
                Ok(made) => list(client.insert(made)).await,
                Err(error) => Err(error.to_string()),
            },
            Some(client) => list(client).await,
        };
        match list {
            Ok(list) => {
                pods.begin_list();
                for object in list.items {
                    if let Some(pod) = Pod::of(object, &poll.choice) {
                        pods.apply(pod);
                    }
                }
                pods.end_list();
                metrics.lists.inc();
                trouble.end(pods.counts().0);
            }
            Err(problem) => trouble.begin(&problem),
        }
    }
}

async fn list(client: &kube::Client) -> Result<PodObjectList, String> {
    let request = http::Request::get("/pods").body(Vec::new());
    let request = request.map_err(|error| error.to_string())?;
    match tokio::time::timeout(ANSWER, client.request(request)).await {
        Ok(list) => list.map_err(|error| chain(&error)),
        Err(_) => Err(format!("no answer in {ANSWER:?}")),
    }
}
