//! Cases from the test suites of other systems (../../shared/cases, when it is there), through the
//! engine as it is: a rule for each case, its line in, the document out. Those that we decide
//! otherwise are in `known_differences.txt`, each with the reason.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use parsers::{Parser, RecordView, RuleSet, StreamContext};
use serde_json::{Value, json};

const KNOWN: &str = include_str!("known_differences.txt");
const FILES: [&str; 15] = [
    "aws_alb",
    "aws_clb",
    "aws_cloudfront",
    "aws_cloudfront_v2_json",
    "aws_s3_access",
    "aws_vpc_flow",
    "beats",
    "fluentbit",
    "fluentd",
    "grok",
    "otel",
    "rsyslog",
    "vector",
    "victorialogs",
    "vrl",
];

#[path = "../../../tests/shared_cases.rs"]
mod shared_cases;
mod values;

/// Formats that are not a line's: framing's (it has an adapter of its own), those of other
/// systems' own configuration, and single functions that are tested where they are.
const NOT_LINES: &[&str] = &[
    "cri",
    "docker",
    "multiline-regex",
    "multiline-recombine",
    "multiline-split",
    "multiline-endswith",
    "multiline-known-bug",
    "ruby-multiline",
    "elastic-multiline",
    "charset",
    "k8s-filter",
    "k8s-path",
    "tz-offset",
    "none",
    "bytes",
    "tokens",
    "user-agent",
    "query-string",
    "influx-line",
    "yaml",
    "ansi-strip",
    "ruby-hash",
];

