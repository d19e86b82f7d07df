//! Who asks, and what they may: users and tokens from a file, a trusted proxy's headers, or
//! everybody on this machine.
//!
//! The file has a line for each user: `name:role:namespaces:secret`, where the secret is an
//! argon2id hash of a password, or `sha256$…` of a bearer token. Lines with `#` are comments.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper::HeaderMap;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, hmac};
use serde_json::{Value, json};

use crate::problem::Problem;

/// Passwords that were right lately: a hash costs some 20 ms of CPU, a page asks ten times a
/// second.
const KNOWN_PASSWORDS: usize = 256;
/// Passwords that may be hashed at once; each takes 19 MiB.
const HASHING: usize = 2;

/// What a user may do. Each may what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Changes saved searches and dashboards, sends lines.
    Editor,
    /// Sees everything, dead letters and the audit trail too.
    Admin,
}

impl Role {
    /// The role called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "viewer" => Some(Self::Viewer),
            "editor" => Some(Self::Editor),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) user: Option<String>,
    pub(crate) role: Role,
    /// Kubernetes namespaces that are seen, `*` for a part; empty: all.
    pub(crate) namespaces: Vec<String>,
    /// How it is known: `none`, `basic`, `bearer`, `header`.
    pub(crate) auth: &'static str,
}

impl Asker {
    /// Refuses those of a lower role.
    pub(crate) fn must_be(&self, role: Role) -> Result<(), Problem> {
        if self.role >= role {
            return Ok(());
        }
        Err(Problem::forbidden(format!(
            "this needs the role `{}`, and `{}` has `{}`",
            role.name(),
            self.user.as_deref().unwrap_or("you"),
            self.role.name()
        )))
    }

    /// The filter that every query of this user gets; `None`: sees everything.
    pub(crate) fn filter(&self) -> Option<Value> {
        if self.namespaces.is_empty() {
            return None;
        }
        let parts: Vec<Value> = self
            .namespaces
            .iter()
            .map(|name| {
                let kind = if name.contains('*') {
                    "wildcard"
                } else {
                    "term"
                };
                json!({kind: {"kubernetes.namespace": {"value": name}}})
            })
            .collect();
        Some(json!({"bool": {"should": parts, "minimum_should_match": 1}}))
    }

    /// Whether documents of this namespace are seen.
    pub(crate) fn sees(&self, namespace: Option<&str>) -> bool {
        self.namespaces.is_empty()
            || namespace
                .is_some_and(|name| self.namespaces.iter().any(|pattern| is_like(pattern, name)))
    }
}

/// Whether `text` matches `pattern`, in which `*` stands for any run of characters.
pub(crate) fn is_like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|tail| {
            tail.char_indices()
                .map(|(idx, _)| idx)
                .chain([tail.len()])
                .any(|idx| tail.get(idx..).is_some_and(|tail| is_like(rest, tail)))
        }),
    }
}

/// What is wrong with a users file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct AccessError {
    /// Line from 1.
    pub line: usize,
    /// What is wrong, and what to write.
    pub message: String,
}

struct User {
    name: String,
    role: Role,
    namespaces: Vec<String>,
    secret: Secret,
}

enum Secret {
    /// The whole PHC string.
    Password(String),
    /// SHA-256.
    Token(Vec<u8>),
}

/// The users of a file.
#[derive(Default)]
pub struct Users {
    users: Vec<User>,
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.users.iter().map(|user| &user.name))
            .finish()
    }
}

impl Users {
    /// Reads the text of a users file.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<AccessError>> {
        let mut users: Vec<User> = Vec::new();
        let mut errors = Vec::new();
        for (idx, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match user(line) {
                Ok(user) if users.iter().any(|other| other.name == user.name) => {
                    errors.push(AccessError {
                        line: idx + 1,
                        message: format!("the name `{}` stands there twice", user.name),
                    });
                }
                Ok(user) => users.push(user),
                Err(message) => errors.push(AccessError {
                    line: idx + 1,
                    message,
                }),
            }
        }
        if errors.is_empty() {
            Ok(Self { users })
        } else {
            Err(errors)
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

fn user(line: &str) -> Result<User, String> {
    let mut parts = line.splitn(4, ':').map(str::trim);
    let (Some(name), Some(role), Some(namespaces), Some(secret)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(
            "expected `name:role:namespaces:secret`; `tailrace-aggregator users hash` makes the secret"
                .to_owned(),
        );
    };
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    let role = Role::from_name(role)
        .ok_or_else(|| format!("the role must be `viewer`, `editor` or `admin`, got `{role}`"))?;
    let namespaces: Vec<String> = match namespaces {
        "" | "*" => Vec::new(),
        list => list.split(',').map(|part| part.trim().to_owned()).collect(),
    };
    if namespaces.iter().any(String::is_empty) {
        return Err("a namespace is empty; `*` stands for all".to_owned());
    }
    let secret = match secret.strip_prefix("sha256$") {
        Some(hash) => {
            let bytes = URL_SAFE_NO_PAD.decode(hash).ok().filter(|b| b.len() == 32);
            Secret::Token(bytes.ok_or("the token's hash is not whole")?)
        }
        None => {
            PasswordHash::new(secret)
                .map_err(|_| "the secret must be an argon2 hash or `sha256$…`, not a password")?;
            Secret::Password(secret.to_owned())
        }
    };
    Ok(User {
        name: name.to_owned(),
        role,
        namespaces,
        secret,
    })
}

/// Addresses with the same beginning: `10.0.0.0/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl std::str::FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected an address or network like `10.0.0.0/8`, got `{text}`");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits > most {
            return Err(wrong());
        }
        Ok(Self { address, bits })
    }
}

