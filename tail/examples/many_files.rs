//! Follows many quiet files and prints what that costs: `many_files [FILES] [SECONDS]`.
//!
//! The layout is the kubelet's: one folder a container, found through a link. Prints the time of
//! the first scan, memory a file, and the CPU time of idling, of a rescan, and of one busy file.

#![expect(clippy::print_stdout, reason = "it reports to a person")]
#![expect(clippy::unwrap_used, reason = "a measurement may panic")]

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tail::{MetadataSource, Options, Positions, Source, SystemClock, Tailer};

struct NoMetadata;

impl MetadataSource for NoMetadata {
    fn metadata(&mut self, _source: &Source) -> Option<Arc<[u8]>> {
        Some(Arc::from(&b"{}"[..]))
    }
}

/// Resident memory in KiB.
fn rss() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.unwrap().parse().unwrap()
}

/// CPU time of this process, user and system, all threads.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/schedstat").unwrap();
    let mut total = 0;
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let stat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let ran = stat.split_whitespace().next();
        total += ran.and_then(|ran| ran.parse::<u64>().ok()).unwrap_or(0);
    }
    assert!(!stat.is_empty(), "the kernel keeps schedstat");
    Duration::from_nanos(total)
}

/// Acknowledges all that is ready. Answers lines.
fn drain(tailer: &mut Tailer) -> usize {
    let mut n_lines = 0;
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let Some(group) = tailer.next_group(1 << 20, &mut NoMetadata, &mut bytes) else {
            return n_lines;
        };
        tailer.commit().unwrap();
        n_lines += bytes.iter().filter(|byte| **byte == b'\n').count();
        let ends: Vec<_> = group
            .chunks
            .iter()
            .map(|chunk| Positions::at(chunk.start + chunk.range.len() as u64))
            .collect();
        tailer.acked(group.id, &ends);
    }
}

/// Runs for a while as the agent does. Answers lines and wake-ups.
fn run(tailer: &mut Tailer, woken: &mpsc::Receiver<()>, time: Duration) -> (usize, usize) {
    let until = Instant::now() + time;
    let (mut n_lines, mut n_wakes) = (0, 0);
    while Instant::now() < until {
        tailer.poll();
        n_lines += drain(tailer);
        n_wakes += 1;
        let left = until.saturating_duration_since(Instant::now());
        let wait = tailer.next_wake().map_or(left, |wake| wake.min(left));
        if !wait.is_zero() {
            let _timed_out = woken.recv_timeout(wait);
        }
    }
    (n_lines, n_wakes)
}

fn main() {
    let mut numbers = std::env::args().skip(1);
    let mut next = |default| {
        numbers
            .next()
            .map_or(default, |text| text.parse::<usize>().unwrap())
    };
    let (n_files, seconds) = (next(10_000), next(10));
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    fs::create_dir_all(root.join("containers")).unwrap();
    let name = |n: usize| root.join(format!("pods/shop_web-{n}_uid-{n}/nginx/0.log"));
    for n in 0..n_files {
        let file = name(n);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let line = format!("2024-01-02T03:04:05.{n:09}Z stdout F hello\n");
        fs::write(&file, line.repeat(3)).unwrap();
        let link = format!("containers/web-{n}_shop_nginx-{n:064x}.log");
        std::os::unix::fs::symlink(&file, root.join(link)).unwrap();
    }

    let (sender, woken) = mpsc::sync_channel(1);
    let mut options = Options::new(root.join("data"), "node");
    options.include = vec![format!("{}/containers/*.log", root.display())];
    options.wake = Arc::new(move || {
        let _full = sender.try_send(());
    });
    let rss_before = rss();
    let (started, cpu_started) = (Instant::now(), cpu());
    let (mut tailer, warnings) = Tailer::open(options, Arc::new(SystemClock::new())).unwrap();
    for warning in warnings {
        println!("warning: {}", warning.0);
    }
    let mut n_lines = 0;
    while n_lines < 3 * n_files {
        tailer.poll();
        n_lines += drain(&mut tailer);
    }
    println!(
        "{n_files} files found and {n_lines} lines read in {:?}, {:?} of CPU",
        started.elapsed(),
        cpu() - cpu_started
    );
    let metrics = tailer.metrics().clone();
    println!(
        "rss {} KiB, {} bytes a file; open {}, polling {}",
        rss(),
        (rss() - rss_before) * 1024 / n_files as u64,
        metrics.files_open.get(),
        metrics.polling.get()
    );

    // The flushes and the first look at quiet files are over by then.
    run(&mut tailer, &woken, Duration::from_secs(12));
    let time = Duration::from_secs(seconds as u64);
    let (scans, before) = (metrics.rescans.get(), cpu());
    let (_, n_wakes) = run(&mut tailer, &woken, time);
    println!(
        "idle {time:?}: {:?} of CPU, {n_wakes} wake-ups, {} rescans",
        cpu() - before,
        metrics.rescans.get() - scans
    );
    let (scans, before) = (metrics.rescans.get(), cpu());
    while metrics.rescans.get() == scans {
        run(&mut tailer, &woken, Duration::from_secs(1));
    }
    run(&mut tailer, &woken, Duration::from_secs(2));
    println!("until a rescan was done: {:?} of CPU", cpu() - before);

    let mut file = OpenOptions::new().append(true).open(name(7)).unwrap();
    let before = cpu();
    let (mut n_read, mut n_written) = (0, 0);
    let until = Instant::now() + time;
    while Instant::now() < until {
        file.write_all(b"2024-01-02T03:04:06.000000000Z stdout F more\n")
            .unwrap();
        n_written += 1;
        n_read += run(&mut tailer, &woken, Duration::from_millis(100)).0;
    }
    n_read += run(&mut tailer, &woken, Duration::from_secs(1)).0;
    assert_eq!(n_read, n_written);
    println!(
        "10 lines a second in one file, {time:?}: {:?} of CPU",
        cpu() - before
    );
    println!("rss at the end {} KiB", rss());
}
