//! The metrics of the process: what it counts itself, and the usual ones from its own part of `/proc`.
//!
//! Owns the time of the process's start, which is determined once, so that it does not vary with the rounding of clocks. What
//! cannot be read is left out.

use super::output::Output;
use super::table::{self, Family};
use crate::broker::clock::unix_ms;
use crate::server::Counters;
use crate::telemetry::source::{LEVELS, ProcessCounters, RELOADS};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::fmt;
use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

/// The unit of times in `/proc/self/stat`, which Linux fixes on all architectures that Debian has.
const TICKS_PER_SECOND: u64 = 100;

/// The field of `/proc/self/stat` with the start of the process, counted from the one after the name.
const START: usize = 19;

/// What was read of the process.
#[derive(Debug, Default)]
pub(super) struct Process {
    cpu: Duration,
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    open_fds: Option<u64>,
    max_fds: Option<u64>,
    /// A Unix timestamp.
    started: Option<Duration>,
}

impl Process {
    /// The process as it is now.
    pub(super) fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        // One of them is the folder that is being listed.
        let listed = fs::read_dir("/proc/self/fd").map(|fds| fds.count().saturating_sub(1));
        Self {
            cpu: since_zero(clock_gettime(ClockId::ProcessCPUTime)),
            resident_bytes: field(&status, "VmRSS:").map(|kib| kib * 1024),
            virtual_bytes: field(&status, "VmSize:").map(|kib| kib * 1024),
            open_fds: listed.ok().map(|count| count as u64),
            max_fds: getrlimit(Resource::Nofile).current,
            started: started(),
        }
    }

    /// Any process.
    #[cfg(test)]
    pub(super) fn example() -> Self {
        Self {
            cpu: Duration::from_millis(1500),
            resident_bytes: Some(8 << 20),
            virtual_bytes: Some(64 << 20),
            open_fds: Some(20),
            max_fds: Some(1024),
            started: Some(Duration::from_millis(1_764_000_000_250)),
        }
    }

    pub(super) fn encode(&self, output: &mut Output<'_>) -> fmt::Result {
        let cpu = self.cpu.as_secs_f64();
        output.counter(&table::PROCESS_CPU, &[([], cpu)])?;
        for (family, value) in [
            (&table::PROCESS_RESIDENT, self.resident_bytes),
            (&table::PROCESS_VIRTUAL, self.virtual_bytes),
            (&table::PROCESS_OPEN_FDS, self.open_fds),
            (&table::PROCESS_MAX_FDS, self.max_fds),
        ] {
            gauge(output, family, value)?;
        }
        let started = self.started.map(|started| started.as_secs_f64());
        gauge(output, &table::PROCESS_START, started)
    }
}

/// What the process counts beside the server.
pub(super) fn encode_counters(counters: &ProcessCounters, output: &mut Output<'_>) -> fmt::Result {
    let reloads: Vec<_> = (RELOADS.iter().zip(counters.reloads()))
        .map(|(result, count)| ([*result], count))
        .collect();
    output.counter(&table::RELOADS, &reloads)?;
    let records: Vec<_> = (LEVELS.iter().zip(counters.log_records()))
        .map(|(level, count)| ([*level], count))
        .collect();
    output.counter(&table::LOG_RECORDS, &records)?;
    output.counter(&table::LOG_LEFT_OUT, &[([], counters.log_left_out())])?;
    output.counter(
        &table::SPANS_DROPPED,
        &[([], Counters::get(&counters.spans_dropped))],
    )
}

fn gauge<V>(output: &mut Output<'_>, family: &Family, value: Option<V>) -> fmt::Result
where
    V: prometheus_client::encoding::EncodeGaugeValue,
{
    match value {
        Some(value) => output.gauge(family, &[([], value)]),
        None => Ok(()),
    }
}

/// The number in the line of `/proc/self/status` with this name.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// When the process started.
fn started() -> Option<Duration> {
    static STARTED: OnceLock<Option<Duration>> = OnceLock::new();
    *STARTED.get_or_init(|| {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let age = since_zero(clock_gettime(ClockId::Boottime)).checked_sub(since_boot(&stat)?)?;
        let now = Duration::from_millis(u64::try_from(unix_ms()).ok()?);
        now.checked_sub(age)
    })
}

/// From the boot of the system to the start of the process with this `/proc/self/stat`.
fn since_boot(stat: &str) -> Option<Duration> {
    // The name may contain blanks and parentheses.
    let (_, after_name) = stat.rsplit_once(") ")?;
    let ticks: u64 = after_name.split(' ').nth(START)?.parse().ok()?;
    Some(Duration::from_millis(ticks * (1000 / TICKS_PER_SECOND)))
}

fn since_zero(time: Timespec) -> Duration {
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_all_of_them() {
        let process = Process::read();
        assert!(process.cpu > Duration::ZERO);
        assert!(process.resident_bytes > Some(1 << 20), "{process:?}");
        assert!(process.virtual_bytes > process.resident_bytes);
        assert!(process.max_fds > process.open_fds, "{process:?}");
        let open = fs::File::open("/proc/self/status").unwrap();
        // Other tests open files as well.
        assert!(process.open_fds > Some(2));
        drop(open);
        let now = Duration::from_millis(unix_ms().unsigned_abs());
        let age = now.checked_sub(process.started.unwrap()).unwrap();
        assert!(age < Duration::from_secs(24 * 3600), "{age:?}");
        assert_eq!(process.started, Process::read().started);
    }

    #[test]
    fn the_start_is_found_behind_any_name() {
        let rest = format!("S {} 1234567 8", vec!["0"; START - 1].join(" "));
        for name in ["fibrpcd", "a b", "a) S 1"] {
            let stat = format!("42 ({name}) {rest}");
            assert_eq!(since_boot(&stat), Some(Duration::from_millis(12_345_670)));
        }
        assert_eq!(since_boot("42 (fibrpcd) S 1"), None);
    }

    #[test]
    fn fields_are_numbers_behind_their_name() {
        let status = "Name:\tThreads: 9\nVmRSS:\t    5120 kB\nThreads:\t3\n";
        assert_eq!(field(status, "VmRSS:"), Some(5120));
        assert_eq!(field(status, "Threads:"), Some(3));
        assert_eq!(field(status, "VmSize:"), None);
    }
}
