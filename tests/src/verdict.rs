//! What came, compared with what was written: every event once, in its place, with its bytes.
//!
//! Documents are judged by container and stream, against the log writer's own record of what it
//! wrote: offset, length, iostream and message of each event must be there exactly once, and the
//! intervals of a stream's documents must tile the file without gap or overlap.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::Path,
};

use bench::{
    container_log::{ContainerLog, Written},
    kubelet::Container,
};
use serde_json::Value;

/// How many of each kind of fault are described.
const SHOWN: usize = 8;
/// Events of a file that are looked for to find its stream, before all are.
const SAMPLE: usize = 16;

/// The outcome of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Events that were written.
    pub written: usize,
    /// Events that came, at their place, at least once.
    pub found: usize,
    /// Events that did not come.
    pub lost: Vec<String>,
    /// Events that came more than once.
    pub doubled: Vec<String>,
    /// Documents that say something else than what was written at their place.
    pub wrong: Vec<String>,
    /// Documents at places where nothing was expected.
    pub strangers: Vec<String>,
    /// Gaps and overlaps of intervals.
    pub untiled: Vec<String>,
    /// Events that came whole but unparsed, as their tag says, since their chunk had lost one
    /// connection after the other (DELIVERY rule 12). Not a fault by itself.
    pub suspects: usize,
}

/// A field of a document, whether its name stands there nested or dotted.
pub fn field<'a>(document: &'a Value, name: &str) -> Option<&'a Value> {
    if let Some(value) = document.get(name) {
        return Some(value);
    }
    name.match_indices('.').find_map(|(at, _)| {
        let (head, rest) = name.split_at(at);
        field(document.get(head)?, rest.get(1..)?)
    })
}

/// A field as text; empty when it is not there.
pub fn text<'a>(document: &'a Value, name: &str) -> &'a str {
    field(document, name)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A field as a number; `None` when it is not there.
pub fn number(document: &Value, name: &str) -> Option<u64> {
    field(document, name).and_then(Value::as_u64)
}

/// Whether the document has a tag.
pub fn has_tag(document: &Value, tag: &str) -> bool {
    let tags = field(document, "tags").and_then(Value::as_array);
    tags.is_some_and(|tags| tags.iter().any(|it| it == tag))
}

/// What is amiss with the intervals alone, however the lines were cut into events: each container's
/// streams are whole, without gap or overlap, and are as long as its files.
pub fn untiled<'a>(
    hits: &[Value],
    containers: impl IntoIterator<Item = &'a Container>,
) -> Vec<String> {
    let mut amiss = Vec::new();
    for it in containers {
        let mut tiles: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
        let of_container = hits
            .iter()
            .map(|hit| &hit["_source"])
            .filter(|document| text(document, "kubernetes.pod.name") == it.pod);
        for (stream, offset, length) in of_container.flat_map(intervals) {
            tiles.entry(stream).or_default().push((offset, length));
        }
        let mut ends = Vec::new();
        for (stream, mut list) in tiles {
            list.sort_unstable();
            let mut end = 0;
            for (offset, length) in list {
                if offset != end {
                    amiss.push(format!("{}: stream {stream}: {end}, then {offset}", it.pod));
                }
                end = end.max(offset + length);
            }
            ends.push(end);
        }
        let mut sizes = it.log.sizes().to_vec();
        sizes.retain(|size| *size > 0);
        sizes.sort_unstable();
        ends.sort_unstable();
        if ends != sizes {
            amiss.push(format!(
                "{}: files of {sizes:?}, streams of {ends:?}",
                it.pod
            ));
        }
    }
    amiss
}

