//! Tests of the whole buffer on a simulated file system: rules, model, damage.

mod damage;
mod inspection;
mod model;
mod rules;
mod sim;

use std::path::Path;

use bytes::Bytes;

use crate::{AppendError, Buffer, EntryId, Options, Recovery, Ticket};

/// The directory of every simulated buffer.
fn dir() -> &'static Path {
    Path::new("/buffer")
}

fn open(fs: &sim::SimFs, options: &Options) -> (Buffer, Recovery) {
    Buffer::open(dir(), options.clone(), fs.clone()).expect("the buffer opens")
}

fn small() -> Options {
    Options {
        max_bytes: 1 << 20,
        segment_bytes: 4096,
        reserve_bytes: 8192,
        ..Options::default()
    }
}

fn wait<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let deadline = std::time::Duration::from_secs(20);
    runtime.block_on(async {
        tokio::time::timeout(deadline, future)
            .await
            .expect("in time")
    })
}

/// Body of `len` bytes that only `tag` has.
fn body(tag: u64, len: usize) -> Vec<u8> {
    let mut state = tag;
    let mut next = || {
        // Knuth's linear congruential generator; the high bits are the random ones.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Appends an entry whose head is `tag`; the body comes in two parts.
fn append(buffer: &Buffer, tag: u64, len: usize) -> Result<Ticket, crate::Full> {
    let reservation = buffer.reserve(8 + len as u64)?;
    let body = Bytes::from(body(tag, len));
    let parts = vec![body.slice(..len / 2), body.slice(len / 2..)];
    Ok(buffer.append(reservation, tag.to_be_bytes().to_vec(), parts))
}

fn append_wait(buffer: &Buffer, tag: u64, len: usize) -> Result<EntryId, AppendError> {
    wait(append(buffer, tag, len).expect("there is room"))
}

/// Takes out everything that waits, and checks every body: the tags in order.
fn take_all(buffer: &Buffer) -> Vec<u64> {
    let mut tags = Vec::new();
    while let Some(entry) = buffer.try_next() {
        let tag = u64::from_be_bytes(entry.head.as_slice().try_into().expect("heads are tags"));
        match buffer.read(entry.id) {
            Ok(bytes) => {
                assert_eq!(bytes, body(tag, entry.len as usize), "body of {tag}");
                tags.push(tag);
            }
            Err(crate::ReadError::Damaged { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    tags
}
