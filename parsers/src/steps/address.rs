//! `ip` and `geoip`: what an address tells.

use std::net::IpAddr;
use std::sync::Arc;

use maxminddb::path;

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::formula::Network;
use crate::json::ValueKind;
use crate::rules::{Field, Options, Reader};
use crate::value::Value;
use crate::work::Work;

pub(super) static IP: Entry = Entry {
    doc: StepDoc {
        name: "ip",
        group: Group::Shaping,
        summary: "checks an address and says where it belongs: `ip: {field: peer, to: source.ip, into: peer_kind}`",
        doc: "`[2001:db8::1]:80`, `10.0.0.1:80` and IPv6 mapped IPv4 addresses are read, too; the port goes to `port`. The kind is the first of `networks` that holds the address, else `loopback`, `private`, `link_local`, `multicast` or `public`. The step fails when the field is there and is no address.",
        form: Form::Options,
        options: &[
            OptionDoc {
                name: "field",
                kind: OptionKind::Field,
                need: Need::Required,
                doc: "where the address is; removed once read, unless it is where the address goes",
            },
            OptionDoc {
                name: "to",
                kind: OptionKind::Field,
                need: Need::Optional,
                doc: "where the address goes; the same field when left out",
            },
            OptionDoc {
                name: "port",
                kind: OptionKind::Field,
                need: Need::Optional,
                doc: "where a port goes",
            },
            OptionDoc {
                name: "into",
                kind: OptionKind::Field,
                need: Need::Optional,
                doc: "where the kind goes",
            },
            OptionDoc {
                name: "networks",
                kind: OptionKind::TextMap,
                need: Need::Optional,
                doc: "names of kinds, each with a network: `office: 192.0.2.0/24`",
            },
        ],
        examples: &[
            "name: t\nsteps:\n  - logfmt: {}\n  - ip: {field: peer, to: source.ip, port: source.port, into: kind, networks: {office: 192.0.2.0/24}}\nexamples:\n  - line: 'peer=10.1.2.3:80 a=1'\n    fields: {source.ip: 10.1.2.3, source.port: 80, attributes.kind: private, attributes.peer: null}\n  - line: 'peer=[2001:db8::1]:443 a=1'\n    fields: {source.ip: '2001:db8::1', source.port: 443, attributes.kind: public}\n  - line: 'peer=192.0.2.7 a=1'\n    fields: {attributes.kind: office}\n  - line: 'peer=x a=1'\n    no_match: true\n",
        ],
    },
    read: read_ip,
};

pub(super) static GEOIP: Entry = Entry {
    doc: StepDoc {
        name: "geoip",
        group: Group::Shaping,
        summary: "country, city and network of an address, from your own MaxMind file",
        doc: "Of a City or Country database it makes `geo.country_iso_code`, `geo.country_name`, `geo.continent_code`, `geo.region_iso_code`, `geo.region_name`, `geo.city_name`, `geo.timezone` and `geo.location` (as `lat,lon`), of an ASN database `as.number` and `as.organization.name`, under `prefix`. The file is read into memory when the rules are loaded. An address that is not in it sets nothing. GeoLite2 files are free of charge at MaxMind, under their licence.",
        form: Form::Options,
        options: &[
            OptionDoc {
                name: "field",
                kind: OptionKind::Field,
                need: Need::Default("source.ip"),
                doc: "where the address is",
            },
            OptionDoc {
                name: "file",
                kind: OptionKind::Text,
                need: Need::Required,
                doc: "the `.mmdb` file; relative to the rule file",
            },
            OptionDoc {
                name: "prefix",
                kind: OptionKind::Text,
                need: Need::Optional,
                doc: "put before the fields; what the field begins with when left out: `source.ip` makes `source.geo.city_name`",
            },
        ],
        examples: &[],
    },
    read: read_geoip,
};

#[derive(Debug)]
struct Ip {
    field: Field,
    to: Field,
    port: Option<Field>,
    into: Option<Field>,
    networks: Vec<(String, Network)>,
}

struct GeoIp {
    field: Field,
    /// `None`: withheld.
    database: Option<Arc<maxminddb::Reader<Vec<u8>>>>,
    texts: Vec<(Field, &'static [&'static str])>,
    location: Field,
    number: Field,
    organization: Field,
}

