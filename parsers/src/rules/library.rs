//! The rules that ship, each a file of `parsers/rules/`: in force when the configuration names
//! them, and at hand for `use` always.

/// Name and text of every shipped file, in the order they are tried.
pub(super) const SHIPPED: &[(&str, &str)] = &[
    ("nginx.yaml", include_str!("../../rules/nginx.yaml")),
    ("apache.yaml", include_str!("../../rules/apache.yaml")),
    ("aws.yaml", include_str!("../../rules/aws.yaml")),
    ("caddy.yaml", include_str!("../../rules/caddy.yaml")),
    ("cilium.yaml", include_str!("../../rules/cilium.yaml")),
    ("console.yaml", include_str!("../../rules/console.yaml")),
    ("coredns.yaml", include_str!("../../rules/coredns.yaml")),
    (
        "elasticsearch.yaml",
        include_str!("../../rules/elasticsearch.yaml"),
    ),
    ("envoy.yaml", include_str!("../../rules/envoy.yaml")),
    ("etcd.yaml", include_str!("../../rules/etcd.yaml")),
    ("go.yaml", include_str!("../../rules/go.yaml")),
    ("haproxy.yaml", include_str!("../../rules/haproxy.yaml")),
    ("iis.yaml", include_str!("../../rules/iis.yaml")),
    ("istio.yaml", include_str!("../../rules/istio.yaml")),
    (
        "json_logger.yaml",
        include_str!("../../rules/json_logger.yaml"),
    ),
    ("kafka.yaml", include_str!("../../rules/kafka.yaml")),
    (
        "kube_audit.yaml",
        include_str!("../../rules/kube_audit.yaml"),
    ),
    ("log4j.yaml", include_str!("../../rules/log4j.yaml")),
    ("logback.yaml", include_str!("../../rules/logback.yaml")),
    (
        "logfmt_logger.yaml",
        include_str!("../../rules/logfmt_logger.yaml"),
    ),
    ("mongodb.yaml", include_str!("../../rules/mongodb.yaml")),
    ("monolog.yaml", include_str!("../../rules/monolog.yaml")),
    ("mysql.yaml", include_str!("../../rules/mysql.yaml")),
    (
        "nginx_ingress.yaml",
        include_str!("../../rules/nginx_ingress.yaml"),
    ),
    ("postgres.yaml", include_str!("../../rules/postgres.yaml")),
    ("python.yaml", include_str!("../../rules/python.yaml")),
    ("rabbitmq.yaml", include_str!("../../rules/rabbitmq.yaml")),
    ("rails.yaml", include_str!("../../rules/rails.yaml")),
    ("redis.yaml", include_str!("../../rules/redis.yaml")),
    ("traefik.yaml", include_str!("../../rules/traefik.yaml")),
    ("zap.yaml", include_str!("../../rules/zap.yaml")),
];
