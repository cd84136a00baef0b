//! The map of the source in ARCHITECTURE.md: it fits two pages, and names what is there and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

const MAX_LINES: usize = 120;
const MAX_COLUMNS: usize = 120;

/// What is wrong with the page, given the source files that it has to cover, by their path in `src`, and whether
/// there is a file of a name in the root folder.
pub fn faults(page: &str, files: &[&str], is_in_root: impl Fn(&str) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    if page.lines().count() > MAX_LINES {
        faults.push(format!("longer than {MAX_LINES} lines"));
    }
    let lines = page
        .lines()
        .filter(|line| line.chars().count() > MAX_COLUMNS);
    faults.extend(lines.map(|line| format!("longer than {MAX_COLUMNS} characters: {line}")));

    let entries = entries(page);
    let exists = |entry: &String| files.iter().any(|file| file == entry || is_in(file, entry));
    let absent = entries.iter().filter(|entry| !exists(entry));
    faults.extend(absent.map(|entry| format!("not in src: {entry}")));
    let is_tests = |file: &str| file.ends_with("/tests.rs") || file.contains("/tests/");
    let covered = |file: &str| {
        let folder = Path::new(file)
            .parent()
            .map(|folder| format!("{}/", folder.display()));
        entries.contains(file) || folder.is_some_and(|folder| entries.contains(&folder))
    };
    let missing = files
        .iter()
        .filter(|file| !is_tests(file) && !covered(file));
    faults.extend(missing.map(|file| format!("not in the map, and neither is its folder: {file}")));

    // Files that the text names, by the end of their path.
    let is_mark = |char: char| !char.is_alphanumeric() && !"/_-.".contains(char);
    let named = page.split(is_mark).filter(|word| is_rust(word));
    let is_known =
        |name: &str| is_in_root(name) || files.iter().any(|file| Path::new(file).ends_with(name));
    let unknown = named.filter(|name| !is_known(name));
    faults.extend(unknown.map(|name| format!("no such file: {name}")));
    faults
}

/// The files and folders that the map lists below `src/`, by their indentation.
fn entries(page: &str) -> BTreeSet<String> {
    let map = page.lines().skip_while(|line| *line != "src/").skip(1);
    let mut folders: Vec<(usize, String)> = Vec::new();
    let mut entries = BTreeSet::new();
    for line in map.take_while(|line| *line != "```") {
        let text = line.trim_start();
        let indentation = line.len() - text.len();
        let name = text.split(' ').next().unwrap_or_default();
        let is_folder = name.ends_with('/');
        if !is_folder && !is_rust(name) {
            continue; // the rest of a description
        }
        folders.retain(|(outer, _)| *outer < indentation);
        let folder = folders.last().map_or("", |(_, folder)| folder);
        let path = format!("{folder}{name}");
        if is_folder {
            folders.push((indentation, path.clone()));
        }
        entries.insert(path);
    }
    entries
}

fn is_rust(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "rs")
}

fn is_in(file: &str, folder: &str) -> bool {
    folder.ends_with('/') && file.starts_with(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(page: &str) -> Vec<String> {
        let files = [
            "lib.rs",
            "a/mod.rs",
            "a/b.rs",
            "a/deep/c.rs",
            "a/b/tests.rs",
        ];
        faults(page, &files, |file| file == "tests/d.rs")
    }

    #[test]
    fn a_map_that_covers_all_is_right() {
        let map = "```\nsrc/\n  lib.rs   front page\n  a/       all of\n           it\n    deep/    c\n```\nSee `a/b.rs`, tests/d.rs.\n";
        assert_eq!(found(map), [""; 0]);
    }

    #[test]
    fn what_is_missing_or_gone_is_named() {
        let map = "src/\n  a/     all\n    gone/  c\n```\nSee `deep/d.rs`.\n";
        let expected = [
            "not in src: a/gone/",
            "not in the map, and neither is its folder: lib.rs",
            "not in the map, and neither is its folder: a/deep/c.rs",
            "no such file: deep/d.rs",
        ];
        assert_eq!(found(map), expected);
    }

    #[test]
    fn a_long_page_is_too_long_and_so_is_a_wide_one() {
        let map = "src/\n  lib.rs x\n  a/ x\n    deep/ x\n```\n";
        let long = format!("{map}{}", "\n".repeat(MAX_LINES));
        assert_eq!(found(&long), ["longer than 120 lines"]);
        let wide = format!("{map}{}\n", "x".repeat(MAX_COLUMNS + 1));
        assert_eq!(found(&wide).len(), 1);
        assert!(found(&wide)[0].starts_with("longer than 120 characters: x"));
    }
}
