//! A record costs no allocation once the scratch memory has grown: counted, not believed.
#![expect(
    unsafe_code,
    reason = "a counting global allocator cannot be written without"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parsers::{Outcome, Parser, RecordView, RuleSet, StreamContext};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test alone in this process: another thread's allocations would be counted, too.
#[test]
fn records_cost_no_allocation_in_steady_state() {
    let texts: Vec<_> = RuleSet::shipped()
        .iter()
        .map(|(n, t)| (Path::new(*n), *t))
        .collect();
    let rules = Arc::new(RuleSet::from_texts(&texts).expect("the shipped rules load"));
    let context = |container: &str| {
        let metadata = format!(
            r#"{{"kubernetes.namespace":"shop","kubernetes.container.name":"{container}","service.name":"web","log.file.path":"/x"}}"#
        );
        StreamContext::new(metadata.as_bytes()).unwrap()
    };
    let streams = [context("web"), context("redis")];
    let lines: [&[u8]; 9] = [
        b"2024-01-02 03:04:05 ERROR a plain line \"quoted\"",
        br#"{"time":"2024-01-02T03:04:05Z","level":"info","msg":"hi \u00e4","user":{"id":1,"tags":["a"]},"http":{"request":{"method":"GET","x":1}},"service.name":"s"}"#,
        br#"{"a":1,"a":2,"b.c":1,"b":{"c":1e400,"d":[1,"x"]},"\u0061":[NaN]}"#,
        br#"level=warn msg="no \"card\"" order=17 took=12.5 source.ip=10.0.0.1 order=18"#,
        br#"10.0.0.1 - bob [10/Oct/2023:13:55:36 +0200] "GET /cart?id=1 HTTP/1.1" 200 512 "-" "curl/8""#,
        b"1:M 02 Jan 2024 03:04:05.678 * Ready to accept connections",
        b"invalid \xff\xfe bytes",
        b"java.lang.IllegalStateException: no stock\n\tat a.B.c(B.java:1)",
        b"",
    ];
    let mut parser = Parser::new(rules);
    let mut out = Vec::new();
    let mut run = |now_ns: i64| {
        out.clear();
        for stream in &streams {
            for message in lines {
                let record = RecordView {
                    message,
                    iostream: Some("stdout"),
                    time_ns: Some(now_ns),
                    now_ns,
                    stream: 7,
                    offset: 9,
                    length: 11,
                    parts: &[(1, 2, 3)],
                    trace_at: message.starts_with(b"java").then_some(0),
                    tags: &["partial"],
                    unparsed: false,
                };
                let outcome = parser.append_document(&record, stream, &mut out);
                assert!(matches!(outcome, Outcome::Document(_)));
            }
        }
    };
    // The ring of unmatched records has to be filled once.
    for second in 0..40 {
        run(1_700_000_000_000_000_000 + second * 1_000_000_000);
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for second in 0..100 {
        run(1_700_000_100_000_000_000 + second * 1_000_000_000);
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
}