/// Where we keep what others call so: the first that is there counts.
const NAMES: &[(&str, &[&str])] = &[
    ("remote", &["source.address"]),
    ("act", &["event.action"]),
    ("app", &["network.application"]),
    ("dpt", &["destination.port"]),
    ("dst", &["destination.ip"]),
    ("duser", &["destination.user.name"]),
    ("logger_name", &["log.logger"]),
    ("request", &["url.original"]),
    ("rt", &["@timestamp"]),
    ("shost", &["source.domain"]),
    ("dhost", &["destination.domain"]),
    ("proto", &["network.transport"]),
    ("spt", &["source.port"]),
    ("suser", &["source.user.name"]),
    ("traceability_id", &["aws.elb.conn_trace_id"]),
    ("access_point_arn", &["aws.s3access.access_point_arn"]),
    ("account-id", &["cloud.account.id"]),
    ("account_id", &["cloud.account.id"]),
    ("acl_required", &["aws.s3access.acl_required"]),
    ("action", &["aws.vpcflow.action"]),
    ("actions_executed", &["aws.elb.action_executed"]),
    ("agent", &["user_agent.original"]),
    ("app_name", &["log.syslog.appname"]),
    ("appname", &["log.syslog.appname"]),
    ("authentication_type", &["aws.s3access.authentication_type"]),
    ("az-id", &["cloud.availability_zone"]),
    ("backend_ip", &["aws.elb.backend.ip"]),
    ("backend_port", &["aws.elb.backend.port"]),
    (
        "backend_processing_time",
        &["aws.elb.backend_processing_time.sec"],
    ),
    (
        "backend_status_code",
        &["aws.elb.backend.http.response.status_code"],
    ),
    ("body_bytes_size", &["http.response.body.bytes"]),
    ("bucket", &["aws.s3access.bucket"]),
    ("bucket_owner", &["aws.s3access.bucket_owner"]),
    ("bytes", &["network.bytes"]),
    ("bytes_sent", &["aws.s3access.bytes_sent"]),
    ("c-ip", &["client.address"]),
    ("c-port", &["client.port"]),
    ("cefVersion", &["cef.version"]),
    ("chosen_cert_arn", &["aws.elb.chosen_cert.arn"]),
    ("cid", &["nginx.connection"]),
    ("cipher_suite", &["tls.cipher"]),
    ("classification", &["aws.elb.classification"]),
    ("classification_reason", &["aws.elb.classification_reason"]),
    ("client", &["client.address", "source.address"]),
    ("client_ip", &["source.address"]),
    ("client_port", &["source.port"]),
    ("code", &["http.response.status_code"]),
    ("conn_trace_id", &["aws.elb.conn_trace_id"]),
    ("cs(Cookie)", &["aws.cloudfront.cookie"]),
    ("cs(Host)", &["url.domain"]),
    ("cs(Referer)", &["http.request.referrer"]),
    ("cs(User-Agent)", &["user_agent.original"]),
    ("cs-bytes", &["http.request.bytes"]),
    ("cs-method", &["http.request.method"]),
    ("cs-protocol", &["network.protocol"]),
    ("cs-protocol-version", &["aws.cloudfront.protocol_version"]),
    ("cs-uri-query", &["url.query"]),
    ("cs-uri-stem", &["url.path"]),
    ("deviceEventClassId", &["event.code"]),
    ("deviceProduct", &["observer.product"]),
    ("deviceVendor", &["observer.vendor"]),
    ("deviceVersion", &["observer.version"]),
    ("domain_name", &["destination.domain"]),
    ("dstaddr", &["destination.address"]),
    ("dstport", &["destination.port"]),
    ("elb", &["aws.elb.name"]),
    ("elb_status_code", &["http.response.status_code"]),
    ("end", &["event.end"]),
    ("error_code", &["aws.s3access.error_code"]),
    ("error_reason", &["aws.elb.error.reason"]),
    (
        "facility",
        &["log.syslog.facility.code", "log.syslog.facility.name"],
    ),
    ("facility_keyword", &["log.syslog.facility.name"]),
    ("file", &["log.origin.file.name"]),
    (
        "fle-encrypted-fields",
        &["aws.cloudfront.fle_encrypted_fields"],
    ),
    ("fle-status", &["aws.cloudfront.fle_status"]),
    ("flow-direction", &["network.direction"]),
    (
        "host",
        &["source.address", "url.domain", "log.syslog.hostname"],
    ),
    ("host_header", &["aws.s3access.host_header"]),
    ("host_id", &["aws.s3access.host_id"]),
    ("hostname", &["log.syslog.hostname"]),
    ("http_referer", &["http.request.referrer"]),
    ("http_status", &["http.response.status_code"]),
    ("http_user_agent", &["user_agent.original"]),
    ("http_x_forwarded_for", &["http.request.forwarded_for"]),
    ("id", &["process.thread.id"]),
    ("ident", &["log.syslog.appname"]),
    ("identity", &["apache.access.identity"]),
    ("instance-id", &["cloud.instance.id"]),
    ("instance_id", &["cloud.instance.id"]),
    ("key", &["aws.s3access.key"]),
    ("level", &["log.level"]),
    ("line", &["log.origin.file.line"]),
    ("matched_rule_priority", &["aws.elb.matched_rule_priority"]),
    ("method", &["http.request.method"]),
    ("module", &["apache.error.module"]),
    ("msg_id", &["log.syslog.msgid"]),
    ("msgid", &["log.syslog.msgid"]),
    ("object_size", &["aws.s3access.object_size"]),
    ("operation", &["aws.s3access.operation"]),
    ("packets", &["network.packets"]),
    ("path", &["url.original"]),
    ("pid", &["process.pid", "log.syslog.procid"]),
    ("port", &["client.port"]),
    ("PRI", &["log.syslog.priority"]),
    ("priority", &["log.syslog.priority"]),
    ("proc_id", &["log.syslog.procid"]),
    ("procid", &["log.syslog.procid"]),
    ("programname", &["log.syslog.appname"]),
    ("protocol", &["network.iana_number", "http.version"]),
    (
        "proxy_alternative_upstream_name",
        &["nginx.ingress.upstream.alternative_name"],
    ),
    ("proxy_upstream_name", &["nginx.ingress.upstream.name"]),
    ("received_bytes", &["http.request.body.bytes"]),
    ("redirect_url", &["aws.elb.redirect_url"]),
    ("referer", &["http.request.referrer"]),
    ("referrer", &["http.request.referrer"]),
    ("region", &["cloud.region"]),
    ("remote_addr", &["source.address"]),
    ("remote_ip", &["client.address"]),
    ("remote_user", &["user.name"]),
    ("req_id", &["http.request.id"]),
    ("request_creation_time", &["event.start"]),
    ("request_id", &["aws.s3access.request_id"]),
    ("request_length", &["http.request.bytes"]),
    ("request_method", &["http.request.method"]),
    (
        "request_processing_time",
        &["aws.elb.request_processing_time.sec"],
    ),
    ("request_protocol", &["http.version"]),
    ("request_time", &["nginx.ingress.request_time"]),
    (
        "request_transform_status",
        &["aws.elb.request_transform_status"],
    ),
    ("request_url", &["url.original"]),
    ("requester", &["client.user.id"]),
    (
        "response_processing_time",
        &["aws.elb.response_processing_time.sec"],
    ),
    ("sc-bytes", &["http.response.bytes"]),
    ("sc-content-len", &["http.response.body.bytes"]),
    ("sc-content-type", &["http.response.mime_type"]),
    ("sc-range-end", &["aws.cloudfront.range_end"]),
    ("sc-range-start", &["aws.cloudfront.range_start"]),
    ("sc-status", &["http.response.status_code"]),
    ("sent_bytes", &["http.response.body.bytes"]),
    ("server", &["nginx.server"]),
    (
        "severity",
        &[
            "log.level",
            "log.syslog.severity.code",
            "log.syslog.severity.name",
            "event.severity",
            "cef.severity",
        ],
    ),
    ("signature_version", &["aws.s3access.signature_version"]),
    ("size", &["http.response.body.bytes"]),
    ("source_region", &["aws.s3access.source_region"]),
    ("src", &["source.ip"]),
    ("srcaddr", &["source.address"]),
    ("srcport", &["source.port"]),
    ("ssl-cipher", &["tls.cipher"]),
    ("ssl-protocol", &["aws.cloudfront.ssl_protocol"]),
    ("ssl_cipher", &["tls.cipher"]),
    ("ssl_protocol", &["aws.elb.ssl_protocol"]),
    ("start", &["event.start"]),
    ("status", &["http.response.status_code"]),
    ("syslogfacility-text", &["log.syslog.facility.name"]),
    ("syslogseverity-text", &["log.syslog.severity.name"]),
    ("target_group_arn", &["aws.elb.target_group.arn"]),
    ("target_ip", &["aws.elb.backend.ip"]),
    ("target_port", &["aws.elb.backend.port"]),
    ("target_port_list", &["aws.elb.target_port"]),
    (
        "target_processing_time",
        &["aws.elb.backend_processing_time.sec"],
    ),
    (
        "target_status_code",
        &["aws.elb.backend.http.response.status_code"],
    ),
    ("target_status_code_list", &["aws.elb.target_status_code"]),
    ("thread", &["process.thread.id"]),
    ("thread_id", &["process.thread.id"]),
    ("tid", &["process.thread.id"]),
    ("time-taken", &["aws.cloudfront.time_taken"]),
    ("time-to-first-byte", &["aws.cloudfront.time_to_first_byte"]),
    ("tls_version", &["aws.s3access.tls_version"]),
    ("total_time", &["aws.s3access.total_time"]),
    ("trace_id", &["aws.elb.trace_id"]),
    ("transformed_host", &["aws.elb.transformed_host"]),
    ("transformed_uri", &["aws.elb.transformed_uri"]),
    ("turn_around_time", &["aws.s3access.turn_around_time"]),
    ("type", &["aws.elb.type", "aws.vpcflow.type"]),
    ("upstream_addr", &["nginx.ingress.upstream.address"]),
    (
        "upstream_response_length",
        &["nginx.ingress.upstream.response_length"],
    ),
    (
        "upstream_response_time",
        &["nginx.ingress.upstream.response_time"],
    ),
    ("upstream_status", &["nginx.ingress.upstream.status"]),
    ("user", &["user.name"]),
    ("user_agent", &["user_agent.original"]),
    ("version", &["aws.vpcflow.version", "log.syslog.version"]),
    ("version_id", &["aws.s3access.version_id"]),
    (
        "x-edge-detailed-result-type",
        &["aws.cloudfront.edge_detailed_result_type"],
    ),
    ("x-edge-location", &["aws.cloudfront.edge_location"]),
    ("x-edge-request-id", &["http.request.id"]),
    (
        "x-edge-response-result-type",
        &["aws.cloudfront.edge_response_result_type"],
    ),
    ("x-edge-result-type", &["aws.cloudfront.edge_result_type"]),
    ("x-forwarded-for", &["http.request.forwarded_for"]),
    ("x-host-header", &["aws.cloudfront.host_header"]),
];

