//! What an exchange says about each group of a batch, as a type rather than a guess.

use crate::batch::SentGroup;
use crate::exchange::{Answered, ExchangeError};
use std::time::Duration;
use tail::{Failure, Positions};
use wire::{ChunkAck, Limits, Status};

/// When an aggregator that has no room does not say when to come again.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Nobody may send an agent to sleep for longer.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(120);

/// A destination that refuses documents needs a human: no hurry.
const REFUSED_RETRY_AFTER: Duration = Duration::from_secs(30);

/// What happens to a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Judged group by group, in the batch's order.
    Groups {
        /// One for each group.
        groups: Vec<GroupVerdict>,
        /// The aggregator's settings, when it asked for groups to be sealed with them.
        settings: Option<Vec<u8>>,
    },
    /// All groups go back; the aggregator pauses.
    Failed {
        /// For the tailer.
        why: Failure,
        /// The aggregator is left alone for at least this long.
        pause: Duration,
        /// Label for the metrics.
        reason: &'static str,
        /// For the log.
        detail: String,
    },
    /// The batch was too large: smaller ones from now on.
    TooLarge,
}

/// What happens to one group.
#[derive(Debug, PartialEq, Eq)]
pub enum GroupVerdict {
    /// Durable up to these positions, one for each chunk.
    Acked(Vec<Positions>),
    /// Goes back.
    Failed(Failure, &'static str),
    /// Goes back; the aggregator does not know its metadata, or the settings it is sealed with.
    NeedMetadata(Failure),
    /// Goes back, to be sealed with the settings of the answer.
    Reseal,
}

/// Judges the outcome of a batch of `groups`.
pub fn judge(outcome: Result<Answered, ExchangeError>, groups: &[SentGroup]) -> Verdict {
    let answered = match outcome {
        Ok(answered) => answered,
        Err(error) => {
            let (why, reason) = match &error {
                ExchangeError::NotSent { .. } => (Failure::NotSent, "not_sent"),
                ExchangeError::Lost { .. } => (Failure::ConnectionLost, "connection_lost"),
                ExchangeError::TimedOut { .. } => (Failure::Unknown, "timeout"),
            };
            return failed(why, Duration::ZERO, reason, error.to_string());
        }
    };
    let retry_after = retry_after(&answered);
    match answered.status.as_u16() {
        200 => judge_answer(&answered, groups, retry_after),
        413 => Verdict::TooLarge,
        // The pause is the aggregator's: another one may take the groups at once.
        429 | 503 => failed(
            Failure::Busy {
                retry_after: Duration::ZERO,
                in_doubt: false,
            },
            retry_after.unwrap_or(DEFAULT_RETRY_AFTER),
            "busy",
            said(&answered),
        ),
        // The handler or what stands behind a proxy broke while it had the batch: as dangerous as
        // a lost connection (DELIVERY rule 12).
        500 | 502 => failed(
            Failure::ConnectionLost,
            Duration::ZERO,
            "server_error",
            said(&answered),
        ),
        500.. => failed(
            Failure::Unknown,
            Duration::ZERO,
            "server_error",
            said(&answered),
        ),
        // The bytes of this batch cannot be read: which of its groups is to blame shows when each
        // goes alone.
        400 => failed(
            Failure::Rejected,
            Duration::ZERO,
            "bad_request",
            said(&answered),
        ),
        // Refused before anything was looked at. The same bytes stay refused until somebody mends
        // token, version or proxy; until then the files keep them.
        401.. => failed(
            Failure::NotSent,
            DEFAULT_RETRY_AFTER,
            "rejected",
            said(&answered),
        ),
        _ => failed(
            Failure::Unknown,
            Duration::ZERO,
            "bad_answer",
            said(&answered),
        ),
    }
}

fn failed(why: Failure, pause: Duration, reason: &'static str, detail: String) -> Verdict {
    Verdict::Failed {
        why,
        pause,
        reason,
        detail,
    }
}

fn said(answered: &Answered) -> String {
    let text = String::from_utf8_lossy(&answered.body);
    let short: String = text.trim().chars().take(200).collect();
    format!("answered {}: {short}", answered.status)
}

/// Seconds only: dates depend on two clocks.
fn retry_after(answered: &Answered) -> Option<Duration> {
    let value = answered
        .headers
        .get(hyper::header::RETRY_AFTER)?
        .to_str()
        .ok()?;
    Some(Duration::from_secs(value.trim().parse().ok()?).min(MAX_RETRY_AFTER))
}

fn judge_answer(
    answered: &Answered,
    groups: &[SentGroup],
    retry_after: Option<Duration>,
) -> Verdict {
    let bad = |detail| failed(Failure::Unknown, Duration::ZERO, "bad_answer", detail);
    let answer = match wire::decode_answer(&answered.body, &Limits::default()) {
        Ok(answer) => answer,
        Err(error) => return bad(error.to_string()),
    };
    let sent = groups.iter().flat_map(|group| &group.chunks);
    if !answer
        .chunks
        .iter()
        .map(|ack| (ack.stream, ack.start))
        .eq(sent.copied())
    {
        return bad("the answer names other chunks than were sent".to_owned());
    }
    let mut acks = answer.chunks.as_slice();
    let mut verdicts = Vec::with_capacity(groups.len());
    for group in groups {
        let Some((own, rest)) = acks.split_at_checked(group.chunks.len()) else {
            return bad("the answer is too short".to_owned());
        };
        acks = rest;
        verdicts.push(judge_group(own, retry_after));
    }
    let asks = verdicts.contains(&GroupVerdict::Reseal);
    Verdict::Groups {
        groups: verdicts,
        settings: asks.then_some(answer.settings),
    }
}

/// A group comes again as a whole, so its worst chunk decides; what may be stored of the others
/// then is in doubt.
fn judge_group(acks: &[ChunkAck], retry_after: Option<Duration>) -> GroupVerdict {
    let any = |status| acks.iter().any(|ack| ack.status == status);
    let in_doubt = any(Status::Busy) || any(Status::Ok);
    if any(Status::Refused) {
        let retry_after = retry_after.unwrap_or(REFUSED_RETRY_AFTER);
        let why = match in_doubt {
            true => Failure::Busy {
                retry_after,
                in_doubt,
            },
            false => Failure::Refused { retry_after },
        };
        return GroupVerdict::Failed(why, "refused");
    }
    if any(Status::NeedMetadata) {
        let why = match in_doubt {
            true => Failure::Busy {
                retry_after: Duration::ZERO,
                in_doubt,
            },
            false => Failure::NotSent,
        };
        return GroupVerdict::NeedMetadata(why);
    }
    if any(Status::Reseal) && !in_doubt {
        return GroupVerdict::Reseal;
    }
    if any(Status::Busy) || any(Status::Reseal) {
        let retry_after = retry_after.unwrap_or(DEFAULT_RETRY_AFTER);
        return GroupVerdict::Failed(
            Failure::Busy {
                retry_after,
                in_doubt,
            },
            "busy",
        );
    }
    let durable = |ack: &ChunkAck| Positions {
        stdout: ack.durable.stdout,
        stderr: ack.durable.stderr,
    };
    GroupVerdict::Acked(acks.iter().map(durable).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use hyper::{HeaderMap, StatusCode};
    use tail::GroupId;

    fn answered(status: u16, retry_after: Option<&str>, body: Vec<u8>) -> Answered {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert("retry-after", value.parse().unwrap());
        }
        Answered {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Bytes::from(body),
        }
    }

    fn check_failed(status: u16, retry_after: Option<&str>, why: Failure, pause_secs: u64) {
        let Verdict::Failed {
            why: got, pause, ..
        } = judge(Ok(answered(status, retry_after, b"no".to_vec())), &[])
        else {
            panic!("{status} is no failure")
        };
        assert_eq!((got, pause.as_secs()), (why, pause_secs), "{status}");
    }

    #[test]
    fn each_status_has_its_consequence() {
        let busy = Failure::Busy {
            retry_after: Duration::ZERO,
            in_doubt: false,
        };
        check_failed(429, Some("7"), busy, 7);
        check_failed(503, None, busy, 1);
        check_failed(503, Some("Sat, 21 Nov 2026 07:28:00 GMT"), busy, 1);
        check_failed(503, Some("86400"), busy, 120);
        check_failed(400, None, Failure::Rejected, 0);
        for status in [401, 403, 404, 415, 426] {
            check_failed(status, None, Failure::NotSent, 1);
        }
        check_failed(500, None, Failure::ConnectionLost, 0);
        check_failed(502, None, Failure::ConnectionLost, 0);
        check_failed(504, None, Failure::Unknown, 0);
        check_failed(302, None, Failure::Unknown, 0);
        check_failed(200, None, Failure::Unknown, 0);
        assert_eq!(
            judge(Ok(answered(413, None, Vec::new())), &[]),
            Verdict::TooLarge
        );
    }

    fn judged(statuses: &[Status]) -> GroupVerdict {
        let acks: Vec<ChunkAck> = statuses
            .iter()
            .enumerate()
            .map(|(idx, &status)| ChunkAck {
                stream: idx as u64,
                start: 10,
                status,
                durable: wire::Positions {
                    stdout: 20,
                    stderr: 30,
                },
            })
            .collect();
        let group = SentGroup {
            id: GroupId(1),
            chunks: acks.iter().map(|ack| (ack.stream, ack.start)).collect(),
        };
        let mut body = Vec::new();
        let answer = wire::Answer {
            chunks: acks,
            settings: Vec::new(),
        };
        wire::encode_answer(&answer, &mut body);
        match judge(Ok(answered(200, None, body)), &[group]) {
            Verdict::Groups { mut groups, .. } if groups.len() == 1 => groups.remove(0),
            other => panic!("{other:?}"),
        }
    }

    /// DELIVERY rule 11: doubt arises where something may have been stored, and nowhere else.
    #[test]
    fn the_worst_chunk_decides_and_stored_ones_leave_doubt() {
        use Status::{Busy, NeedMetadata, Ok, Refused, Reseal};
        let second = Duration::from_secs(1);
        let positions = Positions {
            stdout: 20,
            stderr: 30,
        };
        let busy = |retry_after| Failure::Busy {
            retry_after,
            in_doubt: true,
        };
        for (statuses, expected) in [
            (vec![Ok, Ok], GroupVerdict::Acked(vec![positions; 2])),
            (vec![Busy], GroupVerdict::Failed(busy(second), "busy")),
            (vec![Ok, Busy], GroupVerdict::Failed(busy(second), "busy")),
            (
                vec![NeedMetadata],
                GroupVerdict::NeedMetadata(Failure::NotSent),
            ),
            (
                vec![Ok, NeedMetadata],
                GroupVerdict::NeedMetadata(busy(Duration::ZERO)),
            ),
            (vec![Reseal, Reseal], GroupVerdict::Reseal),
            (vec![Ok, Reseal], GroupVerdict::Failed(busy(second), "busy")),
            (
                vec![Busy, Refused],
                GroupVerdict::Failed(busy(REFUSED_RETRY_AFTER), "refused"),
            ),
            (
                vec![Refused],
                GroupVerdict::Failed(
                    Failure::Refused {
                        retry_after: REFUSED_RETRY_AFTER,
                    },
                    "refused",
                ),
            ),
        ] {
            assert_eq!(judged(&statuses), expected, "{statuses:?}");
        }
    }

    #[test]
    fn an_answer_about_other_chunks_says_nothing() {
        let ack = ChunkAck {
            stream: 1,
            start: 0,
            status: Status::Ok,
            durable: wire::Positions::at(5),
        };
        for chunks in [
            vec![],
            vec![ack.clone(), ack.clone()],
            vec![ChunkAck { start: 1, ..ack }],
        ] {
            let mut body = Vec::new();
            let answer = wire::Answer {
                chunks,
                settings: Vec::new(),
            };
            wire::encode_answer(&answer, &mut body);
            let group = SentGroup {
                id: GroupId(1),
                chunks: vec![(1, 0)],
            };
            let verdict = judge(Ok(answered(200, None, body)), &[group]);
            assert!(
                matches!(
                    verdict,
                    Verdict::Failed {
                        why: Failure::Unknown,
                        ..
                    }
                ),
                "{verdict:?}"
            );
        }
    }
}
