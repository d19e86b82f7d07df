//! "Did you mean …": the nearest word, or the place where a key belongs.

/// A hint for an unknown key: a known one of the same section that is spelt nearly so, or the
/// section that has the key.
pub(crate) fn key(key: &str, known: &[&str], all_paths: &[String]) -> Option<String> {
    if let Some(near) = nearest(key, known) {
        return Some(format!("did you mean `{near}`?"));
    }
    let elsewhere: Vec<&str> = all_paths
        .iter()
        .filter(|path| path.rsplit('.').next() == Some(key))
        .map(String::as_str)
        .collect();
    match elsewhere.as_slice() {
        [] => None,
        paths => Some(format!("did you mean `{}`?", paths.join("` or `"))),
    }
}

/// The word of `words` that is fewest edits away, when that is near enough to be a slip.
pub(crate) fn nearest<'w>(text: &str, words: &[&'w str]) -> Option<&'w str> {
    // A longer text would only cost time; no key of ours is half as long.
    if text.chars().count() > 64 {
        return None;
    }
    let allowed = (text.chars().count() / 3).clamp(1, 3);
    words
        .iter()
        .map(|word| (distance(&text.to_lowercase(), word), *word))
        .filter(|(edits, _)| *edits <= allowed)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, word)| word)
}

/// Edits between two words: insert, delete, replace, swap of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().map(|c| if c == '-' { '_' } else { c }).collect();
    let b: Vec<char> = b.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &to) in b.iter().enumerate() {
            let replace = last[j] + usize::from(from != to);
            let mut best = replace.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && from == b[j - 1] && a[i - 1] == to {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let words = ["max_bytes", "max_age", "listen", "data_dir"];
        let cases = [
            ("max_byte", Some("max_bytes")),
            ("max-bytes", Some("max_bytes")),
            ("lisetn", Some("listen")),
            ("Listen", Some("listen")),
            ("datadir", Some("data_dir")),
            ("outputs", None),
            ("x", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(nearest(text, &words), expected, "{text}");
        }
    }

    #[test]
    fn a_key_in_the_wrong_section_is_led_home() {
        let paths = ["files.max_line".to_owned(), "batch.max_age".to_owned()];
        let hint = key("max_line", &["data_dir"], &paths);
        assert_eq!(hint.as_deref(), Some("did you mean `files.max_line`?"));
    }
}
