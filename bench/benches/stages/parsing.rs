//! From records to documents.

use bench::stages::Lines;
use divan::{
    Bencher,
    counter::{BytesCount, ItemsCount},
};
use parsers::RuleSet;

use crate::records::{Records, parser, stream};

/// With the line's own rule alone, or none where it says itself what it is.
#[divan::bench(args = [Lines::Nginx, Lines::Json, Lines::Logfmt, Lines::Plain])]
fn own_rule(bencher: Bencher<'_, '_>, lines: Lines) {
    let files: &[(&str, &str)] = match lines {
        Lines::Nginx => &[("nginx.yaml", "name: nginx\nsteps: [{nginx: {}}]\n")],
        _ => &[],
    };
    run(bencher, lines, files);
}

/// With all rules that ship.
#[divan::bench(args = Lines::ALL)]
fn all_rules(bencher: Bencher<'_, '_>, lines: Lines) {
    run(bencher, lines, RuleSet::shipped());
}

fn run(bencher: Bencher<'_, '_>, lines: Lines, files: &[(&str, &str)]) {
    let records = Records::of(lines);
    let (mut parser, stream) = (parser(files), stream());
    let mut document = Vec::new();
    bencher
        .counter(BytesCount::new(records.n_bytes))
        .counter(ItemsCount::new(records.len()))
        .bench_local(|| {
            let mut n_bytes = 0;
            records.each(|_, view| {
                document.clear();
                parser.append_document(view, &stream, &mut document);
                n_bytes += document.len();
            });
            n_bytes
        });
}
