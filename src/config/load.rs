//! From files, drop-ins, environment and flags to a [`Config`], or to all problems at once.

use super::check;
use super::environment::{CONFIG_VARIABLE, Environment};
use super::exposure::exposed_key;
use super::fault::Fault;
use super::file::{ReadError, read_text};
use super::keys::{Config, Keys};
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

/// What a program and its command line say about the configuration.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config FILE`: replaces the files.
    pub config: Option<PathBuf>,
    /// Flags, as (dotted key, TOML value), for example `("queue.name", "jobs".into())`.
    pub values: Vec<(&'static str, toml::Value)>,
    /// The keys that there are.
    pub keys: Keys,
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
    let mut settings = Settings {
        keys: overrides.keys,
        ..Settings::default()
    };
    let named = overrides.config.clone();
    if let Some(path) = named.or_else(|| environment.path(CONFIG_VARIABLE)) {
        add_file_and_drop_ins(&mut settings, &path, Need::Required);
    } else {
        let need = match program {
            Program::Daemon => Need::IfPresent,
            Program::Client => Need::IfReadable,
        };
        add_file_and_drop_ins(&mut settings, environment.system_file(), need);
        if let (Program::Client, Some(path)) = (program, environment.user_file()) {
            add_file(&mut settings, &path, Need::IfPresent);
        }
    }
    settings.add_environment(environment);
    settings.add_flags(&overrides.values);
    finish(settings, program, environment)
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

fn add_file(settings: &mut Settings, path: &Path, need: Need) {
    match read_text(path, MAX_FILE) {
        Ok(text) => settings.add_toml(path, &text),
        Err(error) => unreadable(settings, path, &error, need),
    }
}

/// A file, and the files in `PATH.d` sorted by name: `*.toml`, without hidden ones.
fn add_file_and_drop_ins(settings: &mut Settings, path: &Path, need: Need) {
    add_file(settings, path, need);
    let mut folder = OsString::from(path);
    folder.push(".d");
    let folder = PathBuf::from(folder);
    let name = |entry: std::io::Result<fs::DirEntry>| Ok(entry?.file_name());
    let names = fs::read_dir(&folder).and_then(|entries| entries.map(name).collect());
    let mut names: Vec<OsString> = match names.map_err(ReadError::from) {
        Ok(names) => names,
        Err(ReadError::Missing(_)) => return,
        Err(error) => return unreadable(settings, &folder, &error, need),
    };
    let is_drop_in = |name: &[u8]| name.ends_with(b".toml") && !name.starts_with(b".");
    names.retain(|name| is_drop_in(name.as_encoded_bytes()));
    names.sort();
    for name in names {
        add_file(settings, &folder.join(name), need);
    }
}

fn unreadable(settings: &mut Settings, path: &Path, error: &ReadError, need: Need) {
    let what = format!("cannot read {}: {error}", path.display());
    let help = |help| format!("{what}; {help}");
    match (need, error) {
        (Need::IfPresent | Need::IfReadable, ReadError::Missing(_)) => {}
        (Need::IfReadable, _) => settings.warnings.push(one_line(&help("skipped"))),
        _ => {
            let text = error.help().map_or_else(|| what.clone(), help);
            settings.problems.push(Problem::new(&text));
        }
    }
}

/// Reads the values that won, and applies the rules over several keys.
fn finish(
    settings: Settings,
    program: Program,
    environment: &Environment,
) -> Result<Loaded, Vec<Problem>> {
    let mut problems = settings.problems;
    let mut loaded = Loaded {
        config: Config::default(),
        files: settings.files,
        warnings: settings.warnings,
        origins: settings.merged,
    };
    loaded.config.service.keys = settings.keys;
    let mut wrong = Vec::new();
    for key in settings.keys.iter() {
        // An error here only means that no source sets the key.
        let Ok(place) = loaded.origins.extract_inner::<usize>(key.name) else {
            continue;
        };
        if let Err(fault) = key.read(&mut loaded.config, &settings.values[place]) {
            let (name, origin) = (key.name, loaded.origin(key.name));
            let Fault { what, shown, help } = fault;
            let text = format!("{name}: {what}, is {shown} ({origin}); {help}");
            problems.push(Problem::new(&text));
            wrong.push(name);
        }
    }
    let contradictions = check::contradictions(&loaded, &wrong);
    problems.extend(contradictions.iter().map(|text| Problem::new(text)));
    if !problems.is_empty() {
        return Err(problems);
    }
    loaded.warnings.extend(check::doubts(&loaded, environment));
    // Not at each call of the client; its checks ask for it.
    if program == Program::Daemon {
        loaded.warnings.extend(exposed_key(&loaded.config.broker));
    }
    Ok(loaded)
}