/// Keys that say what others' parsers add of their own: which of two formats it was, the whole tag,
/// values that are in other fields already.
const NOT_COMPARED: &[&str] = &[
    "format",
    "syslogtag",
    "extradata",
    "request",
    "request_uri",
    "source_line",
    "date",
    "_extra",
    "0",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "8",
    "client_host",
    "date.$time",
    "@version",
    "target_host",
    "message1",
    "message2",
];

/// The steps of a case as YAML; `None` when it says its options in a way of its own.
fn steps(case: &Value) -> Option<String> {
    let rule = &case["rule"];
    let quoted = |text: &str| json!(text).to_string();
    let option = |name: &str| {
        let given = rule[name].as_str().map(str::to_owned);
        given.or_else(|| {
            // VRL's own arguments, `field_delimiter: ","`.
            let args = rule["vrl_args"].as_str()?;
            let (_, rest) = args.split_once(&format!("{name}: \""))?;
            Some(rest.split_once('"')?.0.to_owned())
        })
    };
    let step = match case["format"].as_str()? {
        "nginx" => match rule["format"].as_str() {
            Some("ingress_upstreaminfo") => "nginx_ingress: {}".to_owned(),
            _ => "nginx: {}".to_owned(),
        },
        "grok-apache" | "grok" | "grok-aws" | "grok-syslog" | "grok-haproxy" | "grok-java" => {
            let pattern = rule["pattern"].as_str().or(rule["patterns"][0].as_str())?;
            // The suites of Logstash put the name of the case behind that of the pattern.
            let pattern = match pattern.split_once(" - ") {
                Some((name, _)) if pattern.starts_with("%{") && !name.contains('}') => {
                    format!("{name}}}")
                }
                _ => pattern.to_owned(),
            };
            let pattern = match rule["anchored"] == true {
                true => format!("\\A{pattern}\\z"),
                false => pattern,
            };
            let flavour = rule["pattern_set"].as_str().unwrap_or("ecs-v1");
            format!("grok: {{expr: {}, flavour: {flavour}}}", quoted(&pattern))
        }
        "regex" => {
            let pattern = ["pattern", "expression", "regex"]
                .into_iter()
                .find_map(option)?;
            // Fluentd writes them between slashes.
            let bare = pattern.strip_prefix('/').and_then(|p| p.strip_suffix('/'));
            format!("regex: {}", quoted(bare.unwrap_or(&pattern)))
        }
        "key-value" => {
            if rule["config"]
                .as_str()
                .is_some_and(|c| c != "func(_ *Config) {}")
            {
                return None;
            }
            let fields = option("field_delimiter").unwrap_or_else(|| " ".to_owned());
            let pairs = option("key_value_delimiter").unwrap_or_else(|| "=".to_owned());
            let (fields, pairs) = (quoted(&fields), quoted(&pairs));
            format!("key_value: {{field_separator: {fields}, key_value_separator: {pairs}}}")
        }
        "csv" | "tsv" => {
            let config = rule["config"].as_str().unwrap_or_default();
            let go_option = |name: &str| {
                let (_, rest) = config.split_once(&format!("p.{name} = \""))?;
                Some(rest.split_once('"')?.0.to_owned())
            };
            let header = match config.contains("p.Header = testHeader") {
                true => Some("name,sev,msg".to_owned()),
                false => go_option("Header"),
            };
            let separator = go_option("FieldDelimiter").or_else(|| option("delimiter"));
            let plain = case["id"]
                .as_str()
                .is_some_and(|id| id.starts_with("otel"))
                .then_some("a,b,c,d,e");
            let vrl = case["expected"]["value"]
                .is_array()
                .then_some("column0,column1,column2,column3,column4,column5");
            let keys = rule["keys"].as_str().map(str::to_owned);
            let header = match &separator {
                Some(separator) => header.map(|header| header.replace(separator, ",")),
                None => header,
            };
            let keys = keys
                .or(header)
                .or(plain.map(str::to_owned))
                .or(vrl.map(str::to_owned))?;
            let keys = keys.as_str();
            let names: Vec<String> = match serde_json::from_str::<Vec<String>>(keys) {
                Ok(names) => names,
                Err(_) => keys.split(',').map(str::to_owned).collect(),
            };
            let names: Vec<String> = names
                .iter()
                .map(|name| format!("attributes.{name}"))
                .collect();
            let name = case["format"].as_str()?;
            let separator = match separator {
                Some(separator) => format!(", separator: {}", quoted(&separator)),
                None => String::new(),
            };
            format!("{name}: {{columns: {}{separator}}}", json!(names))
        }
        "ltsv" => match option("label_delimiter") {
            Some(separator) => format!("ltsv: {{label_separator: {}}}", quoted(&separator)),
            None => "ltsv: {}".to_owned(),
        },
        "syslog5424" if rule["message_format"] == "rfc5424" => "syslog: {rfc: '5424'}".to_owned(),
        "syslog3164" | "syslog5424" => "syslog: {}".to_owned(),
        "cef" => {
            let args = rule["vrl_args"].as_str().unwrap_or_default();
            let has_labels =
                rule["translate_custom_fields"] == true || args.contains("fields: true");
            format!("cef: {{custom_labels: {has_labels}}}")
        }
        "aws-alb" | "aws_alb" => "aws_alb: {}".to_owned(),
        "aws_clb" => "aws_elb: {}".to_owned(),
        "aws_cloudfront" => "aws_cloudfront: {}".to_owned(),
        "aws_cloudfront_v2_json" => "json: {}".to_owned(),
        "aws_vpc_flow" | "aws-vpc-flow" => {
            let args = rule["vrl_args"].as_str().map(|args| args.trim_matches('"'));
            match case["header"].as_str().or(args) {
                Some(header) => format!("aws_vpc_flow: {{format: {}}}", quoted(header)),
                None => "aws_vpc_flow: {}".to_owned(),
            }
        }
        plain @ ("apache" | "klog" | "glog" | "logfmt" | "json" | "xml" | "aws_s3_access") => {
            format!("{plain}: {{}}")
        }
        _ => return None,
    };
    Some(step)
}

