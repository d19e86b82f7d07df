//! Workloads, and the far ends to measure them against.
//!
//! A simulated kubelet writes the container logs of a small shop and knows what it wrote; a null
//! Elasticsearch and a null aggregator swallow what comes out, counting every line by the marker
//! it carries. `tailrace-gen` and `tailrace-bench` are thin programs on top, and the end-to-end
//! tests write their logs with the same code.
//!
//! Nothing here is shipped, and no time is measured on the writing side: figures are CPU-seconds
//! of the measured processes, from `/proc`. Only `benches/stages` takes times, of single stages.

/// The lines of a shop's services, made from a seed.
pub mod shop;

/// Civil time from seconds since 1970, written straight into a line.
pub mod stamp;

/// Markers: the sequence numbers that lines carry, and the ledger that counts them.
pub mod marker;

/// One container's log file as the kubelet and the runtime write it.
pub mod container_log;

/// The kubelet's directories.
pub mod kubelet;

/// The workload of a fixed size.
pub mod workload;

/// Samples for the benchmarks of single stages.
pub mod stages;

/// CPU and memory of other processes.
pub mod usage;

/// Limits of this process and of those that it starts.
pub mod limits;

/// Reading and inflating request bodies.
pub mod body;

mod serve;

/// A null Elasticsearch.
pub mod null_store;

/// A null aggregator.
pub mod null_aggregator;

/// Other software for the same work, and its configuration.
pub mod peers;

mod running;

/// The programs under measurement and the table of results.
pub mod runs;

/// How late a line comes.
pub mod latency;

/// What an agent costs that has next to nothing to do.
pub mod idle;

/// How the aggregator scales with its worker threads.
pub mod scaling;

/// What a line costs by the number of files and by the rate.
pub mod flat;
