//! How sets of fields are written: what stands between their values is prepared once for each set.

use super::Texts;
use crate::ecs::{FieldId, FieldSet, Shape};
use crate::fields::Fields;
use crate::page::{BLOCK, Page};

/// How sets of fields are written: what stands between their values, prepared when a set comes
/// for the first time. Records of one rule have the same few sets.
#[derive(Debug, Default)]
pub(super) struct Plans {
    /// By a hash of the set; another one in its place is prepared anew.
    all: Vec<Plan>,
}

#[derive(Debug, Clone, Default)]
struct Plan {
    set: FieldSet,
    within: usize,
    pieces: Vec<Piece>,
}

/// What stands before a value, and the field that the value is of. A long one is several, the
/// first ones without a field; the last one closes the objects.
#[derive(Debug, Clone, Copy)]
struct Piece {
    text: [u8; BLOCK],
    n: u8,
    field: Option<FieldId>,
}

/// Plans that are kept: more than the rules of most installations need.
const N_PLANS: usize = 128;

impl Plans {
    /// Writes fields into an object in which something stands already: the outermost one, or that
    /// of the fields' first name (`within` 1).
    #[inline]
    pub(super) fn write(
        &mut self,
        page: &mut Page,
        texts: Texts<'_>,
        fields: &Fields,
        which: &FieldSet,
        within: usize,
    ) {
        if which.is_empty() {
            return;
        }
        if self.all.is_empty() {
            self.all.resize_with(N_PLANS, Plan::default);
        }
        let Some(plan) = self.all.get_mut(which.hash() % N_PLANS) else {
            return;
        };
        if plan.set != *which || plan.within != within {
            plan.prepare(which, within);
        }
        for piece in &plan.pieces {
            page.put_block(&piece.text, usize::from(piece.n));
            if let Some(id) = piece.field {
                texts.put_slot(page, fields.slot(id));
            }
        }
    }
}

impl Plan {
    fn prepare(&mut self, which: &FieldSet, within: usize) {
        (self.set, self.within) = (*which, within);
        self.pieces.clear();
        let mut text = Vec::new();
        let mut before = None;
        for id in which.iter() {
            let shape = &Shape::all()[id.index()];
            shape.append_key(&mut text, before, within);
            self.add(&mut text, Some(id));
            before = Some(shape);
        }
        if let Some(before) = before {
            before.append_end(&mut text, within);
        }
        self.add(&mut text, None);
    }

    fn add(&mut self, text: &mut Vec<u8>, field: Option<FieldId>) {
        let mut blocks = text.chunks(BLOCK).peekable();
        while let Some(block) = blocks.next() {
            let mut piece = Piece {
                text: [0; BLOCK],
                n: block.len() as u8,
                field: field.filter(|_| blocks.peek().is_none()),
            };
            piece.text[..block.len()].copy_from_slice(block);
            self.pieces.push(piece);
        }
        text.clear();
    }
}
