//! The log events for operators: one function each, which decides level, text, fields and `MESSAGE_ID`.
//!
//! The message says everything in one sentence, because `journalctl` and a terminal show only that; the fields repeat it
//! for machines. Fields named `fibrpc_x` become `FIBRPC_X` in the journal and `message_id`, 128 random bits in hex,
//! becomes `MESSAGE_ID`. The ids never change: people filter by them, and the catalog
//! (`packaging/systemd/fibrpcd.catalog`) explains the cause and remedy of each.
//!
//! Untrusted text may be passed as it is; the log writer escapes it.
//!
//! Events that can be triggered repeatedly from outside have an empty field `fibrpc_left_out`. The log
//! writer may drop some of them and puts their number there; `fibrpcd` writes ten of each per minute.

use crate::protocol::reply_to::Refused;
use crate::text;
use std::fmt::Display;
use std::time::Duration;
use tracing::field::Empty;
use tracing::{error, info, warn};

/// The `program` has started; `files` are the configuration files that were read.
pub fn started(program: &str, version: &str, files: &str) {
    info!(
        message_id = "148f8c7be36749b5aad921d65b0024d8",
        fibrpc_version = version,
        fibrpc_files = files,
        "started {program} {version}, configuration: {files}"
    );
}

/// The telemetry endpoint cannot listen at this address; the daemon serves without it, and tries again.
pub fn telemetry_unavailable(address: &str, error: &str) {
    error!(
        message_id = "412a71713cb64924abc5d4f00645143d",
        fibrpc_address = address,
        fibrpc_error = error,
        "telemetry: cannot listen at {address}: {error}; requests are served nevertheless"
    );
}

/// A session consumes. `broker` is the broker's product and version.
pub fn connected(endpoint: &str, queue: &str, broker: &str) {
    info!(
        message_id = "46642ac6820d4923b17b44943eef139c",
        fibrpc_endpoint = endpoint,
        fibrpc_queue = queue,
        fibrpc_broker = broker,
        fibrpc_left_out = Empty,
        "connected to {endpoint} ({broker}), consuming {queue}"
    );
}

/// The queue existed and is used as it is; its `argument` has a consequence for requests.
pub fn adopted(queue: &str, argument: &str, what: &str, consequence: &str) {
    warn!(
        message_id = "b133b25f10adc9b3cbb32850346416e5",
        fibrpc_queue = queue,
        fibrpc_argument = argument,
        fibrpc_consequence = consequence,
        "queue {queue:?} {what}: {consequence}; it is used as it is"
    );
}

/// An attempt failed or a session ended; attempt number `attempt` follows after `next_try`. `refused`: an operator has to
/// resolve the cause, and may want to retry at once.
pub fn disconnected(endpoint: &str, error: &str, next_try: Duration, attempt: u32, refused: bool) {
    warn!(
        message_id = "81c4371d87ee4cd3a51c9a678d581563",
        fibrpc_endpoint = endpoint,
        fibrpc_error = error,
        fibrpc_attempt = attempt,
        fibrpc_next_try_ms = millis(next_try),
        fibrpc_left_out = Empty,
        "disconnected from {endpoint}: {}; {}",
        cause(error, endpoint),
        next(attempt, next_try, refused)
    );
}

/// No session with the changed settings can be opened at `endpoint`. The old one keeps serving at `serving`, and attempt
/// number `attempt` follows after `next_try`.
pub fn kept(
    serving: &str,
    endpoint: &str,
    error: &str,
    next_try: Duration,
    attempt: u32,
    refused: bool,
) {
    warn!(
        message_id = "65537535f4ad678419b677c62f0a6d94",
        fibrpc_serving = serving,
        fibrpc_endpoint = endpoint,
        fibrpc_error = error,
        fibrpc_attempt = attempt,
        fibrpc_next_try_ms = millis(next_try),
        fibrpc_left_out = Empty,
        "cannot use the new broker and queue settings at {endpoint}, serving goes on at {serving} with the old ones: {}; {}",
        cause(error, endpoint),
        next(attempt, next_try, refused)
    );
}

/// When the next attempt follows, and how to make it now.
fn next(attempt: u32, next_try: Duration, refused: bool) -> String {
    let hint = if refused && !next_try.is_zero() {
        "; systemctl reload (SIGHUP) tries at once"
    } else {
        ""
    };
    format!("try {attempt} in {}{hint}", text::duration(next_try))
}

