//! The programs die at each of their points: before and after every write, fsync, rename, removal,
//! post and answer.

use tests::writer::Writer;

use super::{LIMIT, PACE, arrive_more, containers, scene, start};

const AGENT: &[&str] = &[
    "journal.append abort at=3",
    "journal.append tear-abort at=2",
    "journal.append.after abort at=3",
    "agent.send.before abort at=2",
    "agent.answer.before abort at=2",
    "agent.answer.after abort at=2",
    "tail.read abort at=5",
];

/// A damaged log makes the start write a snapshot; these strike in the middle of it.
const AGENT_START: &[&str] = &[
    "journal.create.before abort in=snapshot",
    "journal.append abort in=snapshot",
    "journal.append tear-abort in=snapshot",
    "journal.sync.before abort",
    "journal.sync.after abort",
    "journal.rename.before abort",
    "journal.rename.after abort",
    "journal.sync_dir.before abort",
    "journal.sync_dir.after abort",
    "journal.create.before abort in=log-",
    "journal.remove.before abort in=log-",
    "journal.remove.after abort in=log-",
];

const AGGREGATOR: &[&str] = &[
    "receive.body abort at=2",
    "output.append abort at=2",
    "buffer.write abort in=.segment at=2",
    "buffer.write tear-abort in=.segment at=3",
    "buffer.write.after abort in=.segment at=2",
    "buffer.sync.before abort in=.segment at=2",
    "buffer.sync.after abort in=.segment at=3",
    "receive.answer abort at=2",
    "store.post.before abort at=2",
    "store.post.after abort at=2",
    "store.done.before abort at=2",
    "store.done.after abort at=2",
    "buffer.write abort in=.marks at=3",
    "buffer.write tear-abort in=.marks at=4",
    "buffer.create.before abort in=.segment",
    "buffer.create.after abort in=.segment",
    "buffer.create.before abort in=.marks",
    "buffer.create.after abort in=.marks",
    "buffer.sync.before abort in=.marks",
    "buffer.sync_dir.before abort",
    "buffer.sync_dir.after abort",
    "buffer.remove.before abort in=.segment",
    "buffer.remove.after abort in=.segment",
    "buffer.remove.before abort in=.marks",
    "buffer.remove.after abort in=.marks",
];

#[test]
fn every_line_arrives_once_wherever_the_agent_dies() {
    let mut scene = scene("agentdies");
    let (mut agent, _aggregator) = start(&scene);
    let writer = Writer::start(containers(&mut scene), PACE);
    let faults = agent.faults();
    for rule in AGENT {
        faults.set(&[rule]).unwrap();
        agent.wait_gone(LIMIT).unwrap_or_else(|_| panic!("{rule}"));
        faults.clear().unwrap();
        agent.start_again().unwrap();
        arrive_more(&scene);
    }
    for rule in AGENT_START {
        agent.kill().unwrap();
        damage_journal(&agent.data_dir());
        faults.set(&[rule]).unwrap();
        agent.start_to_end().unwrap_or_else(|_| panic!("{rule}"));
        faults.clear().unwrap();
        agent.start_again().unwrap();
    }
    assert_eq!(faults.struck().len(), AGENT.len() + AGENT_START.len());
    let containers = writer.finish().unwrap();
    let verdict = scene.wait_verdict(&containers, LIMIT).unwrap();
    verdict.assert_clean();
}

/// Adds to every log what a write that was cut off leaves.
fn damage_journal(data_dir: &std::path::Path) {
    use std::io::Write;
    let mut n_logs = 0;
    for entry in std::fs::read_dir(data_dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if name.starts_with("log-") && !name.contains("corrupt") {
            let mut log = std::fs::File::options().append(true).open(&path).unwrap();
            log.write_all(&[0x77; 9]).unwrap();
            n_logs += 1;
        }
    }
    assert!(n_logs > 0, "no log in {}", data_dir.display());
}

#[test]
fn every_line_arrives_once_wherever_the_aggregator_dies() {
    let mut scene = scene("aggrdies");
    let (_agent, mut aggregator) = start(&scene);
    let writer = Writer::start(containers(&mut scene), PACE);
    let faults = aggregator.faults();
    for rule in AGGREGATOR {
        faults.set(&[rule]).unwrap();
        aggregator
            .wait_gone(LIMIT)
            .unwrap_or_else(|_| panic!("{rule}"));
        faults.clear().unwrap();
        aggregator.start_again().unwrap();
        arrive_more(&scene);
    }
    assert_eq!(faults.struck().len(), AGGREGATOR.len());
    let containers = writer.finish().unwrap();
    let verdict = scene.wait_verdict(&containers, LIMIT).unwrap();
    verdict.assert_clean();
}
