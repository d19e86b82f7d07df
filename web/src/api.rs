//! The front: who asks, which operation, within what time. Each operation is in its own file.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use store::{Flavour, Store, StoreError};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::access::{Access, Asker, Role, check_same_origin};
use crate::body::{Body, json as answer, typed};
use crate::gzip;
use crate::metrics::{Limit, Metrics};
use crate::params::{Params, decode_segment};
use crate::pipeline::Pipeline;
use crate::problem::Problem;
use crate::tail::TailHub;

/// Limits and names.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// What is searched: names and patterns with commas between; `-` before one leaves it out.
    pub index: String,
    /// How long the store may take for one request.
    pub timeout: Duration,
    /// Requests to the store at once; more wait.
    pub max_queries: usize,
    /// Most documents of an export.
    pub max_export: usize,
    /// Largest body of a request, in bytes.
    pub max_body: usize,
    /// Live tails at once.
    pub max_tails: usize,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            index: "logs-*-*,-logs-tailrace.*".to_owned(),
            timeout: Duration::from_secs(30),
            max_queries: 16,
            max_export: 1_000_000,
            max_body: 16 << 20,
            max_tails: 64,
        }
    }
}

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How old the list of fields may be.
const CAPS_AGE: Duration = Duration::from_secs(30);

/// Scripts, styles and requests of this server only; nothing inline, nothing from outside.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The API over one store.
pub struct Api {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) pipeline: Arc<dyn Pipeline>,
    pub(crate) tail: Arc<TailHub>,
    pub(crate) options: ApiOptions,
    pub(crate) metrics: Metrics,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) tails: Arc<Semaphore>,
    access: Arc<Access>,
    places: Semaphore,
    caps: Mutex<Option<(Instant, Arc<Value>)>>,
}

