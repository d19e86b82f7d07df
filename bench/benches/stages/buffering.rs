//! Bodies into the disk buffer and out of it, in a folder below `TMPDIR`: where that lies in
//! memory an fsync costs nothing. By size of the bodies in KiB; MB and items are of bodies.

use buffer::{Buffer, Disk, EntryId, Options, Ticket};
use bytes::Bytes;
use divan::{
    Bencher, black_box_drop,
    counter::{BytesCount, ItemsCount},
};
use tempfile::TempDir;
use tokio::runtime::{self, Runtime};

/// Bodies that are under way at a time.
const BODIES: usize = 8;

/// Bytes of a body's head.
const HEAD: usize = 100;

/// Each body is durable before the next one is appended: an fsync each.
#[divan::bench(args = [64, 1024])]
fn append_one_by_one(bencher: Bencher<'_, '_>, kib: usize) {
    let rig = Rig::new(kib);
    rig.count(bencher)
        .with_inputs(|| rig.empty())
        .bench_local_values(|()| {
            for _ in 0..BODIES {
                rig.wait(rig.append());
            }
        });
}

/// All bodies are appended before the first one is waited for: what has come by then shares an
/// fsync.
#[divan::bench(args = [64, 1024])]
fn append_together(bencher: Bencher<'_, '_>, kib: usize) {
    let rig = Rig::new(kib);
    rig.count(bencher)
        .with_inputs(|| rig.empty())
        .bench_local_values(|()| {
            let tickets: Vec<_> = (0..BODIES).map(|_| rig.append()).collect();
            for ticket in tickets {
                rig.wait(ticket);
            }
        });
}

/// From the page cache, checksums looked at.
#[divan::bench(args = [64, 1024])]
fn read_back(bencher: Bencher<'_, '_>, kib: usize) {
    let rig = Rig::new(kib);
    for _ in 0..BODIES {
        rig.wait(rig.append());
    }
    let entries = std::iter::from_fn(|| rig.buffer.try_next());
    let ids: Vec<EntryId> = entries.map(|entry| entry.id).collect();
    assert_eq!(ids.len(), BODIES, "all that is durable is handed out");
    rig.count(bencher).bench_local(|| {
        for id in &ids {
            black_box_drop(rig.buffer.read(*id).expect("the body is whole"));
        }
    });
}

/// A buffer in a folder of its own.
struct Rig {
    buffer: Buffer,
    body: Bytes,
    runtime: Runtime,
    /// Removed last.
    _dir: TempDir,
}

impl Rig {
    fn new(kib: usize) -> Self {
        let dir = tempfile::tempdir().expect("there is room for a folder");
        let options = Options {
            max_bytes: 1 << 30,
            ..Options::default()
        };
        let (buffer, _recovery) =
            Buffer::open(dir.path(), options, Disk).expect("the folder is empty");
        // Not compressible, as bodies are compressed already.
        let mut random = fastrand::Rng::with_seed(1);
        let body: Bytes = std::iter::repeat_with(|| random.u8(..))
            .take(kib << 10)
            .collect();
        let runtime = runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime without threads starts");
        Self {
            buffer,
            body,
            runtime,
            _dir: dir,
        }
    }

    fn count<'a, 'b>(&self, bencher: Bencher<'a, 'b>) -> Bencher<'a, 'b> {
        bencher
            .counter(BytesCount::new(BODIES * self.body.len()))
            .counter(ItemsCount::new(BODIES))
    }

    fn append(&self) -> Ticket {
        let bytes = (HEAD + self.body.len()) as u64;
        let room = self.buffer.reserve(bytes).expect("the buffer was emptied");
        self.buffer
            .append(room, vec![7; HEAD], vec![self.body.clone()])
    }

    fn wait(&self, ticket: Ticket) {
        self.runtime.block_on(ticket).expect("the disk takes it");
    }

    /// Ticks off what is in it.
    fn empty(&self) {
        while let Some(entry) = self.buffer.try_next() {
            self.buffer.done(entry.id);
        }
    }
}
