//! The language of Logstash's pipelines: plugins with settings, and branches.

/// What stands in a block.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    Plugin(Plugin),
    /// `if` with its conditions as they stand; `None` is `else`.
    Branch(Vec<(Option<String>, Vec<Item>)>),
}

/// `grok { … }`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plugin {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) settings: Vec<(String, Setting)>,
}

/// The value of a setting.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Setting {
    Text(String),
    List(Vec<Setting>),
    /// Keys may stand twice.
    Map(Vec<(String, Setting)>),
}

impl Setting {
    /// The texts of a list, or the one text.
    pub(super) fn texts(&self) -> Vec<&str> {
        match self {
            Self::Text(text) => vec![text],
            Self::List(items) => items.iter().flat_map(Self::texts).collect(),
            Self::Map(_) => Vec::new(),
        }
    }

    /// The pairs of a map. A list of texts is read as pairs, as Logstash does.
    pub(super) fn pairs(&self) -> Vec<(&str, &Setting)> {
        match self {
            Self::Map(pairs) => pairs.iter().map(|(k, v)| (k.as_str(), v)).collect(),
            Self::List(items) => items
                .chunks_exact(2)
                .filter_map(|pair| match pair {
                    [Self::Text(key), value] => Some((key.as_str(), value)),
                    _ => None,
                })
                .collect(),
            Self::Text(_) => Vec::new(),
        }
    }
}

/// A text that is not in the language: line and reason.
pub(super) type Wrong = (usize, String);

/// Nested deeper than this is refused.
const MAX_DEPTH: usize = 32;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Open(char),
    Close(char),
    Arrow,
    Comma,
    Quoted(String),
    /// Anything else up to white space or one of the above.
    Word(String),
}

/// Reads a pipeline: the items of its `filter` blocks. A text without sections is taken for the
/// inside of one.
///
/// # Errors
/// The first place where the text is not in the language.
pub(super) fn filters(text: &str) -> Result<Vec<Item>, Wrong> {
    let tokens = tokens(text)?;
    let mut reader = Reader { tokens, at: 0 };
    let mut found = Vec::new();
    while let Some((line, token)) = reader.next() {
        let Token::Word(name) = token else {
            return Err((line, "a plugin or a section is expected here".to_owned()));
        };
        match (name.as_str(), reader.peek()) {
            ("filter", Some(Token::Open('{'))) => {
                reader.at += 1;
                found.extend(reader.block(0)?);
            }
            ("input" | "output", Some(Token::Open('{'))) => {
                reader.at += 1;
                reader.block(0)?;
            }
            _ => {
                reader.at -= 1;
                found.push(reader.item(0)?);
            }
        }
    }
    Ok(found)
}

struct Reader {
    tokens: Vec<(usize, Token)>,
    at: usize,
}

impl Reader {
    fn next(&mut self) -> Option<(usize, Token)> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn line(&self) -> usize {
        let last = self.at.min(self.tokens.len().saturating_sub(1));
        self.tokens.get(last).map_or(0, |(line, _)| *line)
    }

    fn wrong<T>(&self, what: &str) -> Result<T, Wrong> {
        Err((self.line(), what.to_owned()))
    }

    fn expect(&mut self, token: &Token, what: &str) -> Result<(), Wrong> {
        if self.peek() != Some(token) {
            return self.wrong(what);
        }
        self.at += 1;
        Ok(())
    }

    /// The items up to the `}` that ends them.
    fn block(&mut self, depth: usize) -> Result<Vec<Item>, Wrong> {
        let mut items = Vec::new();
        loop {
            match self.peek() {
                None => return self.wrong("a `}` is missing"),
                Some(Token::Close('}')) => {
                    self.at += 1;
                    return Ok(items);
                }
                Some(_) => items.push(self.item(depth)?),
            }
        }
    }

    fn item(&mut self, depth: usize) -> Result<Item, Wrong> {
        if depth > MAX_DEPTH {
            return self.wrong("nested too deep");
        }
        let Some((line, Token::Word(name))) = self.next() else {
            self.at -= 1;
            return self.wrong("a plugin is expected here");
        };
        if name == "if" {
            return self.branch(depth);
        }
        self.expect(&Token::Open('{'), "a `{` is expected here")?;
        let mut settings = Vec::new();
        loop {
            match self.next() {
                Some((_, Token::Close('}'))) => break,
                Some((_, Token::Comma)) => {}
                Some((_, Token::Word(key) | Token::Quoted(key))) => {
                    self.expect(&Token::Arrow, "a `=>` is expected here")?;
                    settings.push((key, self.value(depth)?));
                }
                _ => {
                    self.at -= 1;
                    return self.wrong("a setting or a `}` is expected here");
                }
            }
        }
        Ok(Item::Plugin(Plugin {
            name,
            line,
            settings,
        }))
    }

    fn branch(&mut self, depth: usize) -> Result<Item, Wrong> {
        let mut arms = Vec::new();
        let mut condition = Some(self.condition()?);
        loop {
            self.expect(&Token::Open('{'), "a `{` is expected here")?;
            let is_last = condition.is_none();
            arms.push((condition.take(), self.block(depth + 1)?));
            if is_last || self.peek() != Some(&Token::Word("else".to_owned())) {
                return Ok(Item::Branch(arms));
            }
            self.at += 1;
            if self.peek() == Some(&Token::Word("if".to_owned())) {
                self.at += 1;
                condition = Some(self.condition()?);
            }
        }
    }