impl std::fmt::Debug for GeoIp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GeoIp").field("field", &self.field).finish()
    }
}

/// Fields of a database's record, and where they stand in it.
const TEXTS: &[(&str, &[&str])] = &[
    ("geo.country_iso_code", &["country", "iso_code"]),
    ("geo.country_name", &["country", "names", "en"]),
    ("geo.continent_code", &["continent", "code"]),
    ("geo.city_name", &["city", "names", "en"]),
    ("geo.timezone", &["location", "time_zone"]),
];

fn read_ip(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let field = options.field(reader, "field")?;
    let to = match options.text("to") {
        Some(_) => options.field(reader, "to")?,
        None => field.clone(),
    };
    let (port, into) = (options.field(reader, "port"), options.field(reader, "into"));
    let mut networks = Vec::new();
    for (name, value) in options.map("networks") {
        match Network::parse(value.text()?) {
            Some(network) => networks.push((name.text.clone(), network)),
            None => {
                let hint = "write it like `10.0.0.0/8`".to_owned();
                let what = format!("`{}` is no network", value.text()?);
                reader.report(value.place, what, Some(hint));
            }
        }
    }
    Some(Box::new(Ip {
        field,
        to,
        port,
        into,
        networks,
    }))
}

fn read_geoip(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let name = options.text("field")?;
    let field = options.field(reader, "field")?;
    let database = match reader.file(options.text("file")?) {
        None => None,
        Some(file) => match maxminddb::Reader::open_readfile(&file) {
            Ok(database) => Some(Arc::new(database)),
            Err(error) => {
                let what = format!("cannot read the database `{}`: {error}", file.display());
                reader.report(options.place("file"), what, None);
                return None;
            }
        },
    };
    let own = name.rsplit_once('.').map_or("", |(before, _)| before);
    let prefix = options.text("prefix").unwrap_or(own);
    let dot = if prefix.is_empty() { "" } else { "." };
    let mut named = |name: &str| reader.field(&format!("{prefix}{dot}{name}"), options.place);
    let mut texts = Vec::new();
    for (name, path) in TEXTS {
        texts.push((named(name)?, *path));
    }
    // The last of a list of subdivisions would be the narrower one; databases begin with the wider.
    texts.push((
        named("geo.region_iso_code")?,
        &["subdivisions", "0", "iso_code"],
    ));
    texts.push((
        named("geo.region_name")?,
        &["subdivisions", "0", "names", "en"],
    ));
    Some(Box::new(GeoIp {
        location: named("geo.location")?,
        number: named("as.number:int")?,
        organization: named("as.organization.name")?,
        field,
        database,
        texts,
    }))
}

/// An address, and the port behind it.
fn address(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address.to_canonical(), None));
    }
    if let Ok(socket) = text.parse::<std::net::SocketAddr>() {
        return Some((socket.ip().to_canonical(), Some(socket.port())));
    }
    let inside = text.strip_prefix('[')?.strip_suffix(']')?;
    Some((inside.parse::<IpAddr>().ok()?.to_canonical(), None))
}

fn kind(address: IpAddr) -> &'static str {
    let is_private = match address {
        // 100.64.0.0/10 is what providers and clusters use among themselves.
        IpAddr::V4(v4) => v4.is_private() || (v4.octets()[0] == 100 && v4.octets()[1] & 0xC0 == 64),
        IpAddr::V6(v6) => v6.is_unique_local(),
    };
    let is_link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    match address {
        _ if address.is_loopback() => "loopback",
        _ if is_private => "private",
        _ if is_link_local => "link_local",
        _ if address.is_multicast() => "multicast",
        _ => "public",
    }
}

impl Step for Ip {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        use std::io::Write;
        let Some(span) = work.text_of(&self.field) else {
            return Ok(Flow::Next);
        };
        let text = std::str::from_utf8(work.bytes(span)).unwrap_or_default();
        let Some((address, port)) = address(text.trim()) else {
            return Err(Failure::at(span.start as usize, "this is no IP address"));
        };
        work.remove_unless(&self.field, &self.to);
        let span = work.write(|out| {
            write!(out, "{address}").expect("writing to memory does not fail");
        });
        work.put(&self.to, Value::text(span))?;
        if let (Some(field), Some(port)) = (&self.port, port) {
            let span = work.write(|out| {
                out.extend_from_slice(itoa::Buffer::new().format(port).as_bytes());
            });
            work.put(field, Value::json(span, ValueKind::Number))?;
        }
        if let Some(field) = &self.into {
            let own = self.networks.iter().find(|(_, n)| n.holds(address));
            let name = own.map_or(kind(address), |(name, _)| name);
            let span = work.write(|out| out.extend_from_slice(name.as_bytes()));
            work.put(field, Value::text(span))?;
        }
        Ok(Flow::Next)
    }
}

