//! `tailrace-aggregator`: reads arguments and hands over.

use std::process::ExitCode;

/// Counts for `rules bench` only.
#[global_allocator]
static ALLOCATOR: aggregator::allocator::CountingAllocator =
    aggregator::allocator::CountingAllocator;

fn main() -> ExitCode {
    aggregator::command::main()
}