/// A session that was being replaced ended before it had finished.
pub fn cut_short(endpoint: &str, error: &str) {
    warn!(
        fibrpc_endpoint = endpoint,
        fibrpc_error = error,
        fibrpc_left_out = Empty,
        "the session on {endpoint} that was being replaced ended early, the broker redelivers what it had in flight: {}",
        cause(error, endpoint)
    );
}

/// The broker at `endpoint` closes a connection that replies to a caller at this node of its cluster. Requests of these
/// callers are acknowledged without a reply for the duration `lasts`.
pub fn node_gone(endpoint: &str, node: &str, lasts: Duration) {
    warn!(
        message_id = "c4065179f163116688ccb34a0e80b6dd",
        fibrpc_endpoint = endpoint,
        fibrpc_node = node,
        fibrpc_lasts_ms = millis(lasts),
        fibrpc_left_out = Empty,
        "the broker {endpoint} does not reach the node {node} of its cluster: requests from there are not answered for {}",
        text::duration(lasts)
    );
}

/// A certificate of a new session expires soon; `which`: `broker`, `client` or `authorities`.
pub fn certificate_expires(endpoint: &str, which: &str, left: Duration) {
    let what = match which {
        "client" => "our certificate (broker.tls.cert_file)",
        "authorities" => "the last authority in broker.tls.ca_file",
        _ => "the certificate of the broker",
    };
    let left = text::duration(left);
    warn!(
        message_id = "63ba8dc65d754f9a8a2a1757e94045af",
        fibrpc_endpoint = endpoint,
        fibrpc_certificate = which,
        fibrpc_left = left,
        fibrpc_left_out = Empty,
        "{what} expires in {left}, after that no connection to {endpoint} can be opened; renew it"
    );
}

/// The broker blocks publishes.
pub fn blocked(endpoint: &str, reason: &str) {
    warn!(
        message_id = "d003cf74204b4c9b94d4b243c6f77b38",
        fibrpc_endpoint = endpoint,
        fibrpc_reason = reason,
        fibrpc_left_out = Empty,
        "blocked by the broker {endpoint}: {reason}"
    );
}

/// The broker accepts publishes again, after `lasted`.
pub fn unblocked(endpoint: &str, lasted: Duration) {
    info!(
        message_id = "629e8366666e4d909c86771148065f77",
        fibrpc_endpoint = endpoint,
        fibrpc_lasted_ms = millis(lasted),
        fibrpc_left_out = Empty,
        "unblocked by the broker {endpoint} after {}",
        text::duration(lasted)
    );
}

/// The broker cancelled the consumer: the queue was deleted, or is moving.
pub fn cancelled(endpoint: &str, queue: &str) {
    warn!(
        message_id = "bc2f566f007048e6b33989ad0a250642",
        fibrpc_endpoint = endpoint,
        fibrpc_queue = queue,
        fibrpc_left_out = Empty,
        "cancelled by the broker {endpoint}: no longer consuming {queue}"
    );
}

/// All `threads` of the pool have been busy for a while, and computations waited for them all the time; now `waiting` do, and
/// one that is requested now would begin after `wait`.
pub fn saturated(threads: usize, waiting: usize, wait: Duration) {
    let jobs = text::count(waiting as u64, "computation");
    warn!(
        message_id = "e48846ece1154a22a5d050edeb2bb8f9",
        fibrpc_threads = threads,
        fibrpc_waiting = waiting,
        fibrpc_wait_ms = millis(wait),
        fibrpc_left_out = Empty,
        "the thread pool is saturated: {} computing, {jobs} waiting, about {} until another one would begin",
        text::count(threads as u64, "thread"),
        text::duration(wait)
    );
}

/// The pool has a free thread again, or nothing waits for it, after it was saturated for `lasted`.
pub fn relieved(lasted: Duration) {
    info!(
        message_id = "1d393c2cc8534f8fa5c1e222164e1e16",
        fibrpc_lasted_ms = millis(lasted),
        fibrpc_left_out = Empty,
        "the thread pool is no longer saturated, after {}",
        text::duration(lasted)
    );
}

