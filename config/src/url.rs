//! `http://host:port/path`: the only addresses the programs connect to.

use std::fmt;

use crate::reader::Reader;
use crate::schema::{Kind, Shown};
use crate::setting::Setting;
use crate::tree::{Node, shorten};

/// The address of a server: scheme `http` or `https`, host, port, perhaps a path that all
/// requests are put under. No user, no query.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpUrl {
    text: String,
    https: bool,
    host: String,
    port: u16,
    path: String,
}

impl HttpUrl {
    /// Reads an address; the port is 443 or 80 where none is named. The error says what is
    /// wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (https, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err("it must start with `http://` or `https://`".to_owned()),
        };
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) || !text.is_ascii() {
            return Err("it holds characters that no URL has".to_owned());
        }
        if text.contains(['?', '#']) {
            return Err("it must not have a query".to_owned());
        }
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, path.trim_end_matches('/')),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err("user and password go into keys of their own".to_owned());
        }
        let bad_port = || "the port must be a number from 1 to 65535".to_owned();
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => {
                let (host, after) = v6.split_once(']').ok_or("`[` without `]`")?;
                if host.parse::<std::net::Ipv6Addr>().is_err() {
                    return Err("no IPv6 address between `[` and `]`".to_owned());
                }
                match after.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if after.is_empty() => (host, None),
                    None => return Err(bad_port()),
                }
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() || host.contains(['[', ']']) {
            return Err("the host is missing".to_owned());
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|p| *p > 0).ok_or_else(bad_port)?,
            None if https => 443,
            None => 80,
        };
        let path = if path.is_empty() {
            String::new()
        } else {
            format!("/{path}")
        };
        Ok(Self {
            text: text.to_owned(),
            https,
            host: host.to_owned(),
            port,
            path,
        })
    }

    /// One of our own defaults.
    pub(crate) fn constant(text: &str) -> Self {
        Self::parse(text).expect("a default is a valid URL: the tests load all of them")
    }

    /// The address as given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the scheme is `https`.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// Host name or IP address, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port; 80 or 443 when none was given.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Prefix of all request paths: empty, or starting and not ending with `/`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Setting for HttpUrl {
    fn kind() -> Kind {
        Kind::Scalar("URL")
    }

    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let text = reader.scalar(node, "a URL like `http://host:9200`")?;
        match Self::parse(text) {
            Ok(url) => Some(url),
            Err(error) => {
                // What stands before an `@` may be a password.
                let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
                let message = format!(
                    "expected a URL like `http://host:9200`, got `{}`: {error}",
                    shorten(shown)
                );
                reader.problem(node.position, message);
                None
            }
        }
    }

    fn shown(&self) -> Shown {
        Shown::Scalar(self.text.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scheme is https, host, port, path.
    type Parts = (bool, &'static str, u16, &'static str);

    #[test]
    fn addresses_are_read() {
        let cases: [(&str, Result<Parts, &str>); 14] = [
            ("http://127.0.0.1:9200", Ok((false, "127.0.0.1", 9200, ""))),
            ("http://es", Ok((false, "es", 80, ""))),
            (
                "https://es.example/logs/",
                Ok((true, "es.example", 443, "/logs")),
            ),
            ("http://[::1]:9200/a/b", Ok((false, "::1", 9200, "/a/b"))),
            ("http://[::1]", Ok((false, "::1", 80, ""))),
            ("127.0.0.1:9200", Err("must start")),
            ("http://", Err("host is missing")),
            ("http://:9200", Err("host is missing")),
            ("http://es:99999", Err("port")),
            ("http://es:0", Err("port")),
            ("http://[::1", Err("without")),
            ("http://[zz]:1", Err("IPv6")),
            ("http://user:pw@es", Err("keys of their own")),
            ("http://es/?x=1", Err("query")),
        ];
        for (text, expected) in cases {
            match (HttpUrl::parse(text), expected) {
                (Ok(url), Ok(want)) => {
                    assert_eq!(
                        (url.is_https(), url.host(), url.port(), url.path()),
                        want,
                        "{text}"
                    );
                }
                (Err(got), Err(want)) => assert!(got.contains(want), "{text}: {got}"),
                (got, want) => panic!("{text}: {got:?}, expected {want:?}"),
            }
        }
    }
}
