//! Holds the shape of the source: who may import whom, who may name the AMQP library, how long files are, what
//! every file says of itself, and what ARCHITECTURE.md says of them.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "all of it is test code, in one crate"
)]

mod circles;
mod map;
mod tokens;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each layer with the layers that it may import (see ARCHITECTURE.md). `lib` and the binaries tie
/// everything together and are not layers.
const LAYERS: &[(&str, &[&str])] = &[
    ("text", &[]),
    ("named", &[]),
    ("inherited", &[]),
    ("stdio", &["inherited"]),
    ("config", &["text"]),
    ("protocol", &["config", "text", "named"]),
    ("broker", &["protocol", "config", "text", "named"]),
    ("server", &["broker", "protocol", "config", "text", "named"]),
    ("client", &["broker", "protocol", "config", "text"]),
    (
        "fibonacci",
        &["server", "client", "protocol", "config", "text"],
    ),
    (
        "telemetry",
        &["server", "client", "broker", "protocol", "config", "text"],
    ),
    ("fuzz", &["fibonacci", "broker", "protocol", "config"]),
    (
        "internals",
        &[
            "fibonacci",
            "server",
            "client",
            "broker",
            "protocol",
            "config",
        ],
    ),
    (
        "daemon",
        &[
            "telemetry",
            "fibonacci",
            "server",
            "client",
            "broker",
            "protocol",
            "config",
            "stdio",
            "inherited",
            "text",
        ],
    ),
    (
        "cli",
        &[
            "telemetry",
            "fibonacci",
            "server",
            "client",
            "broker",
            "protocol",
            "config",
            "stdio",
            "inherited",
            "text",
            "named",
        ],
    ),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if entry.is_dir() {
            files.extend(rust_files(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            files.push(entry);
        }
    }
    files.sort();
    files
}

fn source() -> BTreeMap<String, String> {
    let src = root().join("src");
    let name = |file: &Path| {
        file.strip_prefix(&src)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    rust_files(&src)
        .iter()
        .map(|file| (name(file), fs::read_to_string(file).unwrap()))
        .collect()
}

/// The layers that a line imports or names: `use crate::x`, `use crate::{x, y}` on one line,
/// `crate::x::y` in code.
fn named(line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap_or_default();
    let identifier = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|char| char.is_alphanumeric() || *char == '_')
            .collect()
    };
    let mut names = Vec::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => names.extend(list.split(',').map(identifier)),
            None => names.push(identifier(rest)),
        }
    }
    names
}

fn layer_of(file: &str) -> Option<&str> {
    let layer = file.split('/').next()?.trim_end_matches(".rs");
    (layer != "lib" && layer != "bin").then_some(layer)
}

