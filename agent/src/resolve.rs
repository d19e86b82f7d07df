//! From the host of an aggregator's URL to addresses: `/etc/hosts`, then DNS, without the C
//! library's resolver, which a static binary does not have. A headless Service has an address for
//! each aggregator.

use hickory_resolver::TokioResolver;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Addresses are looked up again at the latest after this time: in a cluster they change with
/// every roll-out.
const MAX_AGE: Duration = Duration::from_secs(30);

/// And at the earliest after this, whatever the time to live says.
const MIN_AGE: Duration = Duration::from_secs(5);

/// Addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// At least one.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Look them up again after this time; `None` when they are the name itself.
    pub(crate) valid_for: Option<Duration>,
}

/// Looks names up. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Resolver(Option<TokioResolver>);

impl Resolver {
    /// Reads `/etc/resolv.conf` and `/etc/hosts`. When they cannot be read only literal addresses
    /// resolve; the reason is returned for a warning.
    pub(crate) fn from_system() -> (Self, Option<String>) {
        let built = TokioResolver::builder_tokio().and_then(|mut builder| {
            let options = builder.options_mut();
            // Answers are kept by the caller, who must see a changed Service soon.
            options.cache_size = 0;
            builder.build()
        });
        match built {
            Ok(resolver) => (Self(Some(resolver)), None),
            Err(error) => (Self(None), Some(error.to_string())),
        }
    }

    /// Resolves literal addresses only.
    pub(crate) fn literal_only() -> Self {
        Self(None)
    }

    /// Looks `host` up.
    ///
    /// # Errors
    /// What the resolver said, for the log.
    pub(crate) async fn lookup(&self, host: &str) -> Result<Addresses, String> {
        if let Some(address) = literal(host) {
            return Ok(Addresses {
                addresses: BTreeSet::from([address]),
                valid_for: None,
            });
        }
        let Some(resolver) = &self.0 else {
            return Err("there is no resolver configuration".to_owned());
        };
        let found = resolver
            .lookup_ip(host)
            .await
            .map_err(|error| error.to_string())?;
        let addresses: BTreeSet<IpAddr> = found.iter().collect();
        if addresses.is_empty() {
            return Err("the name has no address".to_owned());
        }
        let valid_for = found
            .valid_until()
            .saturating_duration_since(Instant::now());
        Ok(Addresses {
            addresses,
            valid_for: Some(valid_for.clamp(MIN_AGE, MAX_AGE)),
        })
    }
}

/// The address that `host` itself is, with or without the brackets of a URL.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    bare.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn literal_addresses_need_no_resolver() {
        for (host, address) in [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1"), ("::1", "::1")] {
            let found = Resolver::literal_only().lookup(host).await.unwrap();
            assert_eq!(found.addresses, BTreeSet::from([address.parse().unwrap()]));
            assert_eq!(found.valid_for, None);
        }
        Resolver::literal_only()
            .lookup("aggregator.logs.svc")
            .await
            .unwrap_err();
    }

    #[tokio::test]
    async fn localhost_resolves_without_dns() {
        let (resolver, problem) = Resolver::from_system();
        if let Some(problem) = problem {
            println!("skipped: no resolver configuration here: {problem}");
            return;
        }
        let found = resolver.lookup("localhost").await.unwrap();
        assert!(found.addresses.iter().all(IpAddr::is_loopback));
        assert!(found.valid_for.unwrap() >= MIN_AGE);
    }
}
