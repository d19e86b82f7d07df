//! The page: files that the build put into the program. Names with a hash are kept by browsers
//! for ever; any other address is the page itself, which reads it.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::OnceLock;

use bytes::Bytes;
use hyper::{Response, StatusCode, header};

use crate::body::{Body, full};
use crate::problem::Problem;

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Compressed files below this are hardly smaller.
const MIN_GZIP: usize = 512;

struct Asset {
    plain: &'static [u8],
    gzip: Option<Bytes>,
    media_type: &'static str,
    tag: String,
}

/// All files by path, compressed once.
fn assets() -> &'static HashMap<&'static str, Asset> {
    static ASSETS: OnceLock<HashMap<&'static str, Asset>> = OnceLock::new();
    ASSETS.get_or_init(|| {
        FILES
            .iter()
            .map(|(path, plain)| {
                let hash = ring::digest::digest(&ring::digest::SHA256, plain);
                let short: String = hash
                    .as_ref()
                    .iter()
                    .take(8)
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                let media_type = media_type(path);
                let is_text = media_type.starts_with("text/")
                    || media_type.contains("json")
                    || media_type.contains("svg");
                let asset = Asset {
                    plain,
                    gzip: (is_text && plain.len() >= MIN_GZIP)
                        .then(|| gzip(plain))
                        .flatten(),
                    media_type,
                    tag: format!("\"{short}\""),
                };
                (*path, asset)
            })
            .collect()
    })
}

fn gzip(plain: &[u8]) -> Option<Bytes> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() < plain.len()).then(|| packed.into())
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// What is shown when the page was not built.
const NO_PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Tailrace</title>\
     <h1>Tailrace</h1><p>This program was built without its page: run <code>make web</code> and build again. \
     The <a href=\"/api/v1/openapi.yaml\">API</a> is here.</p></html>";

/// The file at `path`; the page itself for addresses that are no file.
pub(crate) fn serve(
    path: &str,
    accept_encoding: Option<&str>,
    if_none_match: Option<&str>,
) -> Response<Body> {
    let name = path.trim_start_matches('/');
    let known = assets().get(name);
    // A missing script must not be the page: the browser would run it.
    let is_file = name.starts_with("assets/")
        || name
            .rsplit('/')
            .next()
            .is_some_and(|last| last.contains('.'));
    let asset = match known {
        None if is_file => {
            return Problem::not_found(format!("there is no `{path}`")).response();
        }
        None => assets().get("index.html"),
        known => known,
    };
    let Some(asset) = asset else {
        return crate::body::typed(StatusCode::OK, "text/html; charset=utf-8", NO_PAGE);
    };
    let is_hashed = known.is_some() && name.starts_with("assets/");
    let cache = if is_hashed {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let takes_gzip = accept_encoding.is_some_and(|text| {
        text.split(',')
            .any(|one| one.trim().split(';').next() == Some("gzip"))
    });
    let gzip = asset.gzip.as_ref().filter(|_| takes_gzip);
    let is_known =
        if_none_match.is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == asset.tag));
    let mut response = Response::new(match (is_known, gzip) {
        (true, _) => full(Bytes::new()),
        (false, Some(packed)) => full(packed.clone()),
        (false, None) => full(Bytes::from_static(asset.plain)),
    });
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    let mut put = |name, value: &str| {
        if let Ok(value) = header::HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put(header::CONTENT_TYPE, asset.media_type);
    put(header::CACHE_CONTROL, cache);
    put(header::ETAG, &asset.tag);
    put(header::VARY, "accept-encoding");
    if gzip.is_some() && !is_known {
        put(header::CONTENT_ENCODING, "gzip");
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_not_the_page() {
        for (path, status) in [
            ("/assets/none.js", 404),
            ("/none.png", 404),
            ("/explore", 200),
            ("/", 200),
        ] {
            assert_eq!(serve(path, None, None).status(), status, "{path}");
        }
    }
}
