//! Maps the configuration to the options of the parts. The only place that knows both.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use config::aggregator::{
    AggregatorConfig, CompressionChoice, ElasticsearchConfig, EmbeddedConfig, OutputConfig,
    ReceiveConfig, RedactChoice, WebAuth, WebConfig, WebRole,
};

use crate::output::{DiskQueueOptions, SealOptions};
use crate::pipeline::{Naming, Router, Template};
use crate::receive::{ReceiveOptions, Token, Tokens};

/// Limits of framing.
pub fn framing_options(config: &AggregatorConfig) -> framing::Options {
    framing::Options {
        max_line: config.multiline.max_line.0 as usize,
        max_event: config.multiline.max_event.0 as usize,
        max_lines: config.multiline.max_lines as usize,
        max_gap_ns: i64::try_from(config.multiline.timeout.as_nanos()).unwrap_or(i64::MAX),
        multiline: config.multiline.enabled,
        ..framing::Options::default()
    }
}

/// Limits of the receiver.
pub fn receive_options(config: &ReceiveConfig) -> ReceiveOptions {
    ReceiveOptions {
        max_compressed: config.max_compressed.0 as usize,
        memory: config.memory.0 as usize,
        answer_timeout: config.answer_timeout,
    }
}

/// The tokens of agents, read from their files.
///
/// # Errors
/// When a file cannot be read.
pub fn tokens(config: &ReceiveConfig) -> anyhow::Result<Tokens> {
    let mut tokens = Vec::new();
    for token in &config.tokens {
        let secret = config::read_secret_file(&token.token_file)?;
        tokens.push(Token {
            secret: secret.expose().to_owned(),
            nodes: token.nodes.clone(),
        });
    }
    Ok(Tokens::new(tokens))
}

/// How the output names data streams or indices.
pub fn router(config: &OutputConfig) -> Router {
    let naming = match &config.index {
        Some(pattern) => Naming::Dated {
            pattern: Template::parse(pattern),
        },
        None => Naming::DataStream {
            dataset: config.dataset.as_deref().map(Template::parse),
            namespace: Template::parse(&config.namespace),
        },
    };
    Router::new(naming, config.max_datasets as usize)
}

/// When bodies are full.
pub fn seal_options(config: &OutputConfig) -> SealOptions {
    SealOptions {
        max_bytes: config.batch.max_bytes.0 as usize,
        max_docs: config.batch.max_records,
        max_age: config.batch.max_age,
    }
}

/// Sizes of the output's disk buffers.
pub fn disk_queue_options(config: &OutputConfig) -> DiskQueueOptions {
    DiskQueueOptions {
        main: buffer::Options {
            max_bytes: config.buffer.max_bytes.0,
            segment_bytes: config.buffer.segment_bytes.0,
            reserve_bytes: config.buffer.reserve.0,
            commit_delay: Duration::ZERO,
            keep_bytes: config.buffer.keep_in_memory.0,
            ..buffer::Options::default()
        },
        parked_max_bytes: match &config.embedded {
            Some(embedded) => embedded.parked_max_bytes.0,
            None => config.elasticsearch.parked_max_bytes.0,
        },
    }
}

/// What a caller wants of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To write to it: the aggregator itself.
    Write,
    /// To search it, perhaps beside an aggregator that writes.
    Read,
}

/// The output's store.
///
/// # Errors
/// For options that can never work; for an embedded store that cannot be opened.
pub async fn store(
    data_dir: &Path,
    config: &OutputConfig,
    access: Access,
) -> anyhow::Result<Arc<dyn store::Store>> {
    let Some(embedded) = &config.embedded else {
        let options = elasticsearch_options(&config.elasticsearch)?;
        return Ok(Arc::new(store::Elasticsearch::connect(options).await?));
    };
    let dir = data_dir.join("outputs").join(&config.name).join("store");
    let options = embedded_options(embedded);
    let open = move || match access {
        Access::Write => embedded::Embedded::open(&dir, options),
        Access::Read => embedded::Embedded::open_read_only(&dir),
    };
    Ok(Arc::new(tokio::task::spawn_blocking(open).await??))
}

fn embedded_options(config: &EmbeddedConfig) -> embedded::EmbeddedOptions {
    embedded::EmbeddedOptions {
        retention: config.retention,
        max_bytes: config.max_size.0,
        min_free_bytes: config.min_free.0,
        memory: config.memory.0,
        refresh_interval: config.refresh_interval,
        max_fields: config.max_fields as usize,
        ..embedded::EmbeddedOptions::default()
    }
}

