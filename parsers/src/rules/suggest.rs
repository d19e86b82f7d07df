//! What an author may have meant.

/// The nearest of `known` when it is near enough to be a slip of the finger.
pub(crate) fn did_you_mean(word: &str, known: &[&str]) -> Option<String> {
    let nearest = known.iter().min_by_key(|k| distance(word, k))?;
    (distance(word, nearest) <= 2).then(|| format!("did you mean `{nearest}`?"))
}

/// Changes of a letter that make one word the other; neighbours that changed places count one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut least = changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(rows[i - 2][j - 2] + 1);
                }
                least
            };
        }
    }
    rows[a.len()][b.len()]
}
