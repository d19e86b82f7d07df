//! Programs that log while a test makes faults.
//!
//! A writer is a thread with some containers of its own. It writes numbered events of many kinds
//! at a steady pace, rotates as told, and gives the containers back, which know what they wrote.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Context;
use bench::{container_log::Iostream, kubelet::Container};

/// Between two rounds of writing.
const TICK: Duration = Duration::from_millis(10);

/// How a writer writes.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Events a second, over all containers.
    pub events_per_second: u32,
    /// Rotate a container's log after so many of its events; 0 never.
    pub rotate_every: u32,
}

/// A running writer.
#[derive(Debug)]
pub struct Writer {
    stop: Sender<()>,
    written: Arc<AtomicU64>,
    thread: JoinHandle<io::Result<Vec<Container>>>,
}

impl Writer {
    /// Starts writing into the containers, in turn, until [`Writer::finish`].
    pub fn start(containers: Vec<Container>, pace: Pace) -> Self {
        let (stop, stopped) = channel();
        let written = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&written);
        let thread = std::thread::spawn(move || write(containers, pace, &stopped, &counter));
        Self {
            stop,
            written,
            thread,
        }
    }

    /// Events written so far.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Stops writing and gives the containers back.
    pub fn finish(self) -> anyhow::Result<Vec<Container>> {
        drop(self.stop);
        let joined = self
            .thread
            .join()
            .map_err(|_| anyhow::anyhow!("the writer panicked"))?;
        joined.context("cannot write a log file")
    }
}

fn write(
    mut containers: Vec<Container>,
    pace: Pace,
    stopped: &Receiver<()>,
    written: &AtomicU64,
) -> io::Result<Vec<Container>> {
    let per_tick = pace.events_per_second * TICK.as_millis() as u32 / 1_000;
    let n_containers = containers.len() as u32;
    let mut n = 0;
    while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
        for _ in 0..per_tick.max(1) {
            let (round, idx) = (n / n_containers, n % n_containers);
            let container = &mut containers[idx as usize];
            write_event(container, round)?;
            if pace.rotate_every > 0 && (round + 1).is_multiple_of(pace.rotate_every) {
                container.log.rotate()?;
            }
            n += 1;
            written.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(containers)
}

/// Writes event number `n` of a container: mostly plain lines, with JSON, logfmt, stack traces,
/// blank lines and lines of several pieces between them.
pub fn write_event(container: &mut Container, n: u32) -> io::Result<()> {
    let pod = container.pod.clone();
    let log = &mut container.log;
    match n % 20 {
        3 | 9 | 15 => {
            let said = format!("event {n} of {pod}");
            let line = format!(r#"{{"level":"info","msg":"{said}","n":{n},"nested":{{"a":1}}}}"#);
            log.line_as(Iostream::Stdout, line.as_bytes(), said.as_bytes())
        }
        6 => {
            let line = format!(r#"level=warn n={n} pod={pod} state=slow"#);
            log.line(Iostream::Stdout, line.as_bytes())
        }
        11 => log.event(Iostream::Stderr, trace(&pod, n).as_bytes()),
        13 if n % 500 == 13 => {
            let line = format!("long line {n} of {pod} {}", "abcdefgh ".repeat(4_500));
            log.line(Iostream::Stdout, line.trim_end().as_bytes())
        }
        17 => log.line(Iostream::Stdout, b""),
        _ => log.line(
            Iostream::Stdout,
            format!("line {n} of {pod}: all is well").as_bytes(),
        ),
    }
}

fn trace(pod: &str, n: u32) -> String {
    format!(
        "2026-11-21 06:30:00.123 ERROR [main] shop.Orders: cannot place order {n} of {pod}\n\
         java.lang.IllegalStateException: stock of {n} is negative\n\
         \tat shop.orders.Orders.place(Orders.java:42)\n\
         \tat shop.web.Controller.post(Controller.java:7)\n\
         Caused by: java.io.IOException: pool is empty\n\
         \tat shop.db.Pool.take(Pool.java:99)\n\
         \t... 2 more\n"
    )
}
