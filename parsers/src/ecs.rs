//! The fields of the Elastic Common Schema that a line may fill, and the names by which programs
//! call them.
//!
//! Only exact names of this table reach an ECS field, and only with a value of the field's type:
//! `user: "bob"` of an application is `attributes.user`, because `user` is an object in ECS and
//! one such line would be refused by the store. Fields that only the agent may set
//! (`kubernetes.*`, `container.*`, `data_stream.*`) are not in the table on purpose.

mod names;
mod shape;

pub(crate) use names::{Names, Role, key_hash};
pub(crate) use shape::Shape;

/// What values an ECS field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text, or an array of texts. Numbers and booleans are quoted.
    Keyword,
    /// A whole number.
    Long,
    /// A number.
    Float,
    /// `true` or `false`.
    Bool,
    /// An IP address.
    Ip,
    /// An RFC 3339 time.
    Date,
}

use Kind::{Bool, Date, Float, Ip, Keyword, Long};

/// All fields, in the order of their bytes, so that those of an object stand together.
/// No name is the beginning of another (`a` and `a.b`): a test watches both.
pub(crate) const FIELDS: &[(&str, Kind)] = &[
    ("client.address", Keyword),
    ("client.as.number", Long),
    ("client.as.organization.name", Keyword),
    ("client.bytes", Long),
    ("client.domain", Keyword),
    ("client.geo.city_name", Keyword),
    ("client.geo.continent_code", Keyword),
    ("client.geo.country_iso_code", Keyword),
    ("client.geo.country_name", Keyword),
    ("client.geo.location", Keyword),
    ("client.geo.region_iso_code", Keyword),
    ("client.geo.region_name", Keyword),
    ("client.geo.timezone", Keyword),
    ("client.ip", Ip),
    ("client.port", Long),
    ("client.user.id", Keyword),
    ("client.user.name", Keyword),
    ("cloud.account.id", Keyword),
    ("cloud.availability_zone", Keyword),
    ("cloud.instance.id", Keyword),
    ("cloud.project.id", Keyword),
    ("cloud.provider", Keyword),
    ("cloud.region", Keyword),
    ("destination.address", Keyword),
    ("destination.as.number", Long),
    ("destination.as.organization.name", Keyword),
    ("destination.bytes", Long),
    ("destination.domain", Keyword),
    ("destination.geo.city_name", Keyword),
    ("destination.geo.continent_code", Keyword),
    ("destination.geo.country_iso_code", Keyword),
    ("destination.geo.country_name", Keyword),
    ("destination.geo.location", Keyword),
    ("destination.geo.region_iso_code", Keyword),
    ("destination.geo.region_name", Keyword),
    ("destination.geo.timezone", Keyword),
    ("destination.ip", Ip),
    ("destination.mac", Keyword),
    ("destination.nat.ip", Ip),
    ("destination.nat.port", Long),
    ("destination.packets", Long),
    ("destination.port", Long),
    ("destination.user.id", Keyword),
    ("destination.user.name", Keyword),
    ("dns.id", Keyword),
    ("dns.question.class", Keyword),
    ("dns.question.name", Keyword),
    ("dns.question.type", Keyword),
    ("dns.response_code", Keyword),
    ("dns.type", Keyword),
    ("ecs.version", Keyword),
    ("error.code", Keyword),
    ("error.fingerprint", Keyword),
    ("error.id", Keyword),
    ("error.message", Keyword),
    ("error.stack_trace", Keyword),
    ("error.type", Keyword),
    ("event.action", Keyword),
    ("event.category", Keyword),
    ("event.code", Keyword),
    ("event.created", Date),
    ("event.dataset", Keyword),
    ("event.duration", Long),
    ("event.end", Date),
    ("event.id", Keyword),
    ("event.kind", Keyword),
    ("event.module", Keyword),
    ("event.outcome", Keyword),
    ("event.provider", Keyword),
    ("event.reason", Keyword),
    ("event.risk_score", Float),
    ("event.sequence", Long),
    ("event.severity", Long),
    ("event.start", Date),
    ("event.timezone", Keyword),
    ("event.type", Keyword),
    ("event.url", Keyword),
    ("faas.coldstart", Bool),
    ("faas.execution", Keyword),
    ("faas.id", Keyword),
    ("faas.name", Keyword),
    ("file.directory", Keyword),
    ("file.extension", Keyword),
    ("file.mime_type", Keyword),
    ("file.name", Keyword),
    ("file.path", Keyword),
    ("file.size", Long),
    ("host.architecture", Keyword),
    ("host.hostname", Keyword),
    ("host.id", Keyword),
    ("host.ip", Ip),
    ("host.name", Keyword),
    ("http.request.body.bytes", Long),
    ("http.request.body.content", Keyword),
    ("http.request.bytes", Long),
    ("http.request.id", Keyword),
    ("http.request.method", Keyword),
    ("http.request.mime_type", Keyword),
    ("http.request.referrer", Keyword),
    ("http.response.body.bytes", Long),
    ("http.response.body.content", Keyword),
    ("http.response.bytes", Long),
    ("http.response.mime_type", Keyword),
    ("http.response.status_code", Long),
    ("http.version", Keyword),
    ("log.logger", Keyword),
    ("log.origin.file.line", Long),
    ("log.origin.file.name", Keyword),
    ("log.origin.function", Keyword),
    ("log.syslog.appname", Keyword),
    ("log.syslog.facility.code", Long),
    ("log.syslog.facility.name", Keyword),
    ("log.syslog.hostname", Keyword),
    ("log.syslog.msgid", Keyword),
    ("log.syslog.priority", Long),
    ("log.syslog.procid", Keyword),
    ("log.syslog.severity.code", Long),
    ("log.syslog.severity.name", Keyword),
    ("log.syslog.version", Keyword),
    ("network.application", Keyword),
    ("network.bytes", Long),
    ("network.direction", Keyword),
    ("network.forwarded_ip", Ip),
    ("network.iana_number", Keyword),
    ("network.packets", Long),
    ("network.protocol", Keyword),
    ("network.transport", Keyword),
    ("network.type", Keyword),
    ("observer.egress.interface.name", Keyword),
    ("observer.hostname", Keyword),
    ("observer.ingress.interface.name", Keyword),
    ("observer.name", Keyword),
    ("observer.product", Keyword),
    ("observer.type", Keyword),
    ("observer.vendor", Keyword),
    ("observer.version", Keyword),
    ("organization.id", Keyword),
    ("organization.name", Keyword),
    ("process.command_line", Keyword),
    ("process.executable", Keyword),
    ("process.exit_code", Long),
    ("process.name", Keyword),
    ("process.parent.pid", Long),
    ("process.pid", Long),
    ("process.thread.id", Long),
    ("process.thread.name", Keyword),
    ("process.title", Keyword),
    ("process.working_directory", Keyword),
    ("rule.id", Keyword),
    ("rule.name", Keyword),
    ("server.address", Keyword),
    ("server.bytes", Long),
    ("server.domain", Keyword),
    ("server.ip", Ip),
    ("server.port", Long),
    ("service.environment", Keyword),
    ("service.id", Keyword),
    ("service.name", Keyword),
    ("service.node.name", Keyword),
    ("service.type", Keyword),
    ("service.version", Keyword),
    ("source.address", Keyword),
    ("source.as.number", Long),
    ("source.as.organization.name", Keyword),
    ("source.bytes", Long),
    ("source.domain", Keyword),
    ("source.geo.city_name", Keyword),
    ("source.geo.continent_code", Keyword),
    ("source.geo.country_iso_code", Keyword),
    ("source.geo.country_name", Keyword),
    ("source.geo.location", Keyword),
    ("source.geo.region_iso_code", Keyword),
    ("source.geo.region_name", Keyword),
    ("source.geo.timezone", Keyword),
    ("source.ip", Ip),
    ("source.mac", Keyword),
    ("source.nat.ip", Ip),
    ("source.nat.port", Long),
    ("source.packets", Long),
    ("source.port", Long),
    ("source.user.id", Keyword),
    ("source.user.name", Keyword),
    ("span.id", Keyword),
    ("tls.cipher", Keyword),
    ("tls.client.server_name", Keyword),
    ("tls.established", Bool),
    ("tls.resumed", Bool),
    ("tls.version", Keyword),
    ("tls.version_protocol", Keyword),
    ("trace.id", Keyword),
    ("transaction.id", Keyword),
    ("url.domain", Keyword),
    ("url.extension", Keyword),
    ("url.fragment", Keyword),
    ("url.full", Keyword),
    ("url.original", Keyword),
    ("url.password", Keyword),
    ("url.path", Keyword),
    ("url.port", Long),
    ("url.query", Keyword),
    ("url.scheme", Keyword),
    ("url.username", Keyword),
    ("user.domain", Keyword),
    ("user.email", Keyword),
    ("user.full_name", Keyword),
    ("user.group.id", Keyword),
    ("user.group.name", Keyword),
    ("user.hash", Keyword),
    ("user.id", Keyword),
    ("user.name", Keyword),
    ("user.roles", Keyword),
    ("user_agent.device.name", Keyword),
    ("user_agent.name", Keyword),
    ("user_agent.original", Keyword),
    ("user_agent.os.full", Keyword),
    ("user_agent.os.name", Keyword),
    ("user_agent.os.version", Keyword),
    ("user_agent.version", Keyword),
];

