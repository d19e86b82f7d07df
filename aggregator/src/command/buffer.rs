//! `tailrace-aggregator buffer ls|verify|cat DIR`: looks into a disk buffer, also one in use.
//!
//! Reads only, takes no lock. What the bytes of an entry mean (head and compression) is known
//! here and not in the `buffer` crate.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::buffer::Damage;
use ::buffer::inspect::{self, CatError, InspectedEntry, SegmentReport, SegmentState, Selection};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use store::{BodyMeta, Encoding};
use telemetry::table::Table;

/// What to do with a buffer.
#[derive(Debug, Clone, Subcommand)]
pub enum BufferCommand {
    /// Lists the segments: entries, delivered ones, bytes, age, state.
    Ls(DirArgs),
    /// Checks every byte, and names what is damaged. Exit code 1 when something is.
    Verify(DirArgs),
    /// Prints the bodies of entries, decompressed: `_bulk` lines.
    Cat(CatArgs),
}

/// Which buffer.
#[derive(Debug, Clone, Args)]
pub struct DirArgs {
    /// Folder of the buffer, such as `aggregator-data/outputs/main/main`.
    pub dir: PathBuf,
}

/// Which entries of which buffer.
#[derive(Debug, Clone, Args)]
pub struct CatArgs {
    /// Folder of the buffer, such as `aggregator-data/outputs/main/main`.
    pub dir: PathBuf,
    /// First entry.
    #[arg(long, value_name = "ID", default_value_t = 0)]
    pub from: u64,
    /// Last entry; all by default.
    #[arg(long, value_name = "ID", default_value_t = u64::MAX, hide_default_value = true)]
    pub to: u64,
    /// Delivered entries too, as far as they are still there.
    #[arg(long)]
    pub delivered: bool,
    /// One line for each entry (id, time, size, documents, targets) instead of its body.
    #[arg(long)]
    pub heads: bool,
}

/// Runs the command; false when something is damaged.
///
/// # Errors
/// When the folder cannot be read or holds no buffer.
pub fn run(command: BufferCommand, out: &mut dyn Write) -> anyhow::Result<bool> {
    let result = match command {
        BufferCommand::Ls(args) => ls(&args.dir, out),
        BufferCommand::Verify(args) => verify(&args.dir, out),
        BufferCommand::Cat(args) => cat(&args, out),
    };
    match result {
        // `buffer cat … | head` is no failure.
        Err(error) if is_broken_pipe(&error) => Ok(true),
        result => result,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let error = cause.downcast_ref::<io::Error>();
        error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// Fails with advice when `dir` is not a buffer's folder: an empty answer would look like an
/// empty buffer.
fn check_is_buffer(dir: &Path) -> anyhow::Result<()> {
    if dir.join("lock").is_file() {
        return Ok(());
    }
    let names = std::fs::read_dir(dir)
        .with_context(|| format!("cannot read `{}`", dir.display()))?
        .flatten()
        .map(|entry| entry.path());
    let mut below: Vec<_> = names.filter(|path| path.join("lock").is_file()).collect();
    below.sort();
    match below.as_slice() {
        // A copy of the segments alone is good enough to look at.
        [] if !inspect::list(dir)?.is_empty() => Ok(()),
        [] => anyhow::bail!(
            "`{}` is no buffer's folder: no `lock`, no segments",
            dir.display()
        ),
        below => {
            let list: Vec<_> = below
                .iter()
                .map(|path| format!("`{}`", path.display()))
                .collect();
            anyhow::bail!(
                "`{}` is no buffer's folder, but {} is",
                dir.display(),
                list.join(", ")
            )
        }
    }
}

fn ls(dir: &Path, out: &mut dyn Write) -> anyhow::Result<bool> {
    check_is_buffer(dir)?;
    let reports = inspect::list(dir)?;
    write_table(&reports, out)?;
    write_complaints(&reports, out)?;
    Ok(true)
}

fn verify(dir: &Path, out: &mut dyn Write) -> anyhow::Result<bool> {
    check_is_buffer(dir)?;
    let reports = inspect::verify(dir)?;
    write_complaints(&reports, out)?;
    let sum = |of: fn(&SegmentReport) -> u64| reports.iter().map(of).sum::<u64>();
    let n_damaged = reports.iter().filter(|report| !report.is_sound()).count();
    writeln!(
        out,
        "{} segments, {} entries, {}: {}",
        reports.len(),
        sum(|report| report.entries),
        size(sum(|report| report.disk_bytes)),
        if n_damaged == 0 {
            "sound".to_owned()
        } else {
            format!("{n_damaged} damaged")
        },
    )?;
    Ok(n_damaged == 0)
}

fn write_table(reports: &[SegmentReport], out: &mut dyn Write) -> io::Result<()> {
    let now_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let now_ms = u64::try_from(now_ms).unwrap_or(u64::MAX);
    let columns = [
        "segment",
        "state",
        "entries",
        "delivered",
        "in doubt",
        "undelivered",
        "on disk",
        "oldest",
    ];
    let mut table = Table::new(&columns);
    for report in reports {
        let age = report
            .oldest_ms
            .map(|ms| Duration::from_millis(now_ms.saturating_sub(ms)));
        table.row(&[
            report.number.to_string(),
            state(report).to_owned(),
            report.entries.to_string(),
            report.done.to_string(),
            report.in_doubt.to_string(),
            size(report.undelivered_bytes),
            size(report.disk_bytes),
            age.map_or_else(|| "-".to_owned(), span),
        ]);
    }
    writeln!(out, "{}", table.to_string().trim_end())
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..0x400 => format!("{bytes} B"),
        0x400..0x10_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// An age for people: its two largest units.
fn span(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

fn state(report: &SegmentReport) -> &'static str {
    match report.state {
        _ if !report.is_sound() => "damaged",
        SegmentState::Open => "open",
        SegmentState::Sealed => "sealed",
        SegmentState::Unfinished => "unfinished",
        SegmentState::Unreadable => "unreadable",
    }
}

fn write_complaints(reports: &[SegmentReport], out: &mut dyn Write) -> io::Result<()> {
    for report in reports {
        let path = report.path.display();
        for damage in &report.damaged {
            writeln!(out, "{}", Complaint(damage))?;
        }
        if report.damaged_marks > 0 {
            let n_marks = report.damaged_marks;
            writeln!(
                out,
                "{path}: {n_marks} delivery marks unreadable: their entries go again"
            )?;
        }
        if report.torn_bytes > 0 {
            let n_bytes = report.torn_bytes;
            writeln!(
                out,
                "{path}: {n_bytes} bytes of an unfinished write at the end, no damage"
            )?;
        }
        if let Some(problem) = &report.problem {
            writeln!(out, "{problem}")?;
        }
    }
    Ok(())
}

/// A damaged place in words.
struct Complaint<'a>(&'a Damage);

impl fmt::Display for Complaint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage {
            path,
            offset,
            bytes,
            entries,
        } = self.0;
        write!(
            f,
            "{}: {bytes} bytes damaged at byte {offset}, ",
            path.display()
        )?;
        match entries.end.saturating_sub(entries.start) {
            0 => write!(f, "no entry lost"),
            1 => write!(f, "entry {} lost", entries.start),
            n_lost => write!(f, "{n_lost} entries lost from {}", entries.start),
        }
    }
}

