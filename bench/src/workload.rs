//! The workload of a fixed size: containers of a shop, written as fast as the disk takes them.
//!
//! Lines carry the markers `0..lines`, spread over the files, so that whoever counts at the far
//! end needs that one number only.

use std::io;

use anyhow::Context;
use clap::ValueEnum;

use crate::{
    container_log::Iostream,
    kubelet::{Container, Kubelet},
    shop::{Mix, Shop},
    stamp::wall_ns,
};

/// Workloads that have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Named {
    /// Half nginx, then JSON, logfmt, plain lines, traces and long lines, in 10 files.
    Mixed,
    /// An application's lines in JSON, in 10 files.
    Json,
    /// Plain lines of 80 bytes, in 10 files: what costs a reader by the line shows here.
    Short,
    /// As mixed, in 1,000 files: what costs a reader by the file shows here.
    ManyFiles,
}

impl Named {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Mixed, Self::Json, Self::Short, Self::ManyFiles];

    /// The name, as it is given on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Json => "json",
            Self::Short => "short",
            Self::ManyFiles => "many-files",
        }
    }

    /// What is in its files.
    pub fn mix(self) -> Mix {
        match self {
            Self::Mixed | Self::ManyFiles => Mix::Shop,
            Self::Json => Mix::Json,
            Self::Short => Mix::Short,
        }
    }

    /// How many files it has.
    pub fn files(self) -> usize {
        match self {
            Self::ManyFiles => 1_000,
            Self::Mixed | Self::Json | Self::Short => 10,
        }
    }
}

/// How large a workload is, and what is in it.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Bytes of all files together, reached to within one event.
    pub bytes: u64,
    /// Number of containers, one file each.
    pub files: usize,
    /// Rotate each file when it has grown by this much.
    pub rotate_at: Option<u64>,
    /// Seed of the content.
    pub seed: u64,
    /// Kinds of events.
    pub mix: Mix,
}

/// A workload that has been written.
#[derive(Debug)]
pub struct Workload {
    /// Bytes in the files.
    pub bytes: u64,
    /// Markers in them: `0..markers`.
    pub markers: u32,
    /// Lines of the files (a CRI piece is a line).
    pub lines: u64,
    /// Events as they were written: what a joining reader turns into records.
    pub events: u64,
    /// The containers.
    pub containers: Vec<Container>,
}

const SERVICES: [&str; 5] = ["web", "orders", "payments", "search", "mailer"];
/// Most bytes that are gathered before a `write`, for one file and for all of them together.
const BULK: usize = 1 << 20;
const BULK_OF_ALL: usize = 64 << 20;

/// Starts container number `idx` of the shop.
pub fn start_container(kubelet: &mut Kubelet, idx: usize) -> io::Result<Container> {
    let service = SERVICES[idx % SERVICES.len()];
    kubelet.container("shop", &format!("{service}-{idx}"), service)
}

/// Lines of a file that the lines of an event, each ended by `\n`, become: a CRI piece is a line.
pub(crate) fn lines_of(event: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', event).count() as u64 + (event.len() / crate::shop::CRI_PIECE) as u64
}

/// Writes a workload under `kubelet`, calling `progress` with the bytes written every now and then.
pub fn write(
    kubelet: &mut Kubelet,
    size: Size,
    mut progress: impl FnMut(u64),
) -> anyhow::Result<Workload> {
    let mut containers = (0..size.files)
        .map(|idx| start_container(kubelet, idx))
        .collect::<io::Result<Vec<_>>>()
        .context("cannot create the log files")?;
    for container in &mut containers {
        container
            .log
            .set_bulk(BULK.min(BULK_OF_ALL / size.files.max(1)));
    }
    let mut shop = Shop::of(size.mix, size.seed, 0);
    let mut chooser = fastrand::Rng::with_seed(size.seed ^ 0x5EED);
    let (mut bytes, mut lines, mut events) = (0, 0, 0u64);
    let mut text = Vec::new();
    while bytes < size.bytes {
        let kind = shop.pick();
        text.clear();
        shop.append_event(kind, wall_ns(), &mut text);
        let log = &mut containers[chooser.usize(..size.files)].log;
        let before = log.size();
        let iostream = if kind.is_stderr() {
            Iostream::Stderr
        } else {
            Iostream::Stdout
        };
        log.event(iostream, &text)
            .context("cannot write a log file")?;
        bytes += log.size() - before;
        lines += lines_of(&text);
        events += 1;
        if size.rotate_at.is_some_and(|limit| log.size() >= limit) {
            log.rotate().context("cannot rotate a log file")?;
        }
        if events.is_multiple_of(50_000) {
            progress(bytes);
        }
    }
    for container in &mut containers {
        container.log.flush().context("cannot write a log file")?;
    }
    Ok(Workload {
        bytes,
        markers: shop.next_marker(),
        lines,
        events,
        containers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{container_log::read_rotated, marker::Ledger};

    #[test]
    fn names_are_those_of_the_command_line() {
        for named in Named::ALL {
            let value = named.to_possible_value().unwrap();
            assert_eq!(value.get_name(), named.name());
        }
    }

    #[test]
    fn a_workload_holds_the_markers_it_promises() {
        let dir = tempfile::tempdir().unwrap();
        let mut kubelet = Kubelet::new(dir.path(), 1).unwrap();
        let size = Size {
            bytes: 3 << 20,
            files: 4,
            rotate_at: Some(500_000),
            seed: 9,
            mix: Mix::Shop,
        };
        let workload = write(&mut kubelet, size, |_| ()).unwrap();
        let mut ledger = Ledger::new(workload.markers);
        let (mut bytes, mut lines) = (0, 0);
        for container in &workload.containers {
            let mut paths = container.log.rotated().unwrap();
            paths.push(container.log.path().to_owned());
            for path in paths {
                let content = read_rotated(&path).unwrap();
                bytes += content.len() as u64;
                for line in content.split_inclusive(|byte| *byte == b'\n') {
                    lines += 1;
                    ledger.document(line);
                }
            }
        }
        assert_eq!(bytes, workload.bytes);
        assert_eq!(lines, workload.lines);
        let balance = ledger.balance();
        assert_eq!(
            (balance.lost, balance.doubled, balance.strangers),
            (0, 0, 0)
        );
    }
}
