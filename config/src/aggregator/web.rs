//! The API and the web page: who may use them, and within what limits.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::fields::At;
use crate::section::{Check, Rule, choice, section};
use crate::units::ByteSize;

choice! {
    /// How people are known.
    pub enum WebAuth {
        /// Everybody who reaches the address may everything: on a loopback address only.
        None = "none",
        /// Names with passwords, and tokens, from `users_file`.
        Users = "users",
        /// A proxy that has done the sign-in names the user; those of `users_file` may come too.
        Proxy = "proxy",
    }
}

choice! {
    /// What a user may do.
    pub enum WebRole {
        /// Reads.
        Viewer = "viewer",
        /// Changes saved searches and dashboards, sends lines.
        Editor = "editor",
        /// Sees dead letters and the audit trail too.
        Admin = "admin",
    }
}

section! {
    /// The API and the web page.
    pub struct WebConfig {
        /// Serve them. Without it they are served where `auth` is set, and on a loopback address.
        enabled: Option<bool> = None => Rule::example("true"),
        /// How people are known.
        auth: Option<WebAuth> = None => Rule::example("users"),
        /// Lines of `name:role:namespaces:secret`; `tailrace-aggregator users` makes secrets. Read
        /// again on SIGHUP.
        users_file: Option<PathBuf> = None => Rule::example("/etc/tailrace/users"),
        /// The proxy of `auth: proxy`.
        proxy: WebProxyConfig = WebProxyConfig::default(),
        /// Name of the output that is searched. Without it the first one.
        output: Option<String> = None => Rule::example("main"),
        /// What is searched: names and patterns with commas between, `-` before those that are left
        /// out. Without it what the output writes.
        index: Option<String> = None => Rule::example("logs-*-*,-logs-tailrace.*"),
        /// How long the store may take for one request.
        timeout: Duration = Duration::from_secs(30)
            => Rule::range(Duration::from_secs(1), Duration::from_secs(600)),
        /// Requests to the store at once. More wait.
        max_queries: u32 = 16 => Rule::range(1, 1024),
        /// Most documents of an export.
        max_export: u64 = 1_000_000 => Rule::range(1, 1_000_000_000),
        /// Largest request of `POST /api/v1/logs`.
        max_body: ByteSize = ByteSize::mib(16) => Rule::range(ByteSize::kib(1), ByteSize::mib(256)),
        /// Live tails open at once.
        max_tails: u32 = 64 => Rule::range(1, 10_000),
    }
}

section! {
    /// A proxy that does the sign-in.
    pub struct WebProxyConfig {
        /// Header with the user's name.
        user_header: String = "X-Forwarded-User".to_owned() => Rule::any().check(header_name),
        /// Header with the user's role.
        role_header: Option<String> = None => Rule::example("X-Forwarded-Role"),
        /// Role of users without one.
        default_role: WebRole = WebRole::Viewer,
        /// Addresses and networks that the proxy's connections come from. Others may not use the
        /// headers.
        trusted: Vec<String> = Vec::new() => Rule::example("[10.0.0.0/8]"),
    }
}

impl Check for WebConfig {
    fn check(&self, at: &mut At<'_>) {
        let wants_file = self.auth == Some(WebAuth::Users);
        if wants_file && self.users_file.is_none() {
            at.hinted(
                "auth",
                "`users` needs `web.users_file`",
                Some("`tailrace-aggregator users hash` makes the secret of a line".to_owned()),
            );
        }
        if self.users_file.is_some() && !matches!(self.auth, Some(WebAuth::Users | WebAuth::Proxy))
        {
            at.problem(
                "users_file",
                "is not used without `auth: users` or `auth: proxy`",
            );
        }
        at.readable("users_file", self.users_file.as_ref(), false);
        if self.auth == Some(WebAuth::Proxy) && self.proxy.trusted.is_empty() {
            at.problem(
                "auth",
                "`proxy` needs `web.proxy.trusted`: without it anybody could name himself",
            );
        }
    }
}

impl Check for WebProxyConfig {
    fn check(&self, at: &mut At<'_>) {
        for (idx, network) in self.trusted.iter().enumerate() {
            if !is_network(network) {
                at.item_problem(
                    "trusted",
                    idx,
                    format!("expected an address or a network like `10.0.0.0/8`, got `{network}`"),
                );
            }
        }
        if let Some(Err(message)) = self.role_header.as_ref().map(header_name) {
            at.problem("role_header", message);
        }
    }
}

fn is_network(text: &str) -> bool {
    let (address, bits) = text.split_once('/').unwrap_or((text, "0"));
    let most = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u32>().is_ok_and(|bits| bits <= most)
}

fn header_name(text: &String) -> Result<(), String> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if text.is_empty() || !text.bytes().all(is_token) {
        return Err(format!("expected the name of a header, got `{text}`"));
    }
    Ok(())
}
