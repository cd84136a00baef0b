//! The guard: a small shell that outlives the test process and cleans up after it.
//!
//! It reads what to clean up from a pipe whose other end only the test process holds. When that process
//! ends, even by SIGKILL, the guard sees the end of the pipe, kills the process groups and deletes the
//! folders. Values in statics are never dropped, so this is also how the shared broker ends.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

const SCRIPT: &str = r#"
trap '' HUP INT TERM
groups=' ' brokers= folders=
while read -r what which; do
    case $what in
    group) groups="$groups$which " ;;
    ended) groups="${groups%%" $which "*} ${groups#*" $which "}" ;;
    broker) brokers="$brokers$which
" ;;
    folder) folders="$folders$which
" ;;
    esac
done
for group in $groups; do kill -s KILL -- "-$group"; done
IFS='
'
for folder in $brokers; do [ ! -d "$folder" ] || "$0" kill "$folder"; done
for folder in $folders; do rm -rf "$folder"; done
"#;

static GUARD: LazyLock<Mutex<Child>> = LazyLock::new(|| {
    let guard = Command::new("sh")
        .args(["-c", SCRIPT, super::broker::SCRIPT])
        .process_group(0) // Ctrl-C is for the tests
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh starts");
    Mutex::new(guard)
});

/// The process group led by `pid` is to be killed.
pub fn watch_group(pid: u32) {
    say("group", &pid.to_string());
}

/// The process group led by `pid` has ended; its number may be used again by others.
pub fn group_ended(pid: u32) {
    say("ended", &pid.to_string());
}

/// The private broker in `folder` is to be killed and deleted.
pub fn watch_broker(folder: &Path) {
    say("broker", &folder.display().to_string());
}

/// `folder` is to be deleted.
pub fn watch_folder(folder: &Path) {
    say("folder", &folder.display().to_string());
}

fn say(what: &str, which: &str) {
    let mut guard = GUARD.lock().unwrap_or_else(PoisonError::into_inner);
    let pipe = guard.stdin.as_mut().expect("stdin is piped");
    writeln!(pipe, "{what} {which}").expect("the guard lives");
}