fn cat(args: &CatArgs, out: &mut dyn Write) -> anyhow::Result<bool> {
    check_is_buffer(&args.dir)?;
    let selection = Selection {
        ids: args.from..=args.to,
        delivered: args.delivered,
    };
    let show = |entry: InspectedEntry| {
        if args.heads {
            write_head(&entry, out)
        } else {
            write_body(&entry, out)
        }
    };
    let summary = inspect::cat(&args.dir, &selection, show).map_err(|error| match error {
        CatError::Buffer(error) => anyhow::Error::new(error),
        CatError::Show(error) => anyhow::Error::new(error).context("cannot print an entry"),
    })?;
    // Standard output may be piped on as `_bulk` lines: what is wrong goes elsewhere.
    let mut complaints = io::stderr().lock();
    for damage in &summary.damaged {
        writeln!(complaints, "{}", Complaint(damage))?;
    }
    for problem in &summary.problems {
        writeln!(complaints, "{problem}")?;
    }
    Ok(summary.damaged.is_empty() && summary.problems.is_empty())
}

fn write_head(entry: &InspectedEntry, out: &mut dyn Write) -> io::Result<()> {
    let created = i64::try_from(entry.created_ms).ok();
    let created = created.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let created = created.map_or_else(|| "?".to_owned(), |time| time.to_string());
    let size = size(entry.body.len() as u64);
    let done = if entry.is_done { " delivered" } else { "" };
    write!(out, "{}{done} {created} {size} ", entry.id)?;
    match BodyMeta::decode(&entry.head) {
        Ok(meta) => {
            let targets: Vec<_> = meta.targets.iter().map(|target| &*target.index).collect();
            let (lane, encoding, docs) = (meta.lane, meta.encoding, meta.docs());
            writeln!(
                out,
                "{lane:?} {encoding:?} {docs} documents to {}",
                targets.join(", ")
            )
        }
        Err(error) => writeln!(out, "({error})"),
    }
}

