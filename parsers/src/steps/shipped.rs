//! Formats that are made of other steps: rules that ship, by one word.

use super::{Entry, Failure, Flow, Form, Group, Step, StepDoc};
use crate::rules::{Block, Options, Reader};
use crate::work::Work;

/// Steps of several rules: those of the first that fits.
#[derive(Debug)]
struct FirstOf(Vec<Block>);

fn read(reader: &mut Reader<'_>, options: &Options<'_>, rules: &[&str]) -> Option<Box<dyn Step>> {
    let block = |name: &&str| {
        let block = reader.alternative_of(name, options.place);
        debug_assert!(block.is_some(), "`{name}` ships");
        block
    };
    let blocks = rules.iter().map(block).collect::<Option<_>>()?;
    Some(Box::new(FirstOf(blocks)))
}

impl Step for FirstOf {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let (mark, span) = (work.fields.mark(), work.span);
        let mut furthest = Failure::at(span.0, "the text has another format");
        for block in &self.0 {
            match work.run(block) {
                Ok(flow) => return Ok(flow),
                Err(failure) => {
                    if failure.at > furthest.at {
                        furthest = failure;
                    }
                    work.fields.reset(&mark);
                    work.span = span;
                }
            }
        }
        Err(furthest)
    }
}

/// Entries, and `ALL` of them: a name, what it is, the rules it stands for, and a line with a field.
macro_rules! words {
    ($($entry:ident $name:literal: $summary:literal, $rules:expr, $line:literal => $field:literal;)*) => {
        $(
            static $entry: Entry = Entry {
                doc: StepDoc {
                    name: $name,
                    group: Group::Formats,
                    summary: $summary,
                    doc: concat!(
                        "Stands for the rules that ship under this name, of which the first that fits counts. ",
                        "`use` takes a single one of them."
                    ),
                    form: Form::Options,
                    options: &[],
                    examples: &[concat!(
                        "name: a\nsteps:\n  - ", $name, ": {}\nexamples:\n  - line: ", $line,
                        "\n    fields: {", $field, "}\n"
                    )],
                },
                read: |reader, options| read(reader, options, $rules),
            };
        )*

        /// Every word, in the order of the reference.
        pub(super) static ALL: &[&Entry] = &[$(&$entry),*];
    };
}

