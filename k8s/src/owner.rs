//! The workload that a pod belongs to, from its owner reference alone: nothing is asked of the API
//! server for it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::{Deserialize, Serialize};

/// The controller of a pod, and of that where its name tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Kind of the pod's controller: `ReplicaSet`, `StatefulSet`, `Job`, …
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Name of the controller's own controller: the Deployment of a ReplicaSet, the CronJob of a
    /// Job.
    pub parent: Option<String>,
}

/// Label that holds the suffix of a Deployment's ReplicaSets.
const TEMPLATE_HASH: &str = "pod-template-hash";
/// A CronJob's Jobs are named by the minute (8 digits, Kubernetes ≥ 1.21) or the second (10).
const CRON_DIGITS: [usize; 2] = [8, 10];

impl Workload {
    /// The workload of a pod with these owners and labels. A static pod's owner is its node, which
    /// is no workload.
    pub(crate) fn of(
        owners: &[OwnerReference],
        labels: Option<&BTreeMap<String, String>>,
    ) -> Option<Self> {
        let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
        if owner.kind == "Node" {
            return None;
        }
        let parent = match owner.kind.as_str() {
            "ReplicaSet" => labels
                .and_then(|labels| labels.get(TEMPLATE_HASH))
                .and_then(|hash| owner.name.strip_suffix(hash.as_str()))
                .and_then(|name| name.strip_suffix('-')),
            "Job" => owner.name.rsplit_once('-').and_then(|(name, time)| {
                let is_time = CRON_DIGITS.contains(&time.len())
                    && time.bytes().all(|byte| byte.is_ascii_digit());
                is_time.then_some(name)
            }),
            _ => None,
        };
        Some(Self {
            kind: owner.kind.clone(),
            name: owner.name.clone(),
            parent: parent.filter(|name| !name.is_empty()).map(str::to_owned),
        })
    }

    /// The name that people know it by: the Deployment's, not its ReplicaSet's.
    pub fn known_as(&self) -> &str {
        self.parent.as_deref().unwrap_or(&self.name)
    }

    /// Its fields, named as Elastic's own agents name them.
    pub(crate) fn fields(&self) -> Vec<(&'static str, &str)> {
        let (own, parent) = match self.kind.as_str() {
            "ReplicaSet" => ("kubernetes.replicaset.name", "kubernetes.deployment.name"),
            "Job" => ("kubernetes.job.name", "kubernetes.cronjob.name"),
            "StatefulSet" => ("kubernetes.statefulset.name", ""),
            "DaemonSet" => ("kubernetes.daemonset.name", ""),
            _ => {
                return vec![
                    ("kubernetes.owner.kind", self.kind.as_str()),
                    ("kubernetes.owner.name", self.name.as_str()),
                ];
            }
        };
        let parent = self.parent.as_deref().map(|name| (parent, name));
        [Some((own, self.name.as_str())), parent]
            .into_iter()
            .flatten()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: &str, name: &str, hash: &str, expected: &[(&str, &str)]) {
        let owners = [OwnerReference {
            kind: kind.into(),
            name: name.into(),
            controller: Some(true),
            ..OwnerReference::default()
        }];
        let labels = BTreeMap::from([(TEMPLATE_HASH.to_owned(), hash.to_owned())]);
        let workload = Workload::of(&owners, Some(&labels));
        let fields = workload.as_ref().map(Workload::fields).unwrap_or_default();
        assert_eq!(fields, expected, "{kind} {name}");
    }

    #[test]
    fn workloads_are_named_by_the_controller_and_its_own() {
        check(
            "ReplicaSet",
            "web-7d4b9c6f5",
            "7d4b9c6f5",
            &[
                ("kubernetes.replicaset.name", "web-7d4b9c6f5"),
                ("kubernetes.deployment.name", "web"),
            ],
        );
        // A ReplicaSet of nobody.
        check(
            "ReplicaSet",
            "web-1",
            "7d4b9c6f5",
            &[("kubernetes.replicaset.name", "web-1")],
        );
        check(
            "Job",
            "backup-29312345",
            "",
            &[
                ("kubernetes.job.name", "backup-29312345"),
                ("kubernetes.cronjob.name", "backup"),
            ],
        );
        check(
            "Job",
            "load-2024",
            "",
            &[("kubernetes.job.name", "load-2024")],
        );
        check(
            "StatefulSet",
            "db",
            "",
            &[("kubernetes.statefulset.name", "db")],
        );
        check(
            "DaemonSet",
            "cni",
            "",
            &[("kubernetes.daemonset.name", "cni")],
        );
        check(
            "Rollout",
            "web",
            "",
            &[
                ("kubernetes.owner.kind", "Rollout"),
                ("kubernetes.owner.name", "web"),
            ],
        );
        check("Node", "node-1", "", &[]);
    }

    #[test]
    fn an_owner_that_does_not_control_is_none() {
        let owners = [OwnerReference {
            kind: "StatefulSet".into(),
            name: "db".into(),
            ..OwnerReference::default()
        }];
        assert_eq!(Workload::of(&owners, None), None);
    }
}
