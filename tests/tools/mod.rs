//! Tools that a test needs and a machine may lack. Then the test is left out, and says so in the file that
//! `scripts/test` names: it counts what was left out, and with `--require-all` fails.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::Command;

/// Whether a program is missing; notes that the running test is left out if so.
pub fn lacks(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    lacks_if(!found, program)
}

/// Whether no Python has pika, RabbitMQ's client; notes that the running test is left out if so.
pub fn lacks_pika() -> bool {
    lacks_if(python_with_pika().is_none(), "python3-pika")
}

/// Debian's Python if it has pika, else the first on the path.
pub fn python_with_pika() -> Option<&'static str> {
    let has_pika = |python: &&str| {
        let import = Command::new(python).args(["-c", "import pika"]).output();
        import.is_ok_and(|output| output.status.success())
    };
    ["/usr/bin/python3", "python3"].into_iter().find(has_pika)
}

/// Whether no Python has the messages of OTLP; notes that the running test is left out if so.
pub fn lacks_otlp() -> bool {
    lacks_if(python_with_otlp().is_none(), "opentelemetry-proto")
}

/// The Python of `scripts/test`, else the first on the path, with the official messages of OTLP.
pub fn python_with_otlp() -> Option<&'static str> {
    let has_otlp = |python: &&str| {
        let module = "import opentelemetry.proto.collector.trace.v1.trace_service_pb2";
        let import = Command::new(python).args(["-c", module]).output();
        import.is_ok_and(|output| output.status.success())
    };
    let of_script = concat!(env!("CARGO_TARGET_TMPDIR"), "/../otlp/bin/python");
    [of_script, "python3"].into_iter().find(has_otlp)
}

fn lacks_if(missing: bool, tool: &str) -> bool {
    if missing {
        let thread = std::thread::current();
        let line = format!("{tool}: {}\n", thread.name().unwrap_or("a test"));
        eprint!("LEFT OUT for want of {line}");
        if let Some(file) = std::env::var_os("FIBRPC_TESTS_LEFT_OUT") {
            let file = OpenOptions::new().append(true).create(true).open(file);
            // One write, since others write there as well.
            file.and_then(|mut file| file.write_all(line.as_bytes()))
                .expect("a line about a test that is left out");
        }
    }
    missing
}
