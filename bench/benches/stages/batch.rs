//! The agent's batch of a sample: for the stages that make one and open it.

use std::{ops::Range, sync::Arc};

use agent::steps::{Compressor, Packed, pack};
use bench::{
    container_log::Format,
    stages::{Lines, LogFile, Sample},
};
use tail::{FRAMING_VERSION, Flush, Framing, Group, GroupChunk, GroupId, Positions, Suspect};

/// Files in a batch, about.
const FILES: usize = 4;

/// Groups of chunks, as the tailer hands them out.
pub(crate) struct Batch {
    /// Where their bytes stand.
    pub(crate) file: LogFile,
    groups: Vec<Group>,
}

impl Batch {
    pub(crate) fn of(lines: Lines) -> Self {
        let file = Sample::of(lines).file(Format::Cri);
        let groups = (0..).zip(cut(&file.bytes)).map(group).collect();
        Self { file, groups }
    }

    pub(crate) fn pack(&self, compressor: &mut Compressor) -> Packed {
        pack(compressor, "node-1", &self.groups, &self.file.bytes, |_| {
            false
        })
        .expect("a compressor into memory does not fail")
    }
}

/// Cuts at line ends.
fn cut(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let least = (start + bytes.len() / FILES).min(bytes.len());
        let newline = memchr::memchr(b'\n', &bytes[least..]);
        let end = newline.map_or(bytes.len(), |at| least + at + 1);
        ranges.push(start..end);
        start = end;
    }
    ranges
}

fn group((number, range): (u64, Range<usize>)) -> Group {
    let metadata = format!(
        r#"{{"kubernetes.namespace":"shop","kubernetes.pod.name":"web-{number}","service.name":"web"}}"#
    );
    let chunk = GroupChunk {
        stream: number,
        start: 0,
        resume: Positions::at(0),
        framing: Framing::Cri,
        framing_version: FRAMING_VERSION,
        flush: Flush::Soft,
        eof: false,
        suspect: Suspect::No,
        doubt_ms: None,
        end: None,
        metadata: Arc::from(metadata.into_bytes()),
        range,
    };
    Group {
        id: GroupId(number),
        sequence: number,
        alone: false,
        settings: None,
        chunks: vec![chunk],
    }
}
