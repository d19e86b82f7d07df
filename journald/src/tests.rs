//! Files that systemd itself wrote, read back: each entry, each field; and the same files spoilt.

use crate::file::{JournalFile, Next};
use crate::format::{OBJECT_LZ4, OBJECT_XZ};
use crate::{Cursor, Entry, Journal, Start, fuzzing};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const REMOTE: &str = "/lib/systemd/systemd-journal-remote";

type Fields = Vec<(String, Vec<u8>)>;

/// An entry as it is fed in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fed {
    realtime: u64,
    monotonic: u64,
    boot: u128,
    fields: Fields,
}

fn fed(n: u64, boot: u128, fields: &[(&str, &[u8])]) -> Fed {
    let fields = fields.iter().map(|(k, v)| ((*k).to_owned(), v.to_vec()));
    Fed {
        realtime: 1_700_000_000_000_000 + n * 1000,
        monotonic: 1_000_000 + n * 1000,
        boot,
        fields: fields.collect(),
    }
}

fn simple(n: u64) -> Fed {
    let text = format!("line {n}");
    let unit = format!("unit-{}.service", n % 7);
    fed(
        n,
        0xb007,
        &[
            ("MESSAGE", text.as_bytes()),
            ("PRIORITY", (n % 8).to_string().as_bytes()),
            ("_SYSTEMD_UNIT", unit.as_bytes()),
            ("_HOSTNAME", b"node-1"),
        ],
    )
}

fn export(entries: &[Fed]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        let mut head = String::new();
        writeln!(head, "__REALTIME_TIMESTAMP={}", entry.realtime).unwrap();
        writeln!(head, "__MONOTONIC_TIMESTAMP={}", entry.monotonic).unwrap();
        writeln!(head, "_BOOT_ID={:032x}", entry.boot).unwrap();
        out.extend(head.into_bytes());
        for (name, value) in &entry.fields {
            out.extend(name.as_bytes());
            if value.iter().all(|byte| (b' '..0x7f).contains(byte)) {
                out.push(b'=');
            } else {
                out.push(b'\n');
                out.extend((value.len() as u64).to_le_bytes());
            }
            out.extend(value);
            out.push(b'\n');
        }
        out.push(b'\n');
    }
    out
}

#[derive(Debug, Clone, Copy)]
struct Kind {
    compact: bool,
    keyed: bool,
    compress: bool,
}

const NEW: Kind = Kind {
    compact: true,
    keyed: true,
    compress: true,
};

/// Adds entries to a journal file, with systemd's own hands.
fn write(path: &Path, entries: &[Fed], kind: Kind) {
    assert!(
        Path::new(REMOTE).exists(),
        "no {REMOTE}: journal files are made with it (make doctor; Debian: systemd-journal-remote)"
    );
    let flag = |is_on: bool| if is_on { "1" } else { "0" };
    let mut child = Command::new(REMOTE)
        .arg(format!("--output={}", path.display()))
        .args([
            "--split-mode=none",
            &format!("--compress={}", kind.compress),
        ])
        .arg("-")
        .env("SYSTEMD_JOURNAL_COMPACT", flag(kind.compact))
        .env("SYSTEMD_JOURNAL_KEYED_HASH", flag(kind.keyed))
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&export(entries))
        .unwrap();
    assert!(child.wait().unwrap().success());
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// All that can be read now.
fn read_all(journal: &mut Journal) -> Vec<Fed> {
    let mut all = Vec::new();
    let mut entry = Entry::default();
    journal.poll().unwrap();
    while journal.next(&mut entry, |_| Some(usize::MAX)) {
        assert_eq!(entry.unreadable, 0);
        all.push(as_fed(&entry));
    }
    all
}

fn as_fed(entry: &Entry) -> Fed {
    let field = |field: crate::Field<'_>| {
        assert!(!field.is_cut);
        (
            String::from_utf8(field.name.to_vec()).unwrap(),
            field.value.to_vec(),
        )
    };
    let mut fields: Fields = entry.fields().map(field).collect();
    fields.retain(|(name, _)| name != "_BOOT_ID");
    Fed {
        realtime: entry.position.realtime,
        monotonic: entry.position.monotonic,
        boot: entry.position.boot_id.0,
        fields,
    }
}

/// Fields come in the order of the file.
fn sorted(entries: &[Fed]) -> Vec<Fed> {
    let mut entries = entries.to_vec();
    for entry in &mut entries {
        entry.fields.sort();
    }
    entries
}