/// A request was rejected without requeue because it ended `strikes` sessions. Its `fingerprint`
/// identifies it without revealing its content.
pub fn poisoned(fingerprint: u64, strikes: u32, reason: &str) {
    let fingerprint = format!("{fingerprint:016x}");
    error!(
        message_id = "679d5063a8e545e79a8b672ff463aa53",
        fibrpc_fingerprint = fingerprint,
        fibrpc_strikes = strikes,
        fibrpc_reason = reason,
        fibrpc_left_out = Empty,
        "rejected request {fingerprint} for good after {strikes} sessions died with it: {reason}"
    );
}

/// The reply address of a request is not allowed, or is a full queue.
pub fn reply_refused(refused: &Refused) {
    warn!(
        message_id = "8ba39e85e6484d719c2cae7e4c3a82cf",
        fibrpc_reply_to = refused.address,
        fibrpc_reason = %refused,
        fibrpc_left_out = Empty,
        "refused a reply address: {refused}"
    );
}

/// A new configuration is in force; `keys` are the dotted names of what changed.
pub fn reloaded(keys: &[String]) {
    let keys = if keys.is_empty() {
        "nothing changed".to_owned()
    } else {
        format!("changed {}", keys.join(", "))
    };
    info!(
        message_id = "54a211eee0624d47b6c626eb5f88d1d5",
        fibrpc_changes = keys,
        "reloaded the configuration: {keys}"
    );
}

/// A new configuration was refused because of this problem (one event each); the old one stays in force.
pub fn reload_refused(problem: &dyn Display) {
    error!(
        message_id = "a87d35e58b6b4db297ac9b5bee837fc1",
        fibrpc_problem = %problem,
        "refused to reload, the old configuration stays in force: {problem}"
    );
}

/// Shutdown has begun: `in_flight` requests have `timeout` to finish.
pub fn draining(in_flight: u64, timeout: Duration) {
    info!(
        message_id = "661783b683f44c2e9fd1e7be232b1f67",
        fibrpc_in_flight = in_flight,
        fibrpc_timeout_ms = millis(timeout),
        "draining, {in_flight} in flight, at most {}",
        text::duration(timeout)
    );
}

/// Shutdown is complete and no begun request was handed back, `took` after it had begun.
pub fn drained(took: Duration) {
    info!(
        message_id = "0f6de8c071ed41f48ce1f3734b80b10b",
        fibrpc_took_ms = millis(took),
        "drained in {}",
        text::duration(took)
    );
}

/// Shutdown handed back `count` requests that had been begun.
pub fn abandoned(count: u64) {
    warn!(
        message_id = "ff41f04fff2540cfb9e49fb3eab94d6a",
        fibrpc_count = count,
        "abandoned {}, the broker delivers {} again",
        text::count(count, "request"),
        if count == 1 { "it" } else { "them" }
    );
}

/// An error without the prefix that names the broker, for a line that already names it.
pub fn cause<'a>(error: &'a str, endpoint: &str) -> &'a str {
    error
        .strip_prefix("cannot reach broker ")
        .and_then(|rest| rest.strip_prefix(endpoint)?.strip_prefix(": "))
        .unwrap_or(error)
}

/// The control queue is unavailable: `fibrpc status` does not show this server, which keeps serving.
pub fn control_off(queue: &str, error: &str) {
    warn!(
        message_id = "19378457421a58c3e7e8b19772a8f153",
        fibrpc_queue = queue,
        fibrpc_error = error,
        fibrpc_left_out = Empty,
        "not listening for status requests of {queue}: {error}; serving goes on, `fibrpc status` does not show this daemon until it listens again"
    );
}

/// The control queue is available again.
pub fn control_on(queue: &str) {
    info!(
        message_id = "95819cbdc555445d828420bf0edb902a",
        fibrpc_queue = queue,
        fibrpc_left_out = Empty,
        "listening for status requests of {queue} again"
    );
}

/// The strike file cannot be written or read: a request that kills this process is not detected.
pub fn strike_file_off(file: &dyn Display, error: &dyn Display) {
    warn!(
        message_id = "de9496ca349c4d1b448bd7c5e8217065",
        fibrpc_file = %file,
        fibrpc_error = %error,
        "cannot use {file}: {error}; serving goes on, but a request that kills this process will not be detected"
    );
}

/// The strike file can be written again.
pub fn strike_file_on(file: &dyn Display) {
    info!(
        fibrpc_file = %file,
        "{file} can be written again: a request that kills this process will be detected"
    );
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
