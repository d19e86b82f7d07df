//! The connection to Elasticsearch or OpenSearch, what is installed there, and who we are to it.

use std::path::PathBuf;
use std::time::Duration;

use crate::credentials::{Credentials, Secret, SecretError, read_secret_file};
use crate::fields::At;
use crate::section::{Check, Rule, choice, section};
use crate::units::ByteSize;
use crate::url::HttpUrl;

choice! {
    /// How bodies are compressed.
    pub enum CompressionChoice {
        /// zstd where the server takes it (OpenSearch 3), else gzip.
        Auto = "auto",
        /// gzip, which every server takes.
        Gzip = "gzip",
        /// zstd; a server that does not take it refuses everything.
        Zstd = "zstd",
        /// No compression: least CPU here, most network and disk.
        None = "none",
    }
}

section! {
    /// The connection to Elasticsearch or OpenSearch.
    pub struct ElasticsearchConfig {
        /// Servers of one cluster, `http://host:port` or `https://host:port`, perhaps with a path
        /// that all requests are put under. When one fails the next is taken.
        hosts: Vec<HttpUrl> = vec![HttpUrl::constant("http://127.0.0.1:9200")] => Rule::required(),
        /// Certificates (PEM) that the servers' own are checked with, instead of the public ones.
        ca_file: Option<PathBuf> = None => Rule::example("/etc/tailrace/store/ca.crt"),
        /// Name for basic authentication.
        username: Option<String> = None => Rule::example("tailrace"),
        /// Password for basic authentication. Better in `password_file` or `${ENV}`.
        password: Option<Secret> = None => Rule::example("${ELASTICSEARCH_PASSWORD}"),
        /// File that holds the password.
        password_file: Option<PathBuf> = None => Rule::example("/etc/tailrace/store/password"),
        /// API key, encoded: base64 of `id:key`.
        api_key: Option<Secret> = None => Rule::example("${ELASTICSEARCH_API_KEY}"),
        /// File that holds the API key.
        api_key_file: Option<PathBuf> = None => Rule::example("/etc/tailrace/store/api_key"),
        /// Bearer token.
        token: Option<Secret> = None => Rule::example("${ELASTICSEARCH_TOKEN}"),
        /// File that holds the bearer token.
        token_file: Option<PathBuf> = None => Rule::example("/etc/tailrace/store/token"),
        /// How bodies are compressed.
        compression: CompressionChoice = CompressionChoice::Auto,
        /// How long the answer to a request may take.
        timeout: Duration = Duration::from_secs(60)
            => Rule::range(Duration::from_secs(1), Duration::from_secs(3600)),
        /// Most bulk requests at a time; fewer are used when the store is slow.
        max_in_flight: u32 = 8 => Rule::range(1, 256),
        /// Room on disk for documents of each data stream that the store forbids (rights, limits,
        /// blocks). Over it agents are refused that data stream's lines only.
        parked_max_bytes: ByteSize = ByteSize::gib(1)
            => Rule::range(ByteSize::mib(1), ByteSize(1 << 50)),
        /// The index templates that are installed at start.
        template: TemplateConfig = TemplateConfig::default(),
        /// How long documents are kept.
        retention: RetentionConfig = RetentionConfig::default(),
    }
}

section! {
    /// The index templates that are installed at start.
    pub struct TemplateConfig {
        /// Install them. When false, or not allowed, what is missing is printed.
        install: bool = true,
        /// Their priority; the vendors' own for `logs-*-*` have 100 to 200.
        priority: u64 = 500 => Rule::range(0, 2_000_000_000),
        /// Primary shards of an index.
        shards: u32 = 1 => Rule::range(1, 1024),
        /// Copies of a shard. Without it the server's own default.
        replicas: Option<u32> = None => Rule::range(Some(0), Some(64)).show("1"),
        /// How long a document may take to be found by a search.
        refresh_interval: Duration = Duration::from_secs(5)
            => Rule::range(Duration::from_millis(100), Duration::from_secs(3600)),
        /// Most fields of an index. Documents over it are mended, not lost.
        max_fields: u32 = 1000 => Rule::range(100, 100_000),
    }
}