fn check(found: &[Fed], expected: &[Fed]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in sorted(found).iter().zip(&sorted(expected)) {
        assert!(found == expected, "{found:?}\nexpected {expected:?}");
    }
}

fn journal(folders: &[&Path], cursor: Option<Cursor>, start: Start) -> Journal {
    Journal::new(folders.iter().map(PathBuf::from).collect(), cursor, start)
}

fn from_beginning(folder: &Path) -> Journal {
    journal(&[folder], None, Start::Beginning)
}

/// Numbers of `simple` entries.
fn numbers(found: &[Fed]) -> Vec<u64> {
    let number = |fed: &Fed| (fed.monotonic - 1_000_000) / 1000;
    found.iter().map(number).collect()
}

fn simples(range: std::ops::Range<u64>) -> Vec<Fed> {
    range.map(simple).collect()
}

/// Large, small, binary, empty, several of a name, several boots.
fn odd_entries() -> Vec<Fed> {
    let mut random = fastrand::Rng::with_seed(3);
    let mut all = Vec::new();
    for n in 0..300 {
        let size = random.usize(..30_000);
        let noise: Vec<u8> = (0..size.min(2_000)).map(|_| random.u8(..)).collect();
        let text = "all work and no play ".repeat(size / 20);
        let mut entry = fed(
            n,
            u128::from(n / 100 + 1),
            &[
                ("MESSAGE", format!("entry {n}: {text}").as_bytes()),
                ("BLOB", &noise),
                ("ARG", b"one"),
                ("ARG", format!("two {n}").as_bytes()),
                ("EMPTY", b""),
                ("LINES", b"a\nb=c\n\x00d"),
            ],
        );
        entry.monotonic = 5 + n % 100 * 10;
        if n % 3 == 0 {
            entry.fields.retain(|(name, _)| name != "BLOB");
        }
        all.push(entry);
    }
    all
}

#[test]
fn every_field_of_every_entry_is_as_it_was_fed_in() {
    let expected = odd_entries();
    for bits in 0..8 {
        let kind = Kind {
            compact: bits & 1 != 0,
            keyed: bits & 2 != 0,
            compress: bits & 4 != 0,
        };
        let dir = folder();
        write(&dir.path().join("system.journal"), &expected, kind);
        check(&read_all(&mut from_beginning(dir.path())), &expected);
    }
}

#[test]
fn journalctl_reads_the_same() {
    let dir = folder();
    let path = dir.path().join("system.journal");
    write(&path, &odd_entries(), NEW);
    let output = Command::new("journalctl")
        .args(["--output=json", "--all", "--file"])
        .arg(&path)
        .output()
        .expect("journalctl comes with systemd");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines();
    let mut journal = from_beginning(dir.path());
    journal.poll().unwrap();
    let mut entry = Entry::default();
    while journal.next(&mut entry, |_| Some(usize::MAX)) {
        let theirs: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        assert_eq!(theirs["__CURSOR"], entry.position.to_string());
        for name in ["MESSAGE", "LINES", "BLOB"] {
            let Some(field) = entry.get(name) else {
                assert!(theirs.get(name).is_none());
                continue;
            };
            let text = match &theirs[name] {
                serde_json::Value::String(text) => text.clone().into_bytes(),
                value => {
                    let bytes = value.as_array().unwrap();
                    bytes.iter().map(|it| it.as_u64().unwrap() as u8).collect()
                }
            };
            assert!(text == field.value, "{name}");
        }
    }
    assert_eq!(lines.next(), None);
}

