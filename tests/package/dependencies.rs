//! What the crate compiles: few crates for a library user, and none that only the programs need.

use super::root;
use std::collections::BTreeSet;
use std::process::Command;

/// The features of a library user.
const LIBRARY: &str = "server,client,json";

/// The most crates that they may compile, at run time and at build time: procedural macros included, each version once, without
/// this crate.
const MAX_CRATES: usize = 107;

/// What only the programs need.
const OF_THE_PROGRAMS: [&str; 15] = [
    "anstream",
    "clap",
    "ctor",
    "dashu-int",
    "figment",
    "hdrhistogram",
    "indicatif",
    "memmap2",
    "opentelemetry-proto",
    "prost",
    "rustfft",
    "sd-notify",
    "signal-hook",
    "tracing-journald",
    "x509-cert",
];

/// The dependencies with these features, each as `name vVERSION`.
fn dependencies(features: &[&str]) -> BTreeSet<String> {
    let tree = "tree --locked --offline --edges normal,build --prefix none --format {p}";
    let cargo = Command::new(env!("CARGO"))
        .args(tree.split(' '))
        .args(features)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(cargo.status.success(), "{cargo:?}");
    let lines = String::from_utf8(cargo.stdout).unwrap();
    let name = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let all = lines.lines().filter(|line| !line.is_empty()).map(name);
    all.filter(|crate_| !crate_.starts_with("fibrpc "))
        .collect()
}

fn among(name: &str, all: &BTreeSet<String>) -> bool {
    all.iter().any(|one| one.split(' ').next() == Some(name))
}

#[test]
fn a_library_user_compiles_few_crates() {
    let library = dependencies(&["--no-default-features", "--features", LIBRARY]);
    let programs = dependencies(&[]);
    for name in OF_THE_PROGRAMS {
        assert!(among(name, &programs), "the programs do not need {name}");
        assert!(!among(name, &library), "the library needs {name}");
    }
    let count = library.len();
    assert!(count <= MAX_CRATES, "{count} crates: {library:#?}");
}