/// What a rule of these steps makes of a line: the document's leaves by their dotted names, or
/// nothing when the rule does not match; an error when the rule does not load.
fn run(steps: &str, line: &str, time_ns: i64) -> Result<Option<BTreeMap<String, Value>>, String> {
    let yaml = format!("name: case\nsteps:\n  - {steps}\n");
    let rules = RuleSet::from_texts(&[(Path::new("case"), &yaml)])
        .map_err(|problems| format!("{problems:?}"))?;
    let mut parser = Parser::new(Arc::new(rules));
    let stream = StreamContext::new(b"{}").map_err(|e| e.to_string())?;
    let record = RecordView {
        time_ns: Some(time_ns),
        now_ns: time_ns,
        ..RecordView::of(line.as_bytes())
    };
    let mut out = Vec::new();
    parser.append_document(&record, &stream, &mut out);
    let document: Value = serde_json::from_slice(&out).map_err(|e| e.to_string())?;
    if document["tailrace"]["rule"] != "case" {
        return Ok(None);
    }
    let mut leaves = BTreeMap::new();
    flatten(&document, String::new(), &mut leaves);
    Ok(Some(leaves))
}

fn flatten(value: &Value, path: String, leaves: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, member) in members {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(member, format!("{path}{dot}{key}"), leaves);
            }
        }
        _ => {
            leaves.insert(path, value.clone());
        }
    }
}