impl Verdict {
    /// Judges the hits of containers' logs.
    pub fn of_containers<'a>(
        hits: &[Value],
        containers: impl IntoIterator<Item = &'a Container>,
    ) -> Self {
        // By container first: thousands of them, each looking through all hits, take minutes.
        let mut of_containers: HashMap<(&str, &str), Vec<&Value>> = HashMap::new();
        for document in hits.iter().map(|hit| &hit["_source"]) {
            let pod = text(document, "kubernetes.pod.name");
            let container = text(document, "kubernetes.container.name");
            of_containers
                .entry((pod, container))
                .or_default()
                .push(document);
        }
        let mut verdict = Self::default();
        for it in containers {
            let of_container = of_containers.get(&(it.pod.as_str(), it.container.as_str()));
            verdict.judge(
                &format!("{}/{}", it.pod, it.container),
                of_container.map_or(&[], Vec::as_slice),
                &it.log,
            );
        }
        verdict
    }

    /// Adds the verdict of other containers.
    pub fn merge(&mut self, other: Self) {
        self.written += other.written;
        self.found += other.found;
        self.lost.extend(other.lost);
        self.doubled.extend(other.doubled);
        self.wrong.extend(other.wrong);
        self.strangers.extend(other.strangers);
        self.untiled.extend(other.untiled);
        self.suspects += other.suspects;
    }

    /// Judges the hits of one log that is not a container's, by its path.
    pub fn of_file(hits: &[Value], path: &Path, log: &ContainerLog) -> Self {
        let mut verdict = Self::default();
        let of_file: Vec<&Value> = hits
            .iter()
            .map(|hit| &hit["_source"])
            .filter(|document| Path::new(text(document, "log.file.path")) == path)
            .collect();
        verdict.judge(&path.display().to_string(), &of_file, log);
        verdict
    }

    /// Whether everything came exactly once.
    pub fn is_clean(&self) -> bool {
        self.found == self.written
            && [
                &self.lost,
                &self.doubled,
                &self.wrong,
                &self.strangers,
                &self.untiled,
            ]
            .iter()
            .all(|list| list.is_empty())
    }

    /// Panics, saying what is wrong, unless everything came exactly once, or nothing was written.
    pub fn assert_clean(&self) {
        assert!(
            self.written > 0,
            "nothing was written: this test proves nothing"
        );
        assert!(self.is_clean(), "{self}");
    }

    fn judge(&mut self, name: &str, documents: &[&Value], log: &ContainerLog) {
        let mut streams: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for document in documents {
            streams
                .entry(text(document, "tailrace.stream"))
                .or_default()
                .push(document);
        }
        let places: BTreeMap<&str, Places<'_>> = streams
            .iter()
            .map(|(stream, documents)| (*stream, Places::of(documents)))
            .collect();
        let mut events: Vec<Vec<&Written>> = vec![Vec::new(); log.sizes().len()];
        for event in log.written() {
            if let Some(of_file) = events.get_mut(event.file) {
                of_file.push(event);
            }
        }
        let mut file_of: HashMap<&str, usize> = HashMap::new();
        for (file, written) in events.iter().enumerate() {
            self.written += written.len();
            let free = || places.iter().filter(|it| !file_of.contains_key(it.0));
            // A few events tell nearly always: with many files all against all takes minutes.
            let few: Vec<&Written> = written
                .iter()
                .step_by((written.len() / SAMPLE).max(1))
                .copied()
                .collect();
            let is_likely = |places: &Places<'_>| 2 * places.matching(&few) > few.len();
            let likely = free().find(|(_, places)| is_likely(places));
            let best = likely.map(|(stream, _)| *stream).or_else(|| {
                let scores = free().map(|(stream, places)| (places.matching(written), *stream));
                let best = scores.max().filter(|(score, _)| *score > 0);
                best.map(|(_, stream)| stream)
            });
            let of_stream = match best {
                Some(stream) => {
                    file_of.insert(stream, file);
                    streams.get(stream).map_or(&[][..], Vec::as_slice)
                }
                None => &[],
            };
            self.judge_file(&format!("{name} file {file}"), written, of_stream);
        }
        for (stream, documents) in &streams {
            if !file_of.contains_key(stream) {
                let list = documents.iter().map(|document| place(name, document));
                self.strangers.extend(list);
            }
        }
        self.judge_tiles(name, documents, &file_of, log.sizes());
    }

    fn judge_file(&mut self, name: &str, written: &[&Written], documents: &[&Value]) {
        let mut by_offset: HashMap<u64, Vec<&Value>> = HashMap::new();
        for document in documents {
            let offset = number(document, "log.offset").unwrap_or(u64::MAX);
            by_offset.entry(offset).or_default().push(document);
        }
        for event in written {
            let found = by_offset.remove(&event.offset).unwrap_or_default();
            let said = String::from_utf8_lossy(&event.message);
            let at = format!("{name} at {}: `{}`", event.offset, shorten(&said));
            match found.as_slice() {
                [] => self.lost.push(at),
                [document]
                    if has_tag(document, "suspect")
                        && number(document, "tailrace.length") < Some(event.length)
                        && take_lines(document, event, &mut by_offset) =>
                {
                    self.found += 1;
                    self.suspects += 1;
                }
                [document, more @ ..] => {
                    self.found += 1;
                    if !more.is_empty() {
                        self.doubled.push(at);
                    }
                    self.judge_document(name, event, &said, document);
                }
            }
        }
        for document in by_offset.into_values().flatten() {
            self.strangers.push(place(name, document));
        }
    }

    fn judge_document(&mut self, name: &str, event: &Written, said: &str, document: &Value) {
        let mut differs = Vec::new();
        let is_suspect = has_tag(document, "suspect");
        self.suspects += usize::from(is_suspect);
        let unparsed = event.unparsed.as_deref().filter(|_| is_suspect);
        let said = &*unparsed.map_or(said.into(), String::from_utf8_lossy);
        if text(document, "message") != said {
            differs.push(format!("message should be `{}`", shorten(said)));
        }
        let has_parts = field(document, "tailrace.parts").is_some();
        if !has_parts && number(document, "tailrace.length") != Some(event.length) {
            differs.push(format!("length should be {}", event.length));
        }
        if let Some(iostream) = event.iostream
            && text(document, "log.iostream") != iostream.name()
        {
            differs.push(format!("iostream should be {}", iostream.name()));
        }
        if !differs.is_empty() {
            self.wrong
                .push(format!("{}: {}", place(name, document), differs.join(", ")));
        }
    }

    /// Intervals of each stream's lines lie end to end from 0 to the file's size.
    fn judge_tiles(
        &mut self,
        name: &str,
        documents: &[&Value],
        file_of: &HashMap<&str, usize>,
        sizes: &[u64],
    ) {
        let mut tiles: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
        for document in documents {
            for (stream, offset, length) in intervals(document) {
                tiles.entry(stream).or_default().push((offset, length));
            }
        }
        for (stream, list) in &mut tiles {
            let Some(file) = file_of.get(stream) else {
                continue;
            };
            list.sort_unstable();
            let mut end = 0;
            for (offset, length) in list {
                if *offset != end {
                    let kind = if *offset > end { "gap" } else { "overlap" };
                    self.untiled
                        .push(format!("{name} file {file}: {kind} at {end} to {offset}"));
                }
                end = end.max(*offset + *length);
            }
            if sizes.get(*file).is_some_and(|size| *size != end) {
                let size = sizes.get(*file).copied().unwrap_or(0);
                self.untiled.push(format!(
                    "{name} file {file}: ends at {end} instead of {size}"
                ));
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "written {}, found {}, unparsed {}",
            self.written, self.found, self.suspects
        )?;
        for (kind, list) in [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("wrong", &self.wrong),
            ("strangers", &self.strangers),
            ("not tiled", &self.untiled),
        ] {
            if !list.is_empty() {
                writeln!(out, "{kind}: {}", list.len())?;
            }
            for each in list.iter().take(SHOWN) {
                writeln!(out, "    {each}")?;
            }
        }
        Ok(())
    }
}

