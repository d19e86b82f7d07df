//! Packs one batch of 2,000 lines over and over, as the agent does before it sends: encoded,
//! gathered, compressed. `pack`, or `cargo run --profile fast -p agent --example pack`
//!
//! It takes no time: `ROUNDS=11 valgrind --tool=callgrind …`, less the same with `ROUNDS=1`, counts
//! the instructions, which are the same at any load (`make bench-guard`).

#![expect(clippy::print_stdout, reason = "it reports to a person")]

use std::{error::Error, io::Write as _, ops::Range, sync::Arc};

use agent::{
    Compression,
    steps::{Compressor, pack},
};
use tail::{FRAMING_VERSION, Flush, Framing, Group, GroupChunk, GroupId, Positions, Suspect};

const LINES: usize = 2_000;
const FILES: usize = 10;

/// Access logs, of which no two are the same.
fn append_lines(raw: &mut Vec<u8>, numbers: Range<usize>) -> std::io::Result<()> {
    for n in numbers {
        let (second, other) = (n / 40 % 60, n * 7_919 % 100_000);
        writeln!(
            raw,
            "2026-11-21T10:00:{second:02}.{n:09}Z stdout F 10.2.{}.{} - - \
             [21/Nov/2026:10:00:{second:02} +0000] \"GET /cart/items?id={other} HTTP/1.1\" 200 {n} \
             \"https://shop.example/\" \"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 \
             Firefox/128.0\"",
            n % 256,
            other % 256,
        )?;
    }
    Ok(())
}

fn group(file: u64, range: Range<usize>) -> Group {
    let metadata = format!(
        r#"{{"kubernetes.namespace":"shop","kubernetes.pod.name":"web-{file}","service.name":"web"}}"#
    );
    let chunk = GroupChunk {
        stream: file,
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
        id: GroupId(file),
        sequence: file,
        alone: false,
        settings: None,
        chunks: vec![chunk],
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let rounds: usize = match std::env::var("ROUNDS") {
        Ok(text) => text.parse()?,
        Err(_) => 1,
    };
    let (mut raw, mut groups) = (Vec::new(), Vec::new());
    for file in 0..FILES {
        let start = raw.len();
        append_lines(&mut raw, file * LINES / FILES..(file + 1) * LINES / FILES)?;
        groups.push(group(file as u64, start..raw.len()));
    }
    let mut compressor = Compressor::new(Compression::Zstd(1))?;
    let mut n_sent = 0;
    for _ in 0..rounds {
        let packed = pack(&mut compressor, "node-1", &groups, &raw, |_| false)?;
        n_sent = packed.body.len();
    }
    println!("{LINES} lines, {} bytes, {n_sent} sent", raw.len());
    Ok(())
}