/// Words of 64 bits that a [`FieldSet`] takes.
const WORDS: usize = FIELDS.len().div_ceil(64);

/// A field of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FieldId(pub(crate) u8);

impl FieldId {
    pub(crate) const CLIENT_ADDRESS: FieldId = field("client.address");
    pub(crate) const CLIENT_IP: FieldId = field("client.ip");
    pub(crate) const DESTINATION_ADDRESS: FieldId = field("destination.address");
    pub(crate) const DESTINATION_IP: FieldId = field("destination.ip");
    pub(crate) const SERVER_ADDRESS: FieldId = field("server.address");
    pub(crate) const SERVER_IP: FieldId = field("server.ip");
    pub(crate) const SOURCE_ADDRESS: FieldId = field("source.address");
    pub(crate) const SOURCE_IP: FieldId = field("source.ip");
    pub(crate) const URL_ORIGINAL: FieldId = field("url.original");
    pub(crate) const URL_PATH: FieldId = field("url.path");
    pub(crate) const URL_QUERY: FieldId = field("url.query");
    pub(crate) const ERROR_FINGERPRINT: FieldId = field("error.fingerprint");
    pub(crate) const HTTP_RESPONSE_STATUS_CODE: FieldId = field("http.response.status_code");
    pub(crate) const SERVICE_NAME: FieldId = field("service.name");
    pub(crate) const ERROR_MESSAGE: FieldId = field("error.message");
    pub(crate) const ERROR_STACK_TRACE: FieldId = field("error.stack_trace");
    pub(crate) const ERROR_TYPE: FieldId = field("error.type");
    pub(crate) const ORIGIN_FILE: FieldId = field("log.origin.file.name");
    pub(crate) const ORIGIN_LINE: FieldId = field("log.origin.file.line");

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    pub(crate) fn name(self) -> &'static str {
        FIELDS[self.index()].0
    }

    pub(crate) fn kind(self) -> Kind {
        FIELDS[self.index()].1
    }

    /// The field of a name.
    pub(crate) fn find(name: &str) -> Option<FieldId> {
        FIELDS
            .binary_search_by(|(n, _)| n.cmp(&name))
            .ok()
            .map(|i| FieldId(i as u8))
    }

    /// Whether other fields follow from its value: an IP from an address, say.
    #[inline]
    pub(crate) fn is_derived_from(self) -> bool {
        const ALL: FieldSet = {
            let mut set = FieldSet([0; WORDS]);
            let ids = [
                FieldId::SOURCE_ADDRESS,
                FieldId::CLIENT_ADDRESS,
                FieldId::SERVER_ADDRESS,
                FieldId::DESTINATION_ADDRESS,
                FieldId::URL_ORIGINAL,
            ];
            let mut i = 0;
            while i < ids.len() {
                set.0[ids[i].0 as usize / 64] |= 1 << (ids[i].0 % 64);
                i += 1;
            }
            set
        };
        ALL.contains(self)
    }

    /// Whether a line's value stands even when the stream's metadata has one: the program knows
    /// its own service better than the name of its container tells.
    pub(crate) fn line_wins(self) -> bool {
        self.name().starts_with("service.")
    }
}

