//! A filter over the byte stream against messages that the AMQP library cannot decode.

/// The header entry that carries a `correlation_id` that is not UTF-8.
pub const RAW_CORRELATION_ID: &str = "fibrpc-raw-correlation-id";
