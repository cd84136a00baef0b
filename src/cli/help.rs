//! What `fibrpc -h` and `--help` say around the lists of flags: examples first, exit statuses last.

/// The heading of the examples, as clap writes its own; clap leaves the escapes out where there is no
/// colour.
macro_rules! template {
    ($($line:literal)+) => {
        concat!(
            "{about-with-newline}\n\u{1b}[1m\u{1b}[4mExamples:\u{1b}[0m\n",
            $("  ", $line, "\n",)+
            "\n{usage-heading} {usage}\n\n{all-args}{after-help}\n"
        )
    };
}

pub(super) const ASK: &str = template! {
    "fibrpc 30            print the 30th Fibonacci number"
    "fibrpc 10 100 1000   ask for several at once, answers in this order"
    "seq 5000 | fibrpc -  ask for any amount, one a line"
    "fibrpc ping -c 4     is a server there, and how fast?"
    "fibrpc doctor        what is wrong between here and an answer?"
};

pub(super) const PING: &str = template! {
    "fibrpc ping             once a second, until Ctrl-C"
    "fibrpc ping -c 4        four times"
    "fibrpc ping -i 100ms    ten times a second"
};

pub(super) const STATUS: &str = template! {
    "fibrpc status           look once"
    "fibrpc status --watch   look every two seconds, until Ctrl-C"
    "fibrpc status --json    for scripts"
};

pub(super) const DOCTOR: &str = template! {
    "fibrpc doctor                   what is wrong between here and an answer?"
    "fibrpc --queue jobs doctor      the same for another queue"
    "fibrpc doctor --json            for scripts"
};

/// What follows the flags in the help of `fibrpc doctor`.
pub(super) const AFTER_DOCTOR: &str = "\
Exit status: 0 where all is well, 1 for warnings, 2 for problems.

With --json each finding gets one object: \"check\", \"verdict\", \"message\" and, where there is
something to do, \"fix\"; for what is checked of each broker also \"broker\".";

pub(super) const BENCH: &str = template! {
    "fibrpc bench                          100 in flight for ten seconds"
    "fibrpc bench -r 5000 -d 1m            5000 a second, whatever comes back"
    "fibrpc bench --assert 'p99<20ms'      for scripts: exit status 1 where that does not hold"
};

/// What follows the flags in the help of `fibrpc bench`.
pub(super) const AFTER_BENCH: &str = "\
Conditions: METRIC OPERATOR VALUE, with rate, errors, error-ratio, min, mean, max, or a percentile
such as p50 or p99.9; < <= > >= or ==; times with their unit (us, ms, s).

Exit status: 1 where a condition does not hold; where no request was answered, that of the failure.";

pub(super) const CONFIG: &str = template! {
    "fibrpc config show      all values in effect, each with where it comes from"
    "fibrpc config check     all that is wrong with them"
};

pub(super) const CONFIG_SHOW: &str = template! {
    "fibrpc config show               as TOML that loads to the same values"
    "fibrpc --queue jobs config show  flags and environment count, too"
    "fibrpc config show --json        one key a line"
};

pub(super) const CONFIG_CHECK: &str = template! {
    "fibrpc config check                    what fibrpcd and fibrpc would read"
    "fibrpc --config new.toml config check  a file that is not in use yet"
};

pub(super) const COMPLETIONS: &str = template! {
    "fibrpc completions bash >~/.local/share/bash-completion/completions/fibrpc"
    "fibrpc completions zsh >~/.zfunc/_fibrpc    (in a folder of your $fpath)"
    "fibrpc completions fish >~/.config/fish/completions/fibrpc.fish"
};

/// What follows the flags in `fibrpc --help`.
pub(super) const AFTER_ASK: &str = "\
Exit status:
   0  every number was answered
   1  fibrpc doctor has warnings, or an assertion of fibrpc bench does not hold
   2  fibrpc doctor has found a problem
  64  wrong usage
  65  a number is malformed, negative or out of range
  66  the file cannot be read
  69  no broker, no such queue, or no server on it; nothing was published
  70  the server failed
  71  the system does not give what is needed
  74  the answers could not be written
  75  no answer in time, or the server is too busy; trying again may help
  76  the reply was not an integer, or what became of the request is not known
  77  the broker refused the user or the operation
  78  wrong configuration
  Where several numbers fail, the first of them in the order asked decides.

With --json each number gets one object on standard output, in the order asked: its \"n\", its \"line\"
where it was read from one, and either \"value\" (text, of any length) or \"code\", \"message\" and
\"retryable\"; where known also \"server\", \"queued_us\", \"compute_us\" and \"round_trip_us\".

Files: /etc/fibrpc.toml, /etc/fibrpc.toml.d/*.toml, $XDG_CONFIG_HOME/fibrpc/fibrpc.toml.
Environment: FIBRPC_SECTION__KEY, for example FIBRPC_BROKER__URL; NO_COLOR. Manual: fibrpc(1).";