/// The field of a name that must exist: checked when compiled.
const fn field(name: &str) -> FieldId {
    let mut i = 0;
    while i < FIELDS.len() {
        if const_equal(FIELDS[i].0.as_bytes(), name.as_bytes()) {
            return FieldId(i as u8);
        }
        i += 1;
    }
    panic!("no such ECS field")
}

const fn const_equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// A set of fields.
#[derive(Debug, Clone, Copy, Eq, Default)]
pub(crate) struct FieldSet([u64; WORDS]);

/// Word by word: what is derived calls a function for a few words, of which a document needs several
/// (2 % of `make bench-rules`).
impl PartialEq for FieldSet {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        let words = self.0.iter().zip(&other.0);
        words.fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}

impl FieldSet {
    pub(crate) fn insert(&mut self, id: FieldId) {
        self.0[id.index() / 64] |= 1 << (id.index() % 64);
    }

    pub(crate) fn remove(&mut self, id: FieldId) {
        self.0[id.index() / 64] &= !(1 << (id.index() % 64));
    }

    pub(crate) fn contains(&self, id: FieldId) -> bool {
        self.0[id.index() / 64] & (1 << (id.index() % 64)) != 0
    }

    /// A number that sets which are not the same seldom share.
    #[inline]
    pub(crate) fn hash(&self) -> usize {
        let mix = |sum: u64, word: &u64| {
            (sum ^ word)
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .rotate_left(29)
        };
        (self.0.iter().fold(0, mix) >> 32) as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().fold(0, |any, word| any | word) == 0
    }

