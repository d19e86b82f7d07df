//! Dotted names to nested objects: `http.request.method` and `http.version` become
//! `"http":{"request":{"method":…},"version":…}`.
//!
//! Names must come with those of one object together (in the order of their bytes they do), and
//! none may be the beginning of another.

/// Writes fields of one object, nested by their names.
#[derive(Debug, Default)]
pub(crate) struct Nest<'a> {
    /// The name before, to know which objects are open.
    previous: &'a [u8],
    has_previous: bool,
}

impl<'a> Nest<'a> {
    /// A writer for an object in which something stands already.
    pub(crate) fn continued() -> Self {
        Self {
            previous: b"",
            has_previous: true,
        }
    }

    /// Appends what leads to the value of `name`: closing and opening braces, comma, key, colon.
    /// The name's parts stand as they do in JSON, escaped.
    #[inline]
    pub(crate) fn append_key(&mut self, out: &mut Vec<u8>, name: &'a [u8]) {
        let mut shared = 0;
        for (i, (a, b)) in self.previous.iter().zip(name).enumerate() {
            if a != b {
                break;
            }
            if *a == b'.' {
                shared = i + 1;
            }
        }
        for byte in &self.previous[shared..] {
            if *byte == b'.' {
                out.push(b'}');
            }
        }
        if self.has_previous {
            out.push(b',');
        }
        out.push(b'"');
        let mut part = shared;
        while let Some(length) = name[part..].iter().position(|b| *b == b'.') {
            out.extend_from_slice(&name[part..part + length]);
            out.extend_from_slice(b"\":{\"");
            part += length + 1;
        }
        out.extend_from_slice(&name[part..]);
        out.extend_from_slice(b"\":");
        self.previous = name;
        self.has_previous = true;
    }

    /// Closes what is open, down to the object itself.
    #[inline]
    pub(crate) fn finish(self, out: &mut Vec<u8>) {
        for byte in self.previous {
            if *byte == b'.' {
                out.push(b'}');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_objects() {
        let check = |names: &[&str], expected: &str| {
            let mut out = b"{".to_vec();
            let mut nest = Nest::default();
            for name in names {
                nest.append_key(&mut out, name.as_bytes());
                out.push(b'1');
            }
            nest.finish(&mut out);
            out.push(b'}');
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check(&[], "{}");
        check(&["a"], r#"{"a":1}"#);
        check(
            &["a.b", "a.c.d", "a.c.e", "b"],
            r#"{"a":{"b":1,"c":{"d":1,"e":1}},"b":1}"#,
        );
        check(&["a.b.c.d", "a.bc"], r#"{"a":{"b":{"c":{"d":1}},"bc":1}}"#);
        check(&["a.b", "ab.c"], r#"{"a":{"b":1},"ab":{"c":1}}"#);
    }
}
