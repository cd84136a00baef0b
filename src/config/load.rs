//! From files, drop-ins, environment and flags to a [`Config`], or to all problems at once.

use super::check;
use super::environment::{CONFIG_VARIABLE, Environment};
use super::exposure::exposed_key;
use super::file::{ReadError, read_text};
use super::keys::{Config, keys};
use super::loaded::Loaded;
use super::problem::{Problem, one_line};
use super::source::Settings;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Which program loads: the client also reads the user's own file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `fibrpcd`.
    Daemon,
    /// `fibrpc`.
    Client,
}

/// What the command line says about the configuration.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config FILE`: replaces the files.
    pub config: Option<PathBuf>,
    /// Flags, as (dotted key, TOML value), for example `("queue.name", "jobs".into())`.
    pub values: Vec<(&'static str, toml::Value)>,
}

/// Loads everything for this process. The `Err` holds all problems, never none.
pub fn load(program: Program, overrides: &Overrides) -> Result<Loaded, Vec<Problem>> {
    load_from(program, overrides, &Environment::from_process())
}

/// Loads everything for a given environment.
pub fn load_from(
    program: Program,
    overrides: &Overrides,
    environment: &Environment,
) -> Result<Loaded, Vec<Problem>> {
    let mut layers = Layers::default();
    let named = overrides.config.clone();
    if let Some(path) = named.or_else(|| environment.path(CONFIG_VARIABLE)) {
        layers.file_and_drop_ins(&path, Need::Required);
    } else {
        let need = match program {
            Program::Daemon => Need::IfPresent,
            Program::Client => Need::IfReadable,
        };
        layers.file_and_drop_ins(environment.system_file(), need);
        if let (Program::Client, Some(path)) = (program, environment.user_file()) {
            layers.file(&path, Need::IfPresent);
        }
    }
    layers.settings.add_environment(environment);
    layers.settings.add_flags(&overrides.values);
    layers.finish(program, environment)
}

/// What it means if a file is not there or cannot be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Both are problems.
    Required,
    /// It need not be there.
    IfPresent,
    /// It need not be there, and if it cannot be read that is a warning.
    IfReadable,
}

#[derive(Default)]
struct Layers {
    settings: Settings,
    files: Vec<PathBuf>,
}

impl Layers {
    fn file(&mut self, path: &Path, need: Need) {
        match read_text(path, MAX_FILE) {
            Ok(text) => {
                self.files.push(path.to_owned());
                self.settings.add_toml(path, &text);
            }
            Err(error) => self.unreadable(path, &error, need),
        }
    }

    /// A file, and the files in `PATH.d` sorted by name: `*.toml`, without hidden ones.
    fn file_and_drop_ins(&mut self, path: &Path, need: Need) {
        self.file(path, need);
        let mut folder = OsString::from(path);
        folder.push(".d");
        let folder = PathBuf::from(folder);
        let name = |entry: std::io::Result<fs::DirEntry>| Ok(entry?.file_name());
        match fs::read_dir(&folder).and_then(|entries| entries.map(name).collect()) {
            Ok(names) => {
                let mut names: Vec<OsString> = names;
                let is_drop_in = |name: &[u8]| name.ends_with(b".toml") && !name.starts_with(b".");
                names.retain(|name| is_drop_in(name.as_encoded_bytes()));
                names.sort();
                for name in names {
                    self.file(&folder.join(name), need);
                }
            }
            Err(error) => match ReadError::from(error) {
                ReadError::Missing(_) => {}
                failed => self.unreadable(&folder, &failed, need),
            },
        }
    }

    fn unreadable(&mut self, path: &Path, error: &ReadError, need: Need) {
        let what = format!("cannot read {}: {error}", path.display());
        match (need, error) {
            (Need::IfPresent | Need::IfReadable, ReadError::Missing(_)) => {}
            (Need::IfReadable, _) => {
                self.settings
                    .warnings
                    .push(one_line(&format!("{what}; skipped")));
            }
            _ => self
                .settings
                .problems
                .push(Problem::new(&match error.help() {
                    Some(help) => format!("{what}; {help}"),
                    None => what,
                })),
        }
    }

    fn finish(self, program: Program, environment: &Environment) -> Result<Loaded, Vec<Problem>> {
        let Settings {
            values,
            merged,
            warnings,
            mut problems,
        } = self.settings;
        let mut loaded = Loaded {
            config: Config::default(),
            files: self.files,
            warnings,
            origins: merged,
        };
        let mut wrong = Vec::new();
        for key in keys() {
            // An error here only means that no layer sets the key.
            let Ok(place) = loaded.origins.extract_inner::<usize>(key.name) else {
                continue;
            };
            if let Err(fault) = (key.read)(&mut loaded.config, &values[place]) {
                let origin = loaded.origin(key.name);
                problems.push(Problem::new(&format!(
                    "{}: {}, is {} ({origin}); {}",
                    key.name, fault.what, fault.shown, fault.help
                )));
                wrong.push(key.name);
            }
        }
        let (faults, warnings) = check::check(&loaded, &wrong, environment);
        problems.extend(faults);
        loaded.warnings.extend(warnings);
        // At each call of the client it would be in the way; its checks ask for it.
        if program == Program::Daemon {
            loaded.warnings.extend(exposed_key(&loaded.config.broker));
        }
        if problems.is_empty() {
            Ok(loaded)
        } else {
            Err(problems)
        }
    }
}
