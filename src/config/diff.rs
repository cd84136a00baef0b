//! What a reload changes, and what it takes to apply it.

use super::keys::Reload;
use super::{Config, keys};

/// The keys whose values differ, by what applying them takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Applied at once.
    pub hot: Vec<&'static str>,
    /// Applied by a new session with the broker.
    pub session: Vec<&'static str>,
    /// Not without a restart.
    pub restart: Vec<&'static str>,
}

impl Changes {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.hot.is_empty() && self.session.is_empty() && self.restart.is_empty()
    }
}

/// Compares two configurations, passwords in URLs included.
pub fn diff(old: &Config, new: &Config) -> Changes {
    let mut changes = Changes::default();
    for key in keys().filter(|key| !(key.same)(old, new)) {
        match key.reload {
            Reload::Hot => changes.hot.push(key.name),
            Reload::Session => changes.session.push(key.name),
            Reload::Restart => changes.restart.push(key.name),
        }
    }
    changes
}
