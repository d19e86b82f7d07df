//! What the cluster knows of a node's containers, and what their annotations ask for; the cluster's
//! Events, and who of several reads them.
//!
//! [`Pods`] is the table of the pods of one node, filled by [`watch`] (the API server) or
//! [`kubelet`] (its `/pods`), kept over restarts by [`cache`]. A container's fields come from
//! [`Pod::fields`], what its pod's annotations ask for from [`Steering`]. [`events`] reads the Events
//! of a cluster for the holder of a [`lease`]. A [`Token`] is shown to the servers, and by the agent to
//! aggregators.

pub mod cache;
mod client;
pub mod events;
mod fields;
pub mod kubelet;
pub mod lease;
mod metrics;
pub mod namespaces;
mod object;
mod owner;
mod pod;
mod pods;
mod steering;
mod token;
pub mod watch;

pub use client::{Access, ClientError, cluster_url, https};
pub use fields::ContainerFields;
pub use metrics::Metrics;
pub use owner::Workload;
pub use pod::{Choice, Container, Pod};
pub use pods::{Place, Pods};
pub use steering::{Allowed, Steering, SteeringKind, SteeringPolicy};
pub use token::{Token, TokenError};
