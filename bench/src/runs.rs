//! The programs under measurement and the table of results.