impl Step for GeoIp {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        let Some(span) = work.text_of(&self.field) else {
            return Ok(Flow::Next);
        };
        let text = std::str::from_utf8(work.bytes(span)).unwrap_or_default();
        let Ok(address) = text.parse::<IpAddr>() else {
            return Ok(Flow::Next);
        };
        let Some(database) = self.database.clone() else {
            return Ok(Flow::Next);
        };
        let Ok(found) = database.lookup(address) else {
            return Ok(Flow::Next);
        };
        for (field, path) in &self.texts {
            let value: Option<&str> = match path {
                [a, "0", b] => found.decode_path(&path![*a, 0, *b]).ok().flatten(),
                [a, "0", b, c] => found.decode_path(&path![*a, 0, *b, *c]).ok().flatten(),
                [a, b] => found.decode_path(&path![*a, *b]).ok().flatten(),
                [a, b, c] => found.decode_path(&path![*a, *b, *c]).ok().flatten(),
                _ => None,
            };
            put_text(work, field, value)?;
        }
        let latitude: Option<f64> = found
            .decode_path(&path!["location", "latitude"])
            .ok()
            .flatten();
        let longitude: Option<f64> = found
            .decode_path(&path!["location", "longitude"])
            .ok()
            .flatten();
        if let (Some(latitude), Some(longitude)) = (latitude, longitude) {
            put_text(
                work,
                &self.location,
                Some(&format!("{latitude},{longitude}")),
            )?;
        }
        let number: Option<u32> = found
            .decode_path(&path!["autonomous_system_number"])
            .ok()
            .flatten();
        if let Some(number) = number {
            put_text(work, &self.number, Some(itoa::Buffer::new().format(number)))?;
        }
        let organization: Option<&str> = found
            .decode_path(&path!["autonomous_system_organization"])
            .ok()
            .flatten();
        put_text(work, &self.organization, organization)?;
        Ok(Flow::Next)
    }
}

fn put_text(work: &mut Work<'_>, field: &Field, text: Option<&str>) -> Result<(), Failure> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(());
    };
    let span = work.write(|out| out.extend_from_slice(text.as_bytes()));
    work.put(field, Value::text(span))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::RuleSet;

    #[test]
    fn a_database_tells_where_an_address_is() {
        let path = Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/data/rules.yaml"
        ));
        let rule = |file: &str| {
            format!(
                "name: t\nsteps:\n  - pattern: '<source.ip> <message>'\n  - geoip: {{file: {file}}}\nexamples:\n  - line: 192.0.2.7 x\n    fields:\n      source.geo.country_iso_code: DE\n      source.geo.city_name: Köln\n      source.geo.region_iso_code: NW\n      source.geo.location: '50.9,6.9'\n      source.as.number: 64496\n      source.as.organization.name: Example Net\n  - line: 2001:db8::1 x\n    fields: {{source.geo.country_name: Germany}}\n  - line: 198.51.100.1 x\n    fields: {{source.geo.country_name: null}}\n"
            )
        };
        let loaded = RuleSet::from_texts(&[(path, &rule("geo.mmdb"))]);
        assert!(loaded.is_ok(), "{:#?}", loaded.err());
        let problems = RuleSet::from_texts(&[(path, &rule("none.mmdb"))]).unwrap_err();
        assert!(problems[0].what.contains("cannot read the database"));
    }

    #[test]
    fn addresses_have_kinds() {
        let check = |text: &str, expected: &str| {
            assert_eq!(kind(address(text).unwrap().0), expected, "{text}");
        };
        check("127.0.0.1", "loopback");
        check("::ffff:10.0.0.1", "private");
        check("100.64.0.1", "private");
        check("fe80::1", "link_local");
        check("[fd00::1]", "private");
        check("ff02::1", "multicast");
        check("8.8.8.8:53", "public");
        assert_eq!(address("10.0.0"), None);
    }
}
