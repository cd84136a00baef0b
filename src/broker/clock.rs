//! The wall clock as messages write it; `fibrpc-deadline` and the clocks in reports use it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in Unix milliseconds; 0 before 1970.
pub fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}
