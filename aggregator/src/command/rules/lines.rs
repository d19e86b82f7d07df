//! Log lines from standard input as records, framed as an aggregator frames them.

use std::io::Read;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use parsers::{Parser, RecordView, RuleId, RuleSet, StreamContext};

use crate::rules::EventRule;

/// Bytes asked for at a time. What is there comes at once, so a pipe that follows a file is shown
/// as it grows.
const READ_BYTES: usize = 256 << 10;

/// How the lines are wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FramingChoice {
    /// Lines as the program wrote them.
    Raw,
    /// `<time> <stdout|stderr> <P|F> <line>`, as containerd and CRI-O write.
    Cri,
    /// Docker's json-file.
    Docker,
}

/// What the lines are and where they come from.
#[derive(Debug, Args)]
pub(in crate::command) struct LineArgs {
    /// How the lines are wrapped.
    #[arg(long, value_enum, default_value = "raw")]
    framing: FramingChoice,
    /// Take each line for itself: do not join stack traces.
    #[arg(long)]
    no_multiline: bool,
    /// Metadata of the stream, for `match`: `kubernetes.namespace=shop`. Without any, what a rule
    /// asks of the stream is taken to fit.
    #[arg(long, value_name = "FIELD=VALUE", value_parser = pair)]
    meta: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not FIELD=VALUE")),
    }
}

impl LineArgs {
    /// Whether the stream is described, so that `match` can be judged.
    pub(super) fn has_metadata(&self) -> bool {
        !self.meta.is_empty()
    }

    /// The stream as it is described.
    pub(super) fn context(&self) -> anyhow::Result<StreamContext> {
        let members = self.meta.iter().cloned();
        let object: serde_json::Map<_, _> = members.map(|(k, v)| (k, v.into())).collect();
        let json = serde_json::Value::Object(object).to_string();
        StreamContext::new(json.as_bytes()).context("cannot use the metadata")
    }

    fn options(&self) -> framing::Options {
        framing::Options {
            multiline: !self.no_multiline,
            ..framing::Options::default()
        }
    }

    fn format(&self) -> framing::Format {
        match self.framing {
            FramingChoice::Raw => framing::Format::Raw,
            FramingChoice::Cri => framing::Format::Cri,
            FramingChoice::Docker => framing::Format::Docker,
        }
    }

