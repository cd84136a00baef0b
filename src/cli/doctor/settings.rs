//! Judges the configuration. Reads only the password file.

use super::finding::{Check, Finding, Verdict};
use crate::config::{BrokerUrl, Loaded, Login, Problem, exposed_key, login};

/// The files and the origin of the broker's URL; one finding per problem and warning.
pub(super) fn judge(loaded: &Result<Loaded, Vec<Problem>>) -> Vec<Finding> {
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(problems) => {
            let problems = problems.iter();
            return problems
                .map(|problem| Check::Config.failed(&problem.0))
                .collect();
        }
    };
    let files: Vec<_> = loaded
        .files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let files = match files.as_slice() {
        [] => "no file".to_owned(),
        files => files.join(", "),
    };
    let broker = &loaded.config.broker;
    let urls: Vec<_> = broker.url.iter().map(BrokerUrl::redacted).collect();
    let mut findings = vec![Check::Config.ok(format!(
        "{files} read; broker.url = {} ({})",
        urls.join(", "),
        loaded.origin("broker.url")
    ))];
    let mut warnings = loaded.warnings.clone();
    // A password that cannot be read is reported by the login check.
    let logins = broker.url.iter().filter_map(|url| login(broker, url).ok());
    warnings.extend(logins.filter_map(|login| match login {
        Login::Password(password) => password.warning,
        Login::Certificate => None,
    }));
    warnings.extend(exposed_key(broker));
    warnings.dedup();
    let warnings = warnings.iter();
    findings.extend(warnings.map(|warning| Check::Config.reported(Verdict::Warning, warning)));
    findings
}