impl Network {
    fn has(&self, address: IpAddr) -> bool {
        let same = |a: u128, b: u128, width: u32| {
            let shift = width - self.bits;
            a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

/// A proxy that has done the sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Header that holds the user's name.
    pub user_header: String,
    /// Header that holds the role; without it everybody has `default_role`.
    pub role_header: Option<String>,
    /// Role of those without a known one.
    pub default_role: Role,
    /// Where the proxy's connections come from; others may not use the header.
    pub trusted: Vec<Network>,
}

/// How people are known.
#[derive(Debug)]
pub struct Access {
    kind: Kind,
    users: ArcSwap<Users>,
    key: hmac::Key,
    /// MAC of name and password, for those that were right.
    known: Mutex<HashMap<String, Vec<u8>>>,
    hashing: tokio::sync::Semaphore,
}

#[derive(Debug)]
enum Kind {
    Local,
    Users,
    Header(ProxyHeader),
}

impl Access {
    /// Everybody who reaches the address may everything: for a loopback address only.
    pub fn local() -> Self {
        Self::new(Kind::Local, Users::default())
    }

    /// The users of a file.
    pub fn users(users: Users) -> Self {
        Self::new(Kind::Users, users)
    }

    /// Whom a trusted proxy names; `users` may sign in beside, with tokens for example.
    pub fn header(header: ProxyHeader, users: Users) -> Self {
        Self::new(Kind::Header(header), users)
    }

    /// Other users from now on. Answers under way go on.
    pub fn set_users(&self, users: Users) {
        self.users.store(Arc::new(users));
    }

    fn new(kind: Kind, users: Users) -> Self {
        // A key of this process: what is remembered is of no use elsewhere.
        Self {
            kind,
            users: ArcSwap::from_pointee(users),
            key: hmac::Key::new(hmac::HMAC_SHA256, &random()),
            known: Mutex::default(),
            hashing: tokio::sync::Semaphore::new(HASHING),
        }
    }

    /// Who asks. Takes no time unless a password is new.
    pub(crate) async fn asker(
        &self,
        headers: &HeaderMap,
        peer: SocketAddr,
    ) -> Result<Asker, Problem> {
        let users = self.users.load_full();
        match &self.kind {
            Kind::Local => {
                check_local_host(headers)?;
                Ok(Asker {
                    user: None,
                    role: Role::Admin,
                    namespaces: Vec::new(),
                    auth: "none",
                })
            }
            Kind::Users => self.of_users(&users, headers).await,
            Kind::Header(header) => {
                let named = text(headers, &header.user_header).filter(|name| !name.is_empty());
                let is_trusted = header.trusted.iter().any(|net| net.has(peer.ip()));
                match named {
                    Some(name) if is_trusted => Ok(Asker {
                        user: Some(name.to_owned()),
                        role: header
                            .role_header
                            .as_deref()
                            .and_then(|role| Role::from_name(text(headers, role)?))
                            .unwrap_or(header.default_role),
                        namespaces: Vec::new(),
                        auth: "header",
                    }),
                    _ if !users.is_empty() => self.of_users(&users, headers).await,
                    _ => Err(Problem::unauthorized(
                        "come through the proxy that does the sign-in",
                    )),
                }
            }
        }
    }

    async fn of_users(&self, users: &Users, headers: &HeaderMap) -> Result<Asker, Problem> {
        let wrong = || Problem::unauthorized("sign in with a name and password, or a bearer token");
        let (scheme, given) = text(headers, "authorization")
            .and_then(|value| value.split_once(' '))
            .ok_or_else(wrong)?;
        let given = given.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            let hash = digest::digest(&digest::SHA256, given.as_bytes());
            // What is compared are hashes: the time it takes tells nothing of the token.
            let user = users.users.iter().find(
                |user| matches!(&user.secret, Secret::Token(known) if known == hash.as_ref()),
            );
            return user.map(|user| asker(user, "bearer")).ok_or_else(wrong);
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(wrong());
        }
        let decoded = STANDARD.decode(given).ok();
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let (name, password) = decoded
            .as_deref()
            .and_then(|text| text.split_once(':'))
            .ok_or_else(wrong)?;
        if self.is_right(users, name, password).await? {
            let user = users.users.iter().find(|user| user.name == name);
            return user.map(|user| asker(user, "basic")).ok_or_else(wrong);
        }
        Err(Problem::unauthorized("the name or the password is wrong"))
    }

    async fn is_right(&self, users: &Users, name: &str, password: &str) -> Result<bool, Problem> {
        let hash = users.users.iter().find_map(|user| match &user.secret {
            Secret::Password(hash) if user.name == name => Some(hash.clone()),
            _ => None,
        });
        // The hash is a part of it: a changed password is not remembered.
        let said = format!(
            "{name}\0{password}\0{}",
            hash.as_deref().unwrap_or_default()
        );
        let mac = hmac::sign(&self.key, said.as_bytes());
        {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.get(name).map(Vec::as_slice) == Some(mac.as_ref()) {
                return Ok(true);
            }
        }
        let _place = self.hashing.try_acquire().map_err(|_| {
            Problem::busy(
                hyper::StatusCode::TOO_MANY_REQUESTS,
                "too many sign-ins at once",
            )
        })?;
        let (password, is_user) = (password.to_owned(), hash.is_some());
        // An unknown name takes as long as a known one.
        let hash = hash.unwrap_or_else(|| DECOY.to_owned());
        let right = tokio::task::spawn_blocking(move || {
            PasswordHash::new(&hash).is_ok_and(|hash| {
                Argon2::default()
                    .verify_password(password.as_bytes(), &hash)
                    .is_ok()
            })
        })
        .await
        .unwrap_or(false);
        if right && is_user {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= KNOWN_PASSWORDS {
                known.clear();
            }
            known.insert(name.to_owned(), mac.as_ref().to_vec());
        }
        Ok(right && is_user)
    }
}

/// The hash of a password that nobody has.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$Zm9yIHRoZSB0aW1lIG9mIGEgaGFzaCwgbm8gcGFzc3c";

fn asker(user: &User, auth: &'static str) -> Asker {
    Asker {
        user: Some(user.name.clone()),
        role: user.role,
        namespaces: user.namespaces.clone(),
        auth,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether a request names this machine as itself: a page elsewhere can make its own name point
/// here, and would read logs through the browser.
pub fn is_for_this_machine(headers: &HeaderMap) -> bool {
    let host = text(headers, "host").unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Without sign-in the request must have been meant for this machine.
fn check_local_host(headers: &HeaderMap) -> Result<(), Problem> {
    if is_for_this_machine(headers) {
        return Ok(());
    }
    let host = text(headers, "host").unwrap_or_default();
    Err(Problem::forbidden(format!(
        "without sign-in this server answers to `localhost` only, not to `{}`: set `web.auth`",
        host.chars().take(80).collect::<String>()
    )))
}

/// Refuses writes that another site's page makes the browser send.
pub(crate) fn check_same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let host = text(headers, "host").unwrap_or_default();
    let is_same = match (text(headers, "origin"), text(headers, "sec-fetch-site")) {
        (Some(origin), _) => origin
            .split_once("://")
            .is_some_and(|(_, name)| name.eq_ignore_ascii_case(host)),
        (None, Some(site)) => matches!(site, "same-origin" | "none"),
        // No browser.
        (None, None) => true,
    };
    if is_same {
        return Ok(());
    }
    Err(Problem::forbidden(
        "writes are taken from this server's own page only",
    ))
}

/// The secret of a user with this password, for the users file.
///
/// # Errors
///
/// Only when the system has no random numbers.
pub fn hash_password(password: &str) -> Result<String, String> {
    let salt = SaltString::encode_b64(&random()).map_err(|error| error.to_string())?;
    let argon2 = Argon2::new(
        argon2::Algorithm::Argon2id,
        Version::V0x13,
        Params::default(),
    );
    argon2
        .hash_password(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| error.to_string())
}

/// The secret of a user with this token, for the users file.
pub fn hash_token(token: &str) -> String {
    let hash = digest::digest(&digest::SHA256, token.as_bytes());
    format!("sha256${}", URL_SAFE_NO_PAD.encode(hash))
}

/// A new bearer token of 256 random bits.
pub fn new_token() -> String {
    URL_SAFE_NO_PAD.encode(random())
}

/// 256 random bits.
fn random() -> [u8; 32] {
    let mut bytes = [0u8; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system has random numbers");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            let name = hyper::header::HeaderName::from_static(name);
            (name, value.parse().unwrap())
        });
        pairs.collect()
    }

    fn basic(name: &str, password: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
    }

    #[tokio::test]
    async fn users_sign_in_with_passwords_and_tokens() {
        let token = new_token();
        let text = format!(
            "# who\nalice:admin:*:{}\nci:viewer:shop,web-*:{}\n",
            hash_password("pass:word").unwrap(),
            hash_token(&token)
        );
        let access = Access::users(Users::parse(&text).unwrap());
        let peer = "127.0.0.1:1".parse().unwrap();
        let ask = async |value: &str| {
            access
                .asker(&headers(&[("authorization", value)]), peer)
                .await
        };
        for _ in 0..2 {
            let alice = ask(&basic("alice", "pass:word")).await.unwrap();
            assert_eq!((alice.role, alice.auth), (Role::Admin, "basic"));
            assert!(alice.filter().is_none());
        }
        let ci = ask(&format!("Bearer {token}")).await.unwrap();
        assert_eq!(ci.role, Role::Viewer);
        assert!(ci.must_be(Role::Editor).is_err());
        assert!(ci.sees(Some("shop")) && ci.sees(Some("web-eu")));
        assert!(!ci.sees(Some("kube-system")) && !ci.sees(None));
        for value in [
            basic("alice", "password"),
            basic("bob", "pass:word"),
            basic("ci", &token),
            "Bearer x".to_owned(),
            "Basic !".to_owned(),
            "Digest x".to_owned(),
        ] {
            assert_eq!(ask(&value).await.unwrap_err().status(), 401, "{value}");
        }
        assert_eq!(
            access
                .asker(&headers(&[]), peer)
                .await
                .unwrap_err()
                .status(),
            401
        );
    }

    #[test]
    fn a_bad_file_lists_everything() {
        let errors = Users::parse("a:b\n\nx:boss:*:y\nn:viewer:*:secret\nm:viewer:a,,b:sha256$x\n")
            .unwrap_err();
        let lines: Vec<usize> = errors.iter().map(|error| error.line).collect();
        assert_eq!(lines, [1, 3, 4, 5]);
    }

    #[tokio::test]
    async fn the_header_counts_from_the_proxy_only() {
        let header = ProxyHeader {
            user_header: "x-forwarded-user".into(),
            role_header: Some("x-role".into()),
            default_role: Role::Viewer,
            trusted: vec!["10.0.0.0/8".parse().unwrap()],
        };
        let access = Access::header(header, Users::default());
        let given = headers(&[("x-forwarded-user", "alice"), ("x-role", "editor")]);
        let proxy = "10.1.2.3:99".parse().unwrap();
        let asker = access.asker(&given, proxy).await.unwrap();
        assert_eq!(
            (asker.user.as_deref(), asker.role),
            (Some("alice"), Role::Editor)
        );
        for peer in ["11.1.2.3:99", "[::1]:9"] {
            let refused = access.asker(&given, peer.parse().unwrap()).await;
            assert_eq!(refused.unwrap_err().status(), 401, "{peer}");
        }
        assert!("10.0.0.0/33".parse::<Network>().is_err());
    }

    #[tokio::test]
    async fn without_sign_in_only_this_machine_is_answered() {
        let access = Access::local();
        let peer = "127.0.0.1:1".parse().unwrap();
        for (host, is_fine) in [
            ("localhost:7080", true),
            ("127.0.0.1", true),
            ("[::1]:7080", true),
            ("evil.example:7080", false),
            ("127.0.0.1.evil.example", false),
            ("", false),
        ] {
            let asked = access.asker(&headers(&[("host", host)]), peer).await;
            assert_eq!(asked.is_ok(), is_fine, "{host}");
        }
    }

    #[test]
    fn writes_of_other_sites_are_refused() {
        for (pairs, is_fine) in [
            (vec![("host", "a:1")], true),
            (vec![("host", "a:1"), ("origin", "http://a:1")], true),
            (vec![("host", "a:1"), ("origin", "http://b:1")], false),
            (vec![("host", "a:1"), ("origin", "null")], false),
            (
                vec![("host", "a:1"), ("sec-fetch-site", "cross-site")],
                false,
            ),
            (
                vec![("host", "a:1"), ("sec-fetch-site", "same-origin")],
                true,
            ),
        ] {
            assert_eq!(
                check_same_origin(&headers(&pairs)).is_ok(),
                is_fine,
                "{pairs:?}"
            );
        }
    }
}
