//! The fields of the record at hand: which ECS field holds what, and what is left for
//! `attributes`.
//!
//! A value reaches an ECS field when its name and its type fit and nothing is there yet. All
//! else stays a member of `attributes` under its own name, so nothing is lost.

mod offer;

use crate::ecs::{FIELDS, FieldId, FieldSet, Names, Role, key_hash};
use crate::json::rewrite::{MembersOf, Rewriter};
use crate::json::{Member, Refused, ValueKind, Walker};
use crate::level::{Level, Said, Word};
use crate::logfmt;
use crate::marks::Marks;
use crate::redact::Finds;
use crate::span::{Bytes, Source, Span};
use crate::time::{Moment, TimeWriter};
use crate::value::Value;
use crate::{Tag, Tags};

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Valid JSON as it stands.
    Json,
    /// Text to be quoted and escaped.
    Text,
}

/// A value of the document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) span: Span,
    pub(crate) form: Form,
}

/// A value offered to a field: what stands in the line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offer {
    pub(crate) span: Span,
    pub(crate) kind: ValueKind,
    pub(crate) dirty: bool,
}

/// What was known at a point: [`Fields::mark`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    n_members: usize,
    names_dirty: bool,
    n_taken: usize,
    used: FieldSet,
    arena: usize,
    message: Option<Slot>,
    level: Option<Level>,
    level_word: Option<Word>,
    time_ns: Option<i64>,
    tags: Tags,
}

/// Deepest object in which names of fields are looked for: `error.cause.cause.…` ends somewhere.
const MAX_FLATTEN: usize = 5;

/// All that is known of the record at hand. Memory is reused from record to record.
#[derive(Debug)]
pub(crate) struct Fields {
    names: &'static Names,
    /// Where the record's text needs care.
    pub(crate) marks: Marks,
    walker: Walker,
    pub(crate) rewriter: Rewriter,
    /// Candidates for `attributes`, in the order of the line.
    pub(crate) members: Vec<Member>,
    /// Names of `members` need care: one stands twice, or has dots that collide.
    pub(crate) names_dirty: bool,
    /// Starts of values within members that went to fields of their own.
    pub(crate) taken: Vec<u32>,
    slots: Box<[Slot]>,
    pub(crate) used: FieldSet,
    /// Fields that the line may not set.
    owned: FieldSet,
    pub(crate) arena: Vec<u8>,
    path: Vec<u8>,
    /// Scratch of steps that make text.
    pub(crate) scratch: Vec<u8>,
    pub(crate) filled: Vec<u8>,
    pub(crate) finds: Finds,
    /// Redactions that steps asked for, by their number in the rule set.
    pub(crate) redactions: Vec<u32>,
    /// Where the document goes, by its number in the rule set.
    pub(crate) route: Option<u32>,
    pub(crate) kept: Vec<(Span, u32, Value)>,
    times: TimeWriter,
    pub(crate) message: Option<Slot>,
    pub(crate) level: Option<Level>,
    /// What a rule found in place of a level; counts when there is no `level`.
    pub(crate) level_word: Option<Word>,
    pub(crate) time_ns: Option<i64>,
    pub(crate) tags: Tags,
}

impl Fields {
    pub(crate) fn new() -> Self {
        Self {
            names: Names::get(),
            marks: Marks::default(),
            walker: Walker::default(),
            rewriter: Rewriter::default(),
            members: Vec::new(),
            names_dirty: false,
            taken: Vec::new(),
            slots: vec![
                Slot {
                    span: Span::EMPTY,
                    form: Form::Text
                };
                FIELDS.len()
            ]
            .into(),
            used: FieldSet::default(),
            owned: FieldSet::default(),
            arena: Vec::new(),
            path: Vec::new(),
            scratch: Vec::new(),
            filled: Vec::new(),
            finds: Finds::default(),
            redactions: Vec::new(),
            route: None,
            kept: Vec::new(),
            times: TimeWriter::new(),
            message: None,
            level: None,
            level_word: None,
            time_ns: None,
            tags: Tags::NONE,
        }
    }

    /// Forgets the record before. `owned`: fields that the stream's metadata has.
    #[inline]
    pub(crate) fn start(&mut self, owned: &FieldSet) {
        self.members.clear();
        self.names_dirty = false;
        self.taken.clear();
        self.redactions.clear();
        self.route = None;
        self.used = FieldSet::default();
        self.owned = *owned;
        self.arena.clear();
        self.message = None;
        self.level = None;
        self.level_word = None;
        self.time_ns = None;
        self.tags = Tags::NONE;
    }