words! {
    NGINX "nginx": "access and error logs of nginx",
        &["nginx.access", "nginx.forwarded", "nginx.bad_request", "nginx.error"],
        "'2021/04/01 13:02:31 [error] 31#31: *1 open() \"/x\" failed, client: 172.17.0.1, server: localhost'" => "log.level: error, client.ip: 172.17.0.1";
    NGINX_INGRESS "nginx_ingress": "logs of ingress-nginx",
        &["nginx_ingress.access", "nginx.error"],
        "'0.0.0.0 - bob [18/Mar/2023:15:00:00 +0000] \"GET /some/path HTTP/2.0\" 200 12312 \"https://10.0.0.1/some/referer\" \"Mozilla/5.0 (Macintosh)\" 462 0.050 [some-upstream-service-9000] [some-other-upstream-5000] 10.0.50.80:9000 19437 0.049 200 752178adb17130b291aefd8c386279e7'" => "source.ip: 0.0.0.0";
    APACHE "apache": "access and error logs of Apache",
        &["apache.access", "apache.common", "apache.vhost", "apache.bad_request", "apache.error"],
        "'224.92.49.50 bob frank [25/Feb/2021:12:44:08 +0000] \"PATCH /one-to-one HTTP/1.1\" 401 84170 \"http://www.example.com/a\" \"Mozilla/5.0 (X11; Linux i686; rv:5.0)\"'" => "source.ip: 224.92.49.50";
    ENVOY "envoy": "access log of Envoy, and its own",
        &["envoy.access", "istio.access", "envoy.application"],
        "'[2024-01-02T03:04:05.000Z] \"- - -\" 0 DPE 0 11 0 - \"-\" \"-\" \"-\" \"-\" \"-\"'" => "'@timestamp': 2024-01-02T03:04:05.000000000Z";
    ISTIO "istio": "access log of Istio, and its own",
        &["istio.access", "envoy.access", "istio.pilot", "envoy.application"],
        "'[2020-11-25T21:26:18.409Z] \"GET /status/418 HTTP/1.1\" 418 - via_upstream - \"-\" 0 135 3 1 \"-\" \"curl/7.73.0-DEV\" \"84961386-6d84-929d-98bd-c5aee93b5c88\" \"httpbin:8000\" \"127.0.0.1:80\" inbound|8000|| 127.0.0.1:41854 10.44.1.27:80 10.44.1.23:37652 outbound_.8000_._.httpbin.foo.svc.cluster.local default'" => "source.ip: 10.44.1.23";
    HAPROXY "haproxy": "HTTP, TCP and error logs of HAProxy",
        &["haproxy.http", "haproxy.tcp", "haproxy.error", "haproxy.process"],
        "'Feb  6 12:14:14 localhost haproxy[14389]: 10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {1wt.eu} {} \"GET /index.html HTTP/1.1\"'" => "source.ip: 10.0.1.2";
    TRAEFIK "traefik": "access log of Traefik, and its own",
        &["traefik.access", "nginx.access", "json_logger", "logfmt_logger"],
        "'192.168.1.1 - - [09/Jan/2024:10:00:00 +0000] \"GET /a?b HTTP/1.1\" 200 10 \"-\" \"curl/8\" 17 \"web@docker\" \"http://172.17.0.2:80\" 5ms'" => "source.ip: 192.168.1.1";
    CADDY "caddy": "logs of Caddy",
        &["caddy"],
        "'{\"level\":\"info\",\"ts\":1646861401.5241024,\"logger\":\"http.log.access\",\"msg\":\"handled request\",\"request\":{\"remote_ip\":\"127.0.0.1\",\"remote_port\":\"41342\",\"proto\":\"HTTP/2.0\",\"method\":\"GET\",\"host\":\"localhost\",\"uri\":\"/a\",\"headers\":{\"User-Agent\":[\"curl/7.82.0\"]}},\"bytes_read\":0,\"duration\":0.000929675,\"size\":10900,\"status\":200}'" => "log.level: info";
    IIS "iis": "IIS, in the W3C format with its usual fields",
        &["iis"],
        "'2024-01-02 03:04:05 10.0.0.1 GET /index.html q=1&r=2 443 - 10.0.0.2 Mozilla/5.0+(Windows+NT+10.0) https://a.example/ 200 0 0 15'" => "source.ip: 10.0.0.2";
    POSTGRES "postgres": "PostgreSQL",
        &["postgres.log", "postgres.detail"],
        "'2024-01-02 03:04:05.678 UTC [1] LOG:  database system is ready to accept connections'" => "log.level: info";
    MYSQL "mysql": "error and slow logs of MySQL and MariaDB",
        &["mysql.error", "mysql.slow"],
        "'2024-01-02T03:04:05.123456Z 8 [Warning] [MY-010055] [Server] IP address ''10.0.0.9'' could not be resolved: é'" => "log.level: warn";
    REDIS "redis": "Redis and Valkey",
        &["redis"],
        "'17:S 31 Dec 2023 23:59:59.000 - DB 0: 1 keys'" => "process.pid: 17";
    MONGODB "mongodb": "MongoDB, as JSON and as text",
        &["mongodb.json", "mongodb.text"],
        "'{\"t\":{\"$date\":\"2024-01-02T03:04:05.678Z\"},\"s\":\"F\", \"c\":\"CONTROL\", \"id\":6, \"ctx\":\"main\",\"msg\":\"\",\"attr\":{}}'" => "'@timestamp': 2024-01-02T03:04:05.678000000Z";
    ELASTICSEARCH "elasticsearch": "Elasticsearch and OpenSearch, as JSON and as text",
        &["elasticsearch.json", "elasticsearch.text"],
        "'{\"@timestamp\":\"2024-01-02T03:04:05.678Z\", \"log.level\": \"INFO\", \"message\":\"started {node-1}\", \"ecs.version\": \"1.2.0\",\"service.name\":\"ES_ECS\",\"event.dataset\":\"elasticsearch.server\",\"process.thread.name\":\"main\",\"log.logger\":\"org.elasticsearch.node.Node\"}'" => "log.level: info";
    KAFKA "kafka": "Kafka and ZooKeeper",
        &["kafka", "log4j"],
        "'[2024-01-02 03:04:05,678] INFO [KafkaRaftServer nodeId=1] Kafka Server started (kafka.server.KafkaRaftServer)'" => "log.level: info";
    RABBITMQ "rabbitmq": "RabbitMQ",
        &["rabbitmq"],
        "'2024-01-02 03:04:05.678901+00:00 [info] <0.9.0> Server startup complete; 4 plugins started.'" => "log.level: info";
    ETCD "etcd": "etcd",
        &["etcd"],
        "'{\"level\":\"info\",\"ts\":\"2024-01-02T03:04:05.678901Z\",\"caller\":\"embed/etcd.go:310\",\"msg\":\"starting an etcd server\",\"etcd-version\":\"3.5.9\"}'" => "log.level: info";
    COREDNS "coredns": "queries and messages of CoreDNS",
        &["coredns.query", "coredns.message"],
        "'[INFO] 10.244.0.5:41234 - 12345 \"A IN kubernetes.default.svc.cluster.local. udp 62 false 512\" NOERROR qr,aa,rd 106 0.000162s'" => "log.level: info";
    KUBE_AUDIT "kube_audit": "audit log of the Kubernetes API server",
        &["kube_audit"],
        "'{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1beta1\",\"level\":\"RequestResponse\",\"auditID\":\"\",\"annotations\":{\"authorization.k8s.io/decision\":\"allow\"}}'" => "'@timestamp': 1970-01-01T00:00:00.000000000Z";
    CILIUM "cilium": "Cilium",
        &["cilium", "json_logger"],
        "'level=info msg=\"Initializing daemon\" subsys=daemon'" => "log.level: info";
    AWS_ALB "aws_alb": "access logs of AWS Application Load Balancers",
        &["aws.alb"],
        "'https 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 \"GET https://www.example.com:443/ HTTP/1.1\" \"curl/7.46.0\" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067 \"Root=1-58337281-1d84f3d73c47ec4e58577259\" \"www.example.com\" \"arn:aws:acm:us-east-2:123456789012:certificate/12345678-1234-1234-1234-123456789012\" 1 2018-07-02T22:22:48.364000Z \"authenticate,forward\" \"-\" \"-\" 10.0.0.1:80 200 \"-\" \"-\" TID_dc57cebed65b444ebc8177bb698fe166'" => "source.ip: 192.168.131.39";
    AWS_NLB "aws_nlb": "access logs of AWS Network Load Balancers",
        &["aws.nlb"],
        "'tls 2.0 2018-12-20T02:59:40 net/my-network-loadbalancer/c6e77e28c25b2234 g3d4b5e8bb8464cd 72.21.218.154:51341 172.100.100.185:443 5 2 98 246 - arn:aws:acm:us-east-2:671290407336:certificate/2a108f19 - ECDHE-RSA-AES128-SHA tlsv12 - my-network-loadbalancer-c6e77e28c25b2234.elb.us-east-2.amazonaws.com - - - 2018-12-20T02:59:30'" => "source.ip: 72.21.218.154";
    AWS_ELB "aws_elb": "access logs of AWS Classic Load Balancers",
        &["aws.elb"],
        "'2015-05-13T23:39:43.945958Z my-loadbalancer 192.168.131.39:2817 10.0.0.1:80 0.000086 0.001048 0.001337 200 200 0 57 \"GET https://www.example.com:443/ HTTP/1.1\" \"curl/7.38.0 (#56-0ef1d4a5)\" DHE-RSA-AES128-SHA TLSv1.2'" => "source.ip: 192.168.131.39";
    AWS_S3_ACCESS "aws_s3_access": "server access logs of AWS S3",
        &["aws.s3_access"],
        "'79a5 mybucket [06/Feb/2014:00:00:38 +0000] 192.0.2.3 79a5 3E57427F3EXAMPLE REST.GET.VERSIONING - \"GET /mybucket?versioning HTTP/1.1\" 200 - 113 - 7 - \"-\" \"S3Console/0.4\" -'" => "client.ip: 192.0.2.3";
    AWS_CLOUDFRONT "aws_cloudfront": "standard logs of AWS CloudFront, v1 and v2",
        &["aws.cloudfront", "aws.cloudfront_json"],
        "\"2016-06-10\\t18:41:39\\tIAD53\\t224281\\t192.168.1.1\\tGET\\td27enomp470abc.cloudfront.net\\t/content/sample/thing.pdf\\t200\\thttps://example.com/\\tMozilla/5.0%2520(Windows%2520NT%25206.1;%2520WOW64)%2520AppleWebKit/537.36%2520(KHTML,%2520like%2520Gecko)%2520Chrome/51.0.2704.79%2520Safari/537.36\\t-\\t-\\tMiss\\tUGskZ6dUKY7b4C6Pt7wAWVsU2KO-vTRe-mR4r9H-WQMjhNvY6w1Xcg==\\thost.example.com\\thttps\\t883\\t0.036\\t-\\tTLSv1.2\\tECDHE-RSA-AES128-GCM-SHA256\\tRefreshHit\"" => "client.ip: 192.168.1.1";
    LOG4J "log4j": "Log4j, as text and as JSON",
        &["log4j", "json_logger"],
        "'2024-01-02 03:04:05,678 INFO  [main] com.example.App - Started'" => "log.level: info";
    LOGBACK "logback": "Logback and Spring Boot",
        &["logback.spring", "log4j", "logback.basic", "json_logger"],
        "'2024-01-02T03:04:05.678Z  INFO 1 --- [           main] com.example.App                          : Started App in 1.5 seconds'" => "log.level: info";
    PYTHON "python": "logging of Python, loguru, uvicorn, gunicorn",
        &["python.logging", "python.basic", "json_logger"],
        "'2024-01-02 03:04:05,678 - shop.cart - INFO - order placed'" => "log.level: info";
    ZAP "zap": "zap, as JSON and as text",
        &["zap.json", "zap.console"],
        "'{\"level\":\"info\",\"ts\":1704164645.678,\"caller\":\"app/main.go:42\",\"msg\":\"ready\",\"port\":80}'" => "log.level: info";
    ZEROLOG "zerolog": "zerolog, as JSON and as text",
        &["json_logger", "console"],
        "'{\"level\":\"error\",\"time\":\"2024-01-02T03:04:05Z\",\"error\":\"bad é\",\"message\":\"zerolog\"}'" => "log.level: error";
    LOGRUS "logrus": "logrus, in its three forms",
        &["json_logger", "logfmt_logger", "go.text"],
        "'{\"level\":\"error\",\"time\":\"2024-01-02T03:04:05Z\",\"error\":\"bad é\",\"message\":\"zerolog\"}'" => "log.level: error";
    SLOG "slog": "log/slog of Go, in its three forms",
        &["json_logger", "logfmt_logger", "go.text"],
        "'{\"level\":\"error\",\"time\":\"2024-01-02T03:04:05Z\",\"error\":\"bad é\",\"message\":\"zerolog\"}'" => "log.level: error";
    PINO "pino": "pino",
        &["json_logger"],
        "'{\"level\":\"error\",\"time\":\"2024-01-02T03:04:05Z\",\"error\":\"bad é\",\"message\":\"zerolog\"}'" => "log.level: error";
    WINSTON "winston": "winston, as JSON and simple",
        &["json_logger", "console"],
        "'{\"level\":\"error\",\"time\":\"2024-01-02T03:04:05Z\",\"error\":\"bad é\",\"message\":\"zerolog\"}'" => "log.level: error";
    BUNYAN "bunyan": "bunyan",
        &["json_logger"],
        "'{\"level\":\"error\",\"time\":\"2024-01-02T03:04:05Z\",\"error\":\"bad é\",\"message\":\"zerolog\"}'" => "log.level: error";
    SERILOG "serilog": "Serilog, compact JSON and console",
        &["json_logger", "console"],
        "'{\"level\":\"error\",\"time\":\"2024-01-02T03:04:05Z\",\"error\":\"bad é\",\"message\":\"zerolog\"}'" => "log.level: error";
    RAILS "rails": "Ruby on Rails and Logger of Ruby",
        &["rails", "json_logger"],
        "'I, [2024-01-02T03:04:05.678901 #17]  INFO -- : [3f2b0c1e-7a55-4e57-9c0e-0a1b2c3d4e5f] Started GET \"/a\" for 2001:db8::7 at 2024-01-02 03:04:05 +0000'" => "log.level: info";
    MONOLOG "monolog": "Monolog, as lines and as JSON",
        &["monolog", "json_logger"],
        "'[2024-01-02T03:04:05.678901+00:00] app.INFO: Matched route \"home\". {\"route\":\"home\"} []'" => "log.level: info";
}
