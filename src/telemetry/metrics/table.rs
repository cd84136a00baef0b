//! The table of all metrics: name, type, labels and meaning, as they are exported and as fibrpcd(8) lists them. Pure.

use prometheus_client::metrics::MetricType;

/// A metric: all series with this name.
#[derive(Debug)]
pub(super) struct Family {
    /// As exported in the classic text, and as queries use it.
    pub(super) name: &'static str,
    pub(super) kind: MetricType,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

impl Family {
    /// The name without the suffix that the encoder adds.
    pub(super) fn base(&self) -> &'static str {
        let suffix = match self.kind {
            MetricType::Counter => "_total",
            MetricType::Info => "_info",
            MetricType::Gauge | MetricType::Histogram | MetricType::Unknown => "",
        };
        self.name.strip_suffix(suffix).unwrap_or(self.name)
    }
}

/// Defines one constant for each metric, and `ALL` for tests.
macro_rules! families {
    ($($CONST:ident: $Kind:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(
            pub(super) const $CONST: Family = Family {
                name: $name,
                kind: MetricType::$Kind,
                labels: &[$($label),*],
                help: $help,
            };
        )+

        /// All metrics, in the order of the manual.
        #[cfg(test)]
        pub(super) const ALL: &[Family] = &[$($CONST,)+];
    };
}

families! {
    CALL_DURATION: Histogram "rpc_server_call_duration_seconds" ["rpc_method", "rpc_status_code"]
        "Time from the delivery of a request to the first publish of its reply";
    QUEUE_WAIT: Histogram "fibrpc_queue_wait_seconds" ["source"]
        "Time that requests waited in the queue";
    COMPUTE: Histogram "fibrpc_compute_seconds" ["where"]
        "Time of computations";
    CONFIRM: Histogram "fibrpc_confirm_seconds" []
        "Time from the last publish of a reply to its publisher confirm";
    REQUESTS_RECEIVED: Counter "fibrpc_requests_received_total" ["redelivered"]
        "Requests delivered by the broker";
    REQUESTS_SETTLED: Counter "fibrpc_requests_settled_total" ["how"]
        "Requests that are no longer in flight, by how each ended";
    REQUESTS_IN_FLIGHT: Gauge "fibrpc_requests_in_flight" []
        "Requests delivered and not settled";
    PREFETCH: Gauge "fibrpc_prefetch" []
        "Requests that the broker may deliver ahead";
    POOL_JOBS: Gauge "fibrpc_pool_jobs" ["state"]
        "Computations on the thread pool";
    POOL_THREADS: Gauge "fibrpc_pool_threads" []
        "Threads of the pool";
    POOL_WAIT: Gauge "fibrpc_pool_wait_seconds" []
        "Estimated time until a computation that is requested now begins";
    REPLIES: Counter "fibrpc_replies_total" ["result"]
        "What happened to published replies";
    REQUEST_BYTES: Counter "fibrpc_request_bytes_total" []
        "Bytes of request bodies";
    REPLY_BYTES: Counter "fibrpc_reply_bytes_total" []
        "Bytes of reply bodies";
    STATE: Gauge "fibrpc_state" ["state"]
        "1 for the present state of the server, 0 for the others";
    SESSIONS: Counter "fibrpc_sessions_total" []
        "Sessions established with a broker";
    SESSION_FAILURES: Counter "fibrpc_session_failures_total" ["cause"]
        "Sessions that failed, and failed attempts to open one";
    CONNECT_ATTEMPT: Gauge "fibrpc_connect_attempt" []
        "Number of the present or next attempt to connect, 0 if connected";
    NEXT_ATTEMPT: Gauge "fibrpc_next_attempt_seconds" []
        "Time until the next attempt to connect";
    BROKER_BLOCKED: Counter "fibrpc_broker_blocked_seconds_total" []
        "Time for which the broker accepted no replies";
    BROKER_INFO: Info "fibrpc_broker_info" ["product", "version"]
        "The broker that the server is, or was last, connected to";
    LAST_READ_AGE: Gauge "fibrpc_last_read_age_seconds" ["connection"]
        "Time since something was last received on a connection of the session";
    CERTIFICATE_EXPIRY: Gauge "fibrpc_certificate_expiry_timestamp_seconds" ["which"]
        "When a certificate expires, as a Unix timestamp";
    ISOLATION: Gauge "fibrpc_isolation" []
        "Requests that are still to be taken one at a time, because one may end sessions";
    POISON_STRIKES: Counter "fibrpc_poison_strikes_total" []
        "Times that a session ended with a request that may be the cause";
    DRAIN_ABANDONED: Counter "fibrpc_drain_abandoned_total" []
        "Requests that were begun and handed back when the drain time was over";
    RELOADS: Counter "fibrpc_reloads_total" ["result"]
        "Reloads of the configuration";
    LOG_RECORDS: Counter "fibrpc_log_records_total" ["level"]
        "Log records written";
    LOG_LEFT_OUT: Counter "fibrpc_log_left_out_total" []
        "Log records suppressed or lost";
    SPANS_DROPPED: Counter "fibrpc_spans_dropped_total" []
        "Sampled spans that were not exported";
    BUILD_INFO: Info "fibrpc_build_info" ["version"]
        "The version of the program";
    PROCESS_CPU: Counter "process_cpu_seconds_total" []
        "Processor time used";
    PROCESS_RESIDENT: Gauge "process_resident_memory_bytes" []
        "Resident memory";
    PROCESS_VIRTUAL: Gauge "process_virtual_memory_bytes" []
        "Virtual memory";
    PROCESS_OPEN_FDS: Gauge "process_open_fds" []
        "Open file descriptors";
    PROCESS_MAX_FDS: Gauge "process_max_fds" []
        "File descriptors that may be open";
    PROCESS_START: Gauge "process_start_time_seconds" []
        "When the process started, as a Unix timestamp";
}
