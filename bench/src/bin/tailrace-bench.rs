//! Measures the programs on one workload and prints one table.

fn main() {}
