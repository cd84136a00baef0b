//! The keys of the configuration that belong to this function. They are in the section `server` and in the files of both
//! programs. Holds no state.

use crate::config::{Config, Key, Keys, Reload, ServiceNumber};

/// The largest n that is answered. The result of an n above the maximum has more digits than the largest message has bytes.
struct MaxN;

impl ServiceNumber for MaxN {
    const NAME: &'static str = "server.max_n";
    const DEFAULT: u64 = 1_000_000;
    const MAX: u64 = 2_500_000_000;
}

/// The keys of the library, and those of this function.
pub static KEYS: Keys = Keys::with_service(&[Key::service::<MaxN>(Reload::Hot)]);

/// The largest n that is answered.
pub fn max_n(config: &Config) -> u64 {
    MaxN::of(config)
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;
    use crate::fibonacci::cost;
    use crate::server::MAX_LINE;

    /// So small requests do not wait in the queue behind them, even if the estimate is a third too high.
    #[test]
    fn a_session_takes_a_thousand_of_the_largest() {
        let line = cost(MaxN::DEFAULT).time * 1_000;
        assert!(line * 4 / 3 < MAX_LINE, "{line:?}");
    }
}