/// Takes the documents of a suspect's single lines (DELIVERY rule 12): they stand end to end in the
/// event's place, and say together what it says. Nothing is taken when they do not.
fn take_lines(first: &Value, event: &Written, by_offset: &mut HashMap<u64, Vec<&Value>>) -> bool {
    let end = event.offset + event.length;
    let mut lines = vec![text(first, "message")];
    let mut at = event.offset + number(first, "tailrace.length").unwrap_or(end);
    let mut places = Vec::new();
    while at < end {
        let Some([line]) = by_offset.get(&at).map(Vec::as_slice) else {
            return false;
        };
        if !has_tag(line, "suspect") {
            return false;
        }
        lines.push(text(line, "message"));
        places.push(at);
        at += number(line, "tailrace.length").unwrap_or(end);
    }
    let written = event.unparsed.as_deref().unwrap_or(&event.message);
    let said = String::from_utf8_lossy(written);
    // Lines of a trace, or pieces of one line.
    let is_same = at == end && (lines.join("\n") == said || lines.concat() == said);
    if is_same {
        for place in places {
            by_offset.remove(&place);
        }
    }
    is_same
}

/// The documents of a stream by offset.
struct Places<'a>(HashMap<u64, &'a Value>);

impl<'a> Places<'a> {
    fn of(documents: &[&'a Value]) -> Self {
        let place = |document: &&'a Value| Some((number(document, "log.offset")?, *document));
        Self(documents.iter().filter_map(place).collect())
    }

    /// How many of the events the stream has in their places.
    fn matching(&self, written: &[&Written]) -> usize {
        let is_there = |event: &&&Written| {
            self.0.get(&event.offset).is_some_and(|it| {
                text(it, "message") == String::from_utf8_lossy(&event.message)
                    || has_tag(it, "suspect")
            })
        };
        written.iter().filter(is_there).count()
    }
}

fn intervals(document: &Value) -> Vec<(&str, u64, u64)> {
    let of = |part: &'_ Value| {
        (
            number(part, "offset").unwrap_or(u64::MAX),
            number(part, "length").unwrap_or(0),
        )
    };
    match field(document, "tailrace.parts").and_then(Value::as_array) {
        Some(parts) => parts
            .iter()
            .map(|part| {
                let (offset, length) = of(part);
                (text(part, "stream"), offset, length)
            })
            .collect(),
        None => vec![(
            text(document, "tailrace.stream"),
            number(document, "log.offset").unwrap_or(u64::MAX),
            number(document, "tailrace.length").unwrap_or(0),
        )],
    }
}