/// Whether two values say the same: numbers by value, times by instant, lists by what is in them,
/// all else as text.
fn is_same(expected: &Value, found: &Value) -> bool {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<_> = items
                .iter()
                .map(|i| i.to_string().replace('"', ""))
                .collect();
            items.join(",")
        }
        other => other.to_string(),
    };
    let (a, b) = (text(expected), text(found));
    let b_at = b
        .parse::<Timestamp>()
        .map(|t| t.strftime("%b %e %H:%M:%S").to_string());
    if b_at.is_ok_and(|at| at == a) || b.contains(&format!("T{a}.")) {
        return true;
    }
    if a.trim() == b.trim() || a.strip_prefix("HTTP/") == Some(b.as_str()) {
        return true;
    }
    if let (Ok(a), Ok(b)) = (a.parse::<f64>(), b.parse::<f64>()) {
        return a == b;
    }
    let instant = |text: &str| match text.parse::<Timestamp>() {
        Ok(time) => Some(time),
        Err(_) => format!("{text}Z").parse().ok().or_else(|| {
            let zoned = jiff::Zoned::strptime("%d/%b/%Y:%H:%M:%S %z", text).map(|z| z.timestamp());
            zoned
                .ok()
                .or_else(|| Timestamp::from_second(text.parse().ok()?).ok())
        }),
    };
    if let (Some(a), Some(b)) = (instant(&a), instant(&b)) {
        return a == b;
    }
    // Words for levels.
    let level = |text: &str| match text.to_ascii_lowercase().as_str() {
        "notice" | "info" => "info".to_owned(),
        "warning" | "warn" => "warn".to_owned(),
        "err" | "error" => "error".to_owned(),
        "emerg" | "alert" | "crit" | "fatal" => "fatal".to_owned(),
        "i" => "info".to_owned(),
        other => other.to_owned(),
    };
    level(&a) == level(&b)
}

