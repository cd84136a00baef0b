//! A request to any service: the flags that describe it, and its body, from the command line, a file or standard input.

use super::common::{Common, Setup};
use super::connect::Notice;
use super::exit;
use super::input::chunks::Chunks;
use super::input::source::STDIN;
use super::output::{complain, not_written, note};
use crate::client::call::{check_header, check_short};
use crate::client::{Call, Client, MAX_BODY};
use crate::protocol::body::{Bytes, Json, Text};
use crate::protocol::request::check_method;
use crate::protocol::{Code, Reply, Status};
use crate::stdio;
use clap::ValueHint;
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

/// Flags that describe a request to any service.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub(super) struct Flags {
    /// Method to call (property type) [default: the service's default method]
    #[arg(short, long, value_name = "NAME", value_parser = method, value_hint = ValueHint::Other)]
    pub(super) method: Option<String>,

    #[arg(
        long,
        value_name = "TYPE",
        value_parser = content_type,
        value_hint = ValueHint::Other,
        hide_short_help = true,
        help = "MIME type of the body [default: application/json if it is a JSON object or array, text/plain if \
                it is other text, else application/octet-stream]"
    )]
    pub(super) content_type: Option<String>,

    /// Add a text header; may be repeated
    #[arg(
        long = "header",
        value_name = "NAME=VALUE",
        value_parser = header,
        value_hint = ValueHint::Other,
        hide_short_help = true
    )]
    pub(super) headers: Vec<(String, String)>,

    /// Priority of the message, 0 to 255, for queues with priorities
    #[arg(long, value_name = "PRIORITY", value_hint = ValueHint::Other, hide_short_help = true)]
    pub(super) priority: Option<u8>,
}

fn method(name: &str) -> Result<String, String> {
    checked(name, check_method(name))
}

fn content_type(name: &str) -> Result<String, String> {
    checked(name, check_short("the content type", name))
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("no value; write NAME=VALUE")?;
    Ok((checked(name, check_header(name))?, value.to_owned()))
}

fn checked(name: &str, check: Result<(), Status>) -> Result<String, String> {
    check.map_err(|status| status.message().to_owned())?;
    Ok(name.to_owned())
}

/// A request to a service.
#[derive(Debug, Clone)]
pub(super) struct CallRequest {
    pub(super) body: Vec<u8>,
    content_type: Cow<'static, str>,
    flags: Flags,
}

impl CallRequest {
    /// The request that the flags describe, with this body or the content of this file. Fails with an exit status and an
    /// error in one line.
    pub(super) async fn read(
        flags: &Flags,
        body: Option<&OsStr>,
        file: Option<&Path>,
        common: &Common,
    ) -> Result<Self, (u8, String)> {
        let body = match (body, file) {
            (Some(word), _) if word == STDIN => read(Path::new(STDIN), common).await?,
            (Some(word), _) => word.as_bytes().to_vec(),
            (None, Some(file)) => read(file, common).await?,
            (None, None) => Vec::new(),
        };
        let content_type = match &flags.content_type {
            Some(name) => name.clone().into(),
            None => content_type_of(&body).into(),
        };
        Ok(Self {
            body,
            content_type,
            flags: flags.clone(),
        })
    }

    /// A call with this request.
    pub(super) fn call(&self, client: &Client, queue: Arc<str>) -> Call<Reply> {
        let mut call = client
            .call::<Reply>(queue, self.body.as_slice())
            .content_type(self.content_type.clone());
        if let Some(method) = &self.flags.method {
            call = call.method(method);
        }
        if let Some(priority) = self.flags.priority {
            call = call.priority(priority);
        }
        for (name, value) in &self.flags.headers {
            call = call.header(name.clone(), value.as_str());
        }
        call
    }

    /// The method to call, if it is not the default one.
    pub(super) fn method(&self) -> Option<&str> {
        self.flags.method.as_deref()
    }
}

