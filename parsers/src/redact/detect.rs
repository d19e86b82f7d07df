//! Finding secrets in text. Each detector is one walk from a byte that is typical for it: text
//! without such bytes costs next to nothing.
//!
//! A record cannot be written before its secrets are out, so there is no budget of time here: no
//! detector looks at a byte more often than a fixed number of times, whatever the text is. `iban` and
//! `card` look the most often: at some 40 bytes from each place at which one may begin.

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Detector {
    /// E-mail addresses.
    Email,
    /// Numbers of payment cards, 13 to 19 digits, by their check digit.
    Card,
    /// Bank accounts, by their check digits.
    Iban,
    /// IPv4 and IPv6 addresses.
    Ip,
    /// JSON Web Tokens.
    Jwt,
    /// Ids of AWS access keys.
    AwsKey,
    /// What follows `Bearer` or `Basic`.
    Bearer,
    /// Blocks of private keys in PEM.
    PrivateKey,
    /// Passwords in URLs and values of keys that sound like secrets.
    Password,
}

impl Detector {
    /// All, in the order they are tried.
    pub const ALL: [Detector; 9] = [
        Detector::PrivateKey,
        Detector::Jwt,
        Detector::Bearer,
        Detector::Password,
        Detector::AwsKey,
        Detector::Email,
        Detector::Card,
        Detector::Iban,
        Detector::Ip,
    ];

    /// The names, in the order of [`Detector::ALL`].
    pub const NAMES: [&'static str; 9] = [
        "private_key",
        "jwt",
        "bearer",
        "password",
        "aws_key",
        "email",
        "card",
        "iban",
        "ip",
    ];

    /// The name in configuration, and in the text that replaces what was found.
    pub fn name(self) -> &'static str {
        let index = Self::ALL.iter().position(|d| *d == self);
        index
            .and_then(|i| Self::NAMES.get(i))
            .copied()
            .unwrap_or("")
    }

    /// The detector of a name.
    pub fn find(name: &str) -> Option<Detector> {
        let index = Self::NAMES.iter().position(|n| *n == name)?;
        Self::ALL.get(index).copied()
    }

    /// Hands start and end of each place to `found`, in their order.
    pub(super) fn each(self, text: &[u8], mut found: impl FnMut(usize, usize)) {
        let mut keys_end = true;
        let mut from = 0;
        loop {
            let next = match self {
                Detector::Email => email(text, from),
                Detector::Card => card(text, from),
                Detector::Iban => iban(text, from),
                Detector::Ip => ip(text, from),
                Detector::Jwt => jwt(text, from),
                Detector::AwsKey => aws_key(text, from),
                Detector::Bearer => bearer(text, from),
                Detector::PrivateKey => private_key(text, from, &mut keys_end),
                Detector::Password => password(text, from),
            };
            let Some((start, end)) = next else { return };
            found(start, end);
            from = end.max(from + 1);
        }
    }
}

/// End of the run of bytes from `at` on for which `is` holds.
fn run(text: &[u8], at: usize, is: impl Fn(u8) -> bool) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().position(|b| !is(*b)).unwrap_or(rest.len())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether no letter or digit stands right before.
fn begins(text: &[u8], at: usize) -> bool {
    at == 0 || !is_word(text[at - 1])
}

fn ends(text: &[u8], at: usize) -> bool {
    text.get(at).is_none_or(|b| !is_word(*b))
}

fn email(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut search = from;
    loop {
        let at = search + memchr::memchr(b'@', text.get(search..)?)?;
        search = at + 1;
        let is_local =
            |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'%' | b'+' | b'-');
        let before = text[from..at].iter().rev();
        let start = at - before.take_while(|b| is_local(**b)).count();
        let mut end = run(text, at + 1, |b| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-')
        });
        while end > at + 1 && matches!(text[end - 1], b'.' | b'-') {
            end -= 1;
        }
        let domain = &text[at + 1..end];
        let top = domain.rsplit(|b| *b == b'.').next().unwrap_or_default();
        let is_domain = domain.contains(&b'.')
            && top.len() >= 2
            && top.iter().all(u8::is_ascii_alphabetic)
            && domain[0] != b'.';
        if start < at && is_domain {
            return Some((start, end));
        }
    }
}