    /// Hands each record of standard input to `each`, with a parser for the rules asked for and
    /// the stream as it is described.
    pub(super) fn parse_stdin(
        &self,
        set: &Arc<RuleSet>,
        only: Option<RuleId>,
        each: &mut dyn FnMut(&mut Parser, &RecordView<'_>, &StreamContext) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let stream = self.context()?;
        let mut parser = Parser::new(Arc::clone(set));
        parser.only(only);
        parser.any_stream(!self.has_metadata());
        let interactive = super::hint_at_terminal();
        let rule = match self.no_multiline {
            true => None,
            false => EventRule::tried(set, only, self.has_metadata().then_some(&stream)),
        };
        let input = &mut std::io::stdin().lock();
        self.each_record(input, interactive, rule, &mut |record| {
            each(&mut parser, record, &stream)?;
            Ok(true)
        })
    }

    /// Hands each record of `input` to `each`, as soon as its end is known; `each` ends the reading
    /// with `false`. At the terminal (`interactive`) every line ends what is open. `rule` says
    /// which lines make one event.
    pub(super) fn each_record(
        &self,
        input: &mut dyn Read,
        interactive: bool,
        rule: Option<EventRule<'_>>,
        each: &mut dyn FnMut(&RecordView<'_>) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let options = self.options();
        let options = rule.map_or(options, |rule| rule.options(options));
        let rule = rule.as_ref().map(|rule| rule as &dyn framing::EventRule);
        let mut frames = framing::Frames::default();
        let mut bytes: Vec<u8> = Vec::new();
        let mut start = 0u64;
        let mut resume = framing::Positions::default();
        loop {
            let had = bytes.len();
            bytes.resize(had + READ_BYTES, 0);
            let read = input
                .read(bytes.get_mut(had..).unwrap_or_default())
                .context("cannot read the lines")?;
            bytes.truncate(had + read);
            let eof = read == 0;
            // Framing takes whole lines: what comes after the last newline waits.
            let whole = match bytes.iter().rposition(|b| *b == b'\n') {
                _ if eof => bytes.len(),
                Some(at) => at + 1,
                // A line without end is cut as the agent cuts it.
                None if bytes.len() >= options.max_line => options.max_line,
                None => 0,
            };
            let inputs = [framing::Input {
                stream: 1,
                start,
                resume,
                eof,
                bytes: bytes.get(..whole).unwrap_or_default(),
            }];
            let flush = match eof || interactive {
                true => framing::Flush::Hard,
                false => framing::Flush::None,
            };
            frames.clear();
            framing::frame_with(self.format(), &inputs, flush, &options, rule, &mut frames);
            let now_ns = crate::clock::wall_ms() as i64 * 1_000_000;
            for record in frames.records() {
                let tags: Vec<&'static str> = record.tags.names().collect();
                let view = RecordView {
                    message: frames.message(record, &inputs),
                    iostream: record.iostream.map(|iostream| match iostream {
                        framing::Iostream::Stdout => "stdout",
                        framing::Iostream::Stderr => "stderr",
                    }),
                    time_ns: record.time_ns,
                    now_ns,
                    stream: record.stream,
                    offset: record.offset,
                    length: record.length,
                    parts: &[],
                    trace_at: record.trace_at.map(|at| at as usize),
                    tags: &tags,
                    unparsed: false,
                };
                if !each(&view)? {
                    return Ok(());
                }
            }
            if eof {
                return Ok(());
            }
            if let Some(positions) = frames.positions().first() {
                resume = *positions;
                let keep_from = resume.stdout.min(resume.stderr).saturating_sub(start) as usize;
                bytes.drain(..keep_from.min(bytes.len()));
                start += keep_from as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn args(framing: FramingChoice) -> LineArgs {
        LineArgs {
            framing,
            no_multiline: false,
            meta: vec![("kubernetes.namespace".to_owned(), "shop".to_owned())],
        }
    }

    fn messages(args: &LineArgs, input: &str) -> Vec<String> {
        let mut found = Vec::new();
        args.each_record(&mut input.as_bytes(), false, None, &mut |record| {
            found.push(String::from_utf8_lossy(record.message).into_owned());
            Ok(true)
        })
        .unwrap();
        found
    }

    #[test]
    fn lines_become_records_of_each_framing() {
        let check = |framing, input: &str, expected: &[&str]| {
            assert_eq!(messages(&args(framing), input), expected, "{input}");
        };
        check(FramingChoice::Raw, "a\nb\n", &["a", "b"]);
        check(
            FramingChoice::Raw,
            "a\nlast without an end",
            &["a", "last without an end"],
        );
        check(
            FramingChoice::Raw,
            "ERROR x\njava.lang.Error: y\n\tat a.B.c(B.java:1)\nnext\n",
            &["ERROR x\njava.lang.Error: y\n\tat a.B.c(B.java:1)", "next"],
        );
        check(
            FramingChoice::Cri,
            "2024-01-01T00:00:00.1Z stdout P a\n2024-01-01T00:00:00.1Z stdout F b\n",
            &["ab"],
        );
        check(
            FramingChoice::Docker,
            "{\"log\":\"a\\n\",\"stream\":\"stdout\",\"time\":\"2024-01-01T00:00:00.1Z\"}\n",
            &["a"],
        );
        check(FramingChoice::Raw, "", &[]);
    }

    /// A multi-line input cut anywhere gives the same records.
    #[test]
    fn where_a_read_ends_does_not_matter_to_events() {
        let check = |multiline: &str, input: &str, expected: &[&str]| {
            let text = format!("name: a\nsteps: [{{multiline: {multiline}}}]\n");
            let set = RuleSet::from_texts(&[(Path::new("a"), &text)]).unwrap();
            let rule = EventRule::tried(&set, None, None);
            let args = args(FramingChoice::Raw);
            for first in 0..=input.len() {
                for second in first..=input.len() {
                    let bytes = input.as_bytes();
                    let (head, rest) = bytes.split_at(first);
                    let (middle, tail) = rest.split_at(second - first);
                    let mut found = Vec::new();
                    args.each_record(
                        &mut head.chain(middle).chain(tail),
                        false,
                        rule,
                        &mut |record| {
                            found.push(String::from_utf8_lossy(record.message).into_owned());
                            Ok(true)
                        },
                    )
                    .unwrap();
                    assert_eq!(found, expected, "{multiline}, cut at {first} and {second}");
                }
            }
        };
        check(
            "{start: '^S'}",
            "S1\na\n\nS2\nS3\nb é\n",
            &["S1\na\n", "S2", "S3\nb é"],
        );
        check("indented", "a\n b\n\tc\nd\n", &["a\n b\n\tc", "d"]);
        check("{end: ';$'}", "a\nb;\nc;\nd\n", &["a\nb;", "c;", "d"]);
        check("backslash", "a \\\nb\nc\n", &["a \\\nb", "c"]);
        check(
            "{start: '^S', max_lines: 2}",
            "S\na\nb\nS\n",
            &["S\na", "b", "S"],
        );
    }

    #[test]
    fn an_input_of_many_reads_loses_nothing() {
        let lines: Vec<String> = (0..60_000).map(|n| format!("line number {n}")).collect();
        let input = format!("{}\n", lines.join("\n"));
        assert_eq!(messages(&args(FramingChoice::Raw), &input), lines);
    }

    #[test]
    fn metadata_is_what_rules_match_on() {
        let context = args(FramingChoice::Raw).context().unwrap();
        assert_eq!(context.get("kubernetes.namespace"), Some("shop"));
        assert!(pair("x").is_err() && pair("=x").is_err() && pair("a=b=c").is_ok());
    }
}