    /// Takes over what `other` knows of the record.
    pub(crate) fn copy_from(&mut self, other: &Fields) {
        self.members.clone_from(&other.members);
        self.names_dirty = other.names_dirty;
        self.taken.clone_from(&other.taken);
        self.redactions.clone_from(&other.redactions);
        self.route = other.route;
        self.slots.copy_from_slice(&other.slots);
        self.used = other.used;
        self.owned = other.owned;
        self.arena.clone_from(&other.arena);
        self.message = other.message;
        self.level = other.level;
        self.level_word = other.level_word;
        self.time_ns = other.time_ns;
        self.tags = other.tags;
    }

    /// Notes what there is, for [`Fields::reset`].
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            n_members: self.members.len(),
            names_dirty: self.names_dirty,
            n_taken: self.taken.len(),
            used: self.used,
            arena: self.arena.len(),
            message: self.message,
            level: self.level,
            level_word: self.level_word,
            time_ns: self.time_ns,
            tags: self.tags,
        }
    }

    /// Forgets what came after a mark. Only for steps that add: what they change of what was there
    /// stays changed.
    pub(crate) fn reset(&mut self, mark: &Mark) {
        self.members.truncate(mark.n_members);
        self.names_dirty = mark.names_dirty;
        self.taken.truncate(mark.n_taken);
        self.used = mark.used;
        self.arena.truncate(mark.arena);
        self.message = mark.message;
        self.level = mark.level;
        self.level_word = mark.level_word;
        self.time_ns = mark.time_ns;
        self.tags = mark.tags;
    }

    /// Whether only the stream's metadata may set a field.
    pub(crate) fn is_owned(&self, id: FieldId) -> bool {
        self.owned.contains(id)
    }

    /// Adds an attribute.
    pub(crate) fn push_member(&mut self, key: Span, hash: u32, value: Value) {
        self.members.push(Member {
            key,
            hash,
            value: value.span,
            kind: value.kind,
            dirty: value.dirty,
            taken: false,
        });
    }

    /// The value of a field that is `used`.
    #[inline]
    pub(crate) fn slot(&self, id: FieldId) -> Slot {
        self.slots[id.index()]
    }

    /// Sets a field that is free.
    #[inline]
    pub(crate) fn set(&mut self, id: FieldId, span: Span, form: Form) {
        if !self.used.contains(id) {
            self.used.insert(id);
            self.slots[id.index()] = Slot { span, form };
        }
    }

    /// Sets a field that is free and that the line may set.
    #[inline]
    pub(crate) fn set_own(&mut self, id: FieldId, span: Span, form: Form) {
        if !self.owned.contains(id) {
            self.set(id, span, form);
        }
    }

    /// Takes `line[from..end]` apart as one JSON object. False, and nothing changed but a tag,
    /// when it is none or passes a limit.
    pub(crate) fn take_json(&mut self, line: &[u8], from: usize, end: usize) -> bool {
        let first = self.members.len();
        let text = line.get(..end).unwrap_or_default();
        match self.walker.walk(text, from, &self.marks, &mut self.members) {
            Ok(()) => {}
            Err(refused) => {
                self.members.truncate(first);
                if let Refused::Limit(tag) = refused {
                    self.tags.insert(tag);
                }
                return false;
            }
        }
        self.names_dirty |= self.walker.keys_dirty || first > 0;
        self.assign(line, first, true);
        true
    }

    /// Takes `line[from..end]` apart as logfmt. False, and nothing changed, when it is not.
    pub(crate) fn take_logfmt(&mut self, line: &[u8], from: usize, end: usize) -> bool {
        let first = self.members.len();
        let text = line.get(..end).unwrap_or_default();
        let Some(found) =
            logfmt::scan_line(text, from, &self.marks, &mut self.members, &mut self.arena)
        else {
            self.members.truncate(first);
            return false;
        };
        self.names_dirty |= found.names_dirty || first > 0;
        // The line stays the message, `msg` or not: people search for it as it was written.
        self.assign(line, first, false);
        true
    }

    /// Gives the members from `first` on to the fields they name; the message among them only when
    /// `takes_message`.
    pub(crate) fn assign(&mut self, line: &[u8], first: usize, takes_message: bool) {
        let mut message: Option<(u8, usize)> = None;
        for index in first..self.members.len() {
            let member = self.members[index];
            // Names of rules are fields of their own already, or attributes on purpose.
            if member.key.source == Source::Rules {
                continue;
            }
            let key = self.bytes(line, member.key);
            let Some(name) = self.names.lookup(key, member.hash) else {
                continue;
            };
            let offer = Offer {
                span: member.value,
                kind: member.kind,
                dirty: member.dirty,
            };
            let taken = match (name.role, member.kind) {
                (_, ValueKind::Object) if name.is_root => {
                    self.flatten(line, index, name.text.as_bytes());
                    continue;
                }
                (
                    Role::Message(rank),
                    ValueKind::String | ValueKind::Text | ValueKind::Number | ValueKind::Bool,
                ) if takes_message => {
                    if message.is_none_or(|(best, _)| rank < best) {
                        message = Some((rank, index));
                    }
                    continue;
                }
                (role, _) => self.offer(line, role, offer),
            };
            self.members[index].taken = taken;
        }
        if let Some((_, index)) = message
            && self.message.is_none()
        {
            let member = self.members[index];
            let offer = Offer {
                span: member.value,
                kind: member.kind,
                dirty: member.dirty,
            };
            self.message = self.as_text(line, offer);
            self.members[index].taken = self.message.is_some();
        }
    }

    /// Looks for fields in the object that a member is.
    fn flatten(&mut self, line: &[u8], index: usize, key: &[u8]) {
        self.path.clear();
        self.path.extend_from_slice(key);
        let n_taken = self.taken.len();
        let open = self.members[index].value.start as usize;
        let n_left = self.flatten_object(line, open, 1);
        if self.taken.len() > n_taken {
            self.members[index].dirty = true;
            self.members[index].taken = n_left == 0;
        }
    }

    /// Number of values that found no field.
    fn flatten_object(&mut self, line: &[u8], open: usize, depth: usize) -> usize {
        let mut n_left = 0;
        let base = self.path.len();
        for (key, start, end) in MembersOf::new(line, open) {
            self.path.truncate(base);
            self.path.push(b'.');
            self.path.extend_from_slice(key);
            let value = line.get(start..end).unwrap_or_default();
            let kind = match value.first() {
                Some(b'"') => ValueKind::String,
                Some(b'{') if depth < MAX_FLATTEN => {
                    n_left += self.flatten_object(line, start, depth + 1);
                    continue;
                }
                Some(b'{') => ValueKind::Object,
                Some(b'[') => ValueKind::Array,
                Some(b't' | b'f') => ValueKind::Bool,
                Some(b'n') | None => ValueKind::Null,
                Some(_) => ValueKind::Number,
            };
            let role = self
                .names
                .lookup(&self.path, key_hash(&self.path))
                .map(|name| name.role);
            // A value of unknown cleanness: `dirty` makes strings be undone and all else be left.
            let offer = Offer {
                span: Span::line(start, end),
                kind,
                dirty: true,
            };
            match role {
                Some(role @ (Role::Level | Role::Field(_))) if self.offer(line, role, offer) => {
                    self.taken.push(start as u32);
                }
                _ => n_left += 1,
            }
        }
        self.path.truncate(base);
        n_left
    }

    /// Sets what a rule says to be the level.
    pub(crate) fn set_level(&mut self, said: Said) {
        (self.level, self.level_word) = match said {
            Said::Known(level) => (Some(level), None),
            Said::Other(word) => (None, Some(word)),
        };
    }

    /// Takes the record's own time. True when it can be stored.
    pub(crate) fn set_time(&mut self, moment: Option<Moment>) -> bool {
        match moment {
            Some(Moment::At(ns)) => self.time_ns = Some(ns),
            Some(Moment::OutOfRange) => {
                self.tags.insert(Tag::TimeOutOfRange);
                return false;
            }
            None => return false,
        }
        true
    }

    /// Writes a time as RFC 3339 for use as a value.
    pub(crate) fn write_time(&mut self, ns: i64) -> Span {
        let start = self.arena.len();
        let text = self.times.nanos(ns);
        self.arena.extend_from_slice(&text);
        Span::arena(start, self.arena.len())
    }

    /// The bytes of a span of the text or of the arena.
    #[inline(always)]
    pub(crate) fn bytes<'a>(&'a self, line: &'a [u8], span: Span) -> &'a [u8] {
        Bytes {
            line,
            arena: &self.arena,
            rules: b"",
        }
        .of(span)
    }
}
