//! Fuzz targets: functions of any bytes that panic if a promise is broken. `fuzz/README.md` says how to run them.
//!
//! Compiled for tests and for cargo-fuzz only.

#![allow(
    clippy::missing_panics_doc,
    reason = "a panic is the report of a fuzz target"
)]

pub use crate::broker::fuzz::{properties, reader};

use crate::config::{
    BrokerUrl, Environment, Loaded, Overrides, Problem, Program, load_from, show_toml,
};
use crate::fibonacci::number;
use crate::fibonacci::settings::KEYS;
use crate::protocol::{Message, Properties, RequestMessage, TraceContext};

/// A secret in inputs that must not appear in errors.
const CANARY: &str = "K4NARY";

/// Reads a request's body as a number; the first byte chooses how the message describes the body.
pub fn request_body(input: &[u8]) {
    let Some((choice, body)) = input.split_first() else {
        return;
    };
    let content_type = [
        None,
        Some("text/plain"),
        Some("application/json"),
        Some("x"),
    ];
    let message = Message {
        body: body.to_vec(),
        properties: Properties {
            content_type: content_type[usize::from(choice % 4)].map(str::to_owned),
            kind: (choice & 4 != 0).then(|| "amqp-1.0".to_owned()),
            ..Properties::default()
        },
    };
    let request = RequestMessage::read(message);
    let number = (request.body()).and_then(|body| number::read(body, request.format));
    if let Err(status) = number {
        assert_one_line(status.message());
    }
}

/// Loads a configuration file. The effective configuration, shown as TOML, must load to the same.
pub fn toml(input: &[u8]) {
    match load(input) {
        Ok(loaded) => {
            let shown = show_toml(&loaded);
            // A password cannot be loaded again, since it is not shown.
            if !shown.contains("***") {
                let again = load(shown.as_bytes()).map(|again| again.config);
                assert_eq!(again, Ok(loaded.config));
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            let lines = problems.iter().map(ToString::to_string);
            lines.for_each(|line| assert_one_line(&line));
        }
    }
}

fn load(file: &[u8]) -> Result<Loaded, Vec<Problem>> {
    let path = std::env::temp_dir().join(format!("fibrpc-fuzz-{}.toml", std::process::id()));
    let written = std::fs::write(&path, file);
    assert!(written.is_ok(), "{written:?}");
    let overrides = Overrides {
        config: Some(path.clone()),
        keys: KEYS,
        ..Overrides::default()
    };
    let loaded = load_from(Program::Daemon, &overrides, &Environment::empty());
    let _ = std::fs::remove_file(path);
    loaded
}

/// Parses a URL. Errors must not contain any of it, and the redacted URL must mean the same.
pub fn url(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match text.parse::<BrokerUrl>() {
        Ok(url) => {
            let shown = url.redacted();
            assert_one_line(&shown);
            let again: BrokerUrl = shown.parse().unwrap_or_default();
            assert_eq!(again.redacted(), shown);
            let password = again.password.and(url.password.clone());
            assert_eq!(BrokerUrl { password, ..again }, url);
        }
        Err(error) => {
            let error = error.to_string();
            assert_one_line(&error);
            assert!(!error.contains(CANARY), "{error}");
        }
    }
}

/// Reads a trace context: `traceparent`, a line feed, `tracestate`. What is valid is sent in the same meaning.
pub fn trace_context(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (parent, state) = match text.split_once('\n') {
        Some((parent, state)) => (parent, Some(state)),
        None => (&*text, None),
    };
    if let Some(context) = TraceContext::parse(parent, state) {
        let sent = context.to_string();
        assert_eq!((sent.len(), &sent[3..52]), (55, &parent[3..52]));
        assert!(context.state().is_none_or(|kept| Some(kept) == state));
        context.state().into_iter().for_each(assert_printable);
        assert_eq!(TraceContext::parse(&sent, context.state()), Some(context));
    }
}

fn assert_printable(text: &str) {
    let printable = |byte: u8| matches!(byte, b'\t' | b' '..=b'~');
    assert!(text.len() <= 512 && text.bytes().all(printable), "{text:?}");
}

fn assert_one_line(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?}");
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use std::path::PathBuf;

    /// Prints an input that made its target panic.
    struct Shown<'a>(&'a [u8]);

    impl Drop for Shown<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the input is b\"{}\"", self.0.escape_ascii());
            }
        }
    }

    fn number(variable: &str, default: u64) -> u64 {
        let value = std::env::var(variable).ok();
        value.map_or(default, |value| value.parse().unwrap())
    }

    /// Runs a target on every file of its corpus, and on `runs` mutations of these.
    fn run(name: &str, target: fn(&[u8]), runs: u64) {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        let files = std::fs::read_dir(folder.join(name)).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        let corpus: Vec<Vec<u8>> = files
            .iter()
            .map(|file| std::fs::read(file).unwrap())
            .collect();
        assert!(corpus.len() >= 20, "the corpus of {name} is missing");
        let mut random = Rng::with_seed(number("FIBRPC_FUZZ_SEED", 1));
        let mutations = (0..number("FIBRPC_FUZZ_RUNS", runs)).map(|_| mutate(&corpus, &mut random));
        for input in corpus.iter().cloned().chain(mutations) {
            let shown = Shown(&input);
            target(shown.0);
        }
    }

    /// A file of the corpus with some random changes.
    fn mutate(corpus: &[Vec<u8>], random: &mut Rng) -> Vec<u8> {
        let mut bytes = corpus[random.usize(..corpus.len())].clone();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(..=bytes.len());
            let to = random.usize(at..=bytes.len().min(at + 16));
            let other = &corpus[random.usize(..corpus.len())];
            match random.u8(..6) {
                0 => bytes[at..to]
                    .iter_mut()
                    .for_each(|byte| *byte ^= 1 << random.u8(..8)),
                1 => random.fill(&mut bytes[at..to]),
                2 => drop(bytes.drain(at..to)),
                3 => {
                    let special = b"\0\x01\x7f\x80\xff\xce\"'#@:/%[].-0\n";
                    bytes.insert(at, special[random.usize(..special.len())]);
                }
                4 => bytes.extend_from_within(at..to),
                // The rest of another file.
                _ => {
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[random.usize(..=other.len())..]);
                }
            }
        }
        bytes
    }

    #[test]
    fn reader() {
        run("reader", super::reader, 4_000);
    }

    #[test]
    fn properties() {
        run("properties", super::properties, 10_000);
    }

    #[test]
    fn request_body() {
        run("request_body", super::request_body, 10_000);
    }

    #[test]
    fn toml() {
        run("toml", super::toml, 500);
    }

    #[test]
    fn url() {
        run("url", super::url, 10_000);
    }

    #[test]
    fn trace_context() {
        run("trace_context", super::trace_context, 20_000);
    }
}