#[test]
fn imports_go_one_way() {
    let mut breaches = Vec::new();
    for (file, text) in source() {
        let Some(layer) = layer_of(&file) else {
            continue;
        };
        let known = LAYERS.iter().find(|(name, _)| *name == layer);
        let Some((_, allowed)) = known else {
            breaches.push(format!("{file}: {layer} is not in the table of layers"));
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            for name in named(line) {
                let is_layer = LAYERS.iter().any(|(layer, _)| *layer == name);
                if is_layer && name != layer && !allowed.contains(&name.as_str()) {
                    breaches.push(format!(
                        "{file}:{}: {layer} must not know {name}",
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn imports_are_recognised_in_every_spelling() {
    for (line, names) in [
        ("use crate::server::State;", vec!["server"]),
        (
            "use crate::{broker, config::Config};",
            vec!["broker", "config"],
        ),
        ("    let x = crate::cli::main();", vec!["cli"]),
        ("// crate::cli is not an import", vec![]),
        ("use std::fmt;", vec![]),
    ] {
        assert_eq!(named(line), names, "{line}");
    }
}

#[test]
fn no_files_need_each_other_in_a_circle() {
    let found = circles::circles(&source());
    assert!(found.is_empty(), "{} circles: {found:#?}", found.len());
}

#[test]
fn only_the_broker_layer_names_the_amqp_library() {
    for (file, text) in source() {
        if !file.starts_with("broker/") {
            assert!(!text.contains("lapin"), "{file} names lapin");
        }
    }
}

/// The function that is shipped and its daemon belong to the two programs: the layers below work for any function.
/// Returns the lines that name one of them; `fibrpcd` may be named in comments and tests.
fn names_of_the_shipped_function(file: &str, text: &str) -> Vec<String> {
    let knows = ["fibonacci", "daemon", "cli", "fuzz", "internals"];
    if layer_of(file).is_none_or(|layer| knows.contains(&layer)) {
        return Vec::new();
    }
    let is_test = file.ends_with("tests.rs") || file.contains("/tests/");
    let mut lines = Vec::new();
    let mut in_code = !is_test;
    for (number, line) in text.lines().enumerate() {
        in_code &= line != "#[cfg(test)]";
        let code = line.split("//").next().unwrap_or_default();
        let names_function = line.to_lowercase().contains("fibonacci") || line.contains("max_n");
        if names_function || in_code && code.contains("fibrpcd") {
            lines.push(format!("{file}:{}: {}", number + 1, line.trim()));
        }
    }
    lines
}

#[test]
fn only_the_programs_know_the_shipped_function() {
    let found: Vec<_> = source()
        .iter()
        .flat_map(|(file, text)| names_of_the_shipped_function(file, text))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_shipped_function_is_recognised() {
    for (file, text, lines) in [
        ("client/failure.rs", "\"is fibrpcd running?\"", 1),
        ("client/failure.rs", "// fibrpcd", 0),
        ("client/failure.rs", "#[cfg(test)]\n\"fibrpcd\"", 0),
        ("client/failure/tests.rs", "\"fibrpcd\"", 0),
        ("client/failure.rs", "// Fibonacci", 1),
        ("config/keys.rs", "max_n: u64,", 1),
        ("server/mod.rs", "#[cfg(test)]\nfibonacci()", 1),
        ("cli/mod.rs", "use crate::fibonacci;", 0),
        ("lib.rs", "pub mod fibonacci;", 0),
    ] {
        let found = names_of_the_shipped_function(file, text);
        assert_eq!(found.len(), lines, "{file}: {text}");
    }
}

/// What is pure in `fibonacci`.
const PURE_FIBONACCI: [&str; 3] = [
    "fibonacci/digits/",
    "fibonacci/number.rs",
    "fibonacci/value.rs",
];

#[test]
fn pure_layers_know_no_io_and_no_clock() {
    for (file, text) in source() {
        let is_pure = matches!(layer_of(&file), Some("protocol" | "text"))
            || PURE_FIBONACCI.iter().any(|pure| file.starts_with(pure));
        if is_pure {
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for word in [
                "tokio",
                "std::io",
                "std::net",
                "std::fs",
                "Instant",
                "SystemTime",
                "env::",
            ] {
                assert!(!code.contains(word), "{file} names {word}");
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for (file, text) in source() {
        assert!(
            text.starts_with("//! "),
            "{file} has no paragraph at its top"
        );
    }
}

/// Files that are longer than 400 lines, with their lengths.
fn too_long<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    files
        .map(|(file, text)| (file, text.lines().count()))
        .filter(|(_, lines)| *lines > 400)
        .map(|(file, lines)| format!("{file}: {lines} lines"))
        .collect()
}

#[test]
fn a_file_of_401_lines_is_too_long() {
    let (long, short) = ("\n".repeat(401), "\n".repeat(400));
    let files = [("a.rs", long.as_str()), ("b.rs", short.as_str())];
    assert_eq!(too_long(files.into_iter()), ["a.rs: 401 lines"]);
}

#[test]
fn no_file_is_longer_than_400_lines() {
    let folders = ["src", "tests"].map(|folder| rust_files(&root().join(folder)));
    let texts: Vec<_> = folders
        .iter()
        .flatten()
        .map(|file| (file.to_str().unwrap(), fs::read_to_string(file).unwrap()))
        .collect();
    let found = too_long(texts.iter().map(|(file, text)| (*file, text.as_str())));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn binaries_are_three_lines() {
    for file in rust_files(&root().join("src/bin")) {
        let text = fs::read_to_string(&file).unwrap();
        let code = text
            .lines()
            .filter(|line| !line.starts_with("//!") && !line.is_empty());
        assert_eq!(code.count(), 3, "{}", file.display());
    }
}

#[test]
fn the_changelog_knows_this_version() {
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let newest = changelog
        .lines()
        .find(|line| line.starts_with("## ") && *line != "## [Unreleased]")
        .unwrap();
    assert!(newest.contains(env!("CARGO_PKG_VERSION")), "{newest}");
}

#[test]
fn the_documentation_depends_on_this_version() {
    let (major, minor) = (
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
    );
    let line = format!("fibrpc = {{ version = \"{major}.{minor}\",");
    for file in ["README.md", "src/lib.rs"] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        let found: Vec<_> = text
            .lines()
            .filter(|line| line.contains("fibrpc = { version"))
            .collect();
        assert!(
            found.len() == 1 && found[0].contains(&line),
            "{file}: {found:?}, not {line}"
        );
    }
}

#[test]
fn the_map_in_architecture_shows_the_source() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let source = source();
    let files: Vec<_> = source.keys().map(String::as_str).collect();
    let found = map::faults(&page, &files, |file| root().join(file).exists());
    assert!(found.is_empty(), "{found:#?}");
}
