//! Whether a configuration can be used, as far as that can be checked without the network: what
//! `fibrpcd --check` and `fibrpc config check` share.

use super::tls;
use crate::config::{Loaded, Problem, Scheme, password_file, unseen_credentials};

/// What it means that this user may not read a file that the configuration names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The program that was asked about runs as this user, and could not do its work.
    IsProblem,
    /// It may run as another one: all that is known is that the file was not checked.
    IsWarning,
}

/// Reads the files that hold the password, certificates and keys, if they are used. Returns all warnings, including those
/// of loading, or all problems.
pub fn check(loaded: &Loaded, denied: Denied) -> Result<Vec<String>, Vec<Problem>> {
    let broker = &loaded.config.broker;
    let mut faults = Vec::new();
    let mut warnings = loaded.warnings.clone();
    // A reload must not fail for what the running service can read and other commands of its unit cannot.
    let of_tls = |key: &str| key.starts_with("broker.tls.");
    let uses_tls = broker.url.iter().any(|url| url.scheme == Scheme::Amqps);
    let mut unseen = unseen_credentials(broker);
    unseen.retain(|(key, _)| uses_tls || !of_tls(key));
    for (key, path) in &unseen {
        let path = path.display();
        let Problem(warning) = Problem::new(&format!(
            "{key}: cannot look at {path}, a credential of the service; not checked"
        ));
        warnings.push(warning);
    }
    if unseen.iter().all(|(key, _)| of_tls(key)) {
        match password_file(broker) {
            Some(Ok(password)) => warnings.extend(password.warning),
            Some(Err(fault)) => faults.push(fault),
            None => {}
        }
    }
    if uses_tls && !unseen.iter().any(|(key, _)| of_tls(key)) {
        let found = tls::check(&broker.tls);
        if found.is_empty() {
            warnings.extend(tls::doubt(&broker.tls));
        }
        faults.extend(found);
    }
    let mut problems = Vec::new();
    for fault in faults {
        let Problem(problem) = fault.problem;
        if fault.denied && denied == Denied::IsWarning {
            warnings.push(format!("{problem}; not checked any further"));
        } else {
            problems.push(Problem(problem));
        }
    }
    if problems.is_empty() {
        Ok(warnings)
    } else {
        Err(problems)
    }
}
