//! What both programs tell of themselves: their log, `/metrics` and its companions, tables for
//! people. Knows nothing of what it reports; the programs hand that in.

mod families;
pub mod http;
pub mod logging;
pub mod process;
pub mod table;
