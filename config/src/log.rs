//! The programs' own log; the same section in both files.

use crate::section::{Check, choice, section};

choice! {
    /// Least important kind of message that is written.
    pub enum LogLevel {
        /// Everything, for developers.
        Trace = "trace",
        /// What is done, step by step.
        Debug = "debug",
        /// What an operator may want to know.
        Info = "info",
        /// What may need an operator.
        Warn = "warn",
        /// What needs an operator.
        Error = "error",
    }
}

choice! {
    /// How messages are written.
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

section! {
    /// The program's own log, written to standard error.
    pub struct LogConfig {
        /// Least important kind of message that is written. Changed by a reload.
        level: LogLevel = LogLevel::Info,
        /// How messages are written.
        format: LogFormat = LogFormat::Text,
    }
}

impl Check for LogConfig {}
