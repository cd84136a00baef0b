//! Tests of [`TraceContext`](super::TraceContext): tables of the recommendation, and properties.

use super::*;
use proptest::prelude::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn parse(parent: &str) -> Option<TraceContext> {
    TraceContext::parse(parent, None)
}

#[test]
fn a_traceparent_is_read_as_the_recommendation_says() {
    let zero = |digits| "0".repeat(digits);
    // What is sent for it; `None`: invalid.
    let sent = |flags: &str| Some(format!("00-{TRACE}-{SPAN}-{flags}"));
    let table = [
        (format!("00-{TRACE}-{SPAN}-01"), sent("01")),
        (format!("00-{TRACE}-{SPAN}-00"), sent("00")),
        (format!("00-{TRACE}-{SPAN}-02"), sent("02")),
        // Unknown flags are not passed on.
        (format!("00-{TRACE}-{SPAN}-ff"), sent("03")),
        (format!("00-{TRACE}-{SPAN}-fc"), sent("00")),
        // Version 00 has an exact length.
        (format!("00-{TRACE}-{SPAN}-01-"), None),
        (format!("00-{TRACE}-{SPAN}-01-more"), None),
        (format!("00-{TRACE}-{SPAN}-0"), None),
        (format!("00-{TRACE}-{SPAN}"), None),
        // Later versions may be longer, after a dash.
        (format!("01-{TRACE}-{SPAN}-01"), sent("01")),
        (format!("cc-{TRACE}-{SPAN}-01-more"), sent("01")),
        (format!("fe-{TRACE}-{SPAN}-01-"), sent("01")),
        (format!("cc-{TRACE}-{SPAN}-01.more"), None),
        (format!("cc-{TRACE}-{SPAN}-0111"), None),
        (format!("ff-{TRACE}-{SPAN}-01"), None),
        (format!("0x-{TRACE}-{SPAN}-01"), None),
        (format!("0-{TRACE}-{SPAN}-001"), None),
        // Zero ids.
        (format!("00-{}-{SPAN}-01", zero(32)), None),
        (format!("00-{TRACE}-{}-01", zero(16)), None),
        // Only lower case, and only hexadecimal digits.
        (format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), None),
        (format!("00-{TRACE}-{}-01", SPAN.to_uppercase()), None),
        (format!("00-{TRACE}-{SPAN}-0A"), None),
        (format!("00-{TRACE}-{SPAN}-+1"), None),
        (format!("00-{}g-{SPAN}-01", &TRACE[1..]), None),
        // Separators, white space and what is not ASCII.
        (format!("00_{TRACE}-{SPAN}-01"), None),
        (format!("00-{TRACE}_{SPAN}-01"), None),
        (format!("00-{TRACE}-{SPAN}_01"), None),
        (format!(" 00-{TRACE}-{SPAN}-01"), None),
        (format!("00-{TRACE}-{SPAN}-01 "), None),
        (format!("00-{TRACE}-{}ä-01", &SPAN[2..]), None),
        (format!("cc-{TRACE}-{SPAN}-0ä"), None),
        (String::new(), None),
        ("00-ab-cd-01".into(), None),
    ];
    for (parent, expected) in table {
        let read = parse(&parent).map(|context| context.to_string());
        assert_eq!(read, expected, "{parent:?}");
    }
}

#[test]
fn a_tracestate_is_kept_as_it_is_or_left_out() {
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let members = |count: usize| {
        let members: Vec<_> = (0..count).map(|index| format!("k{index}=v")).collect();
        members.join(",")
    };
    let long = |length: usize| format!("{}={}", "k".repeat(256), "v".repeat(length - 257));
    for (state, kept) in [
        ("vendor=1".to_owned(), true),
        ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE".into(), true),
        ("1tenant@system=a b;c:d".into(), true),
        ("a=1 ,\tb=2".into(), true),
        ("a=1,,b=2,".into(), true),
        (members(32), true),
        (members(33), false),
        (long(512), true),
        (long(513), false),
        (format!("{}=1", "k".repeat(257)), false),
        (format!("k={}", "v".repeat(257)), false),
        (String::new(), false),
        (" , ,".into(), false),
        ("a".into(), false),
        ("a=".into(), false),
        ("=1".into(), false),
        ("a=1=2".into(), false),
        ("A=1".into(), false),
        ("@a=1".into(), false),
        ("a b=1".into(), false),
        ("a=1\n".into(), false),
        ("a=ä".into(), false),
        ("a=1,b".into(), false),
    ] {
        let context = TraceContext::parse(&parent, Some(&state)).unwrap();
        assert_eq!(context.state(), kept.then_some(&*state), "{state:?}");
        let headers = context.headers().count();
        assert_eq!(headers, 1 + usize::from(kept), "{state:?}");
    }
}

#[test]
fn a_span_is_a_child_or_a_root() {
    let parent = format!("00-{TRACE}-{SPAN}-03");
    let parent = TraceContext::parse(&parent, Some("a=1")).unwrap();
    let ids = [1, 2].map(|byte| Uuid::from_bytes([byte; 16]));
    let child = TraceContext::of_span(Some(&parent), ids[0], ids[1]);
    assert_eq!(child.to_string(), format!("00-{TRACE}-0202020202020202-03"));
    assert_eq!(
        (child.trace_id(), child.state()),
        (parent.trace_id(), Some("a=1"))
    );
    let root = TraceContext::of_span(None, ids[0], ids[1]);
    let trace = "01".repeat(16);
    assert_eq!(root.to_string(), format!("00-{trace}-0202020202020202-01"));
    assert_eq!(root.state(), None);
}

#[test]
fn ids_of_zero_make_no_context() {
    assert_eq!(TraceContext::new([0; 16], [1; 8], true), None);
    assert_eq!(TraceContext::new([1; 16], [0; 8], true), None);
    let context = TraceContext::new([1; 16], [2; 8], false).unwrap();
    assert!(!context.is_sampled());
}

proptest! {
    #[test]
    fn every_context_is_read_again(trace_id: [u8; 16], span_id: [u8; 8], sampled: bool) {
        let context = TraceContext::new(trace_id, span_id, sampled);
        if let Some(context) = context {
            let text = context.to_string();
            prop_assert_eq!(text.len(), LENGTH);
            prop_assert_eq!(parse(&text), Some(context));
        }
    }

    /// One character changed: what is still valid reads as what it says.
    #[test]
    fn nothing_is_made_up(at in 0..LENGTH, other in any::<char>()) {
        let valid = format!("00-{TRACE}-{SPAN}-01");
        let mut changed: Vec<char> = valid.chars().collect();
        changed[at] = other;
        let changed: String = changed.into_iter().collect();
        if let Some(context) = parse(&changed) {
            prop_assert_eq!(&context.to_string()[3..52], &changed[3..52]);
        }
    }
}
