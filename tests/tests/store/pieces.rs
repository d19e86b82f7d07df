//! Bodies that were compressed in pieces, as workers do: several members of gzip, several frames of
//! zstd.

use std::io::Write as _;

use bytes::Bytes;
use store::{Auth, Encoding, Outcome};
use tests::server::{Product, Server};

use crate::sending::{body, documents, fresh, send};
use crate::servers::{connect, count};

/// One piece for each of the parts.
fn compressed(encoding: Encoding, parts: &[&[u8]]) -> Bytes {
    let piece = |part: &&[u8]| match encoding {
        Encoding::Identity => part.to_vec(),
        Encoding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            encoder.write_all(part).unwrap();
            encoder.finish().unwrap()
        }
        Encoding::Zstd => zstd::bulk::compress(part, 1).unwrap(),
    };
    parts.iter().flat_map(piece).collect::<Vec<u8>>().into()
}

/// A server that stopped at the end of the first piece would answer for its documents only.
#[tokio::test]
async fn every_server_reads_all_pieces_of_a_body() {
    for product in [
        Product::OpenSearch,
        Product::Elasticsearch7,
        Product::Elasticsearch8,
        Product::Elasticsearch9,
    ] {
        let start = move || Server::start(product).unwrap();
        let server = tokio::task::spawn_blocking(start).await.unwrap();
        let client = connect(&server.url(), Auth::None, None).await;
        let encodings: &[Encoding] = match product {
            Product::OpenSearch => &[Encoding::Gzip, Encoding::Zstd],
            _ => &[Encoding::Gzip],
        };
        for &encoding in encodings {
            let index = fresh("pieces").replace("logs-", "");
            let mut whole = body(&index, &documents(3_000));
            // Lines go over the seams: servers see one text.
            let raw = whole.bytes.clone();
            let (first, rest) = raw.split_at(raw.len() / 3 + 7);
            let (second, third) = rest.split_at(rest.len() / 2);
            whole.bytes = compressed(encoding, &[first, second, third]);
            whole.meta.encoding = encoding;
            assert_eq!(send(&client, vec![whole]).await, [Outcome::default()]);
            assert_eq!(
                count(&client, &index).await,
                3_000,
                "{product:?} {encoding:?}"
            );
        }
    }
}
