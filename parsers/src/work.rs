//! What steps work on: the record's text and its fields, with the memory that they may use.

use std::any::Any;

use crate::deadline::{Deadline, TOO_LONG};
use crate::emit::Emit;
use crate::fields::{Fields, Form, Slot};
use crate::rules::{Block, RuleSet, Trace};
use crate::span::Span;
use crate::steps::{Failure, Flow};
use crate::{RecordView, StreamContext};

/// The record's text. Text that a step makes for later steps to take apart (a decoded value) is
/// appended behind it, so that ranges of the text stay what they are.
#[derive(Debug)]
pub(crate) struct Text<'w> {
    line: &'w [u8],
    /// Length of what rules look at: a line that is followed by a trace is parsed as the line alone.
    pub(crate) n_head: usize,
    /// Line and what was appended; empty as long as nothing was.
    grown: &'w mut Vec<u8>,
}

impl<'w> Text<'w> {
    pub(crate) fn new(line: &'w [u8], n_head: usize, grown: &'w mut Vec<u8>) -> Self {
        grown.clear();
        Self {
            line,
            n_head,
            grown,
        }
    }

    /// All of it.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        if self.grown.is_empty() {
            self.line
        } else {
            self.grown
        }
    }

    /// Appends a text, which must be valid UTF-8; gives its range.
    pub(crate) fn append(&mut self, text: &[u8]) -> (usize, usize) {
        if self.grown.is_empty() {
            self.grown.extend_from_slice(self.line);
        }
        let start = self.grown.len();
        self.grown.extend_from_slice(text);
        (start, self.grown.len())
    }
}

/// Memory of each step of a set, of one thread.
pub(crate) type Memory = Vec<Option<Box<dyn Any + Send>>>;

/// A record on its way through the steps of a rule.
pub(crate) struct Work<'w> {
    pub(crate) text: Text<'w>,
    /// The range of the text that the step at hand works on: the line, or what became the message.
    pub(crate) span: (usize, usize),
    pub(crate) fields: &'w mut Fields,
    pub(crate) record: &'w RecordView<'w>,
    pub(crate) stream: &'w StreamContext,
    pub(crate) rules: &'w RuleSet,
    /// Ranges that patterns find; scratch.
    pub(crate) found: &'w mut Vec<(u32, u32)>,
    pub(crate) memory: &'w mut Memory,
    /// The step at hand, to find its memory.
    pub(crate) step: usize,
    /// When the record has taken too long.
    pub(crate) deadline: Deadline,
    /// It has.
    pub(crate) is_late: bool,
    /// Where steps are noted, for `rules explain` only.
    pub(crate) trace: Option<&'w mut Trace>,
}

impl Work<'_> {
    /// The text that the step works on.
    #[inline]
    pub(crate) fn current(&self) -> &[u8] {
        self.text
            .bytes()
            .get(self.span.0..self.span.1)
            .unwrap_or_default()
    }

    /// Where a format puts what it finds.
    #[inline]
    pub(crate) fn emit(&mut self) -> Emit<'_> {
        Emit::new(self.text.bytes(), self.fields)
    }

    /// Makes a text the message.
    pub(crate) fn set_message(&mut self, span: Span) {
        let form = Form::Text;
        self.fields.message = Some(Slot { span, form });
    }

    /// The memory that the step at hand asked for.
    pub(crate) fn memory<T: 'static>(&mut self) -> Option<&mut T> {
        self.memory.get_mut(self.step)?.as_mut()?.downcast_mut()
    }

    /// Runs steps in order, up to the first that fails or ends the rule.
    ///
    /// # Errors
    ///
    /// The failure of a step.
    #[inline]
    pub(crate) fn run(&mut self, block: &Block) -> Result<Flow, Failure> {
        let rules = self.rules;
        for &id in &block.0 {
            let Some(placed) = rules.steps.get(id as usize) else {
                continue;
            };
            self.step = id as usize;
            let mut flow = placed.step.run(self);
            if self.deadline.is_over() {
                self.is_late = true;
                flow = Err(Failure::at(self.span.0, TOO_LONG));
            }
            match flow {
                Ok(Flow::Next) => {}
                Ok(end) => return Ok(end),
                Err(failure) => {
                    if self.trace.is_some() {
                        self.note(placed, failure);
                    }
                    return Err(failure);
                }
            }
        }
        Ok(Flow::Next)
    }

    /// Notes a failure for `rules explain`.
    #[cold]
    fn note(&mut self, placed: &crate::rules::Placed, mut failure: Failure) {
        let more = placed.step.explain(self, &mut failure);
        if let Some(trace) = &mut self.trace {
            trace.failed(placed, failure, more);
        }
    }
}