    /// Everything up to the `{` of the block.
    fn condition(&mut self) -> Result<String, Wrong> {
        let mut text = String::new();
        loop {
            let piece = match self.peek() {
                None => return self.wrong("a condition does not end"),
                Some(Token::Open('{')) => return Ok(text.trim().to_owned()),
                Some(Token::Open(c) | Token::Close(c)) => c.to_string(),
                Some(Token::Quoted(text)) => format!(" \"{text}\" "),
                Some(Token::Word(word)) if text.ends_with('[') => word.clone(),
                Some(Token::Word(word)) => format!(" {word} "),
                Some(Token::Comma) => ", ".to_owned(),
                Some(Token::Arrow) => "=>".to_owned(),
            };
            if piece.starts_with(']') {
                text.truncate(text.trim_end().len());
            }
            text.push_str(&piece);
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Setting, Wrong> {
        if depth > MAX_DEPTH {
            return self.wrong("nested too deep");
        }
        match self.next() {
            Some((_, Token::Quoted(text) | Token::Word(text))) => Ok(Setting::Text(text)),
            Some((_, Token::Open('['))) => {
                let mut items = Vec::new();
                loop {
                    match self.peek() {
                        Some(Token::Close(']')) => break,
                        Some(Token::Comma) => self.at += 1,
                        _ => items.push(self.value(depth + 1)?),
                    }
                }
                self.at += 1;
                Ok(Setting::List(items))
            }
            Some((_, Token::Open('{'))) => {
                let mut pairs = Vec::new();
                loop {
                    match self.next() {
                        Some((_, Token::Close('}'))) => return Ok(Setting::Map(pairs)),
                        Some((_, Token::Comma)) => {}
                        Some((_, Token::Quoted(key) | Token::Word(key))) => {
                            self.expect(&Token::Arrow, "a `=>` is expected here")?;
                            pairs.push((key, self.value(depth + 1)?));
                        }
                        _ => {
                            self.at -= 1;
                            return self.wrong("a key or a `}` is expected here");
                        }
                    }
                }
            }
            _ => {
                self.at -= 1;
                self.wrong("a value is expected here")
            }
        }
    }
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Wrong> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' => line += 1,
            c if c.is_whitespace() => {}
            '#' => while chars.next_if(|c| *c != '\n').is_some() {},
            '{' | '[' | '(' => tokens.push((line, Token::Open(c))),
            '}' | ']' | ')' => tokens.push((line, Token::Close(c))),
            ',' => tokens.push((line, Token::Comma)),
            '=' if chars.next_if_eq(&'>').is_some() => tokens.push((line, Token::Arrow)),
            '"' | '\'' => {
                let start = line;
                let mut quoted = String::new();
                loop {
                    match chars.next() {
                        None => return Err((start, "a quote does not end".to_owned())),
                        Some(end) if end == c => break,
                        // Logstash leaves other escapes as they stand.
                        Some('\\') if chars.peek() == Some(&c) => {
                            chars.next();
                            quoted.push(c);
                        }
                        Some(other) => {
                            line += usize::from(other == '\n');
                            quoted.push(other);
                        }
                    }
                }
                tokens.push((start, Token::Quoted(quoted)));
            }
            // An expression of a condition.
            '/' => {
                let mut word = String::from("/");
                while let Some(c) = chars.next_if(|c| *c != '\n') {
                    word.push(c);
                    match c {
                        '/' => break,
                        '\\' => word.extend(chars.next_if(|c| *c != '\n')),
                        _ => {}
                    }
                }
                tokens.push((line, Token::Word(word)));
            }
            c => {
                let mut word = String::from(c);
                let ends = |c: &char| !c.is_whitespace() && !"{}[](),\"'#".contains(*c);
                loop {
                    // `a=>1` is three tokens.
                    let mut ahead = chars.clone();
                    if ahead.next() == Some('=') && ahead.next() == Some('>') {
                        break;
                    }
                    match chars.next_if(ends) {
                        Some(c) => word.push(c),
                        None => break,
                    }
                }
                tokens.push((line, Token::Word(word)));
            }
        }
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_is_read() {
        let text = r#"
input { beats { port => 5044 } }
filter {
  # a comment
  if [kubernetes][container][name] == "web" and "x" in [message] {
    grok { match => { "message" => ["%{A:a}", '\d "q"'] } tag_on_failure=>[] }
  } else if [message] =~ /^a\/b/ { drop {} } else {
    mutate { add_field => { "a" => "b" "c" => "d" } remove_field => [ "x", "y" ] }
  }
}
"#;
        let items = filters(text).unwrap();
        let [Item::Branch(arms)] = items.as_slice() else {
            panic!("{items:?}")
        };
        let conditions: Vec<_> = arms.iter().map(|(c, _)| c.as_deref()).collect();
        assert_eq!(
            conditions,
            [
                Some(r#"[kubernetes][container][name] ==  "web"  and  "x"  in [message]"#),
                Some(r"[message] =~  /^a\/b/"),
                None
            ]
        );
        let Item::Plugin(grok) = &arms[0].1[0] else {
            panic!()
        };
        assert_eq!((grok.name.as_str(), grok.line), ("grok", 6));
        let (_, matching) = &grok.settings[0];
        assert_eq!(matching.pairs()[0].1.texts(), ["%{A:a}", r#"\d "q""#]);
        assert_eq!(
            grok.settings[1],
            ("tag_on_failure".to_owned(), Setting::List(vec![]))
        );
    }

    #[test]
    fn what_is_not_in_the_language_has_its_line() {
        let check = |text: &str, line: usize| {
            assert_eq!(filters(text).unwrap_err().0, line, "{text}");
        };
        check("filter {\n grok {\n", 2);
        check("filter {\n grok { match \"x\" }\n}", 2);
        check("grok { match => \"x }", 1);
        check("{", 1);
        check(&format!("filter {{ a {{ b => {} }} }}", "[".repeat(500)), 1);
    }
}
