//! Sends each hostile message of `tests/it` to a service in each of several servers, and prints what each one survives.
//!
//! usage: hostile PORT FIBRPC RUSTSTREAM     (a broker on loopback, and the two server programs)
//!
//! Owns the servers that it starts, one at a time, and their queues. After each message, a good request must be answered by
//! the same process; a server that fails this is started anew, first with the message still in its queue.

#[allow(dead_code, unused_imports, reason = "the tests use all of it")]
#[path = "../../../tests/it/hostile"]
mod hostile {
    pub mod cases;
}
mod process;
#[allow(dead_code, unused_imports, reason = "the tests use all of it")]
#[path = "../../../tests/it/support"]
mod support {
    pub mod wire;
}
mod table;
mod trial;

use hostile::cases::{Case, Fate, STRANGE_NODE, addresses, bodies, case, headers::headers};
use hostile::cases::{plain, properties};
use process::Program;
use std::process::ExitCode;
use trial::Trial;

/// The messages, in groups.
fn groups() -> Vec<(&'static str, Vec<Case>)> {
    let strange = plain().reply_to(STRANGE_NODE);
    vec![
        ("bodies", bodies()),
        ("headers", headers()),
        ("properties", properties()),
        ("reply addresses", addresses()),
        (
            "others",
            vec![
                case("reply_to is of another node", strange, "10", Fate::Silence),
                case(
                    "a body of 100 MiB",
                    plain(),
                    vec![b'1'; 100 << 20],
                    Fate::Answer,
                ),
            ],
        ),
    ]
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, fibrpc, ruststream] = &arguments[..] else {
        eprintln!("usage: hostile PORT FIBRPC RUSTSTREAM");
        return ExitCode::from(64);
    };
    let Ok(port) = port.parse() else {
        eprintln!("hostile: {port} is not a port");
        return ExitCode::from(64);
    };
    let programs = [
        Program::fibrpc(port, fibrpc),
        Program::ruststream(port, ruststream, false),
        Program::ruststream(port, ruststream, true),
    ];
    let groups = groups();
    let mut columns = Vec::new();
    for program in &programs {
        match Trial::of_all(port, program, &groups) {
            Ok(column) => columns.push(column),
            Err(error) => {
                eprintln!("hostile: {}: {error}", program.name);
                return ExitCode::FAILURE;
            }
        }
    }
    table::print(&programs, &groups, &columns);
    ExitCode::SUCCESS
}
