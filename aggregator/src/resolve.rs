//! Names of hosts to addresses, without the C library: a static binary in an empty image has no
//! name service switch.

use std::io;
use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use store::Resolver;
use tokio::sync::OnceCell;

/// The resolver that the store's client uses: `/etc/resolv.conf` and `/etc/hosts`.
pub(crate) fn resolver() -> Resolver {
    let shared: std::sync::Arc<OnceCell<TokioResolver>> = std::sync::Arc::default();
    std::sync::Arc::new(move |host: String, port: u16| {
        let shared = std::sync::Arc::clone(&shared);
        Box::pin(async move { resolve(&shared, &host, port).await })
    })
}

async fn resolve(
    shared: &OnceCell<TokioResolver>,
    host: &str,
    port: u16,
) -> io::Result<Vec<SocketAddr>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let other = |error: hickory_resolver::net::NetError| {
        io::Error::other(format!("cannot resolve `{host}`: {error}"))
    };
    let resolver = shared
        .get_or_try_init(|| async { TokioResolver::builder_tokio()?.build() })
        .await
        .map_err(other)?;
    let found = resolver.lookup_ip(host).await.map_err(other)?;
    Ok(found
        .iter()
        .map(|address| SocketAddr::new(address, port))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_and_names_of_the_hosts_file_need_no_server() {
        let resolver = resolver();
        for (host, expected) in [("127.0.0.1", "127.0.0.1:9200"), ("[::1]", "[::1]:9200")] {
            let found = resolver(host.to_owned(), 9200).await.unwrap();
            assert_eq!(found, [expected.parse().unwrap()]);
        }
        let found = resolver("localhost".to_owned(), 9200).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()) && !found.is_empty());
    }
}
