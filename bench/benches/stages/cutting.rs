//! What the tailer does for a chunk of a file that it has found: opened, named by its head, read,
//! cut at the last newline, marked and sealed. The journal's write is not in it.

use std::{path::Path, sync::Arc, time::Duration};

use bench::{
    container_log::Format,
    stages::{Lines, Sample},
};
use divan::{
    Bencher,
    counter::{BytesCount, ItemsCount},
};
use tail::{MetadataSource, Options, Source, SystemClock, Tailer};
use tempfile::TempDir;

/// Most bytes of a chunk: more than the file has.
const MOST: usize = 4 << 20;

struct NoMetadata;

impl MetadataSource for NoMetadata {
    fn metadata(&mut self, _source: &Source) -> Option<Arc<[u8]>> {
        Some(Arc::from(&b"{}"[..]))
    }
}

/// A tailer that has found the log file below `root` and read nothing of it, and its journal.
fn found(root: &Path) -> (Tailer, TempDir) {
    let data = tempfile::tempdir_in(root).expect("the folder takes a journal");
    let mut options = Options::new(data.path(), "node-1");
    options.include = vec![format!("{}/logs/*.log", root.display())];
    options.inotify = false;
    let (mut tailer, _warnings) =
        Tailer::open(options, Arc::new(SystemClock::new())).expect("the journal is new");
    loop {
        tailer.poll();
        if tailer.next_wake() != Some(Duration::ZERO) {
            return (tailer, data);
        }
    }
}

// A tailer serves one measurement, so there is one a sample.
#[divan::bench(args = Lines::ALL, sample_size = 1)]
fn chunk(bencher: Bencher<'_, '_>, lines: Lines) {
    let file = Sample::of(lines).file(Format::Cri);
    let dir = tempfile::tempdir().expect("there is room for a file");
    let root = dir.path().canonicalize().expect("the folder is there");
    std::fs::create_dir(root.join("logs")).expect("the folder is new");
    std::fs::write(root.join("logs/0.log"), &file.bytes).expect("there is room for a file");
    let mut bytes = Vec::new();
    let (mut tailer, journal) = found(&root);
    tailer
        .next_group(MOST, &mut NoMetadata, &mut bytes)
        .expect("the file is due");
    assert_eq!(bytes.len(), file.bytes.len(), "one chunk holds the file");
    drop((tailer, journal));
    bencher
        .counter(BytesCount::new(file.bytes.len()))
        .counter(ItemsCount::new(file.lines))
        .with_inputs(|| found(&root))
        .bench_local_refs(|(tailer, _journal)| {
            bytes.clear();
            tailer.next_group(MOST, &mut NoMetadata, &mut bytes)
        });
}