fn compare(expected: &Value, found: &BTreeMap<String, Value>) -> Result<(), String> {
    let mut leaves = BTreeMap::new();
    flatten(expected, String::new(), &mut leaves);
    for (key, value) in leaves {
        if NOT_COMPARED.contains(&key.as_str()) {
            continue;
        }
        let mut names = vec![key.clone()];
        if let Some((_, ours)) = NAMES.iter().find(|(theirs, _)| *theirs == key) {
            names.extend(ours.iter().map(|name| (*name).to_owned()));
        }
        match key.as_str() {
            "timestamp" | "time" | "@timestamp" | "syslog5424_ts" => {
                names.push("@timestamp".to_owned());
            }
            "msg" | "log" | "body" | "name" => names.push("message".to_owned()),
            _ => {}
        }
        let dashed = key.replace('-', "_");
        let prefixes = [
            "",
            "attributes.",
            "attributes.cef.",
            "attributes.structured_data.",
        ];
        let mut all = Vec::new();
        for name in names.iter().chain([&format!("aws.vpcflow.{dashed}")]) {
            let found = prefixes
                .iter()
                .filter_map(|p| found.get(&format!("{p}{name}")));
            all.extend(found);
        }
        let is_nothing = match &value {
            Value::Null => true,
            Value::String(text) => matches!(text.as_str(), "" | "-" | "$RS_HOSTNAME"),
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            Value::Number(_) | Value::Bool(_) => false,
        };
        let fits = match is_nothing {
            // `message` is always there.
            true => {
                all.is_empty()
                    || all.iter().any(|f| is_same(&value, f))
                    || key == "message"
                    || *all[0] == json!([])
            }
            false => all.iter().any(|f| is_same(&value, f)),
        };
        // A list of what a name captured in several places: one of them is ours.
        let any = value.as_array().is_some_and(|items| {
            items
                .iter()
                .any(|item| all.iter().any(|f| is_same(item, f)))
        });
        if !fits && !any {
            return Err(format!("`{key}`: expected {value}, found {all:?}"));
        }
    }
    Ok(())
}