impl Api {
    /// An API that ends its endless answers when `stop` turns true.
    pub fn new(
        store: Arc<dyn Store>,
        pipeline: Arc<dyn Pipeline>,
        tail: Arc<TailHub>,
        access: Arc<Access>,
        options: ApiOptions,
        metrics: Metrics,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            store,
            pipeline,
            tail,
            metrics,
            stop,
            access,
            places: Semaphore::new(options.max_queries.max(1)),
            tails: Arc::new(Semaphore::new(options.max_tails)),
            caps: Mutex::default(),
            options,
        }
    }

    /// Answers a request. Dropping the future stops what it asked the store.
    pub async fn handle<B>(self: Arc<Self>, request: Request<B>, peer: SocketAddr) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let is_head = request.method() == Method::HEAD;
        let takes_gzip = gzip::is_taken(request.headers());
        let path = request.uri().path().to_owned();
        let asked = self.metrics.request(&path);
        let result = self.clone().route(request, peer).await;
        let mut response =
            result.unwrap_or_else(|problem| problem.for_clients_of(&path).response());
        if takes_gzip && !is_head {
            response = gzip::pack(response).await;
        }
        let headers = response.headers_mut();
        for (name, value) in [
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::VARY, "accept-encoding"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if !headers.contains_key(header::CACHE_CONTROL) {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        if is_head {
            *response.body_mut() = crate::body::full(Bytes::new());
        }
        asked.answered(response.status());
        response
    }

    /// Takes lines only: for the address of agents.
    pub async fn handle_intake<B>(
        self: Arc<Self>,
        request: Request<B>,
        peer: SocketAddr,
    ) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        if request.uri().path() != "/api/v1/logs" || request.method() != Method::POST {
            let here = "this address takes lines only: `POST /api/v1/logs`";
            return Problem::not_found(here).response();
        }
        self.handle(request, peer).await
    }

    async fn route<B>(
        self: Arc<Self>,
        request: Request<B>,
        peer: SocketAddr,
    ) -> Result<Response<Body>, Problem>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let params = head.uri.query().map(str::to_owned);
        let method = match head.method {
            Method::HEAD => Method::GET,
            method => method,
        };
        if let Some(document) = path.strip_prefix("/api/v1/openapi.") {
            only(&method, &[Method::GET])?;
            return openapi(document);
        }
        let asker = match self.access.asker(&head.headers, peer).await {
            Ok(asker) => asker,
            Err(problem) => {
                let authorization = head.headers.get(header::AUTHORIZATION);
                let authorization = authorization.and_then(|value| value.to_str().ok());
                if path != "/api/v1/logs" || !self.pipeline.is_agent(authorization) {
                    return Err(problem);
                }
                Asker {
                    user: None,
                    role: Role::Editor,
                    namespaces: Vec::new(),
                    auth: "bearer",
                }
            }
        };
        if method != Method::GET {
            check_same_origin(&head.headers)?;
        }
        let header = |name: HeaderName| {
            let value = head.headers.get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let call = Call {
            media_type: header(header::CONTENT_TYPE),
            encoding: header(header::CONTENT_ENCODING),
            takes_gzip: gzip::is_taken(&head.headers),
            if_none_match: header(header::IF_NONE_MATCH),
            idempotency_key: header(HeaderName::from_static("idempotency-key")),
            method,
            params,
            asker,
        };
        if let Some(rest) = path.strip_prefix("/api/v1/") {
            return self.operation(rest, call, body).await;
        }
        if let Some(rest) = path.strip_prefix("/es/") {
            return self.elastic(rest, call, body).await;
        }
        if path == "/es" {
            return self.elastic("", call, body).await;
        }
        if path.starts_with("/api/") {
            return Err(Problem::not_found("this version of the API is `/api/v1/`"));
        }
        only(&call.method, &[Method::GET])?;
        Ok(crate::assets::serve(
            &path,
            call.takes_gzip,
            call.if_none_match.as_deref(),
        ))
    }

    async fn operation<B>(
        self: Arc<Self>,
        path: &str,
        call: Call,
        body: B,
    ) -> Result<Response<Body>, Problem>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let segments: Vec<String> = path
            .split('/')
            .map(decode_segment)
            .collect::<Option<_>>()
            .ok_or_else(|| Problem::not_found("the path is no UTF-8 text when decoded"))?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let params = call.params.as_deref();
        let get = || only(&call.method, &[Method::GET]);
        let post = || only(&call.method, &[Method::POST]);
        match segments.as_slice() {
            ["search"] => {
                get()?;
                self.search(params, &call.asker).await
            }
            ["count"] => {
                get()?;
                self.count(params, &call.asker).await
            }
            ["query"] => {
                get()?;
                self.explain(params, &call.asker)
            }
            ["histogram"] => {
                get()?;
                self.histogram(params, &call.asker).await
            }
            ["aggregate"] => {
                get()?;
                self.aggregate(params, &call.asker).await
            }
            ["context"] => {
                get()?;
                self.context(params, &call.asker).await
            }
            ["patterns"] => {
                get()?;
                self.patterns(params, &call.asker).await
            }
            ["export"] => {
                get()?;
                self.export(params, &call.asker, call.takes_gzip).await
            }
            ["fields"] => {
                get()?;
                self.fields(params, &call.asker).await
            }
            ["fields", field, "values"] => {
                get()?;
                self.field_values(field, params, &call.asker).await
            }
            ["facets"] => {
                get()?;
                self.facets(params, &call.asker).await
            }
            ["complete"] => {
                get()?;
                self.complete(params, &call.asker).await
            }
            ["tail"] => {
                get()?;
                self.live(params, &call.asker)
            }
            [kind @ ("saved-searches" | "dashboards"), rest @ ..] if rest.len() <= 1 => {
                let kind = if *kind == "dashboards" {
                    "dashboard"
                } else {
                    "search"
                };
                self.objects(kind, rest.first().copied(), &call, body).await
            }
            ["streams"] => {
                get()?;
                self.streams(params, &call.asker).await
            }
            ["rules"] => {
                get()?;
                self.rules(params, &call.asker).await
            }
            ["rules", "unmatched"] => {
                get()?;
                self.unmatched(params, &call.asker).await
            }
            ["rules", "try"] => {
                post()?;
                self.try_rules(&call, body).await
            }
            ["status"] => {
                get()?;
                Params::new(params, &[])?;
                Ok(answer(StatusCode::OK, &self.pipeline.status()))
            }
            ["info"] => {
                get()?;
                Params::new(params, &[])?;
                Ok(self.info())
            }
            ["me"] => {
                get()?;
                Params::new(params, &[])?;
                Ok(me(&call.asker))
            }
            ["logs"] => {
                post()?;
                self.ingest(&call, body).await
            }
            ["logs", "errors"] => {
                get()?;
                self.errors(None, params, &call.asker).await
            }
            ["logs", "errors", service] => {
                get()?;
                self.errors(Some(service), params, &call.asker).await
            }
            ["logs", "stats"] => {
                get()?;
                self.log_stats(params, &call.asker).await
            }
            ["logs", "services"] => {
                get()?;
                self.services(params, &call.asker).await
            }
            ["grafana", rest @ ..] => self.grafana(rest, &call, body).await,
            _ => Err(Problem::not_found(format!(
                "there is no `/api/v1/{path}`; `/api/v1/openapi.yaml` lists what there is"
            ))),
        }
    }

    fn info(&self) -> Response<Body> {
        let store = self.store.server().map(|server| {
            let make = match server.flavour {
                Flavour::Elasticsearch => "Elasticsearch",
                Flavour::OpenSearch => "OpenSearch",
                Flavour::Embedded => "embedded",
                Flavour::Other => "unknown",
            };
            format!("{make} {}", server.version).trim().to_owned()
        });
        let aliases: serde_json::Map<String, Value> = crate::query::aliases()
            .iter()
            .map(|alias| (alias.name.to_owned(), alias.field.into()))
            .collect();
        let mut info = json!({
            "name": "tailrace",
            "version": env!("CARGO_PKG_VERSION"),
            "now": jiff::Timestamp::now().to_string(),
            "index": self.options.index,
            "features": ["tail", "patterns", "export", "objects", "rules", "ingest", "grafana", "elasticsearch"],
            "limits": {
                "page": 1000,
                "export": self.options.max_export,
                "timeout_ms": u64::try_from(self.options.timeout.as_millis()).unwrap_or(u64::MAX),
                "body": self.options.max_body,
            },
            "aliases": aliases,
        });
        if let Some(store) = store {
            info["store"] = store.into();
        }
        answer(StatusCode::OK, &info)
    }

    /// Whether the store lives in this process.
    pub(crate) fn is_embedded(&self) -> bool {
        self.store
            .server()
            .is_some_and(|server| server.flavour == Flavour::Embedded)
    }

    /// A search of the logs.
    pub(crate) async fn ask(&self, body: &Value) -> Result<Value, Problem> {
        self.ask_index(&self.options.index, body).await
    }

    /// A search of this index. The store is told its time, and is left when it needs longer.
    pub(crate) async fn ask_index(&self, index: &str, body: &Value) -> Result<Value, Problem> {
        let mut body = body.clone();
        if let Some(body) = body.as_object_mut() {
            let ms = self.options.timeout.as_millis() * 9 / 10;
            body.entry("timeout")
                .or_insert_with(|| format!("{ms}ms").into());
        }
        self.within(self.store.search(index, &body)).await
    }

    /// Waits for a place and for the store, both within the time-out.
    pub(crate) async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Problem> {
        let deadline = Instant::now() + self.options.timeout;
        let waiting = self.metrics.waiting();
        let Ok(place) = tokio::time::timeout_at(deadline, self.places.acquire()).await else {
            self.metrics.refused(Limit::QUERIES);
            return Err(Problem::busy(
                StatusCode::SERVICE_UNAVAILABLE,
                "other queries keep the store busy: come again, or ask for less",
            ));
        };
        drop(waiting);
        let running = self.metrics.running();
        let result = tokio::time::timeout_at(deadline, work).await;
        drop((running, place));
        match result {
            Ok(result) => result.map_err(Problem::from),
            Err(_) => Err(Problem::timeout(format!(
                "the store has not answered in {} s: ask for a shorter range, or for fewer things",
                self.options.timeout.as_secs()
            ))),
        }
    }

    /// Types of all fields, not older than half a minute.
    pub(crate) async fn caps(&self) -> Result<Arc<Value>, Problem> {
        {
            let caps = self.caps.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((at, caps)) = caps.as_ref()
                && at.elapsed() < CAPS_AGE
            {
                return Ok(Arc::clone(caps));
            }
        }
        let caps = self
            .within(self.store.field_caps(&self.options.index, "*"))
            .await?;
        let caps = Arc::new(caps);
        *self.caps.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), Arc::clone(&caps)));
        Ok(caps)
    }

    /// Reads a request's body, at most `max` bytes of it, gzip taken apart.
    pub(crate) async fn body<B>(&self, call: &Call, body: B, max: usize) -> Result<Bytes, Problem>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let too_large = || {
            self.metrics.refused(Limit::BODY);
            Problem::too_large(format!("the body is larger than {max} bytes"))
        };
        let mut body = body;
        let mut read = BytesMut::new();
        let reading = async {
            while let Some(frame) = body.frame().await {
                let frame = frame
                    .map_err(|error| Problem::body(format!("cannot read the body: {error}")))?;
                if let Some(data) = frame.data_ref() {
                    if read.len() + data.len() > max {
                        return Err(too_large());
                    }
                    read.extend_from_slice(data);
                }
            }
            Ok(())
        };
        tokio::time::timeout(BODY_TIMEOUT, reading)
            .await
            .map_err(|_| Problem::body("the body did not arrive in time"))??;
        match call.encoding.as_deref() {
            None | Some("" | "identity") => Ok(read.freeze()),
            Some("gzip") => {
                use std::io::Read as _;
                let mut plain = Vec::new();
                flate2::read::MultiGzDecoder::new(read.as_ref())
                    .take(max as u64 + 1)
                    .read_to_end(&mut plain)
                    .map_err(|_| Problem::body("the body is no gzip"))?;
                if plain.len() > max {
                    return Err(too_large());
                }
                Ok(plain.into())
            }
            Some(_) => Err(Problem::media_type(
                "sent plain or with `Content-Encoding: gzip`",
            )),
        }
    }

    /// As [`Api::body`], a JSON object.
    pub(crate) async fn object<B>(
        &self,
        call: &Call,
        body: B,
        max: usize,
    ) -> Result<serde_json::Map<String, Value>, Problem>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        call.must_be_json()?;
        let bytes = self.body(call, body, max).await?;
        object(&bytes)
    }

    /// As [`Api::object`]; no body at all is an empty object.
    pub(crate) async fn object_or_empty<B>(
        &self,
        call: &Call,
        body: B,
        max: usize,
    ) -> Result<serde_json::Map<String, Value>, Problem>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let bytes = self.body(call, body, max).await?;
        if bytes.trim_ascii().is_empty() {
            return Ok(serde_json::Map::new());
        }
        call.must_be_json()?;
        object(&bytes)
    }
}