/// What systemd before 246 wrote where it was built so. The one that is to be had compresses by zstd
/// alone: one field of its file is put into the form of theirs, and `journalctl` takes it.
#[test]
fn fields_in_lz4_are_read_and_those_in_xz_are_counted() {
    let text = "a".repeat(400);
    let entries = [
        fed(0, 1, &[("MESSAGE", text.as_bytes()), ("PRIORITY", b"6")]),
        fed(1, 1, &[("MESSAGE", b"short"), ("PRIORITY", b"6")]),
    ];
    // Literals, a run of 394 times the last of them, and five literals more, as each block ends.
    let block = b"\x9fMESSAGE=a\x01\x00\xff\x78\x50aaaaa";
    let plain = format!("MESSAGE={text}").into_bytes();
    let payload = [&(plain.len() as u64).to_le_bytes()[..], block].concat();
    for compact in [false, true] {
        let dir = folder();
        let path = dir.path().join("system.journal");
        let kind = Kind {
            compact,
            compress: false,
            ..NEW
        };
        write(&path, &entries, kind);
        let bytes = fs::read(&path).unwrap();
        let at = memchr::memmem::find(&bytes, &plain).unwrap() as u64;
        let head = if compact { 72 } else { 64 };
        let object = at - head;
        patch(&path, 12, &[bytes[12] | 2]);
        patch(&path, object + 1, &[OBJECT_LZ4]);
        patch(
            &path,
            object + 8,
            &(head + payload.len() as u64).to_le_bytes(),
        );
        patch(&path, at, &payload);
        check(&read_all(&mut from_beginning(dir.path())), &entries);
        let output = Command::new("journalctl")
            .args(["--output=cat", "--all", "--file"])
            .arg(&path)
            .output()
            .expect("journalctl comes with systemd");
        let theirs = String::from_utf8(output.stdout).unwrap();
        assert_eq!(theirs.lines().collect::<Vec<_>>(), [text.as_str(), "short"]);

        patch(&path, 12, &[bytes[12] | 1]);
        patch(&path, object + 1, &[OBJECT_XZ]);
        let mut journal = from_beginning(dir.path());
        journal.poll().unwrap();
        let mut entry = Entry::default();
        assert!(journal.next(&mut entry, |_| Some(usize::MAX)));
        assert_eq!((entry.unreadable, entry.get("MESSAGE")), (1, None));
        assert_eq!(entry.get("PRIORITY").unwrap().value, b"6");
        assert!(journal.next(&mut entry, |_| Some(usize::MAX)));
        assert_eq!(entry.get("MESSAGE").unwrap().value, b"short");
        assert_eq!(
            (journal.stats().xz_fields, journal.stats().damaged_fields),
            (1, 0)
        );
    }
}

#[test]
fn many_entries_come_in_order_and_from_any_cursor() {
    let dir = folder();
    let expected = simples(0..12_000);
    write(&dir.path().join("system.journal"), &expected, NEW);
    let mut whole = from_beginning(dir.path());
    check(&read_all(&mut whole), &expected);
    assert_eq!(whole.stats().entries, 12_000);
    let mut again = journal(
        &[dir.path()],
        Some(whole.cursor().clone()),
        Start::Beginning,
    );
    assert!(read_all(&mut again).is_empty());
    for at in [1, 2, 3, 255, 256, 257, 4_095, 4_096, 7_777, 11_999] {
        let mut first = from_beginning(dir.path());
        first.poll().unwrap();
        let mut entry = Entry::default();
        for _ in 0..at {
            assert!(first.next(&mut entry, |_| None));
        }
        let cursor = first.cursor().to_string().parse().unwrap();
        let mut rest = journal(&[dir.path()], Some(cursor), Start::Beginning);
        assert_eq!(
            numbers(&read_all(&mut rest)),
            (at..12_000).collect::<Vec<_>>()
        );
    }
}

#[test]
fn what_is_appended_is_found_and_the_end_is_the_end() {
    let dir = folder();
    let path = dir.path().join("system.journal");
    write(&path, &simples(0..10), NEW);
    let mut all = from_beginning(dir.path());
    let mut new = journal(&[dir.path()], None, Start::End);
    assert_eq!(read_all(&mut all).len(), 10);
    assert!(read_all(&mut new).is_empty());
    for n in 1..40 {
        write(&path, &simples(n * 10..n * 10 + 10), NEW);
        let expected: Vec<u64> = (n * 10..n * 10 + 10).collect();
        assert_eq!(numbers(&read_all(&mut all)), expected);
        assert_eq!(numbers(&read_all(&mut new)), expected);
    }
    assert_eq!(new.stats().lost, 0);
}

#[test]
fn a_file_is_followed_while_it_is_written() {
    let dir = folder();
    let path = dir.path().join("system.journal");
    write(&path, &simples(0..1), NEW);
    let writer = std::thread::spawn(move || {
        for n in 0..8 {
            write(&path, &simples(1 + n * 1000..1 + n * 1000 + 1000), NEW);
        }
    });
    let mut journal = from_beginning(dir.path());
    let mut found = Vec::new();
    while found.len() < 8_001 {
        assert!(!writer.is_finished() || found.len() < 8_001);
        found.extend(read_all(&mut journal));
    }
    writer.join().unwrap();
    check(&found, &simples(0..8_001));
    assert_eq!(journal.stats().lost + journal.stats().damaged_entries, 0);
}

