//! Which file needs which: the paths in their code, followed to the file of the module that they lead to.
//!
//! `use super::X` leads to the parent's file, whatever X is there: a re-export counts like any other item. `mod x;`
//! alone leads nowhere. Test modules are left out: they know the module that they test.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::tokens::{Token, tokens};

/// The files of `src` by their path in it, with their text.
pub type Files = BTreeMap<String, String>;

/// For each file the files that it needs, each with the line and the path that say so.
type Needs = BTreeMap<String, BTreeMap<String, String>>;

type Module = Vec<String>;

/// The shortest circle of files through each file that is on one; each circle once.
pub fn circles(files: &Files) -> Vec<String> {
    let needs = needs(files);
    assert!(needs.len() * 2 > files.len(), "most modules are not found");
    let mut seen = BTreeSet::new();
    let circles = needs
        .keys()
        .filter_map(|file| shortest_circle(&needs, file));
    let circles =
        circles.filter(|circle| seen.insert(circle.iter().copied().collect::<BTreeSet<_>>()));
    circles.map(|circle| shown(&needs, &circle)).collect()
}

fn shown(needs: &Needs, circle: &[&str]) -> String {
    let next = circle.iter().cycle().skip(1);
    let steps = circle.iter().zip(next);
    let steps = steps.map(|(from, to)| format!("{from} needs {to} ({})", needs[*from][*to]));
    steps.collect::<Vec<_>>().join(", ")
}

/// The files on the shortest way from a file back to itself.
fn shortest_circle<'a>(needs: &'a Needs, start: &'a str) -> Option<Vec<&'a str>> {
    let mut from = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for next in needs.get(file)?.keys() {
            if next == start {
                let way = std::iter::successors(Some(file), |file| from.get(file).copied());
                let mut way: Vec<_> = way.collect();
                way.reverse();
                return Some(way);
            }
            from.entry(next.as_str()).or_insert_with(|| {
                queue.push_back(next);
                file
            });
        }
    }
    None
}

fn needs(files: &Files) -> Needs {
    let mut modules = Modules::default();
    modules.add(files, Vec::new(), "lib.rs");
    let all = modules.files.iter();
    let all = all.map(|(module, file)| (file.clone(), modules.needs_of(module, &files[file])));
    all.collect()
}

/// The tree of modules, with the file of each.
#[derive(Default)]
struct Modules {
    files: BTreeMap<Module, String>,
}

impl Modules {
    fn add(&mut self, files: &Files, module: Module, file: &str) {
        let tokens = tokens(&files[file]);
        for declared in tokens.windows(3) {
            if declared[0].text == "mod" && declared[2].text == ";" {
                let child = child(&module, declared[1].text);
                let path = child.join("/");
                let places = [format!("{path}.rs"), format!("{path}/mod.rs")];
                if let Some(file) = places.iter().find(|file| files.contains_key(*file)) {
                    self.add(files, child, file);
                }
            }
        }
        self.files.insert(module, file.to_owned());
    }

    fn needs_of(&self, module: &Module, text: &str) -> BTreeMap<String, String> {
        let mut needs = BTreeMap::new();
        // Modules that were imported, by their names here.
        let mut imported = BTreeMap::new();
        for path in paths(&tokens(text)) {
            let first = path.segments[0];
            let is_child = self.files.contains_key(&child(module, first));
            let start = match imported.get(first) {
                Some(start) if !path.is_import => start,
                _ if is_child || ["crate", "super", "self"].contains(&first) => module,
                _ => continue,
            };
            let is_alias = start != module;
            let (found, left) = self.follow(start, &path.segments[usize::from(is_alias)..]);
            if path.is_import && left == 0 {
                imported.insert(path.name, found.clone());
            }
            let file = &self.files[&found];
            if *file != self.files[module] {
                let why = || format!("line {}: {}", path.line, path.segments.join("::"));
                needs.entry(file.clone()).or_insert_with(why);
            }
        }
        needs
    }

    /// The module that a path leads to, and how many of its segments are no modules.
    fn follow(&self, start: &Module, path: &[&str]) -> (Module, usize) {
        let mut module = start.clone();
        for (at, segment) in path.iter().enumerate() {
            match *segment {
                "crate" => module.clear(),
                "super" => drop(module.pop()),
                "self" => {}
                name => match child(&module, name) {
                    child if self.files.contains_key(&child) => module = child,
                    _ => return (module, path.len() - at),
                },
            }
        }
        (module, 0)
    }
}

fn child(module: &Module, name: &str) -> Module {
    [module.as_slice(), &[name.to_owned()]].concat()
}

/// A path in the code, at least two segments, or an import.
struct Path<'a> {
    line: usize,
    segments: Vec<&'a str>,
    /// What the last segment is called from here on.
    name: &'a str,
    is_import: bool,
}

