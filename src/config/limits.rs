//! The limits of values that did not come from a file or a variable, but from a program: a [`Config`] that was filled in code.

use super::fault::Problem;
use super::keys::Config;
use std::path::{Path, PathBuf};

/// Every value that a file could not have set, except for the broker's URLs, which are valid by their type.
pub fn outside_limits(config: &Config) -> Vec<Problem> {
    let mut scratch = config.clone();
    config
        .keys()
        .iter()
        .filter(|key| key.name != "broker.url")
        .filter_map(|key| {
            let fault = (key.read)(&mut scratch, &key.value(config)?).err()?;
            Some(Problem::new(&format!(
                "{} {}, is {}; {}",
                key.name, fault.what, fault.shown, fault.help
            )))
        })
        .collect()
}

/// A file's path from a program, as the keys take it. An empty one stays as it is, and is refused by [`outside_limits`].
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn defaults_are_within_the_limits_and_others_are_named() {
        assert_eq!(outside_limits(&Config::default()), []);
        let mut config = Config::default();
        config.server.prefetch = 0;
        config.queue.name = "amq.x".into();
        config.broker.heartbeat = Duration::ZERO;
        let problems = outside_limits(&config);
        for key in ["broker.heartbeat", "queue.name", "server.prefetch"] {
            let named = |problem: &&Problem| problem.0.starts_with(key);
            assert_eq!(
                problems.iter().filter(named).count(),
                1,
                "{key}: {problems:?}"
            );
        }
        assert_eq!(problems.len(), 3, "{problems:?}");
    }
}