/// How the client reaches the store.
///
/// # Errors
/// When a secret or certificate file cannot be read.
pub fn elasticsearch_options(
    config: &ElasticsearchConfig,
) -> anyhow::Result<store::ElasticsearchOptions> {
    let ca_pem = match &config.ca_file {
        None => None,
        Some(path) => Some(
            std::fs::read(path)
                .with_context(|| format!("cannot read certificates `{}`", path.display()))?,
        ),
    };
    Ok(store::ElasticsearchOptions {
        auth: auth(config)?,
        ca_pem,
        request_timeout: config.timeout,
        compression: match config.compression {
            CompressionChoice::Auto => store::Compression::Auto,
            CompressionChoice::Gzip => store::Compression::Gzip,
            CompressionChoice::Zstd => store::Compression::Zstd,
            CompressionChoice::None => store::Compression::Identity,
        },
        resolver: Some(crate::resolve::resolver()),
        ..store::ElasticsearchOptions::new(config.hosts.iter().map(ToString::to_string).collect())
    })
}

fn auth(config: &ElasticsearchConfig) -> anyhow::Result<store::Auth> {
    Ok(match config.credentials()? {
        config::Credentials::None => store::Auth::None,
        config::Credentials::Basic { username, password } => store::Auth::Basic {
            user: username,
            password: password.expose().to_owned(),
        },
        config::Credentials::ApiKey(key) => store::Auth::ApiKey(key.expose().to_owned()),
        config::Credentials::Token(token) => store::Auth::Bearer(token.expose().to_owned()),
    })
}

/// How the sender works, and what it installs at start.
pub fn sender_options(config: &OutputConfig) -> store::SenderOptions {
    let elasticsearch = &config.elasticsearch;
    let max_in_flight = match &config.embedded {
        Some(embedded) => embedded.max_in_flight,
        None => elasticsearch.max_in_flight,
    };
    store::SenderOptions {
        max_in_flight: max_in_flight as usize,
        max_body_bytes: (config.batch.max_bytes.0 * 8 / 5).max(1 << 20),
        install: (config.embedded.is_none() && elasticsearch.template.install)
            .then(|| install_options(config)),
        ..store::SenderOptions::default()
    }
}

fn install_options(config: &OutputConfig) -> store::InstallOptions {
    let template = &config.elasticsearch.template;
    let (data_stream_patterns, plain_patterns) = patterns(config);
    store::InstallOptions {
        data_stream_patterns,
        plain_patterns,
        priority: template.priority,
        shards: template.shards,
        replicas: template.replicas,
        refresh: template.refresh_interval,
        max_fields: template.max_fields,
        retention: elasticsearch_retention(config),
    }
}

fn elasticsearch_retention(config: &OutputConfig) -> Option<store::Retention> {
    let retention = &config.elasticsearch.retention;
    let delete_after = retention.delete_after?;
    Some(store::Retention {
        rollover_age: retention.rollover_age,
        rollover_bytes: retention.rollover_size.0,
        delete_after,
    })
}

/// Index patterns that cover every name that the output's router can make.
fn patterns(config: &OutputConfig) -> (Vec<String>, Vec<String>) {
    let wild = |text: &str| {
        // Up to the first hole or conversion the name is known.
        let known = text.split(['%']).next().unwrap_or_default();
        if known.len() == text.len() {
            text.to_owned()
        } else {
            format!("{known}*")
        }
    };
    match (&config.index, &config.dataset) {
        (Some(pattern), _) => (Vec::new(), vec![wild(pattern)]),
        (None, Some(dataset)) => {
            let dataset = wild(dataset);
            let dash = if dataset.ends_with('*') { "" } else { "-*" };
            (vec![format!("logs-{dataset}{dash}")], Vec::new())
        }
        (None, None) => (
            store::InstallOptions::default().data_stream_patterns,
            Vec::new(),
        ),
    }
}

/// What the configuration says of rules.
#[derive(Debug, Clone, Default)]
pub struct RuleSources {
    /// Files, and folders of them.
    pub paths: Vec<PathBuf>,
    /// Whether those that ship are tried after them.
    pub shipped: bool,
    /// What is replaced in every document.
    pub redact: Vec<RedactChoice>,
}

