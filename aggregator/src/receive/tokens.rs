//! Who may send: bearer tokens, each good for some nodes (DELIVERY rule 15).

use std::fmt;
use std::sync::Arc;

use crate::pipeline::{MaySendFor, SettingsKey};

/// One token.
#[derive(Clone)]
pub struct Token {
    /// The secret.
    pub secret: String,
    /// Names of the nodes that it may send for; `*` stands for any run of characters.
    pub nodes: Vec<String>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

/// The tokens in force. Without any, everybody may send for every node.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    tokens: Vec<Token>,
}

impl Tokens {
    /// These tokens.
    pub fn new(tokens: Vec<Token>) -> Self {
        Self { tokens }
    }

    /// The key that signs settings: all aggregators with these tokens have the same.
    pub fn settings_key(&self) -> SettingsKey {
        SettingsKey::new(self.tokens.iter().map(|token| token.secret.as_str()))
    }

    /// What the sender with this `Authorization` header may do; `None`: nothing.
    pub fn sender(&self, authorization: Option<&str>) -> Option<MaySendFor> {
        if self.tokens.is_empty() {
            return Some(Arc::new(|_| true));
        }
        let (scheme, given) = authorization?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let nodes: Vec<String> = self
            .tokens
            .iter()
            .filter(|token| same(token.secret.as_bytes(), given.trim().as_bytes()))
            .flat_map(|token| token.nodes.iter().cloned())
            .collect();
        if nodes.is_empty() {
            return None;
        }
        Some(Arc::new(move |node| {
            nodes.iter().any(|pattern| matches(pattern, node))
        }))
    }
}

/// Compares in a time that tells only the lengths.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// Whether `text` matches `pattern`, in which `*` stands for any run of characters.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match text.split_once(piece) {
            Some((_, behind)) => text = behind,
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("node-1", "node-1", true),
            ("node-1", "node-12", false),
            ("*", "", true),
            ("node-*", "node-12", true),
            ("*-eu", "node-eu", true),
            ("n*e-*-eu", "node-7-eu", true),
            ("n*e-*-eu", "node-7-us", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    /// Rule 15: one node's token cannot write another's streams.
    #[test]
    fn a_token_is_good_for_its_nodes_only() {
        let tokens = Tokens::new(vec![Token {
            secret: "s3cret".into(),
            nodes: vec!["eu-*".into()],
        }]);
        let sender = tokens.sender(Some("Bearer s3cret")).expect("a known token");
        assert!(sender("eu-1"));
        assert!(!sender("us-1"));
        for bad in [
            None,
            Some("Bearer other"),
            Some("Basic s3cret"),
            Some("s3cret"),
        ] {
            assert!(tokens.sender(bad).is_none());
        }
        assert!(Tokens::default().sender(None).expect("open to all")("any"));
    }
}