fn place(name: &str, document: &Value) -> String {
    format!(
        "{name}, document of stream {} at {}, length {}: `{}`",
        text(document, "tailrace.stream"),
        number(document, "log.offset").map_or("?".to_owned(), |offset| offset.to_string()),
        number(document, "tailrace.length").map_or("?".to_owned(), |length| length.to_string()),
        shorten(text(document, "message"))
    )
}

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(100).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.replace('\n', "⏎")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bench::{container_log::Iostream, kubelet::Kubelet};
    use serde_json::json;

    /// Three events over a rotation, and the documents that a right pipeline makes of them.
    fn parts() -> (tempfile::TempDir, Container, Vec<Value>) {
        let dir = tempfile::tempdir().unwrap();
        let mut kubelet = Kubelet::new(dir.path(), 1).unwrap();
        let mut made = kubelet.container("shop", "web-0", "web").unwrap();
        made.log.line(Iostream::Stdout, b"one").unwrap();
        made.log.line(Iostream::Stderr, b"two").unwrap();
        made.log.rotate().unwrap();
        made.log.line(Iostream::Stdout, b"three").unwrap();
        let hits = made
            .log
            .written()
            .iter()
            .map(|event| {
                json!({"_source": {
                    "kubernetes": {"pod.name": "web-0", "container": {"name": "web"}},
                    "message": String::from_utf8_lossy(&event.message),
                    "log": {"offset": event.offset, "iostream": event.iostream.unwrap().name()},
                    "tailrace.stream": format!("{:016x}", 77 + event.file),
                    "tailrace": {"length": event.length},
                }})
            })
            .collect();
        (dir, made, hits)
    }

    #[test]
    fn everything_once_is_clean() {
        let (_dir, made, hits) = parts();
        let verdict = Verdict::of_containers(&hits, [&made]);
        verdict.assert_clean();
        assert_eq!(verdict.written, 3);
    }

    #[test]
    fn every_fault_is_seen() {
        let (_dir, made, hits) = parts();
        let judge = |change: &dyn Fn(&mut Vec<Value>)| {
            let mut changed = hits.clone();
            change(&mut changed);
            let verdict = Verdict::of_containers(&changed, [&made]);
            assert!(!verdict.is_clean());
            verdict
        };
        let lost = judge(&|hits| drop(hits.remove(0)));
        assert_eq!((lost.lost.len(), lost.untiled.len()), (1, 1));
        let doubled = judge(&|hits| hits.push(hits[1].clone()));
        assert_eq!((doubled.doubled.len(), doubled.untiled.len()), (1, 1));
        let wrong = judge(&|hits| hits[2]["_source"]["message"] = "thre".into());
        assert_eq!((wrong.lost.len(), wrong.strangers.len()), (1, 1));
        let wrong = judge(&|hits| hits[1]["_source"]["log"]["iostream"] = "stdout".into());
        assert_eq!(wrong.wrong.len(), 1);
        let life = judge(&|hits| {
            let mut again = hits[0].clone();
            again["_source"]["tailrace.stream"] = "00000000000000ff".into();
            hits.push(again);
        });
        assert_eq!(life.strangers.len(), 1);
    }

    /// DELIVERY rule 12: at last a suspect comes as single lines.
    #[test]
    fn a_suspect_comes_line_by_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut kubelet = Kubelet::new(dir.path(), 1).unwrap();
        let mut made = kubelet.container("shop", "web-0", "web").unwrap();
        made.log.event(Iostream::Stderr, b"a: b\n\tat c").unwrap();
        let size = made.log.size();
        let first = size / 2;
        let judge = |said: [&str; 2], tags: &[&str]| {
            let places = [(0, first), (first, size - first)];
            let hits = said.iter().zip(places).map(|(said, (offset, length))| {
                json!({"_source": {
                    "kubernetes": {"pod.name": "web-0", "container": {"name": "web"}},
                    "message": said,
                    "log": {"offset": offset, "iostream": "stderr"},
                    "tailrace": {"stream": "7", "length": length},
                    "tags": tags,
                }})
            });
            Verdict::of_containers(&hits.collect::<Vec<_>>(), [&made])
        };
        judge(["a: b", "\tat c"], &["suspect"]).assert_clean();
        assert!(!judge(["a: b", "\tat d"], &["suspect"]).is_clean());
        assert!(!judge(["a: b", "\tat c"], &[]).is_clean());
    }

    /// DELIVERY rule 12: what is tagged as a suspect says the line as it was written; what is not
    /// tagged must be parsed.
    #[test]
    fn a_suspect_comes_unparsed() {
        let dir = tempfile::tempdir().unwrap();
        let mut kubelet = Kubelet::new(dir.path(), 1).unwrap();
        let mut made = kubelet.container("shop", "web-0", "web").unwrap();
        let line = br#"{"msg":"one"}"#;
        made.log.line_as(Iostream::Stdout, line, b"one").unwrap();
        let event = &made.log.written()[0];
        let judge = |message: &str, tags: &[&str]| {
            let hit = json!({"_source": {
                "kubernetes": {"pod.name": "web-0", "container": {"name": "web"}},
                "message": message,
                "log": {"offset": event.offset, "iostream": "stdout"},
                "tailrace": {"stream": "7", "length": event.length},
                "tags": tags,
            }});
            Verdict::of_containers(&[hit], [&made])
        };
        assert!(judge("one", &[]).is_clean());
        let suspect = judge(r#"{"msg":"one"}"#, &["suspect"]);
        suspect.assert_clean();
        assert_eq!(suspect.suspects, 1);
        assert!(!judge(r#"{"msg":"one"}"#, &[]).is_clean());
    }
}
