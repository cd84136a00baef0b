//! Unusual files: pipes, links, the null device, encodings, and names that only shells understand.

use super::{Folder, load_file, overrides, with_config};
use fibrpc::internals::config::{Environment, Program, ReadError, load_from, read_file};
use std::fs::{self, OpenOptions};
use std::io::{PipeReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

const TEXT: &str = "queue.name = \"jobs\"\n";

/// An unnamed pipe that contains a text and whose writer has closed it, as a shell's `<(...)`.
fn pipe(text: &[u8]) -> (PathBuf, PipeReader) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(text).unwrap();
    (format!("/dev/fd/{}", reader.as_raw_fd()).into(), reader)
}

fn fifo(folder: &Folder) -> PathBuf {
    let path = folder.path("fifo");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    path
}

fn name_of(path: &Path) -> String {
    load_file(path).unwrap().config.queue.name
}

fn problem_of(path: &Path) -> String {
    let problems = load_file(path).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].0.clone()
}

#[test]
fn the_null_device_is_an_empty_file() {
    let folder = Folder::new();
    let file = folder.write("a.toml", TEXT);
    folder.write("a.toml.d/60-local.toml", "nonsense = 1");
    fs::remove_file(folder.path("a.toml.d/60-local.toml")).unwrap();
    symlink("/dev/null", folder.path("a.toml.d/60-local.toml")).unwrap();
    assert_eq!(name_of(&file), "jobs", "a masked drop-in");
    symlink("/dev/null", folder.path("link.toml")).unwrap();
    symlink("link.toml", folder.path("further.toml")).unwrap();
    for path in [
        "/dev/null".into(),
        "/dev/../dev/null".into(),
        folder.path("link.toml"),
        folder.path("further.toml"),
    ] {
        assert_eq!(name_of(&path), "rpc_queue", "{}", path.display());
    }
}

#[test]
fn an_unnamed_pipe_is_read_once_and_its_content_kept() {
    let (path, _reader) = pipe(TEXT.as_bytes());
    // A reload, and a check by both programs, read it again.
    for _ in 0..3 {
        assert_eq!(name_of(&path), "jobs");
    }
    let (path, _reader) = pipe(&vec![b'#'; 4096]);
    assert!(matches!(read_file(&path, 4095), Err(ReadError::Failed(..))));
    let (path, _reader) = pipe(b"");
    let problem = problem_of(&path);
    let expected = format!(
        "cannot read {}: is a pipe, and no data arrived; ",
        path.display()
    );
    assert!(problem.starts_with(&expected), "{problem}");
}

#[test]
fn a_fifo_is_read_again_each_time_within_a_time_limit() {
    let folder = Folder::new();
    let path = fifo(&folder);
    for name in ["one", "two"] {
        let (path, text) = (path.clone(), format!("queue.name = \"{name}\"\n"));
        let writing = path.clone();
        let writer = thread::spawn(move || {
            // In two parts, the second one while the reader waits.
            let mut file = OpenOptions::new().write(true).open(writing).unwrap();
            let (one, two) = text.split_at(7);
            file.write_all(one.as_bytes()).unwrap();
            thread::yield_now();
            file.write_all(two.as_bytes()).unwrap();
        });
        assert_eq!(name_of(&path), name);
        writer.join().unwrap();
    }
    let began = Instant::now();
    let problem = problem_of(&path);
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    assert!(
        problem.contains("is a pipe, and no data arrived within 5s; "),
        "{problem}"
    );
    // A writer that does not close the pipe.
    let opened = OpenOptions::new().read(true).write(true).open(&path);
    let mut writer = opened.unwrap();
    writer.write_all(b"#").unwrap();
    let problem = problem_of(&path);
    assert!(
        problem.contains("is a pipe whose writer did not finish within 5s; "),
        "{problem}"
    );
}

#[test]
fn byte_order_marks_and_other_encodings() {
    let folder = Folder::new();
    let marked = [b"\xef\xbb\xbf", TEXT.as_bytes()].concat();
    assert_eq!(name_of(&folder.write("marked.toml", &marked)), "jobs");
    let windows = TEXT.replace('\n', "\r\n");
    assert_eq!(name_of(&folder.write("crlf.toml", windows)), "jobs");
    let bytes = read_file(&folder.write("marked.pem", b"\xef\xbb\xbf-----BEGIN"), 100);
    assert_eq!(bytes.unwrap(), b"-----BEGIN");
    // PowerShell's > writes little endian; and the other byte order.
    for (bom, order) in [
        ([0xff, 0xfe], u16::to_le_bytes as fn(u16) -> [u8; 2]),
        ([0xfe, 0xff], u16::to_be_bytes),
    ] {
        let wide = TEXT.encode_utf16().flat_map(order);
        let wide: Vec<u8> = bom.into_iter().chain(wide).collect();
        let problem = problem_of(&folder.write("wide.toml", wide));
        assert!(
            problem.ends_with("/wide.toml: is UTF-16; save it as UTF-8"),
            "{problem}"
        );
    }
    let problem = problem_of(&folder.write("nul.toml", "a = 1\nb\0 = 2\n"));
    assert!(
        problem.ends_with("/nul.toml: contains a NUL byte in line 2; save it as UTF-8 text"),
        "{problem}"
    );
}

#[test]
fn a_dangling_link_is_an_error_and_not_a_missing_file() {
    let folder = Folder::new();
    let system = folder.path("etc.toml");
    symlink("/nonexistent/etc.toml", &system).unwrap();
    let environment = Environment::empty().with_system_file(&system);
    let load = |program| load_from(program, &overrides(), &environment);
    let problem = "cannot read etc.toml: is a link to a file that does not exist";
    let problems = load(Program::Daemon).unwrap_err();
    assert_eq!(folder.plain(&problems[0].0), problem);
    let warnings = load(Program::Client).unwrap().warnings;
    assert_eq!(folder.plain(&warnings[0]), format!("{problem}; skipped"));
}

#[test]
fn a_home_that_is_not_a_folder_has_no_file() {
    let environment = Environment::empty()
        .with_system_file("/nonexistent/fibrpc.toml")
        .with("HOME", "/dev/null");
    let loaded = load_from(Program::Client, &overrides(), &environment).unwrap();
    assert!(loaded.files.is_empty() && loaded.warnings.is_empty());
}

#[test]
fn names_that_only_a_shell_or_a_browser_understands_get_a_hint() {
    for (name, hint) in [
        ("\"c.toml\"", "its name contains quotes; remove them"),
        ("'c.toml'", "its name contains quotes; remove them"),
        ("c.toml ", "remove the blank at its end"),
        ("~/c.toml", "write the home directory in full"),
        (
            "$HOME/c.toml",
            "variables are not expanded; write the value",
        ),
        ("file:///c.toml", "write the path only"),
        ("-", "write /dev/stdin for standard input"),
        ("/dev/fd/999", "that descriptor is not open"),
    ] {
        let problem = problem_of(Path::new(name));
        let expected = format!("cannot read {name}: no such file; ");
        assert!(problem.starts_with(&expected), "{problem}");
        assert!(problem.contains(hint), "{problem}");
        let environment = Environment::empty().with("FIBRPC_CONFIG", name);
        let problems = load_from(Program::Client, &overrides(), &environment);
        assert_eq!(problems.unwrap_err()[0].0, problem);
    }
    // An existing file is read, whatever its name.
    let folder = Folder::new();
    let odd = folder.write("\"odd\"", TEXT);
    let loaded = load_from(Program::Daemon, &with_config(&odd), &Environment::empty());
    assert_eq!(loaded.unwrap().config.queue.name, "jobs");
}
