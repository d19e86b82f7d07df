//! The page: files that the build put into the program. Names with a hash are kept by browsers
//! for ever; any other address is the page itself, which reads it.

use std::collections::HashMap;
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use hyper::{Response, StatusCode, header};

use crate::body::{Body, full};
use crate::gzip::{gzip, is_text};
use crate::problem::Problem;

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

struct Asset {
    plain: &'static [u8],
    gzip: Option<Bytes>,
    media_type: &'static str,
    /// A weak one, as it stands for the bytes plain and packed.
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
                let asset = Asset {
                    plain,
                    gzip: is_text(media_type)
                        .then(|| gzip(plain, Compression::best()))
                        .flatten(),
                    media_type,
                    tag: format!("W/\"{short}\""),
                };
                (*path, asset)
            })
            .collect()
    })
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
pub(crate) fn serve(path: &str, takes_gzip: bool, if_none_match: Option<&str>) -> Response<Body> {
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
    let gzip = asset.gzip.as_ref().filter(|_| takes_gzip);
    // A proxy may have made a strong tag of it.
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let is_known = if_none_match.is_some_and(|tags| {
        tags.split(',')
            .any(|tag| tag.trim() == "*" || opaque(tag) == opaque(&asset.tag))
    });
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
            assert_eq!(serve(path, false, None).status(), status, "{path}");
        }
    }

    #[test]
    fn files_are_packed_and_kept_by_their_name() {
        let is_script = |path: &&str| path.starts_with("assets/") && path.ends_with(".js");
        let script = assets().keys().copied().find(is_script).unwrap();
        for (path, cache) in [
            (format!("/{script}"), "public, max-age=31536000, immutable"),
            ("/".to_owned(), "no-cache"),
            ("/explore".to_owned(), "no-cache"),
        ] {
            let plain = serve(&path, false, None);
            assert_eq!(plain.headers()[header::CACHE_CONTROL], cache, "{path}");
            assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
            let packed = serve(&path, true, None);
            let is_packed =
                |it: &Response<Body>| it.headers().contains_key(header::CONTENT_ENCODING);
            assert!(is_packed(&packed), "{path}");
            let tag = packed.headers()[header::ETAG].to_str().unwrap();
            assert_eq!(plain.headers()[header::ETAG], tag);
            for (given, status) in [
                (tag, 304),
                (tag.trim_start_matches("W/"), 304),
                (&format!("\"other\", {tag}"), 304),
                ("*", 304),
                ("\"other\"", 200),
            ] {
                let answer = serve(&path, true, Some(given));
                assert_eq!(answer.status(), status, "{given}");
                assert_eq!(is_packed(&answer), status == 200, "{given}");
                assert_eq!(answer.headers()[header::CACHE_CONTROL], cache);
                assert_eq!(answer.headers()[header::ETAG], tag);
            }
        }
    }
}
