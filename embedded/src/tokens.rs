//! Words of text, as Elasticsearch's `standard` analyzer makes them: Unicode's word boundaries
//! (UAX #29), lower case. Text that is ASCII, as most logs are, takes a short way to the same words.

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};
use unicode_segmentation::UnicodeSegmentation as _;

/// Longest word; longer ones are cut into several, as Elasticsearch does.
const MAX_WORD: usize = 255;

/// The tokenizer; reuses its token from text to text.
#[derive(Debug, Clone, Default)]
pub(crate) struct WordTokenizer {
    token: Token,
}

/// Words of one text.
pub(crate) struct WordStream<'a> {
    text: &'a str,
    /// Where the search for the next word begins.
    at: usize,
    /// End of a word that is being cut.
    cut_until: usize,
    /// Words found ahead, for text that is not ASCII.
    ahead: Option<std::vec::IntoIter<(usize, usize)>>,
    next_position: usize,
    token: &'a mut Token,
}

impl Tokenizer for WordTokenizer {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        self.token.reset();
        let ahead = (!text.is_ascii()).then(|| unicode_words(text).into_iter());
        WordStream {
            text,
            at: 0,
            cut_until: 0,
            ahead,
            next_position: 0,
            token: &mut self.token,
        }
    }
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        let next = match &mut self.ahead {
            Some(ahead) => ahead.next(),
            None => self.next_ascii(),
        };
        let Some((from, to)) = next else { return false };
        let word = self.text.get(from..to).unwrap_or_default();
        self.token.text.clear();
        if word.is_ascii() {
            self.token.text.push_str(word);
            self.token.text.make_ascii_lowercase();
        } else {
            self.token.text.push_str(&word.to_lowercase());
        }
        self.token.offset_from = from;
        self.token.offset_to = to;
        self.token.position = self.next_position;
        self.token.position_length = 1;
        self.next_position += 1;
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

impl WordStream<'_> {
    fn next_ascii(&mut self) -> Option<(usize, usize)> {
        if self.at < self.cut_until {
            let from = self.at;
            self.at = (from + MAX_WORD).min(self.cut_until);
            return Some((from, self.at));
        }
        let bytes = self.text.as_bytes();
        let (from, to) = next_ascii_word(bytes, self.at)?;
        self.at = to.min(from + MAX_WORD);
        self.cut_until = to;
        Some((from, self.at))
    }
}

/// The next run that holds a letter or digit, from `at` on.
fn next_ascii_word(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    loop {
        while !is_word(*bytes.get(at)?) {
            at += 1;
        }
        let from = at;
        let mut has_alphanumeric = false;
        loop {
            let byte = *bytes.get(at).unwrap_or(&b' ');
            if is_word(byte) {
                has_alphanumeric |= byte != b'_';
                at += 1;
            } else if joins(bytes, at) {
                at += 2;
            } else {
                break;
            }
        }
        if has_alphanumeric {
            return Some((from, at));
        }
    }
}

/// Whether the mark at `at` stands between two letters or two digits that it keeps together
/// (WB6, WB7, WB11, WB12).
fn joins(bytes: &[u8], at: usize) -> bool {
    let (Some(before), Some(mark), Some(after)) = (
        at.checked_sub(1).and_then(|i| bytes.get(i)),
        bytes.get(at),
        bytes.get(at + 1),
    ) else {
        return false;
    };
    let letters = before.is_ascii_alphabetic() && after.is_ascii_alphabetic();
    let digits = before.is_ascii_digit() && after.is_ascii_digit();
    match mark {
        b'.' | b'\'' => letters || digits,
        b':' => letters,
        b',' | b';' => digits,
        _ => false,
    }
}

fn unicode_words(text: &str) -> Vec<(usize, usize)> {
    let mut words = Vec::new();
    for (start, word) in text.unicode_word_indices() {
        let mut from = start;
        let mut chars = 0;
        for (offset, _) in word.char_indices() {
            if chars == MAX_WORD {
                words.push((from, start + offset));
                from = start + offset;
                chars = 0;
            }
            chars += 1;
        }
        words.push((from, start + word.len()));
    }
    words
}

/// The words of `text`, with where they stand.
pub(crate) fn words(text: &str) -> Vec<(String, usize, usize)> {
    let mut tokenizer = WordTokenizer::default();
    let mut stream = tokenizer.token_stream(text);
    let mut words = Vec::new();
    while stream.advance() {
        let token = stream.token();
        words.push((token.text.clone(), token.offset_from, token.offset_to));
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = words(text).into_iter().map(|(word, _, _)| word).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn words_are_those_of_the_standard_analyzer() {
        check(
            "GET /api/v1/items?id=5 HTTP/1.1",
            &["get", "api", "v1", "items", "id", "5", "http", "1.1"],
        );
        check("10.0.0.1:8080 - don't", &["10.0.0.1", "8080", "don't"]);
        check("order_id=A_7 __ _x", &["order_id", "a_7", "_x"]);
        check("1,000.5; a.b.c. end.", &["1,000.5", "a.b.c", "end"]);
        check("Größe ПРИВЕТ 日本", &["größe", "привет", "日", "本"]);
        check("", &[]);
        check(&"x".repeat(300), &[&"x".repeat(255), &"x".repeat(45)]);
    }

    proptest! {
        /// The short way for ASCII finds what Unicode's rules find.
        #[test]
        fn ascii_words_are_unicode_words(text in "[a-cA-C0-2_.,:;' /=-]{0,40}") {
            let expected: Vec<&str> = text.unicode_words().collect();
            let found: Vec<String> = words(&text).into_iter().map(|(_, from, to)| text.get(from..to).unwrap().to_owned()).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn words_lie_within_the_text(text in any::<String>()) {
            for (_, from, to) in words(&text) {
                prop_assert!(text.get(from..to).is_some_and(|word| !word.is_empty()));
            }
        }
    }
}