impl RuleSources {
    /// Those of a configuration.
    pub fn of(config: &AggregatorConfig) -> Self {
        Self {
            paths: config.rules.clone(),
            shipped: config.shipped_rules,
            redact: config.redact.clone(),
        }
    }

    /// Loads the rules. A folder or file that is not there holds none: the default layout names
    /// one that a new installation has not made yet.
    ///
    /// # Errors
    /// All problems of all rules.
    pub fn load(&self) -> Result<Arc<parsers::RuleSet>, Vec<parsers::Problem>> {
        let (there, missing): (Vec<PathBuf>, Vec<PathBuf>) =
            self.paths.iter().cloned().partition(|path| path.exists());
        for path in missing {
            tracing::warn!(path = %path.display(), "no rules there");
        }
        let rules = match self.shipped {
            true => parsers::RuleSet::load_with_shipped(&there)?,
            false => parsers::RuleSet::load(&there)?,
        };
        Ok(Arc::new(match redaction(&self.redact) {
            Some(redaction) => rules.with_redaction(redaction),
            None => rules,
        }))
    }
}

/// What `redact` of the configuration asks for.
fn redaction(choices: &[RedactChoice]) -> Option<parsers::Redaction> {
    if choices.is_empty() {
        return None;
    }
    let usual = parsers::RedactionOptions::usual();
    let mut options = parsers::RedactionOptions::default();
    for choice in choices {
        match choice {
            RedactChoice::Usual => {
                options.detectors.extend(&usual.detectors);
                options.secret_names = true;
            }
            RedactChoice::SecretNames => options.secret_names = true,
            other => options
                .detectors
                .extend(parsers::Detector::find(other.as_str())),
        }
    }
    // Without expressions nothing can be wrong.
    parsers::Redaction::new(&options).ok()
}

/// Limits of the API over what `output` writes.
pub fn api_options(config: &WebConfig, output: &OutputConfig) -> web::ApiOptions {
    web::ApiOptions {
        index: config.index.clone().unwrap_or_else(|| searched(output)),
        timeout: config.timeout,
        max_queries: config.max_queries as usize,
        max_export: usize::try_from(config.max_export).unwrap_or(usize::MAX),
        max_body: usize::try_from(config.max_body.0).unwrap_or(usize::MAX),
        max_tails: config.max_tails as usize,
    }
}

/// Everything that the output writes, but for its own books.
fn searched(output: &OutputConfig) -> String {
    let (streams, plain) = patterns(output);
    let mut parts: Vec<String> = streams.into_iter().chain(plain).collect();
    let trail = store::AUDIT_STREAM.trim_end_matches(".audit-default");
    parts.push(format!("-{trail}.*"));
    parts.join(",")
}

/// The users of the users file; none where there is no file.
///
/// # Errors
/// When it cannot be read, or has mistakes: all of them.
pub fn users(config: &WebConfig) -> anyhow::Result<web::Users> {
    let Some(path) = &config.users_file else {
        return Ok(web::Users::default());
    };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the users `{}`", path.display()))?;
    web::Users::parse(&text).map_err(|errors| {
        let list: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("cannot use `{}`:\n{}", path.display(), list.join("\n"))
    })
}

/// Who may use the API.
///
/// # Errors
/// Those of [`users`], and networks that are none.
pub fn access(config: &WebConfig) -> anyhow::Result<web::Access> {
    let users = users(config)?;
    Ok(match config.auth {
        None | Some(WebAuth::None) => web::Access::local(),
        Some(WebAuth::Users) => web::Access::users(users),
        Some(WebAuth::Proxy) => {
            let trusted = config.proxy.trusted.iter().map(|text| text.parse());
            let header = web::ProxyHeader {
                user_header: config.proxy.user_header.to_lowercase(),
                role_header: config
                    .proxy
                    .role_header
                    .as_ref()
                    .map(|name| name.to_lowercase()),
                default_role: match config.proxy.default_role {
                    WebRole::Viewer => web::Role::Viewer,
                    WebRole::Editor => web::Role::Editor,
                    WebRole::Admin => web::Role::Admin,
                },
                trusted: trusted
                    .collect::<Result<Vec<_>, String>>()
                    .map_err(|error| anyhow::anyhow!("{error}"))?,
            };
            web::Access::header(header, users)
        }
    })
}
