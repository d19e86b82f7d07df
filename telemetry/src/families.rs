//! Metric families of one name under one head.
//!
//! A registry that holds the same family several times, once an output, writes its `# HELP` and
//! `# TYPE` lines every time. OpenMetrics allows one head a family, with all its samples behind it.

use std::collections::HashMap;

/// Joins the families of each name in OpenMetrics text; their order is that of first sight.
pub(crate) fn joined(text: &str) -> String {
    let mut families: Vec<String> = Vec::new();
    let mut place_of: HashMap<&str, usize> = HashMap::new();
    let mut place = 0;
    let mut is_known = false;
    for line in text.split_inclusive('\n') {
        if let Some(described) = line.strip_prefix("# HELP ") {
            let name = described.split(' ').next().unwrap_or_default();
            is_known = place_of.contains_key(name);
            place = *place_of.entry(name).or_insert(families.len());
            if !is_known {
                families.push(String::new());
            }
        }
        let is_head = line.starts_with("# ");
        let is_end = line.starts_with("# EOF");
        if is_end {
            families.push(line.to_owned());
        } else if let Some(family) = families.get_mut(place)
            && !(is_head && is_known)
        {
            family.push_str(line);
        }
    }
    families.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::{metrics::counter::Counter, registry::Registry};

    #[test]
    fn a_family_of_two_outputs_has_one_head() {
        let mut registry = Registry::default();
        for output in ["a", "b"] {
            let own = registry.sub_registry_with_label(("output".into(), output.into()));
            own.register("sent", "What was sent", Counter::<u64>::default());
            own.register_with_unit(
                "body",
                "Bodies",
                prometheus_client::registry::Unit::Bytes,
                Counter::<u64>::default(),
            );
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let expected = "# HELP sent What was sent.\n# TYPE sent counter\n\
            sent_total{output=\"a\"} 0\nsent_total{output=\"b\"} 0\n\
            # HELP body_bytes Bodies.\n# TYPE body_bytes counter\n# UNIT body_bytes bytes\n\
            body_bytes_total{output=\"a\"} 0\nbody_bytes_total{output=\"b\"} 0\n# EOF\n";
        assert_eq!(joined(&text), expected);
        assert_eq!(joined(expected), expected);
    }
}
