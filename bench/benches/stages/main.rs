//! Times of the stages that a line passes, a module each, in MB of log and items a second:
//! `make bench-stages`, or `cargo bench --profile fast -p bench --bench stages -- [FILTER…]`.
//!
//! Every stage runs the code that ships, on the samples of `bench::stages`. Times belong to the
//! machine and to what else it does; what refuses a change is `make bench-guard`.

mod batch;
mod records;

mod buffering;
mod cutting;
mod encoding;
mod framing;
mod identifying;
mod judging;
mod packing;
mod parsing;
mod unpacking;

fn main() {
    divan::main();
}
