//! All documents of a query as a stream: page after page, as quick as the reader reads.

use std::sync::Arc;

use hyper::{Response, header};
use serde_json::{Value, json};

use crate::access::Asker;
use crate::api::Api;
use crate::body::{Body, Feed, stream};
use crate::context::field_value;
use crate::fields::plain;
use crate::gzip::Packer;
use crate::params::Params;
use crate::problem::Problem;
use crate::query::field_for_values;
use crate::scope::{RECENT, Scope};
use crate::search::{Order, hits, source_filter};
use crate::tail::stopped;

/// Documents of one request to the store.
const PAGE: usize = 1000;

/// Columns of a CSV that names none.
const COLUMNS: &[&str] = &[
    "@timestamp",
    "log.level",
    "service.name",
    "kubernetes.namespace",
    "kubernetes.pod.name",
    "kubernetes.container.name",
    "message",
];

/// How documents are written.
enum Format {
    Ndjson,
    Csv(Vec<String>),
}

impl Format {
    fn append(&self, hit: &Value, out: &mut Vec<u8>) {
        match self {
            Self::Ndjson => {
                let line =
                    json!({"_index": hit["_index"], "_id": hit["_id"], "_source": hit["_source"]});
                out.extend_from_slice(line.to_string().as_bytes());
                out.push(b'\n');
            }
            Self::Csv(columns) => {
                let cells = columns.iter().map(|column| {
                    field_value(&hit["_source"], column)
                        .map(plain)
                        .unwrap_or_default()
                });
                append_row(cells, out);
            }
        }
    }

    fn append_error(&self, problem: &Problem, out: &mut Vec<u8>) {
        match self {
            Self::Ndjson => {
                out.extend_from_slice(json!({"error": problem.json()}).to_string().as_bytes());
                out.push(b'\n');
            }
            Self::Csv(_) => {
                out.extend_from_slice(format!("# error: {}\r\n", problem.detail()).as_bytes());
            }
        }
    }
}

/// RFC 4180. A cell that a spreadsheet would run as a formula gets a quote before it: logs hold
/// what strangers send.
fn append_row(cells: impl Iterator<Item = String>, out: &mut Vec<u8>) {
    for (idx, cell) in cells.enumerate() {
        if idx > 0 {
            out.push(b',');
        }
        let is_number = cell.parse::<f64>().is_ok();
        let mut cell = cell;
        if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number {
            cell.insert(0, '\'');
        }
        if cell.contains(['"', ',', '\n', '\r']) {
            out.extend_from_slice(format!("\"{}\"", cell.replace('"', "\"\"")).as_bytes());
        } else {
            out.extend_from_slice(cell.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

impl Api {
    pub(crate) async fn export(
        self: Arc<Self>,
        params: Option<&str>,
        asker: &Asker,
        takes_gzip: bool,
    ) -> Result<Response<Body>, Problem> {
        let known = ["q", "from", "to", "tz", "format", "fields", "limit", "sort"];
        let params = Params::new(params, &known)?;
        let scope = Scope::new(&params, asker, RECENT)?;
        let most = self.options.max_export;
        let limit = params
            .number("limit", 1..=10_000_000, 100_000.min(most))?
            .min(most);
        let order = match params.choice("sort", &["desc", "asc"])? {
            "asc" => Order::OLDEST,
            _ => Order::NEWEST,
        };
        let (format, media_type, name) = match params.choice("format", &["ndjson", "csv"])? {
            "csv" => {
                let named = params
                    .list("fields", 100, 2048)?
                    .filter(|list| !list.is_empty());
                let columns = match named {
                    Some(list) => list.into_iter().map(field_for_values).collect(),
                    None => COLUMNS.iter().map(|column| (*column).to_owned()).collect(),
                };
                (Format::Csv(columns), "text/csv; charset=utf-8", "logs.csv")
            }
            _ => (Format::Ndjson, "application/x-ndjson", "logs.ndjson"),
        };
        let body = json!({
            "query": scope.filter(),
            "sort": order.sort(&self),
            "track_total_hits": false,
            "_source": source_filter(&params)?,
        });
        // The first page before the head: what is wrong with the query is said with a status.
        let first = self.page(&body, limit, None).await?;
        let (feed, answer) = stream();
        let packer = takes_gzip.then(Packer::new);
        tokio::spawn(async move { self.feed(feed, packer, body, format, limit, first).await });
        let mut response = Response::new(answer);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static(media_type),
        );
        if let Ok(value) = format!("attachment; filename=\"{name}\"").parse() {
            headers.insert(header::CONTENT_DISPOSITION, value);
        }
        if takes_gzip {
            let gzip = header::HeaderValue::from_static("gzip");
            headers.insert(header::CONTENT_ENCODING, gzip);
        }
        Ok(response)
    }

    async fn page(
        &self,
        body: &Value,
        left: usize,
        after: Option<&Value>,
    ) -> Result<Value, Problem> {
        let mut body = body.clone();
        body["size"] = left.min(PAGE).into();
        if let Some(after) = after {
            body["search_after"] = after.clone();
        }
        self.ask(&body).await
    }

    /// Ends when all is sent, the reader is gone, the store fails, or the program stops.
    async fn feed(
        &self,
        feed: Feed,
        mut packer: Option<Packer>,
        body: Value,
        format: Format,
        limit: usize,
        first: Value,
    ) {
        let mut stop = self.stop.clone();
        let mut left = limit;
        let mut page = first;
        let mut out = Vec::new();
        if let Format::Csv(columns) = &format {
            append_row(columns.iter().cloned(), &mut out);
        }
        loop {
            let found = hits(&page);
            for hit in found {
                format.append(hit, &mut out);
            }
            left = left.saturating_sub(found.len());
            let after = found.last().map(|last| last["sort"].clone());
            let is_last = found.len() < PAGE || left == 0;
            let n_found = found.len();
            if !send(&feed, &mut packer, std::mem::take(&mut out)).await {
                return;
            }
            self.metrics.exported(n_found);
            let Some(after) = after.filter(|_| !is_last) else {
                if let Some(packer) = packer {
                    feed.send(packer.end()).await;
                }
                return feed.end();
            };
            let next = tokio::select! {
                next = self.page(&body, left, Some(&after)) => next,
                () = feed.closed() => return,
                () = stopped(&mut stop) => return,
            };
            match next {
                Ok(next) => page = next,
                Err(problem) => {
                    format.append_error(&problem, &mut out);
                    send(&feed, &mut packer, out).await;
                    return;
                }
            }
        }
    }
}

/// Sends a piece, packed where there is a packer. False when the reader is gone.
async fn send(feed: &Feed, packer: &mut Option<Packer>, piece: Vec<u8>) -> bool {
    let Some(packing) = packer.take() else {
        return feed.send(piece).await;
    };
    let Some((packing, piece)) = packing.piece(piece).await else {
        return false;
    };
    *packer = Some(packing);
    feed.send(piece).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_needed() {
        let mut out = Vec::new();
        let cells = ["a", "b,c", "say \"hi\"", "x\ny", "=cmd()", "-5", "-x", ""];
        append_row(cells.iter().map(|cell| (*cell).to_owned()), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "a,\"b,c\",\"say \"\"hi\"\"\",\"x\ny\",'=cmd(),-5,'-x,\r\n"
        );
    }
}
