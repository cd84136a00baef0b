//! The report for people. Pure.

use super::assertion::Checked;
use super::summary::{Clients, Latency, PERCENTILES, Punctuality, Requests, Summary};
use super::units::time;
use crate::text::{count, safe};

/// The longest bar of the histogram.
const WIDTH: u64 = 40;

/// The lines of the report. Failed assertions are not included: they are errors.
pub(super) fn lines(summary: &Summary, checks: &[Checked<'_>]) -> Vec<String> {
    let mut lines = vec![head(summary), String::new()];
    lines.extend(totals(summary));
    if let Some(latency) = &summary.latency {
        lines.extend(latencies(latency));
        lines.extend(histogram(latency));
    }
    if !summary.failures.is_empty() {
        lines.extend([String::new(), "Errors:".into()]);
        let line = |code: &str, count, message: &str| {
            format!("  {code:<18} {count:>9}  {}", safe(message))
        };
        let failures = summary.failures.iter();
        lines.extend(failures.map(|failure| line(failure.code, failure.count, &failure.message)));
    }
    let notes = notes(summary);
    if !notes.is_empty() {
        lines.push(String::new());
        lines.extend(notes);
    }
    let mut holding = checks.iter().filter(|check| check.holds).peekable();
    if holding.peek().is_some() {
        lines.push(String::new());
        lines.extend(holding.map(ToString::to_string));
    }
    lines
}

fn head(summary: &Summary) -> String {
    let load = &summary.load;
    let connections = count(load.connections as u64, "connection");
    let pace = match load.target_rate {
        Some(rate) => format!("open loop, {rate}/s, at most {} in flight", load.in_flight),
        None => format!("closed loop, {} in flight", load.in_flight),
    };
    let queue = safe(&load.queue);
    let full = if load.full { ", full requests" } else { "" };
    let requests = match &load.requests {
        Requests::Numbers { n } => format!("n = {n}"),
        Requests::Any { method, body_bytes } => {
            let body = count(*body_bytes as u64, "byte");
            match method {
                Some(method) => format!("method {}, body of {body}", safe(method)),
                None => format!("body of {body}"),
            }
        }
    };
    format!("queue {queue}, {requests}: {pace}, {connections}{full}")
}

fn totals(summary: &Summary) -> Vec<String> {
    let mut lines = vec![
        format!("  rate      {:>12.1}/s", summary.rate),
        format!("  answered  {:>10}", summary.answered),
    ];
    let ratio = match summary.error_ratio() {
        Some(ratio) if ratio > 0.0 => format!("   {:.3}%", 100.0 * ratio),
        _ => String::new(),
    };
    lines.push(format!("  errors    {:>10}{ratio}", summary.errors));
    if summary.in_flight > 0 {
        lines.push(format!("  unfinished{:>10}", summary.in_flight));
    }
    let elapsed = time(summary.elapsed.as_secs_f64() * 1e6);
    let warm_up = match summary.load.warm_up_s {
        0.0 => String::new(),
        seconds => format!("   after {} of warm-up", time(seconds * 1e6)),
    };
    lines.push(format!("  took      {elapsed:>10}{warm_up}"));
    lines
}

fn latencies(latency: &Latency) -> Vec<String> {
    let line = |name: &str, micros| format!("  {name:<8} {:>12}", time(micros));
    let mut lines = vec![
        String::new(),
        "Latency:".into(),
        line("min", latency.min),
        line("mean", latency.mean),
    ];
    lines.extend(PERCENTILES.map(|(percent, name)| line(name, latency.percentile(percent))));
    lines.push(line("max", latency.max));
    lines
}

fn histogram(latency: &Latency) -> Vec<String> {
    let bars = latency.bars();
    let most = bars.iter().map(|bar| bar.count).max().unwrap_or(0).max(1);
    let mut lines = vec![String::new(), "Histogram:".into()];
    for bar in bars {
        let full = usize::try_from(bar.count * WIDTH / most).unwrap_or(0);
        let drawn = match (full, bar.count) {
            (0, 0) => String::new(),
            (0, _) => "▏".into(), // few, but not none
            (full, _) => "█".repeat(full),
        };
        let line = format!("  <= {:>8} {:>9} {drawn}", time(bar.up_to_us), bar.count);
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// What the reader should know before trusting the figures.
fn notes(summary: &Summary) -> Vec<String> {
    let mut notes = Vec::new();
    if summary.load.target_rate.is_some() {
        notes.extend(rate_not_kept(&summary.punctuality, summary.load.in_flight));
    }
    let Clients { lost, unexpected } = summary.clients;
    match lost {
        0 => {}
        1 => notes.push("A connection was lost; unanswered requests were sent again.".to_owned()),
        lost => notes.push(format!(
            "Connections were lost {lost} times; unanswered requests were sent again."
        )),
    }
    if unexpected > 0 {
        notes.push(format!("Late or duplicate replies: {unexpected}."));
    }
    if let Some(micros) = summary.processor {
        notes.push(format!(
            "fibrpc itself took {} of processor time per request.",
            time(micros)
        ));
    }
    notes
}

fn rate_not_kept(punctuality: &Punctuality, bound: usize) -> Option<String> {
    let Punctuality {
        late,
        latest,
        missed,
        crowded,
    } = *punctuality;
    let latest = time(latest.as_secs_f64() * 1e6);
    let requests = count(late, "request");
    if crowded {
        return Some(format!(
            "The rate was not reached: {bound} in flight is the limit (--in-flight);\n\
             {requests} left late, by up to {latest}, and {missed} were not sent."
        ));
    }
    (late > 0).then(|| format!("{requests} left late, by up to {latest}: this machine was busy."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::assertion::Assertion;
    use crate::cli::bench::summary::tests::summary;
    use std::time::Duration;

    #[test]
    fn a_report_of_a_closed_loop() {
        let summary = summary(1000, 0);
        let assertions = ["p99<20ms", "errors>0"].map(|text| text.parse().unwrap());
        let checks = assertions
            .each_ref()
            .map(|one: &Assertion| one.check(&summary));
        let lines = lines(&summary, &checks);
        let expected = "\
queue q, n = 30: closed loop, 100 in flight, 1 connection

  rate             500.0/s
  answered        1000
  errors             0
  took              2s   after 1s of warm-up

Latency:
  min               1µs
  mean            500µs
  p50             500µs
  p75             750µs
  p90             900µs
  p95             950µs
  p99             990µs
  p99.9           999µs
  p99.99            1ms
  max               1ms

Histogram:
  <=   1.78µs         1 ▏
  <=   3.16µs         2 ▏
  <=   5.62µs         2 ▏
  <=     10µs         4 ▏
  <=   17.8µs         8 ▏
  <=   31.6µs        14 █
  <=   56.2µs        25 ██
  <=    100µs        43 ███
  <=    178µs        78 ███████
  <=    316µs       139 ████████████
  <=    562µs       246 ██████████████████████
  <=      1ms       438 ████████████████████████████████████████

fibrpc itself took 12.3µs of processor time per request.

assertion holds: p99<20ms: measured 990µs";
        assert_eq!(lines.join("\n"), expected);
    }

    #[test]
    fn failures_are_in_the_report() {
        let mut summary = summary(1000, 250);
        summary.load.target_rate = Some(5000.0);
        summary.load.connections = 2;
        summary.load.full = true;
        summary.load.warm_up_s = 0.0;
        summary.in_flight = 3;
        summary.punctuality = Punctuality {
            late: 7,
            latest: Duration::from_millis(812),
            missed: 0,
            crowded: true,
        };
        summary.clients = Clients {
            lost: 1,
            unexpected: 4,
        };
        let report = lines(&summary, &[]).join("\n");
        for line in [
            "queue q, n = 30: open loop, 5000/s, at most 100 in flight, 2 connections, full requests\n",
            "  errors           250   20.000%",
            "  unfinished         3",
            "  took              2s\n",
            "Errors:\n  UNAVAILABLE              250  no server\n",
            "The rate was not reached: 100 in flight is the limit (--in-flight);\n",
            "\n7 requests left late, by up to 812ms, and 0 were not sent.\n",
            "A connection was lost; unanswered requests were sent again.",
            "Late or duplicate replies: 4.",
        ] {
            assert!(report.contains(line), "{line}\n{report}");
        }
        summary.punctuality.crowded = false;
        summary.clients.lost = 2;
        let report = lines(&summary, &[]).join("\n");
        for line in [
            "\n7 requests left late, by up to 812ms: this machine was busy.\n",
            "Connections were lost 2 times; unanswered requests were sent again.",
        ] {
            assert!(report.contains(line), "{line}\n{report}");
        }
    }

    #[test]
    fn any_requests_are_described_by_method_and_size() {
        let mut summary = summary(0, 0);
        for (method, body_bytes, head) in [
            (None, 0, "queue q, body of 0 bytes: closed loop, "),
            (
                Some("a\n"),
                1,
                "queue q, method a\\n, body of 1 byte: closed loop, ",
            ),
        ] {
            let method = method.map(str::to_owned);
            summary.load.requests = Requests::Any { method, body_bytes };
            let report = lines(&summary, &[]);
            assert!(report[0].starts_with(head), "{report:?}");
        }
    }

    #[test]
    fn without_measurements_there_are_no_latencies() {
        let mut summary = summary(0, 0);
        summary.processor = None;
        let report = lines(&summary, &[]).join("\n");
        assert!(report.ends_with("after 1s of warm-up"), "{report}");
        assert!(!report.contains("Latency"), "{report}");
    }
}