/// Digits, with single spaces or hyphens among them if there are any, up to the most that a card
/// has: the digits and the end.
fn digits(text: &[u8], start: usize) -> ([u8; 20], usize, usize) {
    let mut found = [0; 20];
    let (mut n, mut at, mut end) = (0, start, start);
    while let Some(byte) = text.get(at) {
        match byte {
            b'0'..=b'9' if n < 20 => {
                found[n] = byte - b'0';
                n += 1;
                end = at + 1;
            }
            b' ' | b'-' if at == end && n > 0 => {}
            _ => break,
        }
        at += 1;
    }
    (found, n, end)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, digit)| {
            let digit = u32::from(*digit) << (i % 2);
            digit / 10 + digit % 10
        })
        .sum();
    sum.is_multiple_of(10)
}

fn card(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    loop {
        at += text.get(at..)?.iter().position(u8::is_ascii_digit)?;
        let (found, n, end) = digits(text, at);
        // The first digits of the large networks: 2 to 6. Others are ids of all kinds.
        let is_card = (13..=19).contains(&n)
            && (2..=6).contains(&found[0])
            && begins(text, at)
            && text.get(at.wrapping_sub(1)) != Some(&b'.')
            && ends(text, end)
            && found[..n].iter().any(|d| *d != found[0])
            && luhn(&found[..n]);
        if is_card {
            return Some((at, end));
        }
        at = run(text, at, |b| b.is_ascii_digit());
    }
}

fn iban(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    while at + 15 <= text.len() {
        let head = &text[at..at + 4];
        let is_head = head[0].is_ascii_uppercase()
            && head[1].is_ascii_uppercase()
            && head[2].is_ascii_digit()
            && head[3].is_ascii_digit();
        if !is_head || !begins(text, at) {
            // The two digits can stand here only if two letters stand before.
            at += if head[3].is_ascii_digit() || head[3].is_ascii_uppercase() {
                1
            } else {
                4
            };
            continue;
        }
        let mut characters = [0; 34];
        let (mut n, mut p, mut end) = (0, at, at);
        while let Some(byte) = text.get(p) {
            match byte {
                b'0'..=b'9' | b'A'..=b'Z' if n < 34 => {
                    characters[n] = *byte;
                    n += 1;
                    end = p + 1;
                }
                b' ' if p == end && (end - at) % 5 == 4 => {}
                _ => break,
            }
            p += 1;
        }
        // A word in capitals may follow: the longest beginning that adds up counts.
        while n >= 15 {
            if ends(text, end) && mod_97(&characters[..n]) == 1 {
                return Some((at, end));
            }
            n -= 1;
            end -= 1;
            while end > at && text[end - 1] == b' ' {
                end -= 1;
            }
        }
        at += 4;
    }
    None
}

/// Country and check digits go to the end, letters count from 10.
fn mod_97(characters: &[u8]) -> u32 {
    let (head, rest) = characters.split_at(4);
    rest.iter().chain(head).fold(0, |sum, byte| match byte {
        b'0'..=b'9' => (sum * 10 + u32::from(byte - b'0')) % 97,
        _ => (sum * 100 + u32::from(byte - b'A') + 10) % 97,
    })
}

