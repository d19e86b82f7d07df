//! Trying the rules on a record.

use crate::fields::Fields;
use crate::parser::Ran;
use crate::{RuleSet, StreamContext};

#[derive(Debug)]
pub(crate) struct Runner;

impl Runner {
    pub(crate) fn new(_rules: &RuleSet) -> Self {
        Runner
    }

    pub(crate) fn run(
        &mut self,
        _rules: &RuleSet,
        _stream: &StreamContext,
        _line: &[u8],
        _head: usize,
        _fields: &mut Fields,
    ) -> Ran {
        Ran::NoMatch { tried: false }
    }
}
