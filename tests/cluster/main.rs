//! Faults of a cluster of three, with a ledger for each. Started by `scripts/test-cluster`, in namespaces of its own.
//!
//! Arguments: the release (as in 4.3), the root of its tree, a folder for what is written, a file for the table, and the names of
//! faults.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "all of it is test code, in one crate"
)]

mod cluster;
mod dead_callers;
mod durable;
mod faults;
mod load;
mod network;
mod node;
mod row;
#[path = "../it/support/mod.rs"]
mod support;
mod trial;

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use cluster::{Cluster, Release};
use row::Row;

/// Does it; returns the ledger's line, and what does not hold.
type Fault = fn(&Cluster) -> (String, Vec<String>);

/// In this order.
const FAULTS: &[(&str, Fault)] = &[
    ("kill-leader", |c| line(faults::kill_leader(c))),
    ("kill-daemons", |c| line(faults::kill_daemons(c))),
    ("kill-both", |c| line(faults::kill_both(c))),
    ("kill-all", |c| line(faults::kill_all(c))),
    ("stop", |c| line(faults::stop(c))),
    ("drain", |c| line(faults::drain(c))),
    ("rolling-restart", |c| line(faults::rolling_restart(c))),
    ("freeze", |c| line(faults::freeze(c))),
    ("cut", |c| line(faults::cut(c))),
    ("cut-daemons", |c| line(faults::cut_daemons(c))),
    ("cut-leader", |c| line(faults::cut_leader(c))),
    ("dead-callers-5", |c| dead_callers::dead_callers(c, 5)),
    ("dead-callers-20", |c| dead_callers::dead_callers(c, 20)),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [release, tree, state, table, names @ ..] = arguments.as_slice() else {
        eprintln!("this is for scripts/test-cluster");
        return ExitCode::from(64);
    };
    let (major, minor) = release.split_once('.').expect("a release such as 4.3");
    let release = Release(major.parse().unwrap(), minor.parse().unwrap());
    network::make();
    let began = Instant::now();
    let mut cluster = None;
    let (mut lines, mut failed) = (
        format!("     {}\n", Row::head().replace('\n', "\n     ")),
        Vec::new(),
    );
    for (name, fault) in FAULTS {
        if !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let cluster = cluster.get_or_insert_with(|| {
                Cluster::start(release, Path::new(tree), &Path::new(state).join(*name))
            });
            fault(cluster)
        }));
        let took = start.elapsed().as_secs();
        let (line, problems) = outcome.unwrap_or_else(|_| {
            // The next one begins with nothing that this one has left.
            cluster = None;
            (
                format!("{name:<16} no ledger"),
                vec!["it could not be tried".into()],
            )
        });
        let verdict = if problems.is_empty() { "PASS" } else { "FAIL" };
        println!("{verdict} {took:>3} s  {line}");
        for problem in &problems {
            println!("     | {problem}");
        }
        writeln!(lines, "{verdict} {line}").unwrap();
        if !problems.is_empty() {
            failed.push(*name);
        }
    }
    drop(cluster);
    std::fs::write(table, lines).unwrap();
    println!("{} s, failed: {failed:?}", began.elapsed().as_secs());
    ExitCode::from(u8::from(!failed.is_empty()))
}

fn line(row: Row) -> (String, Vec<String>) {
    (row.to_string(), row.problems)
}