fn ip(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    loop {
        at += text
            .get(at..)?
            .iter()
            .position(|b| b.is_ascii_hexdigit() || *b == b':')?;
        let end = run(text, at, |b| {
            b.is_ascii_hexdigit() || matches!(b, b'.' | b':')
        });
        let is_v4 =
            |part: &[u8]| part.len() <= 15 && part.iter().filter(|b| **b == b'.').count() == 3;
        let whole = &text[at..end];
        let trimmed = whole.trim_ascii_end();
        let mut own = trimmed;
        while let Some(shorter) = own
            .strip_suffix(b".")
            .or_else(|| own.strip_suffix(b":").filter(|_| !own.ends_with(b"::")))
        {
            own = shorter;
        }
        // `10.0.0.1:80` is an address and a port.
        if let Some(colon) = memchr::memchr(b':', own)
            && is_v4(&own[..colon])
        {
            own = &own[..colon];
        }
        let is_candidate = is_v4(own) || own.iter().filter(|b| **b == b':').count() >= 2;
        if is_candidate && begins(text, at) && ends(text, at + own.len()) && crate::emit::is_ip(own)
        {
            return Some((at, at + own.len()));
        }
        at = end;
    }
}

fn jwt(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let is_base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let mut search = from;
    loop {
        let at = search + memchr::memmem::find(text.get(search..)?, b"eyJ")?;
        search = at + 3;
        if !begins(text, at) {
            continue;
        }
        let head = run(text, at, is_base64);
        if text.get(head) == Some(&b'.') {
            let body = run(text, head + 1, is_base64);
            if body > head + 4 && text.get(body) == Some(&b'.') {
                return Some((at, run(text, body + 1, is_base64)));
            }
        }
        // What else begins before the end of this head has the same one, and the same body.
        search = head;
    }
}

fn aws_key(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut search = from;
    loop {
        let at = search + memchr::memmem::find(text.get(search..)?, b"IA")?;
        search = at + 2;
        let Some(start) = at.checked_sub(2).filter(|start| *start >= from) else {
            continue;
        };
        // AKIA: a user's key, ASIA: a session's.
        let is_kind = matches!(&text[start..at], b"AK" | b"AS");
        // One character more than a key has says that it is none.
        let text = &text[..text.len().min(start + 21)];
        let end = run(text, start, |b| {
            b.is_ascii_uppercase() || b.is_ascii_digit()
        });
        if is_kind && end - start == 20 && begins(text, start) && ends(text, end) {
            return Some((start, end));
        }
    }
}

fn bearer(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let is_token = |b: u8| {
        b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~' | b'+' | b'/' | b'=')
    };
    // The words' common letters: `Bearer `, `basic `.
    let mut at = from;
    loop {
        at += memchr::memchr2(b'b', b'B', text.get(at..)?)?;
        let word = [&b"bearer "[..], b"basic "].into_iter().find(|word| {
            text.get(at..at + word.len())
                .is_some_and(|found| found.eq_ignore_ascii_case(word))
        });
        if let Some(word) = word
            && begins(text, at)
        {
            let start = at + word.len();
            let end = run(text, start, is_token);
            // `basic` is a word of prose, too.
            let token = &text[start..end];
            let is_secret = token.len() >= 8
                && (word.len() == 7 || token.iter().any(|b| b.is_ascii_digit() || *b == b'='));
            if is_secret {
                return Some((start, end));
            }
        }
        at += 1;
    }
}

/// `has_end`: the end of some key may still come; once there is none, it is not looked for again.
fn private_key(text: &[u8], from: usize, has_end: &mut bool) -> Option<(usize, usize)> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    const END: &[u8] = b"-----END ";
    let mut search = from;
    loop {
        let at = search + memchr::memmem::find(text.get(search..)?, BEGIN)?;
        search = at + BEGIN.len();
        let kind = run(text, search, |b| b.is_ascii_uppercase() || b == b' ');
        if !text[search..kind].ends_with(b"PRIVATE KEY") {
            continue;
        }
        // A key that is cut has no end: all of the text after its beginning is of it.
        let found = has_end.then(|| memchr::memmem::find(&text[kind..], END));
        *has_end = found.flatten().is_some();
        let mut end = match found.flatten() {
            Some(n) => run(text, kind + n + END.len(), |b| {
                b.is_ascii_uppercase() || matches!(b, b' ' | b'-')
            }),
            None => run(text, kind, |b| b != b'"'),
        };
        while end > kind && text[end - 1] == b' ' {
            end -= 1;
        }
        return Some((at, end));
    }
}

