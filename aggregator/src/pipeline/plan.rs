//! What decides an event's bounds and its index: sealed with a chunk at its first try, and used
//! again at every try that may not be the first (DELIVERY rule 8).
//!
//! The settings of a plan are one text. Agents get it from an aggregator, keep it with the chunks
//! that they seal with it, and bring it along to an aggregator that does not know it: so a chunk
//! whose answer was lost is cut and named as at its first try, although rules were changed,
//! reloaded or rolled out in between, and although its first aggregator is gone.
//!
//! A text that comes from outside is believed only with the signature of an aggregator that has
//! the same tokens, and its rules read no file that those in force do not read.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parsers::RuleSet;
use ring::hmac;
use serde::{Deserialize, Serialize};
use wire::SettingsId;

use super::route::{Naming, Router, Routers};

/// Version of the text.
const VERSION: u32 = 1;

/// Bytes of the signature that a text begins with.
const SIGNATURE_BYTES: usize = 32;

/// Plans that chunks came sealed with and that are kept, compiled: as many as there are rollouts
/// and reloads within the age of a doubt.
const MAX_RESTORED: usize = 8;

/// Keys that signed settings: of the tokens in force, and of those before the latest reloads.
const MAX_KEYS: usize = 4;

/// Signs settings; the same on all aggregators that have the same tokens.
#[derive(Debug, Clone)]
pub struct SettingsKey(hmac::Key);

impl SettingsKey {
    /// The key that follows from `secrets`, whatever their order. Without any it is no secret:
    /// who reaches an aggregator that asks for no token may send it what he likes anyway.
    pub fn new<'s>(secrets: impl Iterator<Item = &'s str>) -> Self {
        let mut secrets: Vec<&str> = secrets.collect();
        secrets.sort_unstable();
        let mut all = b"tailrace settings".to_vec();
        for secret in secrets {
            // Lengths, so that two lists never join to the same text.
            all.extend_from_slice(&(secret.len() as u64).to_le_bytes());
            all.extend_from_slice(secret.as_bytes());
        }
        Self(hmac::Key::new(hmac::HMAC_SHA256, &all))
    }
}

/// The rules, limits and names that make documents of chunks.
#[derive(Debug)]
pub struct Plan {
    /// Rules: which lines are one event, fields, and where rules send documents.
    pub rules: Arc<RuleSet>,
    /// Limits of framing.
    pub framing: framing::Options,
    /// How each output names places.
    pub routers: Routers,
    /// Its text; `None` when that would be too long for the protocol.
    settings: Option<Settings>,
}

#[derive(Debug)]
struct Settings {
    id: SettingsId,
    signed: Vec<u8>,
}

