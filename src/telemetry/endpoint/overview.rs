//! The status as people read it. Pure.

use super::health::Condition;
use crate::protocol::control::Report;
use crate::text::{count, duration, safe};
use std::time::Duration;

/// Everything about the server on a page of short lines.
pub(super) fn overview(report: &Report, ready: &Condition) -> String {
    let (Ok(line) | Err(line)) = ready;
    let up = duration(Duration::from_secs(report.uptime_s));
    let instance = safe(&report.instance);
    let mut lines = vec![
        line.clone(),
        format!(
            "instance    {instance}, version {}, pid {} on {}, up {up}",
            report.version, report.pid, report.host
        ),
        format!(
            "queue       {}, {}, {}",
            safe(&report.queue),
            report.queue_type.as_deref().unwrap_or("type unknown"),
            count(report.consumers.into(), "consumer")
        ),
        format!(
            "requests    {} received, {} redelivered, {} in flight, prefetch {}",
            report.received, report.redelivered, report.in_flight, report.prefetch
        ),
        format!(
            "answers     {} with a value, {} with an error ({} expired), {} pings",
            report.served, report.failed, report.expired, report.pinged
        ),
        format!(
            "unanswered  {} without a usable reply address, {} poisoned",
            report.unanswerable, report.poisoned
        ),
        format!(
            "replies     {} returned, {} refused by the broker",
            report.returned, report.nacked
        ),
        format!("sessions    {}", report.sessions),
    ];
    if let (Some(requests), Some(errors), Some(ms)) = (
        report.recent_requests,
        report.recent_errors,
        report.recent_ms,
    ) {
        let length = duration(Duration::from_secs(ms.div_ceil(1000)));
        lines.push(format!(
            "recently    {} requests, {} with an error, in {length}{}",
            requests,
            errors,
            percentiles(report)
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// The times of recent requests, if there were any.
fn percentiles(report: &Report) -> String {
    let all = [
        ("p50", report.p50_us),
        ("p90", report.p90_us),
        ("p99", report.p99_us),
    ];
    let known = all.into_iter().filter_map(|(name, us)| Some((name, us?)));
    known
        .map(|(name, us)| format!(", {name} {}", duration(Duration::from_micros(us))))
        .collect::<Vec<_>>()
        .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_numbers_of_the_report() {
        let mut report = Report {
            instance: "evil\nname".into(),
            version: "1.2.3".into(),
            host: "h".into(),
            pid: 7,
            uptime_s: 90,
            queue: "evil\nqueue".into(),
            queue_type: Some("quorum".into()),
            consumers: 1,
            received: 12_345,
            ..Report::default()
        };
        let page = overview(&report, &Err("not ready: starting".into()));
        let lines: Vec<&str> = page.lines().collect();
        assert_eq!(lines[0], "not ready: starting");
        assert_eq!(
            lines[1],
            r"instance    evil\nname, version 1.2.3, pid 7 on h, up 1m30s"
        );
        assert_eq!(lines[2], r"queue       evil\nqueue, quorum, 1 consumer");
        assert!(lines[3].contains("12345"), "{page}");
        assert_eq!(lines.len(), 8, "{page}");
        report.recent_ms = Some(60_000);
        report.recent_requests = Some(8);
        report.recent_errors = Some(1);
        report.p50_us = Some(1500);
        report.p99_us = Some(20_000);
        let page = overview(&report, &Ok("ready".into()));
        let last = page.lines().last();
        assert_eq!(
            last,
            Some("recently    8 requests, 1 with an error, in 1m, p50 1.5ms, p99 20ms")
        );
    }
}
