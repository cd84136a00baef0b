//! What loading reads from the process: a snapshot, so that loading itself is a function.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The variable that names the file to use instead of the others, as `--config` does.
pub(super) const CONFIG_VARIABLE: &str = "FIBRPC_CONFIG";

/// Environment variables, and the path of the system's configuration file.
#[derive(Clone)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    system_file: PathBuf,
}

impl Environment {
    /// The process's own.
    pub fn from_process() -> Self {
        Self {
            variables: std::env::vars_os().collect(),
            ..Self::empty()
        }
    }

    /// No variables; the system's file is `/etc/fibrpc.toml`.
    pub fn empty() -> Self {
        Self {
            variables: BTreeMap::new(),
            system_file: "/etc/fibrpc.toml".into(),
        }
    }

    /// With one more variable.
    #[must_use]
    pub fn with(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// With another file instead of `/etc/fibrpc.toml`.
    #[must_use]
    pub fn with_system_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.system_file = path.into();
        self
    }

    /// The system's configuration file.
    pub fn system_file(&self) -> &Path {
        &self.system_file
    }

    /// The user's own file, by the XDG base directory rules: relative folders are ignored.
    pub fn user_file(&self) -> Option<PathBuf> {
        let absolute = |name| self.path(name).filter(|path| path.is_absolute());
        let folder = absolute("XDG_CONFIG_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
        Some(folder.join("fibrpc/fibrpc.toml"))
    }

    /// A variable that holds a path; an empty one counts as not set.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        let value = self.variables.get(OsStr::new(name))?;
        (!value.is_empty()).then(|| value.into())
    }

    /// All variables whose names are Unicode, sorted by name.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&str, &OsStr)> {
        let pairs = self.variables.iter();
        pairs.filter_map(|(name, value)| Some((name.to_str()?, value.as_os_str())))
    }
}

/// Names only: values may be secrets, of any program.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment")
            .field("variables", &self.variables.keys().collect::<Vec<_>>())
            .field("system_file", &self.system_file)
            .finish()
    }
}
