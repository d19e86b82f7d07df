//! What the agent carries of the node's systemd journal.

use std::path::PathBuf;

use super::{StartAt, not_empty_list};
use crate::fields::At;
use crate::section::{Check, Rule, section};
use crate::units::ByteSize;

section! {
    /// What the agent carries of the node's systemd journal (docs/journal.md).
    pub struct JournalConfig {
        /// Whether entries of the journal are carried.
        enabled: bool = false,
        /// Folders that hold the journal's: one named by the machine's id, in which the files are. A
        /// folder with files right in it does, too.
        paths: Vec<PathBuf> = ["/var/log/journal", "/run/log/journal"].map(PathBuf::from).to_vec()
            => Rule::any().check(not_empty_list),
        /// Units whose entries are carried, and what systemd says of them; a name that ends with
        /// `*` is the beginning of names. `kernel` is the kernel. Empty: all entries.
        units: Vec<String> = Vec::new()
            => Rule::example("[kubelet.service, containerd.service, kernel]"),
        /// Fields of the journal that come as `journald.<name>`, in lower case and without
        /// underscores in front, beside those that have a field of their own; a name that ends
        /// with `*` is the beginning of names.
        fields: Vec<String> = ["SYSLOG_IDENTIFIER", "SYSLOG_FACILITY", "MESSAGE_ID", "_TRANSPORT",
            "UNIT"].map(str::to_owned).to_vec()
            => Rule::example("[_UID, _CMDLINE, _BOOT_ID]"),
        /// Where reading starts the first time.
        start_at: StartAt = StartAt::End,
        /// Bytes of entries that wait in files of the agent, below `data_dir`. When they are full,
        /// entries wait in the journal.
        spool: ByteSize = ByteSize::mib(32) => Rule::range(ByteSize::kib(256), ByteSize::gib(64)),
    }
}

impl Check for JournalConfig {
    fn check(&self, at: &mut At<'_>) {
        for path in &self.paths {
            if !path.is_absolute() {
                at.problem("paths", format!("`{}` is not absolute", path.display()));
            }
        }
    }
}
