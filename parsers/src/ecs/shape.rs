//! How the names of fields are written as nested JSON.

use std::sync::OnceLock;

use super::FIELDS;

/// Most objects that a field stands in.
const MAX_PARENTS: usize = 4;

/// How a field's name is written as JSON, nested: prepared once, so that writing a field copies
/// one piece. `http.request.method` is `"http":{"request":{"method":`.
#[derive(Debug)]
pub(crate) struct Shape {
    key: Box<[u8]>,
    n_parents: usize,
    /// A number for each object around the field, the outermost first; equal numbers are the same
    /// object, 0 is none.
    parents: [u8; MAX_PARENTS],
    /// Where the key goes on when so many of its objects are open already.
    starts: [u8; MAX_PARENTS + 1],
}

impl Shape {
    /// All shapes, by field.
    pub(crate) fn all() -> &'static [Shape] {
        static SHAPES: OnceLock<Vec<Shape>> = OnceLock::new();
        SHAPES.get_or_init(|| {
            let mut objects: Vec<&str> = Vec::new();
            FIELDS
                .iter()
                .map(|(name, _)| Shape::new(name, &mut objects))
                .collect()
        })
    }

    fn new(name: &'static str, objects: &mut Vec<&'static str>) -> Shape {
        let mut shape = Shape {
            key: Box::default(),
            n_parents: 0,
            parents: [0; MAX_PARENTS],
            starts: [0; MAX_PARENTS + 1],
        };
        let mut key = Vec::new();
        for (dot, _) in name.match_indices('.') {
            let (object, _) = name.split_at(dot);
            let number = objects
                .iter()
                .position(|o| *o == object)
                .unwrap_or_else(|| {
                    objects.push(object);
                    objects.len() - 1
                });
            let part = object.rsplit('.').next().unwrap_or_default();
            key.extend_from_slice(format!("\"{part}\":{{").as_bytes());
            shape.parents[shape.n_parents] = number as u8 + 1;
            shape.n_parents += 1;
            shape.starts[shape.n_parents] = key.len() as u8;
        }
        let part = name.rsplit('.').next().unwrap_or_default();
        key.extend_from_slice(format!("\"{part}\":").as_bytes());
        shape.key = key.into();
        shape
    }

    /// Appends what leads from the field before to the value of this one: closing braces, comma,
    /// opening braces, key. Objects that stand open from the beginning are the first `within`.
    #[inline]
    pub(crate) fn append_key(&self, out: &mut Vec<u8>, before: Option<&Shape>, within: usize) {
        let mut n_shared = within;
        if let Some(before) = before {
            while n_shared < before.n_parents.min(self.n_parents)
                && before.parents[n_shared] == self.parents[n_shared]
            {
                n_shared += 1;
            }
            before.append_end(out, n_shared);
        }
        out.push(b',');
        out.extend_from_slice(&self.key[usize::from(self.starts[n_shared])..]);
    }

    /// Closes the objects around the field but the first `within`.
    #[inline]
    pub(crate) fn append_end(&self, out: &mut Vec<u8>, within: usize) {
        const CLOSED: &[u8; MAX_PARENTS] = b"}}}}";
        out.extend_from_slice(&CLOSED[..self.n_parents.saturating_sub(within)]);
    }
}