fn patch(path: &Path, at: u64, bytes: &[u8]) {
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

/// As journald archives: the state, and another name.
fn archive(path: &Path, name: &str) -> PathBuf {
    patch(path, 16, &[2]);
    let to = path.with_file_name(name);
    fs::rename(path, &to).unwrap();
    to
}

/// Makes a file the successor of another one: its row, and numbers that begin at `first`.
fn renumber(path: &Path, row: u128, first: u64) {
    let mut file = JournalFile::open(File::open(path).unwrap()).unwrap();
    let mut offsets = Vec::new();
    while let Next::Entry(head) = file.peek() {
        offsets.push(head.offset);
        file.consume();
    }
    for (n, offset) in (first..).zip(&offsets) {
        patch(path, offset + 16, &n.to_le_bytes());
    }
    let last = first + offsets.len() as u64 - 1;
    patch(path, 72, &row.to_be_bytes());
    patch(path, 160, &last.to_le_bytes());
    patch(path, 168, &first.to_le_bytes());
}

#[test]
fn rotated_files_of_a_row_are_read_once_and_in_order() {
    let dir = folder();
    let path = dir.path().join("system.journal");
    let mut follower = from_beginning(dir.path());
    let mut followed = Vec::new();
    for n in 0..5 {
        write(&path, &simples(n * 10..n * 10 + 10), NEW);
        renumber(&path, 7, n * 10 + 1);
        followed.extend(read_all(&mut follower));
        if n < 4 {
            archive(&path, &format!("system@7-{n:04}.journal"));
        }
        if n == 2 {
            // A deleted file is none that has to be read.
            fs::remove_file(dir.path().join("system@7-0000.journal")).unwrap();
        }
    }
    assert_eq!(numbers(&followed), (0..50).collect::<Vec<_>>());
    assert_eq!(follower.stats().lost, 0);
    read_all(&mut follower);
    assert_eq!(follower.n_files(), 1, "archived files are let go");
    let mut late = from_beginning(dir.path());
    assert_eq!(numbers(&read_all(&mut late)), (10..50).collect::<Vec<_>>());
}

#[test]
fn a_rotated_and_deleted_file_is_read_to_its_end() {
    let dir = folder();
    let path = dir.path().join("system.journal");
    write(&path, &simples(0..10), NEW);
    let mut journal = from_beginning(dir.path());
    journal.poll().unwrap();
    fs::remove_file(archive(&path, "system@1.journal")).unwrap();
    write(&path, &simples(10..20), NEW);
    assert_eq!(
        numbers(&read_all(&mut journal)),
        (0..20).collect::<Vec<_>>()
    );
}

#[test]
fn entries_that_were_vacuumed_unread_are_counted() {
    let dir = folder();
    let paths: Vec<PathBuf> = (0..3)
        .map(|n| {
            let path = dir.path().join(format!("system@{n}.journal"));
            write(&path, &simples(n * 10..n * 10 + 10), NEW);
            renumber(&path, 7, n * 10 + 1);
            path
        })
        .collect();
    let parked = dir.path().join("parked");
    fs::rename(&paths[2], &parked).unwrap();
    let mut journal = from_beginning(dir.path());
    fs::remove_file(&paths[1]).unwrap();
    assert_eq!(
        numbers(&read_all(&mut journal)),
        (0..10).collect::<Vec<_>>()
    );
    fs::rename(&parked, &paths[2]).unwrap();
    // The missing ones may come yet; with the next look they are lost.
    assert!(read_all(&mut journal).is_empty());
    assert_eq!(
        numbers(&read_all(&mut journal)),
        (20..30).collect::<Vec<_>>()
    );
    assert_eq!(journal.stats().lost, 10);
}

#[test]
fn a_number_in_a_file_that_is_seen_late_is_waited_for() {
    let dir = folder();
    let (system, user) = (
        dir.path().join("system.journal"),
        dir.path().join("user-1000.journal"),
    );
    write(&system, &simples(0..10), NEW);
    renumber(&system, 7, 1);
    let mut journal = from_beginning(dir.path());
    assert_eq!(read_all(&mut journal).len(), 10);
    write(&user, &simples(10..20), NEW);
    renumber(&user, 7, 11);
    let hidden = dir.path().join("hidden");
    fs::rename(&user, &hidden).unwrap();
    let more = dir.path().join("more.journal");
    write(&more, &simples(20..30), NEW);
    renumber(&more, 7, 21);
    assert!(read_all(&mut journal).is_empty());
    fs::rename(&hidden, &user).unwrap();
    assert_eq!(
        numbers(&read_all(&mut journal)),
        (10..30).collect::<Vec<_>>()
    );
    assert_eq!(journal.stats().lost, 0);
}

/// journald begins in /run and writes all of it to /var once more when that is there.
#[test]
fn copies_from_memory_to_disk_come_once() {
    let dir = folder();
    let (run, var) = (dir.path().join("run/m"), dir.path().join("var/m"));
    for folder in [&run, &var] {
        fs::create_dir_all(folder).unwrap();
    }
    let (in_run, in_var) = (run.join("system.journal"), var.join("system.journal"));
    write(&in_run, &simples(0..20), NEW);
    let folders = [var.as_path(), run.as_path()];
    let mut follower = journal(&folders, None, Start::Beginning);
    let mut found = read_all(&mut follower);
    let cursor = follower.cursor().clone();
    write(&in_var, &simples(0..30), NEW);
    found.extend(read_all(&mut follower));
    assert_eq!(numbers(&found), (0..30).collect::<Vec<_>>());
    assert_eq!(follower.stats().copies, 20);
    // The same when the agent was down, and the files in /run are gone by then.
    fs::remove_file(&in_run).unwrap();
    let mut later = journal(&folders, Some(cursor), Start::Beginning);
    assert_eq!(numbers(&read_all(&mut later)), (20..30).collect::<Vec<_>>());
}

#[test]
fn a_row_that_the_cursor_does_not_know_is_judged_by_time() {
    let dir = folder();
    let path = dir.path().join("system.journal");
    write(&path, &simples(0..10), NEW);
    let mut first = from_beginning(dir.path());
    read_all(&mut first);
    fs::remove_file(&path).unwrap();
    // Another row with what was read, and more; then one of a later boot.
    write(&path, &simples(5..15), NEW);
    let mut boot = simple(15);
    (boot.boot, boot.monotonic) = (9, 5);
    write(&path, &[boot], NEW);
    let mut second = journal(&[dir.path()], Some(first.cursor().clone()), Start::End);
    let found = read_all(&mut second);
    assert_eq!(found.len(), 6);
    assert_eq!(numbers(&found[..5]), (10..15).collect::<Vec<_>>());
    assert_eq!(found[5].boot, 9);
}

#[test]
fn fields_are_chosen_and_cut() {
    let dir = folder();
    let long = "x".repeat(100_000);
    let entry = fed(
        0,
        1,
        &[
            ("MESSAGE", long.as_bytes()),
            ("A", b"abc"),
            ("B", b"abc"),
            ("C", b""),
        ],
    );
    for compress in [true, false] {
        let path = dir.path().join(format!("{compress}.journal"));
        write(
            &path,
            std::slice::from_ref(&entry),
            Kind { compress, ..NEW },
        );
        let mut journal = from_beginning(dir.path());
        journal.poll().unwrap();
        let mut found = Entry::default();
        let want = |name: &[u8]| match name {
            b"MESSAGE" => Some(1000),
            b"A" => Some(2),
            b"C" => Some(0),
            _ => None,
        };
        assert!(journal.next(&mut found, want));
        let message = found.get("MESSAGE").unwrap();
        assert_eq!((message.value.len(), message.is_cut), (1000, true));
        assert_eq!(found.get("A").unwrap().value, b"ab");
        assert_eq!(found.get("B"), None);
        assert!(!found.get("C").unwrap().is_cut);
        fs::remove_file(path).unwrap();
    }
}

/// A file with large and small, compressed and plain fields, cut behind its last object.
fn sample(compact: bool) -> Vec<u8> {
    let dir = folder();
    let path = dir.path().join("system.journal");
    let mut entries = simples(0..40);
    entries.extend(odd_entries().into_iter().step_by(60));
    write(&path, &entries, Kind { compact, ..NEW });
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    // The last object may end with zeros.
    bytes.truncate(end + 4096);
    bytes
}

fn read_bytes(scratch: &Path, bytes: &[u8]) -> usize {
    fs::write(scratch, bytes).unwrap();
    fuzzing::file(File::open(scratch).unwrap())
}

#[test]
fn a_spoilt_byte_anywhere_ends_nothing() {
    let dir = folder();
    let scratch = dir.path().join("spoilt");
    for compact in [true, false] {
        let bytes = sample(compact);
        let n = read_bytes(&scratch, &bytes);
        assert_eq!(n, 45);
        let mut random = fastrand::Rng::with_seed(u64::from(compact));
        let file = File::options()
            .read(true)
            .write(true)
            .open(&scratch)
            .unwrap();
        // Each byte of the header, and a choice of what is no empty bucket of a hash table.
        let mut places: Vec<usize> = (0..300).collect();
        let others: Vec<usize> = (300..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        places.extend((0..3_000).map(|_| others[random.usize(..others.len())]));
        for at in places {
            let spoilt = match random.u8(..4) {
                0 => 0xff,
                1 => 0,
                2 => bytes[at] ^ 1 << random.u8(..8),
                _ => random.u8(..),
            };
            file.write_all_at(&[spoilt], at as u64).unwrap();
            let found = fuzzing::file(file.try_clone().unwrap());
            assert!(found <= n, "byte {at} made {spoilt}");
            file.write_all_at(&bytes[at..=at], at as u64).unwrap();
        }
        assert_eq!(fuzzing::file(file), n);
    }
}

#[test]
fn a_file_cut_off_anywhere_gives_what_it_holds() {
    let dir = folder();
    let scratch = dir.path().join("cut");
    let bytes = sample(true);
    let file = File::create_new(&scratch).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
    let file = File::options()
        .read(true)
        .write(true)
        .open(&scratch)
        .unwrap();
    let mut random = fastrand::Rng::with_seed(5);
    let mut len = bytes.len();
    let mut last = usize::MAX;
    while len > 0 {
        file.set_len(len as u64).unwrap();
        let found = fuzzing::file(file.try_clone().unwrap());
        assert!(found <= last);
        last = found;
        len = len.saturating_sub(random.usize(1..100));
    }
    assert_eq!(last, 0);
}

#[test]
fn a_damaged_entry_is_left_out_and_the_others_come() {
    let dir = folder();
    let path = dir.path().join("system.journal");
    write(&path, &simples(0..20), NEW);
    let mut file = JournalFile::open(File::open(&path).unwrap()).unwrap();
    for _ in 0..7 {
        file.peek();
        file.consume();
    }
    let Next::Entry(head) = file.peek() else {
        panic!("no entry")
    };
    patch(&path, head.offset, &[99]);
    let mut journal = from_beginning(dir.path());
    let mut found = Vec::new();
    for _ in 0..4 {
        found.extend(read_all(&mut journal));
    }
    let expected: Vec<u64> = (0..20).filter(|n| *n != 7).collect();
    assert_eq!(numbers(&found), expected);
    assert_eq!(
        (journal.stats().damaged_entries, journal.stats().lost),
        (1, 1)
    );
}

#[test]
fn what_is_no_journal_is_refused_and_told() {
    let dir = folder();
    fs::write(dir.path().join("a.journal"), vec![b'x'; 4096]).unwrap();
    fs::write(dir.path().join("short.journal"), b"LPKSHHRH").unwrap();
    fs::create_dir(dir.path().join("dir.journal")).unwrap();
    let path = dir.path().join("b.journal");
    write(&path, &simples(0..3), NEW);
    fs::copy(&path, dir.path().join("c.journal")).unwrap();
    patch(&dir.path().join("c.journal"), 12, &[0xff]);
    let mut journal = from_beginning(dir.path());
    assert_eq!(read_all(&mut journal).len(), 3);
    assert_eq!(journal.stats().refused_files, 3);
    // What is wrong may be put right.
    patch(&dir.path().join("c.journal"), 12, &[0x1c]);
    for _ in 0..120 {
        assert!(read_all(&mut journal).is_empty());
    }
    assert_eq!(journal.stats().refused_files, 2);
    let mut nowhere = from_beginning(&dir.path().join("none"));
    assert!(read_all(&mut nowhere).is_empty());
}

/// The seeds of the fuzz target are journals: files of systemd's without their hash tables.
#[test]
fn the_seeds_are_read() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/file");
    for name in ["regular", "compact"] {
        assert_eq!(
            fuzzing::file(File::open(seeds.join(name)).unwrap()),
            6,
            "{name}"
        );
    }
}
