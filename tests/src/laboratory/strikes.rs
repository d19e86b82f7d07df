//! The faults of the laboratory. Each is made, lasts a while, and is undone; when it returns, the
//! programs run and nothing stands between them any more.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use super::Laboratory;
use crate::{gate::Spell, proxy::Fault, wait};

/// The longest a point may take to be passed: longer, and the fault just did not happen.
const PASSED: Duration = Duration::from_secs(5);
/// From this length on a run has faults of a minute.
const LONG_RUN: Duration = Duration::from_secs(600);

/// A fault's name in reports, and how it is made.
type Strike = (&'static str, fn(&mut Laboratory) -> anyhow::Result<()>);

/// All faults, equally likely.
pub(super) const STRIKES: &[Strike] = &[
    ("agent: kill -9", |lab| {
        lab.agent.kill()?;
        lab.agent.start_again()
    }),
    ("agent: SIGTERM", |lab| {
        lab.agent.terminate(wait::END)?;
        lab.agent.start_again()
    }),
    ("agent: SIGTERM, then kill -9", |lab| {
        lab.agent.signal(Signal::TERM)?;
        lab.agent.kill()?;
        lab.agent.start_again()
    }),
    ("agent: stands still", |lab| {
        lab.agent.signal(Signal::STOP)?;
        lab.stand_still();
        lab.agent.signal(Signal::CONT)
    }),
    ("agent: dies at a point", |lab| {
        let point = lab.pick(&[
            "journal.append abort",
            "journal.append tear-abort",
            "journal.append.after abort",
            "agent.send.before abort",
            "agent.answer.before abort",
            "agent.answer.after abort",
        ]);
        lab.agent_dies(point)
    }),
    ("agent: away through rotations", |lab| {
        lab.agent.kill()?;
        lab.last(5_000);
        lab.agent.start_again()
    }),
    ("aggregator: kill -9", |lab| {
        let idx = lab.any_station();
        lab.aggregators[idx].aggregator.kill()?;
        lab.last(1_000);
        lab.aggregators[idx].aggregator.start_again()
    }),
    ("aggregator: SIGTERM", |lab| {
        let idx = lab.any_station();
        lab.aggregators[idx].aggregator.terminate(wait::END)?;
        lab.aggregators[idx].aggregator.start_again()
    }),
    ("aggregator: stands still", |lab| {
        let idx = lab.any_station();
        lab.aggregators[idx].aggregator.signal(Signal::STOP)?;
        lab.stand_still();
        lab.aggregators[idx].aggregator.signal(Signal::CONT)
    }),
    ("aggregator: dies at a point", |lab| {
        let point = lab.pick(&[
            "receive.body abort",
            "output.append abort",
            "buffer.write abort in=.segment",
            "buffer.write tear-abort in=.segment",
            "buffer.sync.before abort",
            "buffer.sync.after abort",
            "receive.answer abort",
            "store.post.before abort",
            "store.post.after abort",
            "store.done.before abort",
            "store.done.after abort",
            "buffer.write tear-abort in=.marks",
            "buffer.create.after abort",
            "buffer.sync_dir.after abort",
            "buffer.remove.before abort in=.segment",
            "buffer.remove.after abort in=.segment",
            "buffer.remove.after abort in=.marks",
        ]);
        lab.aggregator_dies(point)
    }),
    ("all programs: kill -9", |lab| {
        lab.agent.kill()?;
        for station in &mut lab.aggregators {
            station.aggregator.kill()?;
        }
        for station in &mut lab.aggregators {
            station.aggregator.start_again()?;
        }
        lab.agent.start_again()
    }),
    ("both aggregators away", |lab| {
        for station in &mut lab.aggregators {
            station.aggregator.kill()?;
        }
        lab.last(3_000);
        for station in &mut lab.aggregators {
            station.aggregator.start_again()?;
        }
        Ok(())
    }),
    ("store: kill -9", |lab| {
        lab.server.kill()?;
        lab.server.start_again()
    }),
    ("store: stands still", |lab| {
        lab.server.pause()?;
        lab.stand_still();
        lab.server.resume()
    }),
    ("network to an aggregator: cut", |lab| {
        let idx = lab.any_station();
        lab.aggregators[idx].proxy.cut();
        Ok(())
    }),
    ("network to an aggregator: refused", |lab| {
        let idx = lab.any_station();
        lab.aggregators[idx].proxy.refuse();
        lab.last(2_000);
        lab.aggregators[idx].proxy.accept()
    }),
    ("network to an aggregator: delay", |lab| {
        lab.between(Fault::Delay(Duration::from_millis(200)), 3_000)
    }),
    ("network to an aggregator: half open", |lab| {
        lab.between(Fault::Silent, 5_000)
    }),
    ("network to an aggregator: one way", |lab| {
        lab.between(Fault::OneWay, 5_000)
    }),
    ("network to an aggregator: slow", |lab| {
        lab.between(
            Fault::Slow {
                bytes_per_second: 20_000,
            },
            4_000,
        )
    }),
    ("network to an aggregator: request cut off", |lab| {
        let bytes = lab.rng.u64(100..5_000);
        lab.between(Fault::CutRequests { bytes, times: 1 }, 1_000)
    }),
    ("batch: delivered twice", |lab| lab.batch(Spell::Twice)),
    ("batch: delivered again later", |lab| {
        lab.batch(Spell::AgainLater)
    }),
    ("batch: answer lost", |lab| lab.batch(Spell::Lose)),
    ("batch: 504 after it was taken", |lab| {
        lab.batch(Spell::AnswerInstead(504))
    }),
    ("bulk: 429", |lab| lab.bulk(Spell::Refuse(429), 1, 3_000)),
    ("bulk: 503", |lab| lab.bulk(Spell::Refuse(503), 2, 3_000)),
    ("bulk: 502 after it was taken", |lab| {
        lab.bulk(Spell::AnswerInstead(502), 2, 2_000)
    }),
    ("bulk: answer lost", |lab| lab.bulk(Spell::Lose, 2, 2_000)),
    ("bulk: answer cut off", |lab| {
        lab.bulk(Spell::Truncate, 2, 2_000)
    }),
    ("bulk: answer is no JSON", |lab| {
        lab.bulk(Spell::NotJson, 2, 2_000)
    }),
    ("bulk: answer lacks an item", |lab| {
        lab.bulk(Spell::WrongCount, 2, 2_000)
    }),
    ("bulk: delivered twice", |lab| {
        lab.bulk(Spell::Twice, 1, 2_000)
    }),
    ("bulk: delivered again later", |lab| {
        lab.bulk(Spell::AgainLater, 1, 2_000)
    }),
    ("bulk: items 429", |lab| {
        lab.bulk(Spell::RefuseItems(429), 1, 2_000)
    }),
    ("bulk: items 503", |lab| {
        lab.bulk(Spell::RefuseItems(503), 2, 2_000)
    }),
    ("bulk: items 403", |lab| {
        lab.bulk(Spell::RefuseItems(403), 2, 1_000)
    }),
    ("bulk: 413", |lab| {
        lab.bulk(Spell::TooLarge(150_000), 1, 3_000)
    }),
    ("store: write block", |lab| {
        let index = lab.data_stream();
        lab.documents
            .put_settings(&index, &json!({"index.blocks.write": true}))?;
        lab.last(2_000);
        lab.documents
            .put_settings(&index, &json!({"index.blocks.write": null}))
    }),
    ("store: rollover", |lab| {
        let index = lab.data_stream();
        lab.documents.rollover(&index)
    }),
    ("store: rollover while answers are lost", |lab| {
        lab.store_gate.strike(Spell::Lose, 1, u64::MAX);
        lab.last(1_000);
        let index = lab.data_stream();
        let rolled = lab.documents.rollover(&index);
        lab.store_gate.heal();
        rolled
    }),
    ("store: killed aggregator does not know, rollover", |lab| {
        lab.aggregator_dies("store.post.after abort")?;
        let index = lab.data_stream();
        lab.documents.rollover(&index)
    }),
    ("network to the store: cut", |lab| {
        lab.store_proxy.cut();
        Ok(())
    }),
    ("network to the store: refused", |lab| {
        lab.store_proxy.refuse();
        lab.last(3_000);
        lab.store_proxy.accept()
    }),
    ("network to the store: half open", |lab| {
        lab.store_proxy.set(Fault::Silent);
        lab.last(5_000);
        lab.store_proxy.set(Fault::None);
        Ok(())
    }),
    ("network to the store: slow", |lab| {
        lab.store_proxy.set(Fault::Slow {
            bytes_per_second: 50_000,
        });
        lab.last(3_000);
        lab.store_proxy.set(Fault::None);
        Ok(())
    }),
    ("buffer: disk full", |lab| {
        lab.disk(&[
            "buffer.write error=ENOSPC",
            "buffer.create.before error=ENOSPC",
        ])
    }),
    ("buffer: disk read-only", |lab| {
        lab.disk(&[
            "buffer.write error=EROFS",
            "buffer.remove.before error=EROFS",
        ])
    }),
    ("buffer: EIO on write", |lab| {
        lab.disk(&["buffer.write error=EIO every=2"])
    }),
    ("buffer: EIO on fsync", |lab| {
        lab.disk(&["buffer.sync.before error=EIO every=3"])
    }),
    ("buffer: EIO on read", |lab| {
        lab.disk(&["buffer.read error=EIO in=.segment times=1"])
    }),
    ("buffer: torn writes", |lab| {
        lab.disk(&["buffer.write tear every=3"])
    }),
    ("buffer: a bad transfer", |lab| {
        lab.disk(&["buffer.read flip in=.segment times=1"])
    }),
    ("buffer: slow fsync", |lab| {
        lab.disk(&["buffer.sync.before delay=300ms"])
    }),
    ("journal: disk full", |lab| {
        lab.journal(&["journal.append error=ENOSPC"])
    }),
    ("journal: EIO", |lab| {
        lab.journal(&["journal.append error=EIO every=2"])
    }),
    ("journal: torn writes", |lab| {
        lab.journal(&["journal.append tear every=2"])
    }),
    ("logs: EIO on read", |lab| {
        lab.journal(&["tail.read error=EIO every=4"])
    }),
    ("logs: no descriptor is left", |lab| {
        lab.journal(&["tail.open error=EMFILE every=2"])
    }),
    ("agent: clock steps", |lab| {
        let rule = lab.pick(&["clock step=-3600", "clock step=86400", "clock step=-5"]);
        lab.journal(&[rule])
    }),
    ("aggregator: clock steps", |lab| {
        let rule = lab.pick(&["clock step=-3600", "clock step=86400", "clock step=5"]);
        lab.disk(&[rule])
    }),
];

impl Laboratory {
    fn pick(&mut self, choices: &[&'static str]) -> &'static str {
        choices[self.rng.usize(..choices.len())]
    }

    fn any_station(&mut self) -> usize {
        self.rng.usize(..self.aggregators.len())
    }

    /// Lets a fault last, for up to so many milliseconds.
    fn last(&mut self, most_ms: u64) {
        let time = Duration::from_millis(self.rng.u64(most_ms / 4..most_ms));
        self.watch(time);
    }

    /// Lets a stopped program be: for seconds, and now and then for a minute where a run is long.
    fn stand_still(&mut self) {
        let is_long = self.options.length >= LONG_RUN && self.rng.u32(..3) == 0;
        match is_long {
            true => self.watch(Duration::from_secs(60)),
            false => self.last(4_000),
        }
    }

    fn agent_dies(&mut self, rule: &str) -> anyhow::Result<()> {
        let rule = format!("{rule} at={}", self.rng.u64(1..5));
        self.agent.faults().set(&[&rule])?;
        // Not passed often enough, as can be: then it is killed, so that it can start again.
        let died = self.agent.wait_gone(PASSED);
        self.agent.faults().clear()?;
        if died.is_err() {
            self.agent.kill()?;
        }
        self.agent.start_again()
    }

    fn aggregator_dies(&mut self, rule: &str) -> anyhow::Result<()> {
        let rule = format!("{rule} at={}", self.rng.u64(1..5));
        let idx = self.any_station();
        let aggregator = &mut self.aggregators[idx].aggregator;
        aggregator.faults().set(&[&rule])?;
        let died = aggregator.wait_gone(PASSED);
        aggregator.faults().clear()?;
        if died.is_err() {
            aggregator.kill()?;
        }
        aggregator.start_again()
    }

    /// A fault of the network before one aggregator.
    fn between(&mut self, fault: Fault, most_ms: u64) -> anyhow::Result<()> {
        let idx = self.any_station();
        self.aggregators[idx].proxy.set(fault);
        self.last(most_ms);
        self.aggregators[idx].proxy.set(Fault::None);
        Ok(())
    }

    /// A fault of single batches. Few: a chunk that loses four connections in a row is suspect,
    /// and comes as lines (DELIVERY rule 12).
    fn batch(&mut self, spell: Spell) -> anyhow::Result<()> {
        for station in &self.aggregators {
            station.gate.strike(spell, 3, 2);
        }
        self.last(2_000);
        for station in &self.aggregators {
            station.gate.heal();
        }
        Ok(())
    }

    /// A fault of bulk requests.
    fn bulk(&mut self, spell: Spell, every: u64, most_ms: u64) -> anyhow::Result<()> {
        self.store_gate.strike(spell, every, u64::MAX);
        self.last(most_ms);
        self.store_gate.heal();
        Ok(())
    }

    /// Faults within one aggregator.
    fn disk(&mut self, rules: &[&str]) -> anyhow::Result<()> {
        let idx = self.any_station();
        let faults = self.aggregators[idx].aggregator.faults();
        faults.set(rules)?;
        self.last(2_000);
        faults.clear()?;
        // What could not be read is set aside until the next start.
        if rules.iter().any(|rule| rule.starts_with("buffer.read")) {
            self.aggregators[idx].aggregator.terminate(wait::END)?;
            self.aggregators[idx].aggregator.start_again()?;
        }
        Ok(())
    }

    /// Faults within the agent.
    fn journal(&mut self, rules: &[&str]) -> anyhow::Result<()> {
        let faults = self.agent.faults();
        faults.set(rules)?;
        self.last(2_000);
        faults.clear()
    }
}
