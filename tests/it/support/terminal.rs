//! A command on a pseudo-terminal with scripted input: `tests/fixtures/terminal.py`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::process::{Output, Process};

/// A scripted terminal session.
pub struct Terminal {
    files: Vec<String>,
    steps: Vec<String>,
}

impl Terminal {
    /// A script without steps.
    pub fn new() -> Self {
        Self {
            files: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Standard input comes from this file, not from the terminal.
    pub fn stdin(mut self, file: &Path) -> Self {
        self.files
            .extend(["--stdin".into(), file.display().to_string()]);
        self
    }

    /// Standard output goes to this file, not to the terminal.
    pub fn stdout(mut self, file: &Path) -> Self {
        self.files
            .extend(["--stdout".into(), file.display().to_string()]);
        self
    }

    /// Waits until the terminal shows this, after what was waited for before.
    pub fn see(mut self, text: &str) -> Self {
        self.steps.push(format!("see:{text}"));
        self
    }

    /// Creates a file, by which another thread learns how far the script is.
    pub fn touch(mut self, file: &Path) -> Self {
        self.steps.push(format!("touch:{}", file.display()));
        self
    }

    /// Resizes the terminal; as the first step, before the command starts.
    pub fn size(mut self, columns: u16, rows: u16) -> Self {
        self.steps.push(format!("size:{columns}x{rows}"));
        self
    }

    /// Types this, with Python's escapes.
    pub fn type_keys(mut self, keys: &str) -> Self {
        self.steps.push(format!("type:{keys}"));
        self
    }

    /// Runs the command to its end. Its standard output is all that the terminal was sent, `\r\n` at the
    /// end of lines; its exit status is the command's as a shell would see it, 99 if a step failed.
    pub fn run(self, command: &Command) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/terminal.py");
        let mut python = Command::new("python3");
        python
            .arg(script)
            .args(self.files)
            .args(self.steps)
            .arg("--");
        python.arg(command.get_program()).args(command.get_args());
        python.env_clear().env("TERM", "xterm");
        python.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                python.env(name, value);
            }
        }
        let process = Process::start(&mut python, b"");
        process.output(Duration::from_secs(30))
    }
}
