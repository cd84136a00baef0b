//! The configuration as its users see it: layers, origins, problems, the shipped file.

// The lint exempts test functions, but not their helpers.
#![allow(clippy::unwrap_used)]

mod files;
mod layers;
mod password;
mod problems;
mod properties;
mod shown;
mod texts;
mod values;
mod warnings;

use fibrpc::internals::config::{Environment, Loaded, Overrides, Problem, Program, load_from};
use fibrpc::internals::fibonacci::settings::KEYS;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A temporary folder for one test.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }
    /// Messages and origins without the folder's random name.
    fn plain(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn overrides() -> Overrides {
    Overrides {
        keys: KEYS,
        ..Overrides::default()
    }
}

fn with_config(path: &Path) -> Overrides {
    Overrides {
        config: Some(path.to_owned()),
        keys: KEYS,
        ..Overrides::default()
    }
}

fn load_file(path: &Path) -> Result<Loaded, Vec<Problem>> {
    load_from(Program::Daemon, &with_config(path), &Environment::empty())
}

fn load_text(text: &str) -> Result<Loaded, Vec<String>> {
    let folder = Folder::new();
    let path = folder.write("a.toml", text);
    let plain = |problem: &Problem| folder.plain(&problem.0);
    load_file(&path).map_err(|problems| problems.iter().map(plain).collect())
}

fn load_variables(variables: &[(&str, &str)]) -> Result<Loaded, Vec<String>> {
    let add =
        |environment: Environment, (name, value): &(&str, &str)| environment.with(name, value);
    let environment = variables.iter().fold(Environment::empty(), add);
    let folder = Folder::new();
    let environment = environment.with_system_file(folder.path("none.toml"));
    let loaded = load_from(Program::Daemon, &overrides(), &environment);
    loaded.map_err(|problems| problems.into_iter().map(|problem| problem.0).collect())
}