/// What the text says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: u32,
    framing: FramingText,
    outputs: Vec<OutputText>,
    shipped_rules: bool,
    rules: Vec<(String, String)>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FramingText {
    max_line: usize,
    max_event: usize,
    max_lines: usize,
    max_span: u64,
    max_gap_ns: i64,
    multiline: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputText {
    name: String,
    naming: Naming,
    max_names: usize,
}

/// Why a text makes no plan here.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Signed with other tokens, or not by an aggregator.
    #[error("their signature is not of these tokens")]
    Signature,
    /// Written by another version of Tailrace, or damaged.
    #[error("they are not understood here: {0}")]
    Text(#[from] serde_json::Error),
    /// The rules do not work here: a variable of the environment is missing, say.
    #[error("their rules do not work here: {0}")]
    Rules(String),
}

impl Plan {
    /// A plan of these parts; `key` signs its text.
    pub fn new(
        rules: Arc<RuleSet>,
        framing: framing::Options,
        routers: Routers,
        key: &SettingsKey,
    ) -> Self {
        let text = Text {
            version: VERSION,
            framing: FramingText {
                max_line: framing.max_line,
                max_event: framing.max_event,
                max_lines: framing.max_lines,
                max_span: framing.max_span,
                max_gap_ns: framing.max_gap_ns,
                multiline: framing.multiline,
            },
            outputs: routers
                .iter()
                .map(|(name, router)| OutputText {
                    name: name.clone(),
                    naming: router.naming().clone(),
                    max_names: router.max_names(),
                })
                .collect(),
            shipped_rules: rules.has_shipped(),
            rules: rules
                .texts()
                .iter()
                .map(|(path, text)| (path.to_string_lossy().into_owned(), text.clone()))
                .collect(),
        };
        let settings = sign(&text, key);
        if settings.is_none() {
            tracing::warn!(
                "the rules are too long to be sealed with chunks: lines whose answer is lost just \
                 before a change of rules may come twice"
            );
        }
        Self {
            rules,
            framing,
            routers,
            settings,
        }
    }

    /// The same with other rules.
    #[must_use]
    pub fn with_rules(&self, rules: Arc<RuleSet>, key: &SettingsKey) -> Self {
        Self::new(rules, self.framing, Arc::clone(&self.routers), key)
    }

    /// The id of its text. `None`: chunks cannot be sealed with it.
    pub fn id(&self) -> Option<SettingsId> {
        self.settings.as_ref().map(|settings| settings.id)
    }

    /// Its text, signed, as agents keep it.
    pub fn text(&self) -> &[u8] {
        self.settings
            .as_ref()
            .map_or(&[], |settings| &settings.signed)
    }

    /// The plan of a text from outside, for the outputs of this one. What is as it is in this plan
    /// is shared with it.
    fn restored(&self, signed: &[u8], keys: &[SettingsKey]) -> Result<Self, RestoreError> {
        let (signature, json) = signed
            .split_at_checked(SIGNATURE_BYTES)
            .ok_or(RestoreError::Signature)?;
        if !keys
            .iter()
            .any(|key| hmac::verify(&key.0, json, signature).is_ok())
        {
            return Err(RestoreError::Signature);
        }
        let text: Text = serde_json::from_slice(json)?;
        Ok(Self {
            routers: self.restored_routers(&text),
            rules: self.restored_rules(&text)?,
            framing: framing::Options {
                max_line: text.framing.max_line,
                max_event: text.framing.max_event,
                max_lines: text.framing.max_lines,
                max_span: text.framing.max_span,
                max_gap_ns: text.framing.max_gap_ns,
                multiline: text.framing.multiline,
                ..self.framing
            },
            settings: Some(Settings {
                id: wire::settings_id(signed),
                signed: Vec::new(),
            }),
        })
    }

    fn restored_routers(&self, text: &Text) -> Routers {
        let differs = |(name, own): &(String, Arc<Router>)| {
            let sealed = text.outputs.iter().find(|output| output.name == *name);
            sealed.filter(|sealed| {
                sealed.naming != *own.naming() || sealed.max_names != own.max_names()
            })
        };
        if self.routers.iter().all(|own| differs(own).is_none()) {
            return Arc::clone(&self.routers);
        }
        let restored = |own: &(String, Arc<Router>)| match differs(own) {
            None => own.clone(),
            Some(sealed) => {
                let router = Router::new(sealed.naming.clone(), sealed.max_names);
                (own.0.clone(), Arc::new(router))
            }
        };
        self.routers.iter().map(restored).collect()
    }

    fn restored_rules(&self, text: &Text) -> Result<Arc<RuleSet>, RestoreError> {
        let own = self.rules.texts().iter();
        let own = own.map(|(path, text)| (path.to_string_lossy(), text.as_str()));
        let sealed = text.rules.iter();
        let sealed = sealed.map(|(path, text)| (path.as_str().into(), text.as_str()));
        if text.shipped_rules == self.rules.has_shipped() && own.eq(sealed) {
            return Ok(Arc::clone(&self.rules));
        }
        let texts: Vec<(&Path, &str)> = text
            .rules
            .iter()
            .map(|(path, text)| (Path::new(path), text.as_str()))
            .collect();
        let rules = RuleSet::restored(&texts, text.shipped_rules, self.rules.files()).map_err(
            |problems| {
                let first = problems.first().map(ToString::to_string);
                RestoreError::Rules(first.unwrap_or_default())
            },
        )?;
        Ok(Arc::new(rules.with_redaction_of(&self.rules)))
    }
}

fn sign(text: &Text, key: &SettingsKey) -> Option<Settings> {
    let json = serde_json::to_vec(text).ok()?;
    let mut signed = hmac::sign(&key.0, &json).as_ref().to_vec();
    signed.extend_from_slice(&json);
    let fits = signed.len() <= wire::Limits::default().max_settings_bytes;
    fits.then(|| Settings {
        id: wire::settings_id(&signed),
        signed,
    })
}

/// Plans that chunks came sealed with, by the id of their settings.
#[derive(Debug)]
pub struct RestoredPlans {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Youngest last.
    keys: VecDeque<SettingsKey>,
    /// Latest used last; `None`: cannot be restored here.
    plans: VecDeque<(SettingsId, Option<Arc<Plan>>)>,
}

impl RestoredPlans {
    /// None yet; texts that `key` signed are believed.
    pub fn new(key: SettingsKey) -> Self {
        Self {
            inner: Mutex::new(Inner {
                keys: VecDeque::from([key]),
                plans: VecDeque::new(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The configuration was reloaded: texts that `key` signed are believed, too. Plans are
    /// forgotten, as they were restored with the redaction that was in force.
    pub fn reloaded(&self, key: SettingsKey) {
        let mut inner = self.lock();
        inner.plans.clear();
        if inner.keys.len() >= MAX_KEYS {
            inner.keys.pop_front();
        }
        inner.keys.push_back(key);
    }

    /// The plan with this id. `None`: not known; `Some(None)`: known, and not to be restored here.
    pub fn get(&self, id: SettingsId) -> Option<Option<Arc<Plan>>> {
        let mut inner = self.lock();
        let at = inner.plans.iter().position(|(known, _)| *known == id)?;
        let found = inner.plans.remove(at)?;
        let plan = found.1.clone();
        inner.plans.push_back(found);
        Some(plan)
    }

    /// Restores a plan from the text that an agent brought along.
    pub fn learn(&self, id: SettingsId, signed: &[u8], current: &Plan) {
        if current.id() == Some(id) || self.get(id).is_some() {
            return;
        }
        let keys: Vec<SettingsKey> = self.lock().keys.iter().cloned().collect();
        let plan = match current.restored(signed, &keys) {
            Ok(plan) => Some(Arc::new(plan)),
            Err(error) => {
                tracing::warn!(
                    "lines come sealed with settings that cannot be used here, some may come \
                     twice: {error}"
                );
                None
            }
        };
        let mut inner = self.lock();
        inner.plans.retain(|(known, _)| *known != id);
        if inner.plans.len() >= MAX_RESTORED {
            inner.plans.pop_front();
        }
        inner.plans.push_back((id, plan));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Template;

    fn router(namespace: &str) -> Arc<Router> {
        let naming = Naming::DataStream {
            dataset: None,
            namespace: Template::parse(namespace),
        };
        Arc::new(Router::new(naming, 10))
    }

    fn key(secret: &str) -> SettingsKey {
        SettingsKey::new([secret].into_iter())
    }

    fn plan(rule: &str, namespace: &str, secret: &str) -> Plan {
        let rules = RuleSet::from_texts(&[(Path::new("r.yaml"), rule)]).unwrap();
        Plan::new(
            Arc::new(rules),
            framing::Options::default(),
            [("main".to_owned(), router(namespace))].into(),
            &key(secret),
        )
    }

    const OLD: &str = "name: old\nsteps:\n  - multiline: {start: '^\\d'}\n  - regex: '^(?P<a>.)'\n";
    const NEW: &str = "name: new\nsteps:\n  - regex: '^(?P<a>.)'\n";

    #[test]
    fn a_plan_comes_back_from_its_text() {
        let (old, new) = (
            plan(OLD, "%{kubernetes.namespace}", "s"),
            plan(NEW, "b", "s"),
        );
        let id = old.id().unwrap();
        assert_ne!(old.id(), new.id());
        let known = RestoredPlans::new(key("s"));
        assert!(known.get(id).is_none());
        known.learn(id, old.text(), &new);
        let restored = known.get(id).unwrap().unwrap();
        assert_eq!(restored.id(), Some(id));
        assert_eq!(restored.rules.names().collect::<Vec<_>>(), ["old"]);
        let (_, router) = &restored.routers[0];
        assert_eq!(router.naming(), old.routers[0].1.naming());
    }

    #[test]
    fn what_is_the_same_is_shared() {
        let old = plan(NEW, "a", "s");
        let new = Plan::new(
            Arc::clone(&old.rules),
            framing::Options {
                max_lines: 7,
                ..framing::Options::default()
            },
            Arc::clone(&old.routers),
            &key("s"),
        );
        let restored = new.restored(old.text(), &[key("s")]).unwrap();
        assert!(Arc::ptr_eq(&restored.rules, &new.rules));
        assert!(Arc::ptr_eq(&restored.routers, &new.routers));
        assert_eq!(restored.framing.max_lines, 1_000);
    }

    /// An agent's token is good for its own lines: it must not bring rules of its own.
    #[test]
    fn only_aggregators_with_the_same_tokens_are_believed() {
        let (old, new) = (plan(OLD, "a", "other"), plan(NEW, "b", "s"));
        let known = RestoredPlans::new(key("s"));
        let id = old.id().unwrap();
        known.learn(id, old.text(), &new);
        assert!(known.get(id).unwrap().is_none());
        // After a change of tokens those before are believed for a while.
        known.reloaded(key("t"));
        let (before, id) = (plan(OLD, "a", "s"), plan(OLD, "a", "s").id().unwrap());
        known.learn(id, before.text(), &new);
        assert!(known.get(id).unwrap().is_some());
        let mut forged = before.text().to_vec();
        *forged.last_mut().unwrap() ^= 1;
        let error = new.restored(&forged, &[key("s")]).unwrap_err();
        assert!(matches!(error, RestoreError::Signature));
    }

    #[test]
    fn a_restored_plan_reads_no_file_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let table = dir.path().join("t.csv");
        std::fs::write(&table, "code,team\n1,blue\n").unwrap();
        let rule = format!(
            "name: l\nsteps:\n  - logfmt: {{}}\n  - lookup: {{field: code, file: '{}', into: {{team: team}}}}\n",
            table.display()
        );
        let (old, new) = (plan(&rule, "a", "s"), plan(NEW, "a", "s"));
        assert_eq!(old.rules.files().len(), 1);
        let restored = new.restored(old.text(), &[key("s")]).unwrap();
        assert!(restored.rules.files().is_empty());
        let with_it = plan(&format!("{rule}---\n{NEW}"), "a", "s");
        let restored = with_it.restored(old.text(), &[key("s")]).unwrap();
        assert_eq!(restored.rules.files(), old.rules.files());
    }

    #[test]
    fn plans_that_were_restored_are_bounded() {
        let known = RestoredPlans::new(key("s"));
        let new = plan(NEW, "b", "s");
        for n in 0..3 * MAX_RESTORED {
            let old = plan(NEW, &format!("n{n}"), "s");
            known.learn(old.id().unwrap(), old.text(), &new);
        }
        assert_eq!(known.lock().plans.len(), MAX_RESTORED);
    }

    /// Agents bring no rules that ship: they must not cut or send anywhere, or what a try of
    /// another version did would not come again.
    #[test]
    fn shipped_rules_neither_cut_events_nor_choose_places() {
        let rules = RuleSet::load_with_shipped(&[]).unwrap();
        assert!(rules.ids().all(|rule| rules.multiline_of(rule).is_none()));
        assert!(rules.routes().is_empty());
    }
}