    pub(crate) fn intersects(&self, other: &FieldSet) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    pub(crate) fn intersection(&self, other: &FieldSet) -> FieldSet {
        let mut both = *self;
        both.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= b);
        both
    }

    pub(crate) fn without(&self, other: &FieldSet) -> FieldSet {
        let mut rest = *self;
        rest.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= !b);
        rest
    }

    /// The fields of the object `root`.
    pub(crate) fn of_root(root: &str) -> FieldSet {
        let mut set = FieldSet::default();
        for (i, (name, _)) in FIELDS.iter().enumerate() {
            if name.split('.').next() == Some(root) {
                set.insert(FieldId(i as u8));
            }
        }
        set
    }

    /// The fields in the order of the table.
    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = FieldId> {
        let mut words = self.0;
        let mut at = 0;
        std::iter::from_fn(move || {
            while words.get(at) == Some(&0) {
                at += 1;
            }
            let word = words.get_mut(at)?;
            let bit = word.trailing_zeros();
            *word &= *word - 1;
            Some(FieldId((at as u32 * 64 + bit) as u8))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::names::ALIASES;
    use super::*;

    #[test]
    fn fields_are_sorted_and_none_contains_another() {
        assert!(FIELDS.len() <= 255);
        for pair in FIELDS.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} {}", pair[0].0, pair[1].0);
            assert!(
                !pair[1].0.starts_with(&format!("{}.", pair[0].0)),
                "{}",
                pair[1].0
            );
        }
        for (i, (name, _)) in FIELDS.iter().enumerate() {
            assert_eq!(FieldId::find(name), Some(FieldId(i as u8)));
        }
    }

    #[test]
    fn every_name_is_found_once_and_aliases_point_at_fields() {
        let names = Names::get();
        for (i, name) in names.all.iter().enumerate() {
            assert_eq!(
                names.position(name.text.as_bytes()),
                Some(i),
                "{} stands twice",
                name.text
            );
        }
        for (_, field) in ALIASES {
            assert!(FieldId::find(field).is_some(), "{field}");
        }
        assert!(names.lookup(b"colour", key_hash(b"colour")).is_none());
        let http = names.lookup(b"http", key_hash(b"http")).unwrap();
        assert!(http.is_root && http.role == Role::Other);
        let log = names.lookup(b"log", key_hash(b"log")).unwrap();
        assert!(log.is_root && matches!(log.role, Role::Message(_)));
    }

    #[test]
    fn shapes_write_what_nest_writes() {
        let shapes = Shape::all();
        for stride in 1..40 {
            let mut nest = crate::nest::Nest::continued();
            let (mut expected, mut out) = (Vec::new(), Vec::new());
            let mut before = None;
            for (field, shape) in FIELDS.iter().zip(shapes).step_by(stride) {
                nest.append_key(&mut expected, field.0.as_bytes());
                shape.append_key(&mut out, before, 0);
                before = Some(shape);
            }
            nest.finish(&mut expected);
            before.unwrap().append_end(&mut out, 0);
            assert_eq!(String::from_utf8(out), String::from_utf8(expected));
        }
    }

    #[test]
    fn sets_iterate_in_order() {
        let mut set = FieldSet::default();
        for i in [3u8, 64, 127, 130] {
            set.insert(FieldId(i));
        }
        assert_eq!(
            set.iter().map(|f| f.0).collect::<Vec<_>>(),
            [3, 64, 127, 130]
        );
        assert!(set.contains(FieldId(64)) && !set.contains(FieldId(65)) && !set.is_empty());
    }
}
