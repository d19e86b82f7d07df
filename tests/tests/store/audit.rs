//! Pages of an audit hold each record once.

use std::collections::BTreeSet;

use store::{AuditFilter, Store as _, audit_page};

use crate::fake::{FakeStore, client};
use crate::sending::{deliver, documents, fresh};
use crate::servers::{Node, SETTINGS, nodes};

/// Every record is on one page, ties over a page's end too.
#[tokio::test]
async fn audit_pages_hold_each_record_once() {
    let _calm = SETTINGS.read().await;
    for Node { client, .. } in nodes().await {
        let index = fresh("traudit");
        let mut many = documents(25);
        for (n, document) in many.iter_mut().enumerate() {
            document["tailrace.stream"] = format!("s{}", n / 12).into();
            document["log.offset"] = (n / 3).into();
        }
        deliver(&client, &index, &many).await;
        client.refresh(&index).await.unwrap();
        let filter = AuditFilter {
            indices: index,
            ..AuditFilter::default()
        };
        for size in [1, 2, 4, 7, 24, 25, 26] {
            let (mut ids, mut n_hits, mut after) = (BTreeSet::new(), 0, None);
            loop {
                let page = audit_page(&*client, &filter, after.as_ref(), size);
                let page = page.await.unwrap();
                n_hits += page.hits.len();
                ids.extend(page.hits.iter().map(|h| h["_id"].to_string()));
                after = page.after;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!((n_hits, ids.len()), (25, 25), "pages of {size}");
        }
    }
}

/// Records that share their place must not fall between two pages.
#[tokio::test]
async fn audit_pages_do_not_cut_ties() {
    let fake = FakeStore::start().await;
    let client = client(vec![fake.url()]).await;
    for size in 1..=9 {
        fake.serve_hits(&[1, 2, 2, 2, 3, 4, 4, 5, 5, 5, 5]);
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = audit_page(&*client, &AuditFilter::default(), after.as_ref(), size)
                .await
                .unwrap();
            seen.extend(page.hits.iter().map(|h| h["_id"].as_u64().unwrap()));
            after = page.after;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..11).collect::<Vec<_>>(), "pages of {size}");
    }
}