/// All paths of a file, the imports first.
fn paths<'a>(tokens: &[Token<'a>]) -> Vec<Path<'a>> {
    let (mut imports, mut others) = (Vec::new(), Vec::new());
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut at = 0;
    while at < tokens.len() {
        match (text(at), text(at + 1)) {
            ("use", next) if next != "<" => {
                at = import(tokens, at + 1, &[], &mut imports);
            }
            // The visibility of an item is no dependency.
            ("pub", "(") => {
                let inside = tokens[at..].iter().take_while(|token| token.text != ")");
                at += inside.count();
            }
            // A method with a type parameter is no path.
            (".", method) if is_name(method) => at += 2,
            (first, "::") if is_name(first) => {
                let line = tokens[at].line;
                let mut segments = vec![first];
                while text(at + 1) == "::" && is_name(text(at + 2)) {
                    at += 2;
                    segments.push(text(at));
                }
                let name = text(at);
                others.push(Path {
                    line,
                    segments,
                    name,
                    is_import: false,
                });
                at += 1;
            }
            _ => at += 1,
        }
    }
    imports.append(&mut others);
    imports
}

fn is_name(text: &str) -> bool {
    text.starts_with(|char: char| char.is_alphabetic() || char == '_')
}

/// Reads a tree of imports; returns where what follows it begins.
fn import<'a>(
    tokens: &[Token<'a>],
    mut at: usize,
    prefix: &[&'a str],
    paths: &mut Vec<Path<'a>>,
) -> usize {
    let text = |at: usize| tokens.get(at).map_or(";", |token| token.text);
    let mut segments = prefix.to_vec();
    loop {
        match text(at) {
            "{" => {
                at += 1;
                while text(at) != "}" {
                    at = import(tokens, at, &segments, paths);
                    at += usize::from(text(at) == ",");
                }
                return at + 1;
            }
            "::" => at += 1,
            "," | ";" | "}" => break,
            "as" => {
                at += 2;
                break;
            }
            segment => {
                segments.push(segment);
                at += 1;
            }
        }
    }
    let own = segments.iter().rfind(|segment| **segment != "self");
    let name = if text(at - 2) == "as" {
        text(at - 1)
    } else {
        own.copied().unwrap_or_default()
    };
    let line = tokens[at - 1].line;
    paths.push(Path {
        line,
        segments,
        name,
        is_import: true,
    });
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let files = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        circles(&files.collect())
    }

    #[test]
    fn files_that_need_each_other_are_a_circle() {
        let circle = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::Thing;"),
            ("b.rs", "\nfn f() { super::a::g() }"),
        ];
        let shown =
            "a.rs needs b.rs (line 1: crate::b::Thing), b.rs needs a.rs (line 2: super::a::g)";
        assert_eq!(found(&circle), [shown]);
    }

    #[test]
    fn so_are_a_parent_that_exports_an_item_and_a_child_that_imports_it_there() {
        let lib = ("lib.rs", "mod a;");
        let parent = (
            "a/mod.rs",
            "mod b; mod c; pub use b::B; pub use c::{self, C};",
        );
        let child = |text| [lib, parent, ("a/b.rs", text), ("a/c.rs", "use std::fmt;")];
        let shown =
            "a/b.rs needs a/mod.rs (line 1: super::C), a/mod.rs needs a/b.rs (line 1: b::B)";
        assert_eq!(found(&child("use super::C;")), [shown]);
        assert_eq!(found(&child("use super::c::C;")), [""; 0]);
    }

    #[test]
    fn a_circle_of_three_is_found_through_modules_that_were_imported() {
        let [a, b, c] = [
            "use super::b; fn f() { b::deep::f() }",
            "pub mod deep;",
            "use super::a as x; struct S(x::T);",
        ];
        let deep = "use super::super::{c::{C, D}, e};";
        let files = [
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", a),
            ("b.rs", b),
            ("b/deep.rs", deep),
            ("c.rs", c),
        ];
        let circles = found(&files);
        assert_eq!(circles.len(), 1, "{circles:#?}");
        assert!(
            circles[0].starts_with("a.rs needs b/deep.rs (line 1: b::deep::f), "),
            "{circles:#?}"
        );
    }

    #[test]
    fn declarations_tests_visibility_and_comments_are_no_needs() {
        let files = [
            ("lib.rs", "mod a;"),
            (
                "a.rs",
                "mod b; fn f() -> impl Fn() + use<> { \"1\".b::<u8>() }",
            ),
            (
                "a/b.rs",
                "//! See crate::a::f.\npub(super) fn f() { let _ = \"super::f\"; }\npub(in crate::a) fn g() {}\n\
                 #[cfg(test)] mod tests;",
            ),
            ("a/b/tests.rs", "use super::super::f;"),
        ];
        assert_eq!(found(&files), [""; 0]);
    }
}