fn check(case: &Value) -> Result<(), String> {
    if let Some(result) = values::check(case) {
        return result;
    }
    let steps = steps(case).ok_or("the case says its options in a way of its own")?;
    let input = match &case["input"] {
        Value::String(text) => text.clone(),
        Value::Object(entry) => entry
            .get("body")
            .and_then(Value::as_str)
            .ok_or("no line")?
            .to_owned(),
        _ => return Err("the input is no line".to_owned()),
    };
    let input = input.replace("$YEAR", "2024");
    // Framing takes the line's end away.
    let input = input.strip_suffix('\n').unwrap_or(&input);
    let now = case["rule"]["now"]
        .as_str()
        .unwrap_or("2024-12-31T12:00:00Z");
    let now_ns = now
        .parse::<Timestamp>()
        .map_err(|e| e.to_string())?
        .as_nanosecond();
    let found = run(&steps, input, i64::try_from(now_ns).unwrap_or_default());
    let expected: Value =
        serde_json::from_str(&case["expected"].to_string().replace("$YEAR", "2024"))
            .map_err(|e| e.to_string())?;
    let is_refused = matches!(found, Err(_) | Ok(None));
    let refused = |is: bool| match is == is_refused {
        true => Ok(()),
        false => Err(format!("{steps}: {found:?}")),
    };
    if expected.get("error").is_some() || expected.get("config_error").is_some() {
        return refused(true);
    }
    if expected["match"] == false {
        return refused(true);
    }
    // A case of Logstash's that expects its line as it was.
    if is_refused && expected["includes"] == json!({"message": input}) {
        return Ok(());
    }
    let Ok(Some(found)) = &found else {
        return Err(format!("{steps}: {found:?}"));
    };
    for key in ["value", "record", "fields", "includes", "contains_as_text"] {
        let part = match case["source"].as_str() {
            Some(source) if source.contains("opentelemetry") => &expected[key]["attributes"],
            _ => &expected[key],
        };
        if part.is_object() {
            compare(part, found)?;
        }
        if let Some(items) = part.as_array() {
            let numbered = items
                .iter()
                .enumerate()
                .map(|(i, item)| (format!("column{i}"), item.clone()));
            compare(&Value::Object(numbered.collect()), found)?;
        }
    }
    if case["id"].as_str().is_some_and(|id| id.starts_with("aws_")) {
        compare(&expected, found)?;
    }
    if let Some(time) = expected["time"].as_str() {
        compare(&json!({"@timestamp": time}), found)?;
    }
    if let Some(key) = expected["lacks_key"].as_str()
        && (found.contains_key(key) || found.contains_key(&format!("attributes.{key}")))
    {
        return Err(format!("has `{key}`"));
    }
    Ok(())
}

#[test]
fn cases_of_peers_pass_or_are_known_to_differ() {
    let Some(cases) = shared_cases::read(&FILES) else {
        return;
    };
    let mut known: BTreeMap<&str, &str> = KNOWN
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split_once(' ').expect("an id and a reason"))
        .collect();
    let (mut n_passed, mut problems) = (0, Vec::new());
    for case in &cases {
        if NOT_LINES.contains(&case["format"].as_str().unwrap()) {
            continue;
        }
        let id = case["id"].as_str().unwrap();
        match (check(case), known.remove(id)) {
            (Ok(()), None) => n_passed += 1,
            (Ok(()), Some(_)) => problems.push(format!("{id}: passes, but is listed")),
            (Err(_), Some(_)) => {}
            (Err(problem), None) => problems.push(format!("{id}: {problem}")),
        }
    }
    let gone = known
        .keys()
        .map(|id| format!("{id}: listed, but there is no such case"));
    problems.extend(gone);
    println!("{n_passed} cases pass");
    assert!(
        problems.is_empty(),
        "{} of {}:\n{}",
        problems.len(),
        problems.len() + n_passed,
        problems.join("\n")
    );
}
