//! How fast the buffer takes bodies, and what it costs: `cargo run --release -p buffer --example
//! throughput -- DIR [MiB] [appends in flight]`. Appends bodies of 1 MiB to an empty directory,
//! reads each one back with its checksum, and ticks it off.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{collections::VecDeque, env, error::Error, path::PathBuf, time::Instant};

use buffer::{Buffer, Disk, Options};
use bytes::Bytes;

const BODY: usize = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args_os().skip(1);
    let dir = PathBuf::from(args.next().ok_or("a directory is missing")?);
    let mut number = |default: usize| -> Result<usize, Box<dyn Error>> {
        let Some(text) = args.next() else {
            return Ok(default);
        };
        Ok(text.to_str().ok_or("not a number")?.parse()?)
    };
    let n_bodies = number(2048)?;
    let n_in_flight = number(8)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let options = Options {
        max_bytes: (n_bodies as u64 + 256) << 20,
        ..Options::default()
    };
    let (buffer, _) = Buffer::open(&dir, options, Disk)?;

    // Not compressible, as bodies are compressed already.
    let mut state = 1_u64;
    let body: Bytes = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    })
    .take(BODY)
    .collect();

    let (start, cpu) = (Instant::now(), cpu_seconds());
    runtime.block_on(async {
        let mut tickets = VecDeque::new();
        for _ in 0..n_bodies {
            if tickets.len() == n_in_flight
                && let Some(ticket) = tickets.pop_front()
            {
                ticket.await?;
            }
            let reservation = buffer.reserve(BODY as u64 + 100)?;
            tickets.push_back(buffer.append(reservation, vec![7; 100], vec![body.clone()]));
        }
        for ticket in tickets {
            ticket.await?;
        }
        Ok::<_, Box<dyn Error>>(())
    })?;
    report("append + fsync", n_bodies, start, cpu);
    println!("{:>22} group commits", buffer.metrics().fsyncs.get());

    let (start, cpu) = (Instant::now(), cpu_seconds());
    while let Some(entry) = buffer.try_next() {
        buffer.mark_posted(entry.id, 1);
        let read = buffer.read(entry.id)?;
        assert_eq!(read.len(), BODY, "the body came back");
        buffer.done(entry.id);
    }
    report("read + tick off", n_bodies, start, cpu);
    Ok(())
}

fn report(what: &str, n_bodies: usize, start: Instant, cpu: f64) {
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let mib = n_bodies as f64;
    println!(
        "{what:>16}: {:6.0} MiB/s, {:5.2} CPU-seconds a GiB",
        mib / wall,
        cpu / mib * 1024.0
    );
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    // Fields 14 and 15 of stat(5), in ticks of 10 ms, behind the name in parentheses.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    fields
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}
