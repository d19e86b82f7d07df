//! When a sequence has something to send: lingering, flushes, ends, turns.

use super::Tailer;
use crate::group::Flush;
use crate::stream::{Phase, Sequence};
use std::cmp::Reverse;
use std::time::Duration;

/// Unsent bytes of one stream that do not wait for a quiet moment.
const FULL: u64 = 256 << 10;

/// Unsent bytes from which on a growing stream is worth a group of its own every few milliseconds:
/// some ten lines. With fewer it waits as a quiet one does.
const BUSY: u64 = 2 << 10;

/// Streams with little to send go together, at multiples of [`Options::max_age`], and of this at
/// most: a batch has a price, of a dozen wake-ups on the way to the store, that does not depend on its
/// size (`tailrace-bench --flat`).
///
/// [`Options::max_age`]: crate::Options::max_age
const TOGETHER: Duration = Duration::from_millis(250);

/// Of so many turns one goes to the files that are not rotated, so that a container that rotates
/// faster than it can be read does not starve the others.
const FAIR_TURN: u32 = 4;

impl Tailer {
    /// When a group of this sequence can be built; `None`: nothing is due by time.
    fn due(&self, sequence: &Sequence, now: Duration) -> Option<Duration> {
        if sequence.in_flight.is_some() {
            return None;
        }
        if sequence.sealed.is_some() {
            return Some(sequence.hold_until);
        }
        let o = &self.options;
        let together = |at: Duration| next_multiple(at, o.max_age.min(TOGETHER));
        let mut due: Option<Duration> = None;
        let mut consider = |at: Duration| due = Some(due.map_or(at, |due| due.min(at)));
        for (idx, stream) in sequence.streams.iter().enumerate() {
            match stream.phase {
                Phase::Done => continue,
                Phase::Vanished { .. } => {
                    consider(now);
                    break;
                }
                Phase::Missing { since, .. } => {
                    consider(since + o.final_after);
                    break;
                }
                Phase::Live => {}
            }
            let has_successor = sequence.successor_since(idx).is_some();
            let over = sequence.over_at(idx, o.final_after);
            let is_open_ended = stream.size > stream.sent;
            // Once the end is final there is something to say of it, but not twice: the rest of a
            // file that waits for its successor's lines goes with these.
            if let Some(over) = over
                && (over > now
                    || stream.unread() == 0
                    || is_open_ended
                    || (!has_successor && stream.flushed < Flush::Hard))
            {
                consider(over);
            }
            if stream.unread() == 0 {
                continue;
            }
            if stream.size > stream.sent.max(stream.barren) {
                let hurries = has_successor || stream.size - stream.sent >= FULL;
                consider(if hurries {
                    now
                } else {
                    let age = self.pace.age(now).min(o.max_age);
                    // A few lines at once are an event or a request, and then it is quiet: sent
                    // before that they would have to come again with their flush.
                    let is_growing = stream.last_grow >= stream.first_unsent + age / 2;
                    let is_busy = is_growing && stream.size - stream.sent >= BUSY;
                    let quiet = stream.last_grow + o.linger;
                    match is_busy {
                        true => {
                            let step = self.pace.step(now).min(o.max_age);
                            next_multiple(quiet.min(stream.first_unsent + age), step)
                        }
                        false => together(quiet.min(stream.first_unsent + o.max_age)),
                    }
                });
            }
            if !has_successor && stream.acked.low() < stream.sent {
                match stream.flushed {
                    Flush::None => consider(together(stream.last_grow + o.linger)),
                    Flush::Soft => consider(together(stream.last_grow + o.hard_flush)),
                    Flush::Hard => {}
                }
            }
            if is_open_ended {
                // The last line has no newline.
                consider(stream.last_grow + 2 * o.final_after);
            }
            if !has_successor || is_open_ended {
                break;
            }
        }
        due.map(|due| due.max(sequence.hold_until))
    }

    /// Puts a sequence into the queue or sets its timer.
    pub(super) fn reschedule(&mut self, slot: u32, now: Duration) {
        let Some(sequence) = self.sequence(slot) else {
            return;
        };
        if sequence.is_queued {
            return;
        }
        let Some(due) = self.due(sequence, now) else {
            return;
        };
        let is_urgent = sequence
            .streams
            .iter()
            .filter(|stream| stream.unread() > 0)
            .count()
            > 1
            || sequence
                .streams
                .iter()
                .any(|stream| stream.deleted_since.is_some());
        let timer = sequence.timer;
        let is_ready = due <= now;
        if is_ready {
            let queue = if is_urgent {
                &mut self.ready[0]
            } else {
                &mut self.ready[1]
            };
            queue.push_back(slot);
        } else if timer.is_none_or(|timer| due < timer || timer <= now) {
            self.timers.push(Reverse((due, slot)));
        } else {
            // An earlier timer looks again.
            return;
        }
        if let Some(Some(sequence)) = self.sequences.get_mut(slot as usize) {
            sequence.is_queued = is_ready;
            sequence.timer = if is_ready { None } else { Some(due) };
        }
    }

    pub(super) fn fire_timers(&mut self, now: Duration) {
        while let Some(Reverse((at, slot))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            if let Some(Some(sequence)) = self.sequences.get_mut(slot as usize)
                && sequence.timer == Some(at)
            {
                sequence.timer = None;
                self.reschedule(slot, now);
            }
        }
    }

    /// The next sequence whose turn it is.
    pub(super) fn next_ready(&mut self) -> Option<u32> {
        self.turn = self.turn.wrapping_add(1);
        let first = usize::from(self.turn.is_multiple_of(FAIR_TURN));
        for queue in [first, 1 - first] {
            while let Some(slot) = self
                .ready
                .get_mut(queue)
                .and_then(|queue| queue.pop_front())
            {
                if let Some(Some(sequence)) = self.sequences.get_mut(slot as usize) {
                    sequence.is_queued = false;
                    return Some(slot);
                }
            }
        }
        None
    }

    pub(super) fn n_ready(&self) -> usize {
        self.ready.iter().map(std::collections::VecDeque::len).sum()
    }
}

/// The first multiple of `step` that is not before `at`; `at` where `step` is
/// zero.
fn next_multiple(at: Duration, step: Duration) -> Duration {
    let step = step.as_nanos();
    if step == 0 {
        return at;
    }
    let rest = at.as_nanos() % step;
    let missing = if rest == 0 { 0 } else { step - rest };
    at + Duration::from_nanos(u64::try_from(missing).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_to_a_step() {
        let ms = Duration::from_millis;
        for (at, step, expected) in [
            (ms(1_000), ms(250), ms(1_000)),
            (ms(1_001), ms(250), ms(1_250)),
            (ms(1_249), ms(25), ms(1_250)),
            (ms(1_249), Duration::ZERO, ms(1_249)),
            (Duration::ZERO, ms(25), Duration::ZERO),
        ] {
            assert_eq!(next_multiple(at, step), expected, "{at:?} {step:?}");
        }
    }
}
