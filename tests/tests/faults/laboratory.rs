//! A bounded run of the laboratory; `make faults` runs it for as long as one likes.

use std::{env, time::Duration};

use tests::laboratory::{Options, run};

/// A failure says its seed; `SEED=n` runs it again.
#[test]
fn every_line_arrives_once_through_random_faults() {
    let seed = env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let report = run(Options {
        seed: seed.unwrap_or(4),
        length: Duration::from_secs(70),
        round: Duration::from_secs(70),
        events_per_second: 500,
        calm: Duration::from_millis(200),
        every: Duration::ZERO,
        warm_up: Duration::ZERO,
    });
    let report = report.unwrap();
    assert!(report.is_good(), "{report}");
}
