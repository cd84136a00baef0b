//! Log events.

use super::*;

#[test]
fn a_cause_does_not_repeat_the_broker() {
    for (error, expect) in [
        ("cannot reach broker mq1:5672: timed out", "timed out"),
        (
            "cannot reach broker mq2:5672: timed out",
            "cannot reach broker mq2:5672: timed out",
        ),
        ("connection reset", "connection reset"),
    ] {
        assert_eq!(cause(error, "mq1:5672"), expect);
    }
}
