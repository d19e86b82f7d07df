//! A pod as the API server and the kubelet tell it: only what is used, so that a node's pods take
//! little to read. <https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.33/#pod-v1-core>

use std::borrow::Cow;

use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::Resource;
use serde::Deserialize;

/// A pod.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct PodObject {
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) spec: Spec,
}

/// What a pod shall be.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    #[serde(default)]
    pub(crate) node_name: String,
    #[serde(default)]
    pub(crate) containers: Vec<ContainerSpec>,
    #[serde(default)]
    pub(crate) init_containers: Vec<ContainerSpec>,
    #[serde(default)]
    pub(crate) ephemeral_containers: Vec<ContainerSpec>,
}

/// A container of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct ContainerSpec {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) image: String,
}

/// A list of pods, as the kubelet tells it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct PodObjectList {
    #[serde(default)]
    pub(crate) items: Vec<PodObject>,
}

impl Resource for PodObject {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Pod".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "pods".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
