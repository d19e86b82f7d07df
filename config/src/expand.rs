//! `${NAME}` and `${NAME:-default}` in scalars, after parsing: a value can never add keys or break
//! the file. `$${` stands for a literal `${`; any other `$` is itself.

use crate::tree::{Content, Node};

/// Expands one text; the error says what is wrong.
pub(crate) fn expand(
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<String>, String> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(literal) = before.strip_suffix('$') {
            out.push_str(literal);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let Some((inside, tail)) = after.split_once('}') else {
            return Err("`${` without a closing `}` (write `$${` for a literal `${`)".to_owned());
        };
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let is_name = !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name {
            return Err(format!(
                "`${{{inside}}}` does not name an environment variable"
            ));
        }
        // As in a shell, `:-` also stands in for a variable that is set but empty.
        match (
            env(name).filter(|value| !value.is_empty() || default.is_none()),
            default,
        ) {
            (Some(value), _) => out.push_str(&value),
            (None, Some(default)) => out.push_str(default),
            (None, None) => {
                return Err(format!(
                    "environment variable `{name}` is not set (`${{{name}:-…}}` gives a default)"
                ));
            }
        }
        rest = tail;
    }
    out.push_str(rest);
    Ok(Some(out))
}

/// Expands every scalar of a tree. `report` gets the path, the node and what is wrong.
pub(crate) fn expand_tree(
    node: &mut Node,
    path: &str,
    env: &dyn Fn(&str) -> Option<String>,
    report: &mut dyn FnMut(&str, &Node, String),
) {
    match &mut node.content {
        Content::Scalar { text, .. } => match expand(text, env) {
            Ok(None) => {}
            Ok(Some(expanded)) => *text = expanded,
            Err(message) => {
                report(path, node, message);
                node.content = Content::Broken;
            }
        },
        Content::List(items) => {
            for (idx, item) in items.iter_mut().enumerate() {
                expand_tree(item, &format!("{path}[{idx}]"), env, report);
            }
        }
        Content::Map(entries) => {
            for entry in entries {
                let dot = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{dot}{}", entry.key);
                expand_tree(&mut entry.value, &path, env, report);
            }
        }
        Content::Broken => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "NODE_NAME" => Some("node-1".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_expanded() {
        let cases: [(&str, Result<&str, &str>); 12] = [
            ("${NODE_NAME}", Ok("node-1")),
            ("a-${NODE_NAME}-${NODE_NAME}", Ok("a-node-1-node-1")),
            ("${MISSING:-x:-y}", Ok("x:-y")),
            ("${MISSING:-}", Ok("")),
            ("${EMPTY}", Ok("")),
            ("${EMPTY:-x}", Ok("x")),
            ("$${NODE_NAME}", Ok("${NODE_NAME}")),
            ("pa$$word$", Ok("pa$$word$")),
            ("${MISSING}", Err("`MISSING` is not set")),
            ("${NODE_NAME", Err("closing")),
            ("${}", Err("does not name")),
            ("${A B}", Err("does not name")),
        ];
        for (text, expected) in cases {
            match (expand(text, &env), expected) {
                (Ok(got), Ok(want)) => assert_eq!(got.as_deref().unwrap_or(text), want, "{text}"),
                (Err(got), Err(want)) => assert!(got.contains(want), "{text}: {got}"),
                (got, want) => panic!("{text}: {got:?}, expected {want:?}"),
            }
        }
    }
}