/// Endings of names whose values are secrets, in lower case, without `_` and `-`.
const SECRET_NAMES: &[&[u8]] = &[
    b"password",
    b"passwd",
    b"passphrase",
    b"pwd",
    b"secret",
    b"secretkey",
    b"apikey",
    b"accesskey",
    b"privatekey",
    b"accesstoken",
    b"refreshtoken",
    b"idtoken",
    b"authtoken",
    b"sessiontoken",
    b"authorization",
    b"credentials",
    b"cookie",
    b"setcookie",
];

/// Whether a name is that of a secret: `db_password`, `X-Api-Key`.
pub(super) fn is_secret_name(name: &[u8]) -> bool {
    let mut plain = [0; 64];
    let mut n = 0;
    // The last bytes suffice: names are told by their endings.
    let tail = &name[name.len().saturating_sub(48)..];
    for byte in tail.iter().filter(|b| !matches!(b, b'_' | b'-')) {
        plain[n] = byte.to_ascii_lowercase();
        n += 1;
    }
    SECRET_NAMES
        .iter()
        .any(|secret| plain[..n].ends_with(secret))
        || plain[..n].ends_with(b"token") && n <= 12
}

/// Values of pairs (`password=x`, `"api_key": "x"`) and passwords in URLs (`//user:x@`).
fn password(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    loop {
        at += memchr::memchr2(b'=', b':', text.get(at..)?)?;
        let mark = at;
        at += 1;
        if text[mark] == b':' && text[mark + 1..].starts_with(b"//") {
            if let Some(found) = url_password(text, mark + 3) {
                return Some(found);
            }
            continue;
        }
        let mut end = mark;
        while end > 0 && matches!(text[end - 1], b'"' | b'\'' | b'\\' | b' ') && mark - end < 4 {
            end -= 1;
        }
        let before = text[..end].iter().rev();
        let n = before
            .take_while(|b| is_word(**b) || matches!(b, b'-' | b'.'))
            .count();
        if n < 3 || !is_secret_name(&text[end - n..end]) {
            continue;
        }
        let mut start = run(text, mark + 1, |b| b == b' ');
        let unquoted = run(text, start, |b| matches!(b, b'"' | b'\'' | b'\\'));
        let is_quoted = unquoted > start;
        start = unquoted;
        // What was redacted before is no secret, and may be long.
        if text[start..].starts_with(b"[redacted") {
            continue;
        }
        let mut end = run(text, start, |b| match b {
            b'"' | b'\'' | b'\\' => false,
            b' ' | b',' | b';' | b'&' | b'}' | b')' | b']' | b'\n' | b'\t' => is_quoted,
            _ => true,
        });
        // `Authorization: Bearer x`: the scheme's name is none.
        let word = &text[start..end];
        if word.eq_ignore_ascii_case(b"bearer") || word.eq_ignore_ascii_case(b"basic") {
            start = run(text, end, |b| b == b' ');
            end = run(text, start, |b| {
                !matches!(b, b' ' | b'"' | b'\'' | b'\\' | b',' | b'\n')
            });
        }
        let value = &text[start..end];
        let is_value = !value.is_empty()
            && start >= from
            && !matches!(value, b"null" | b"true" | b"false" | b"none" | b"None")
            && !value.starts_with(b"[redacted");
        if is_value {
            return Some((start, end));
        }
    }
}

/// The password of a URL whose authority begins at `at`.
fn url_password(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let end = run(text, at, |b| {
        !matches!(b, b'/' | b' ' | b'"' | b'?' | b'#' | b'\\' | b'\n')
    });
    let sign = at + memchr::memrchr(b'@', text.get(at..end)?)?;
    let colon = at + memchr::memchr(b':', &text[at..sign])?;
    (colon + 1 < sign).then_some((colon + 1, sign))
}
