//! `fibrpc completions`: a shell completion script, generated from the definition of the flags.

use super::help::examples;
use super::output::print;
use clap::{Arg, Command, ValueEnum};
use clap_complete::generate;

/// Print a shell completion script
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(help_template = examples! {
    "fibrpc completions bash >~/.local/share/bash-completion/completions/fibrpc"
    "fibrpc completions zsh >~/.zfunc/_fibrpc    (in a folder of your $fpath)"
    "fibrpc completions fish >~/.config/fish/completions/fibrpc.fish"
})]
pub(super) struct Completions {
    /// The shell
    pub(super) shell: Shell,
}

/// The shells that completions are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "their names say it, here and in the help")]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script for this command line; returns the exit status.
pub(super) fn run(shell: Shell, command: &Command) -> u8 {
    print(&script(shell, command))
}

fn script(shell: Shell, command: &Command) -> String {
    let mut command = without_numbers(command);
    let mut script = Vec::new();
    let (shell, addition) = match shell {
        Shell::Bash => (clap_complete::Shell::Bash, ""),
        Shell::Zsh => (clap_complete::Shell::Zsh, ""),
        Shell::Fish => (clap_complete::Shell::Fish, FISH),
    };
    generate(shell, &mut command, "fibrpc", &mut script);
    String::from_utf8_lossy(&script).into_owned() + addition
}

/// The same command without positional numbers: they cannot be completed, and zsh would take every subcommand for one.
fn without_numbers(command: &Command) -> Command {
    let flags = command.get_arguments().filter(|arg| !arg.is_positional());
    Command::new("fibrpc")
        .version(env!("CARGO_PKG_VERSION"))
        .args(flags.map(Arg::clone))
        .subcommands(command.get_subcommands().cloned())
}

/// What clap leaves out for fish: no file names except for options that take one, values of options before the
/// subcommand, and values of subcommands.
const FISH: &str = "\
complete -c fibrpc -f
complete -c fibrpc -l file -r -F
complete -c fibrpc -l config -r -F
complete -c fibrpc -l color -x -a 'auto always never' -d 'Use colors'
complete -c fibrpc -n '__fish_seen_subcommand_from completions' -f -a 'bash zsh fish'
";
