//! The fields of a container's documents, by flat names of the Elastic Common Schema.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    pod::Pod,
    steering::{Steering, SteeringPolicy},
};

/// What is known of one container of a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerFields {
    /// Flat ECS names and values, without what only a file's path tells.
    pub fields: BTreeMap<String, Value>,
    /// What its annotations ask for.
    pub steering: Steering,
}

impl Pod {
    /// The fields of one of its containers, also of one that the pod does not list. Labels keep
    /// the names they have in the cluster; the aggregator makes them safe for a store.
    pub fn fields(&self, container: &str, policy: &SteeringPolicy) -> ContainerFields {
        let mut fields: BTreeMap<String, Value> = BTreeMap::new();
        let mut set = |key: String, value: &str| {
            if !value.is_empty() {
                fields.insert(key, value.into());
            }
        };
        for (name, value) in &self.labels {
            set(format!("kubernetes.labels.{name}"), value);
        }
        for (name, value) in &self.annotations {
            set(format!("kubernetes.annotations.{name}"), value);
        }
        set("kubernetes.namespace".to_owned(), &self.namespace);
        set("kubernetes.pod.name".to_owned(), &self.name);
        set("kubernetes.pod.uid".to_owned(), &self.uid);
        set("kubernetes.node.name".to_owned(), &self.node);
        set("kubernetes.container.name".to_owned(), container);
        if let Some(known) = self.container(container) {
            set("container.image.name".to_owned(), &known.image);
        }
        if let Some(workload) = &self.workload {
            for (name, value) in workload.fields() {
                set(name.to_owned(), value);
            }
        }
        let owner = self.workload.as_ref().map(|workload| workload.known_as());
        let service = self.app.as_deref().filter(|app| !app.is_empty());
        let service = service.or(owner).unwrap_or(container);
        set("service.name".to_owned(), service);
        let steering = Steering::of(self, container, policy);
        for (name, value) in steering.fields() {
            set(name.to_owned(), value);
        }
        ContainerFields { fields, steering }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        owner::Workload,
        pod::{Choice, tests::object},
    };

    #[test]
    fn a_container_has_the_fields_of_its_pod() {
        let object = object(
            r#"{"metadata":{"name":"web-7d4b9c6f5-x2x","namespace":"shop","uid":"u1",
                "labels":{"app":"web","app.kubernetes.io/part-of":"shop","pod-template-hash":"7d4b9c6f5"},
                "annotations":{"tailrace.io/parser.web":"nginx","fluentbit.io/exclude-db":"true"},
                "ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-7d4b9c6f5","uid":"r","controller":true}]},
              "spec":{"nodeName":"n1","containers":[{"name":"web","image":"nginx:1.27"},{"name":"db","image":"db"}]}}"#,
        );
        let pod = Pod::of(object, &Choice::default()).unwrap();
        let policy = SteeringPolicy::default();
        let json = |container: &str| {
            let known = pod.fields(container, &policy);
            serde_json::to_string(&known.fields).unwrap()
        };
        assert_eq!(
            json("web"),
            r#"{"container.image.name":"nginx:1.27","kubernetes.annotations.tailrace.io/parser":"nginx","kubernetes.container.name":"web","kubernetes.deployment.name":"web","kubernetes.labels.app":"web","kubernetes.labels.app.kubernetes.io/part-of":"shop","kubernetes.namespace":"shop","kubernetes.node.name":"n1","kubernetes.pod.name":"web-7d4b9c6f5-x2x","kubernetes.pod.uid":"u1","kubernetes.replicaset.name":"web-7d4b9c6f5","service.name":"web"}"#
        );
        assert!(pod.fields("db", &policy).steering.exclude);
        assert!(!pod.fields("web", &policy).steering.exclude);
        assert!(json("debugger").contains(r#""kubernetes.container.name":"debugger""#));
    }

    #[test]
    fn a_service_is_the_app_else_the_owner_else_the_container() {
        let service = |pod: &Pod| {
            let known = pod.fields("c", &SteeringPolicy::default());
            known.fields["service.name"].as_str().unwrap().to_owned()
        };
        let mut pod = Pod::default();
        assert_eq!(service(&pod), "c");
        pod.workload = Some(Workload {
            kind: "Job".to_owned(),
            name: "backup-29312345".to_owned(),
            parent: Some("backup".to_owned()),
        });
        assert_eq!(service(&pod), "backup");
        pod.app = Some("shop".to_owned());
        assert_eq!(service(&pod), "shop");
    }
}
