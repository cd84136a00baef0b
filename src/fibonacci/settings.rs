//! The keys of the configuration that belong to this function. They are in the section `server` and in the files of both
//! programs. Holds no state.

use crate::config::{Config, Key, Keys, Reload, ServiceNumber};

/// The largest n that is answered. The result of an n above the maximum has more digits than the largest message has bytes.
static MAX_N: ServiceNumber = ServiceNumber {
    name: "server.max_n",
    default: 1_000_000,
    max: 2_500_000_000,
};

/// The keys of the library, and those of this function.
pub static KEYS: Keys = Keys::with_service(&[Key::service(&MAX_N, Reload::Hot)]);

/// The largest n that is answered.
pub fn max_n(config: &Config) -> u64 {
    config.service.get(&MAX_N)
}