/// What is read before a command sends anything, which also requires that its result can be printed. If that fails or the
/// command is stopped, it ends with this exit status.
pub(super) async fn prepare<T>(
    setup: Setup<'_>,
    reading: impl Future<Output = Result<T, (u8, String)>>,
) -> Result<T, u8> {
    stdio::stdout()
        .open()
        .map_err(|error| not_written(&error))?;
    match setup.stop.run_until_cancelled(reading).await {
        Some(read) => read.map_err(|(exit_status, why)| {
            complain(&why);
            exit_status
        }),
        None => Err(0),
    }
}

/// Reads all of a file, unchanged.
async fn read(file: &Path, common: &Common) -> Result<Vec<u8>, (u8, String)> {
    let mut chunks = Chunks::open(file)?;
    let name = chunks.name.clone();
    let mut notice = Notice::new(common);
    if chunks.is_terminal && !common.quiet {
        note("reading the body from the terminal; Ctrl-D at the beginning of a line ends it");
        notice.due = false;
    }
    let mut body = Vec::new();
    let mut is_too_large = chunks.size.is_some_and(|size| size > MAX_BODY as u64);
    while !is_too_large {
        let next = notice.after_patience(chunks.next(), || {
            format!("waiting for the body from {name}")
        });
        let Some(chunk) = next.await else {
            chunks.close().await.map_err(|why| (exit::NO_INPUT, why))?;
            return Ok(body);
        };
        body.extend_from_slice(&chunk);
        is_too_large = body.len() > MAX_BODY;
    }
    let why = format!("{name} is larger than a request body may be: {MAX_BODY} bytes");
    Err((Code::OutOfRange.exit_status(), why))
}

/// The MIME type of a body without another one: what its bytes are. A number, `true` or a quoted text is also JSON, but
/// more likely plain text.
fn content_type_of(body: &[u8]) -> &'static str {
    let Ok(text) = std::str::from_utf8(body) else {
        return Bytes::CONTENT_TYPE;
    };
    let is_json = text.trim_start().starts_with(['{', '['])
        && serde_json::from_str::<IgnoredAny>(text).is_ok();
    if is_json {
        Json::<()>::CONTENT_TYPE
    } else {
        Text::CONTENT_TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_is_what_the_bytes_are() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        for (body, content_type) in [
            (&b"{}"[..], "application/json"),
            (b" \n[1, {\"a\": null}]\n", "application/json"),
            (deep.as_bytes(), "application/json"),
            (b"", "text/plain"),
            (b"30", "text/plain"),
            (b"\"tea\"", "text/plain"),
            (b"{}{}", "text/plain"),
            (b"{\"item\": tea}", "text/plain"),
            (b"[section]\nkey = 1\n", "text/plain"),
            ("π".as_bytes(), "text/plain"),
            (b"{\"a\": \"\xff\"}", "application/octet-stream"),
            (b"\x89PNG\r\n", "application/octet-stream"),
        ] {
            assert_eq!(content_type_of(body), content_type, "{body:?}");
        }
    }

    #[test]
    fn names_are_checked() {
        let long = "x".repeat(256);
        for (checked, wrong) in [
            (method("price"), None),
            (method("fibrpc.ping"), Some("`fibrpc.ping` is reserved")),
            (method(&long), Some("longer than the 255 bytes")),
            (content_type("text/csv"), None),
            (content_type(&long), Some("longer than the 255 bytes")),
        ] {
            let found = checked.err();
            assert_eq!(found.is_some(), wrong.is_some(), "{found:?}");
            assert!(found.is_none_or(|found| found.contains(wrong.unwrap())));
        }
        let parts = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(header("a=b=c"), parts("a", "b=c"));
        assert_eq!(header("x-a="), parts("x-a", ""));
        for (text, wrong) in [
            ("a", "no value; write NAME=VALUE"),
            ("=a", "the header name `` is reserved; choose another name"),
            (
                "fibrpc-deadline=1",
                "the header name `fibrpc-deadline` is reserved; choose another name",
            ),
        ] {
            assert_eq!(header(text).unwrap_err(), wrong);
        }
    }
}
