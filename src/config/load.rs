//! From files, drop-ins, environment and flags to a [`Config`], or to all problems at once.
//!
//! figment merges the layers (tables key by key, lists replaced whole) and remembers the origin of
//! each value; its own error texts are not used, since they echo values.

use super::environment::Environment;
use super::exposure::exposed_key;
use super::file::{self, ReadError};
use super::keys::keys;
use super::problem::{Problem, one_line};
use super::show::Entry;
use super::source::{self, Setting};
use super::{Config, check, read};
use figment::Figment;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Names the file that replaces the others, as `--config` does.
pub(super) const CONFIG_VARIABLE: &str = "FIBRPC_CONFIG";

/// The largest file that is read, in bytes.
const LARGEST_FILE: u64 = 1 << 20;

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

/// A configuration with where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// The files that were read, in order.
    pub files: Vec<PathBuf>,
    /// What deserves a warning but is no error, one line each.
    pub warnings: Vec<String>,
    origins: BTreeMap<&'static str, String>,
}

impl Loaded {
    /// Where a key's value came from: `default`, `FILE:LINE`, a variable's name, `command line`.
    pub fn origin(&self, key: &str) -> &str {
        self.origins.get(key).map_or("default", String::as_str)
    }

    /// Where it came from, in words.
    pub fn sources(&self) -> String {
        if self.files.is_empty() {
            return "no file, built-in defaults".to_owned();
        }
        let files = self.files.iter().map(|file| file.display().to_string());
        one_line(&files.collect::<Vec<_>>().join(", "))
    }

    /// What a check says of it where nothing is wrong.
    pub fn verdict(&self) -> String {
        format!("configuration is good: {}", self.sources())
    }

    /// All keys with their values and origins, in the order of the key table.
    pub fn entries(&self) -> Vec<Entry> {
        let entry = |key: &'static super::Key| Entry {
            key: key.name,
            value: key.value(&self.config),
            origin: self.origin(key.name).to_owned(),
        };
        keys().map(entry).collect()
    }
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
        layers.file(&path, Absent::Problem, Unreadable::Problem);
        layers.drop_ins(&path, Unreadable::Problem);
    } else {
        let unreadable = match program {
            Program::Daemon => Unreadable::Problem,
            Program::Client => Unreadable::Warning,
        };
        layers.file(environment.system_file(), Absent::Fine, unreadable);
        layers.drop_ins(environment.system_file(), unreadable);
        if let (Program::Client, Some(path)) = (program, environment.user_file()) {
            layers.file(&path, Absent::Fine, Unreadable::Problem);
        }
    }
    layers.other(environment, overrides);
    layers.finish(program, environment)
}

/// What a file that is not there means.
#[derive(Clone, Copy)]
enum Absent {
    Fine,
    Problem,
}

/// What a file that cannot be read means.
#[derive(Clone, Copy)]
enum Unreadable {
    Warning,
    Problem,
}

#[derive(Default)]
struct Layers {
    settings: Vec<Setting>,
    files: Vec<PathBuf>,
    warnings: Vec<String>,
    problems: Vec<Problem>,
}

impl Layers {
    fn file(&mut self, path: &Path, absent: Absent, unreadable: Unreadable) {
        match file::read_text(path, LARGEST_FILE) {
            Ok(text) => {
                self.files.push(path.to_owned());
                let settings = source::from_toml(path, &text, &mut self.problems);
                self.settings.extend(settings);
            }
            Err(ReadError::Missing(_)) if matches!(absent, Absent::Fine) => {}
            Err(error) => self.unreadable(path, &error, unreadable),
        }
    }

    /// The files of `PATH.d`, sorted by name: `*.toml`, hidden ones left out.
    fn drop_ins(&mut self, path: &Path, unreadable: Unreadable) {
        let mut folder = OsString::from(path);
        folder.push(".d");
        let folder = PathBuf::from(folder);
        let entries = fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut names: Vec<_> = match entries {
            Ok(entries) => entries.into_iter().map(|entry| entry.file_name()).collect(),
            Err(error) => {
                return match ReadError::from(error) {
                    ReadError::Missing(_) => {}
                    failed => self.unreadable(&folder, &failed, unreadable),
                };
            }
        };
        let visible = |name: &OsString| !name.as_encoded_bytes().starts_with(b".");
        names.retain(|name| name.as_encoded_bytes().ends_with(b".toml") && visible(name));
        names.sort();
        for name in names {
            self.file(&folder.join(name), Absent::Problem, unreadable);
        }
    }

    fn unreadable(&mut self, path: &Path, error: &ReadError, unreadable: Unreadable) {
        let what = format!("cannot read {}: {error}", path.display());
        match unreadable {
            Unreadable::Warning => self.warnings.push(one_line(&format!("{what}; left out"))),
            Unreadable::Problem => self.problems.push(Problem::new(&match error.help() {
                Some(help) => format!("{what}; {help}"),
                None => what,
            })),
        }
    }

    fn other(&mut self, environment: &Environment, overrides: &Overrides) {
        let (problems, warnings) = (&mut self.problems, &mut self.warnings);
        let variables = source::from_environment(environment, problems, warnings);
        self.settings.extend(variables);
        let flags = source::from_flags(&overrides.values, &mut self.problems);
        self.settings.extend(flags);
    }

    fn finish(
        mut self,
        program: Program,
        environment: &Environment,
    ) -> Result<Loaded, Vec<Problem>> {
        let merged = self.settings.iter().fold(Figment::new(), Figment::merge);
        let mut loaded = Loaded {
            config: Config::default(),
            files: self.files,
            warnings: self.warnings,
            origins: BTreeMap::new(),
        };
        let mut wrong = Vec::new();
        let mut url_file = None;
        for key in keys() {
            // An error here only means that no layer sets the key.
            let Ok(value) = merged.find_value(key.name) else {
                continue;
            };
            let metadata = merged.get_metadata(value.tag());
            let origin = metadata.map_or("default".into(), |metadata| metadata.name.to_string());
            let read = match value.deserialize::<toml::Value>() {
                Ok(value) => read::unwrapped(&value, key.shape)
                    .and_then(|()| (key.read)(&mut loaded.config, &value))
                    .map_err(|read::Fault { what, shown, help }| {
                        format!("{}: {what}, is {shown} ({origin}); {help}", key.name)
                    }),
                Err(_) => Err(format!("{}: is no TOML value ({origin})", key.name)),
            };
            if let Err(problem) = read {
                self.problems.push(Problem::new(&problem));
                wrong.push(key.name);
            }
            if key.name == "broker.url" {
                let source = metadata.and_then(|metadata| metadata.source.as_ref());
                url_file = source.and_then(|source| source.file_path().map(Path::to_owned));
            }
            loaded.origins.insert(key.name, one_line(&origin));
        }
        let (problems, warnings) = check::check(&loaded, &wrong, environment, url_file.as_deref());
        self.problems.extend(problems);
        loaded.warnings.extend(warnings);
        // At each call of the client it would be in the way; its checks ask for it.
        if program == Program::Daemon {
            loaded.warnings.extend(exposed_key(&loaded.config.broker));
        }
        if self.problems.is_empty() {
            Ok(loaded)
        } else {
            Err(self.problems)
        }
    }
}
