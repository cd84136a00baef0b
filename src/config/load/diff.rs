//! What a reload changes, and what is required to apply it.

use crate::config::keys::{Config, Reload};

/// The keys whose values differ, by what applying them requires.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Applied at once.
    pub hot: Vec<&'static str>,
    /// Applied by a new session with the broker.
    pub session: Vec<&'static str>,
    /// Applied by a restart only.
    pub restart: Vec<&'static str>,
}

impl Changes {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares two configurations, passwords in URLs included.
pub fn diff(old: &Config, new: &Config) -> Changes {
    let changed = |reload| {
        let keys = new.keys().iter();
        let keys = keys.filter(|key| key.reload == reload && !(key.same)(old, new));
        keys.map(|key| key.name).collect()
    };
    Changes {
        hot: changed(Reload::Hot),
        session: changed(Reload::Session),
        restart: changed(Reload::Restart),
    }
}