fn object(bytes: &[u8]) -> Result<serde_json::Map<String, Value>, Problem> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Problem::field("", "the body must be a JSON object")),
        Err(error) => Err(Problem::body(format!("the body is no JSON: {error}"))),
    }
}

/// A request without its body.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) params: Option<String>,
    pub(crate) asker: Asker,
    pub(crate) media_type: Option<String>,
    pub(crate) idempotency_key: Option<String>,
    encoding: Option<String>,
    takes_gzip: bool,
    if_none_match: Option<String>,
}

impl Call {
    /// The media type without parameters, in lower case.
    pub(crate) fn media(&self) -> String {
        let text = self.media_type.as_deref().unwrap_or_default();
        let media = text.split(';').next().unwrap_or_default();
        media.trim().to_lowercase()
    }

    /// Whether a read may have a body of this media type. Clients that name none are let in: what
    /// another site's page makes a browser send is refused by [`check_same_origin`] whatever its
    /// type, and nothing is written.
    pub(crate) fn may_read(&self, allowed: &[&str]) -> Result<(), Problem> {
        if self.media().is_empty() || allowed.contains(&self.media().as_str()) {
            return Ok(());
        }
        Err(Problem::media_type(&allowed.join(" or ")))
    }

    /// Browsers send other types across sites without asking.
    pub(crate) fn must_be_json(&self) -> Result<(), Problem> {
        match self.media().as_str() {
            "application/json" => Ok(()),
            _ => Err(Problem::media_type("application/json")),
        }
    }
}