section! {
    /// How long documents are kept: a policy of ILM (Elasticsearch) or ISM (OpenSearch). A change
    /// counts from the next start; of ISM for indices that begin later, as those that are there
    /// keep the policy that they were given (`_plugins/_ism/change_policy` changes that).
    pub struct RetentionConfig {
        /// Delete documents this long after their index rolled over. Without it no policy is
        /// installed and nothing is deleted.
        delete_after: Option<Duration> = None
            => Rule::range(Some(Duration::from_secs(60)), Some(Duration::from_secs(3_153_600_000)))
            .show("30d"),
        /// Begin a new index at this age.
        rollover_age: Duration = Duration::from_secs(86_400)
            => Rule::range(Duration::from_secs(60), Duration::from_secs(31_536_000)),
        /// Begin a new index at this size of a primary shard.
        rollover_size: ByteSize = ByteSize::mb(50_000)
            => Rule::range(ByteSize::mib(1), ByteSize(1 << 42)),
    }
}

impl ElasticsearchConfig {
    /// Who we are to the store, secret files read anew.
    pub fn credentials(&self) -> Result<Credentials, SecretError> {
        let secret = |given: &Option<Secret>, file: &Option<PathBuf>| match (given, file) {
            (Some(secret), _) => Ok(Some(secret.clone())),
            (None, Some(file)) => read_secret_file(file).map(Some),
            (None, None) => Ok(None),
        };
        if let Some(key) = secret(&self.api_key, &self.api_key_file)? {
            return Ok(Credentials::ApiKey(key));
        }
        if let Some(token) = secret(&self.token, &self.token_file)? {
            return Ok(Credentials::Token(token));
        }
        match (&self.username, secret(&self.password, &self.password_file)?) {
            (Some(username), Some(password)) => Ok(Credentials::Basic {
                username: username.clone(),
                password,
            }),
            _ => Ok(Credentials::None),
        }
    }
}

impl Check for ElasticsearchConfig {
    fn check(&self, at: &mut At<'_>) {
        if self.hosts.is_empty() {
            at.problem("hosts", "must not be empty");
        }
        at.readable("ca_file", self.ca_file.as_ref(), false);
        at.readable("password_file", self.password_file.as_ref(), true);
        at.readable("api_key_file", self.api_key_file.as_ref(), true);
        at.readable("token_file", self.token_file.as_ref(), true);

        let password = self.password.is_some() || self.password_file.is_some();
        let ways = [
            ("username", self.username.is_some() || password),
            (
                "api_key",
                self.api_key.is_some() || self.api_key_file.is_some(),
            ),
            ("token", self.token.is_some() || self.token_file.is_some()),
        ];
        let given: Vec<&str> = ways
            .iter()
            .filter(|(_, given)| *given)
            .map(|(name, _)| *name)
            .collect();
        if given.len() > 1 {
            at.problem(
                "",
                format!("give one way to authenticate, got {}", given.join(", ")),
            );
        }
        for (name, both) in [
            (
                "password",
                self.password.is_some() && self.password_file.is_some(),
            ),
            (
                "api_key",
                self.api_key.is_some() && self.api_key_file.is_some(),
            ),
            ("token", self.token.is_some() && self.token_file.is_some()),
        ] {
            if both {
                at.problem(name, format!("give `{name}` or `{name}_file`, not both"));
            }
        }
        if self
            .username
            .as_ref()
            .is_some_and(|name| name.is_empty() || name.contains(':'))
        {
            at.problem("username", "must not be empty nor hold `:`");
        }
        if self.username.is_some() && !password {
            at.problem("username", "needs `password` or `password_file`");
        } else if self.username.is_none() && password {
            let key = if self.password.is_some() {
                "password"
            } else {
                "password_file"
            };
            at.problem(key, "needs `username`");
        }
        if self.ca_file.is_some() && !self.hosts.iter().any(HttpUrl::is_https) {
            at.problem(
                "ca_file",
                "no host is `https://`, so no certificate is checked",
            );
        }
    }
}

impl Check for TemplateConfig {}
impl Check for RetentionConfig {}