fn write_body(entry: &InspectedEntry, out: &mut dyn Write) -> io::Result<()> {
    let meta = BodyMeta::decode(&entry.head)
        .map_err(|error| io::Error::other(format!("entry {}: {error}", entry.id)))?;
    let body = entry.body.as_slice();
    match meta.encoding {
        Encoding::Identity => out.write_all(body),
        Encoding::Gzip => io::copy(&mut flate2::read::MultiGzDecoder::new(body), out).map(drop),
        Encoding::Zstd => zstd::stream::copy_decode(body, out),
    }
}

#[cfg(test)]
mod tests {
    use ::buffer::{Buffer, Disk, Options};
    use bytes::Bytes;
    use clap::Parser as _;
    use store::{Lane, Run, Target};

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(subcommand)]
        command: BufferCommand,
    }

    fn output(args: &[&str], dir: &Path) -> anyhow::Result<(bool, String)> {
        let dir = dir.to_str().unwrap();
        let args = ["buffer"].iter().chain(args).chain([&dir]);
        let mut out = Vec::new();
        let is_sound = run(Cli::parse_from(args).command, &mut out)?;
        Ok((is_sound, String::from_utf8(out).unwrap()))
    }

    fn meta(encoding: Encoding) -> BodyMeta {
        BodyMeta {
            encoding,
            raw_len: 0,
            created_ms: 1,
            targets: vec![Target {
                index: "logs-a-b".to_owned(),
                namespace: String::new(),
            }],
            runs: vec![Run { target: 0, docs: 3 }],
            doubt_since_ms: None,
            lane: Lane::Fresh,
        }
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    /// A live buffer with one body of each encoding, the second of two gzip members.
    fn sample(dir: &Path) -> Buffer {
        let (buffer, _) = Buffer::open(dir, Options::default(), Disk).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        for (encoding, body) in [
            (Encoding::Identity, b"one\n".to_vec()),
            (Encoding::Gzip, [gzip("two\n"), gzip("three\n")].concat()),
            (
                Encoding::Zstd,
                zstd::encode_all("four\n".as_bytes(), 1).unwrap(),
            ),
        ] {
            let reservation = buffer.reserve(10_000).unwrap();
            let ticket = buffer.append(
                reservation,
                meta(encoding).encode(),
                vec![Bytes::from(body)],
            );
            runtime.block_on(ticket).unwrap();
        }
        let first = buffer.try_next().unwrap();
        buffer.done(first.id);
        buffer
    }

    #[test]
    fn cat_decompresses_every_encoding() {
        let dir = tempfile::tempdir().unwrap();
        let _buffer = sample(dir.path());
        let cat = |args: &[&str]| output(args, dir.path()).unwrap();
        assert_eq!(cat(&["cat"]), (true, "two\nthree\nfour\n".to_owned()));
        assert_eq!(
            cat(&["cat", "--delivered"]),
            (true, "one\ntwo\nthree\nfour\n".to_owned())
        );
        assert_eq!(cat(&["cat", "--from", "3"]), (true, "four\n".to_owned()));
        let (_, heads) = cat(&["cat", "--heads", "--to", "2"]);
        assert!(heads.starts_with("2 20"), "{heads}");
        assert!(
            heads.ends_with(" B Fresh Gzip 3 documents to logs-a-b\n"),
            "{heads}"
        );
    }

    #[test]
    fn ls_and_verify_tell_sound_from_damaged() {
        let dir = tempfile::tempdir().unwrap();
        drop(sample(dir.path()));
        let (is_sound, text) = output(&["ls"], dir.path()).unwrap();
        assert!(is_sound && text.contains("sealed"), "{text}");
        let (is_sound, text) = output(&["verify"], dir.path()).unwrap();
        assert!(
            is_sound && text.starts_with("1 segments, 3 entries, "),
            "{text}"
        );

        let path = dir.path().join("0000000001.segment");
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let (is_sound, text) = output(&["verify"], dir.path()).unwrap();
        assert!(!is_sound);
        assert!(
            text.contains("entry 2 lost") && text.contains("1 damaged"),
            "{text}"
        );
    }

    #[test]
    fn a_folder_that_is_no_buffer_is_an_error_that_names_those_below() {
        let dir = tempfile::tempdir().unwrap();
        let error = output(&["ls"], dir.path()).unwrap_err().to_string();
        assert!(error.contains("is no buffer's folder"), "{error}");
        drop(sample(&dir.path().join("main")));
        let error = output(&["verify"], dir.path()).unwrap_err().to_string();
        assert!(error.contains("main` is"), "{error}");
        assert!(output(&["cat"], &dir.path().join("absent")).is_err());
    }
}