/// Refuses other methods.
pub(crate) fn only(method: &Method, allowed: &[Method]) -> Result<(), Problem> {
    if allowed.contains(method) {
        return Ok(());
    }
    let allowed: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    Err(Problem::method(&allowed.join(", ")))
}

fn me(asker: &Asker) -> Response<Body> {
    answer(
        StatusCode::OK,
        &json!({
            "user": asker.user,
            "role": asker.role.name(),
            "namespaces": asker.namespaces,
            "auth": asker.auth,
        }),
    )
}

fn openapi(format: &str) -> Result<Response<Body>, Problem> {
    match format {
        "yaml" => Ok(typed(
            StatusCode::OK,
            "application/yaml",
            include_str!("../openapi.yaml"),
        )),
        "json" => Ok(typed(
            StatusCode::OK,
            "application/json",
            include_str!(concat!(env!("OUT_DIR"), "/openapi.json")),
        )),
        _ => Err(Problem::not_found(
            "there is `openapi.yaml` and `openapi.json`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_may_come_without_a_media_type() {
        let call = |media_type: Option<&str>| Call {
            method: Method::POST,
            params: None,
            asker: Asker {
                user: None,
                role: Role::Viewer,
                namespaces: Vec::new(),
                auth: "none",
            },
            media_type: media_type.map(str::to_owned),
            idempotency_key: None,
            encoding: None,
            takes_gzip: false,
            if_none_match: None,
        };
        let may_read = |media_type: Option<&str>| {
            let allowed = ["application/x-ndjson", "application/json"];
            call(media_type).may_read(&allowed).is_ok()
        };
        for media_type in [
            None,
            Some(""),
            Some(" "),
            Some("application/json"),
            Some("Application/JSON; charset=utf-8"),
            Some("application/x-ndjson"),
        ] {
            assert!(may_read(media_type), "{media_type:?}");
        }
        for media_type in ["text/plain", "application/x-www-form-urlencoded"] {
            assert!(!may_read(Some(media_type)), "{media_type}");
        }
        assert!(
            call(None).must_be_json().is_err(),
            "what is written says what it is"
        );
    }

    /// The document is what clients are made from: it must be JSON, and whole.
    #[test]
    fn the_document_is_there_as_json() {
        let json: Value =
            serde_json::from_str(include_str!(concat!(env!("OUT_DIR"), "/openapi.json"))).unwrap();
        assert_eq!(json["openapi"], "3.1.0");
        let paths = json["paths"].as_object().unwrap();
        assert!(paths.len() > 40, "{}", paths.len());
        let size = &paths["/api/v1/search"]["get"]["parameters"][4]["schema"];
        assert_eq!(
            size,
            &json!({"type": "integer", "minimum": 0, "maximum": 1000, "default": 100})
        );
        assert!(paths["/api/v1/search"]["get"]["responses"]["200"].is_object());
        assert_eq!(json["info"]["version"], "1");
        // Nothing is promised that is not there.
        assert!(!json.to_string().contains("x-status"));
    }
}
