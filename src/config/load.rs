//! From files, drop-ins, environment and flags to a [`Config`], or to all problems at once.

mod check;
mod diff;
mod environment;
mod loaded;
mod source;
mod unknown;

pub use diff::{Changes, diff};
pub use environment::Environment;
pub use loaded::{Entry, Loaded, show_json, show_toml};

use super::exposure::exposed_key;
use super::fault::{Fault, Problem};
use super::keys::{Config, Keys};
use environment::CONFIG_VARIABLE;
use source::{Need, Settings};
use std::path::PathBuf;

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
    let mut settings = Settings::new(overrides.keys);
    let named = overrides.config.clone();
    match (named.or_else(|| environment.path(CONFIG_VARIABLE)), program) {
        (Some(path), _) => settings.add_file_and_drop_ins(&path, Need::Required),
        (None, Program::Daemon) => {
            settings.add_file_and_drop_ins(environment.system_file(), Need::IfPresent);
        }
        (None, Program::Client) => {
            settings.add_file_and_drop_ins(environment.system_file(), Need::IfReadable);
            if let Some(path) = environment.user_file() {
                settings.add_file(&path, Need::IfPresent);
            }
        }
    }
    settings.add_environment(environment);
    settings.add_flags(&overrides.values);
    let mut loaded = read(settings, environment).map_err(|problems| {
        let problems = problems.iter().map(|text| Problem::new(text));
        problems.collect::<Vec<_>>()
    })?;
    // Not at each call of the client; its checks ask for it.
    if program == Program::Daemon {
        loaded.warnings.extend(exposed_key(&loaded.config.broker));
    }
    Ok(loaded)
}

/// Reads the values that won, and applies the rules over several keys.
fn read(settings: Settings, environment: &Environment) -> Result<Loaded, Vec<String>> {
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
        if let Err(fault) = (key.read)(&mut loaded.config, &settings.values[place]) {
            let (name, origin) = (key.name, loaded.origin(key.name));
            let Fault { what, shown, help } = fault;
            problems.push(format!("{name}: {what}, is {shown} ({origin}); {help}"));
            wrong.push(name);
        }
    }
    problems.extend(check::contradictions(&loaded, &wrong));
    if !problems.is_empty() {
        return Err(problems);
    }
    loaded.warnings.extend(check::doubts(&loaded, environment));
    Ok(loaded)
}
