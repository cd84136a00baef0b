//! `fibrpc call`: one request to any service, and its reply as it is.
//!
//! Bytes are not changed on their way, in either direction, except on a terminal: there the reply is shown as safe text.

use super::common::{Common, Setup};
use super::connect::{Failed, Notice, connect, queue, settings, waiting_for_reply};
use super::help::examples;
use super::output::{Closed, Failure, Output, line_of};
use super::request::{CallRequest, Flags, prepare};
use super::times::{Times, times};
use super::trace;
use crate::client::{CallError, Client};
use crate::protocol::Reply;
use crate::protocol::reply_value::Trailer;
use crate::text::safe;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueHint;
use serde::Serialize;
use serde_json::Value;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::time::Instant;

/// Call any service, and print its reply
///
/// Sends one request to a queue. BODY is sent as it is; without it, the body is empty. The reply is written to
/// standard output as it is; on a terminal, control characters are escaped and a final newline is added.
#[derive(Debug, Clone, clap::Args)]
#[command(
    help_template = examples! {
        "fibrpc call rpc_queue 30                             print what the service replies"
        "fibrpc call -m quote prices '{\"item\": \"tea\"}' | jq   call a method with JSON"
        "fibrpc call --file photo.png thumbnails >small.png   send a file"
        "date | fibrpc call log -                             send standard input"
    },
    after_help = "Exit status: 0 if the service replied without an error; see fibrpc --help for the others."
)]
pub(super) struct Call {
    /// The service's request queue
    #[arg(value_name = "QUEUE", value_hint = ValueHint::Other)]
    request_queue: String,

    /// What to send [default: nothing]. A single - is standard input
    #[arg(value_name = "BODY", allow_negative_numbers = true, value_hint = ValueHint::Other)]
    body: Option<OsString>,

    /// Send the content of FILE (- for standard input)
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "body",
        value_hint = ValueHint::FilePath
    )]
    file: Option<PathBuf>,

    /// In place of the global one, which has no meaning here
    #[arg(long, hide = true)]
    pub(super) queue: Option<String>,

    #[command(flatten)]
    request: Flags,

    /// Wait for broker, queue and server instead of failing at once
    #[arg(long)]
    wait: bool,
}

impl Call {
    /// The common flags, with the queue of this command.
    pub(super) fn with_queue(&self, common: &Common) -> Common {
        Common {
            queue: Some(self.request_queue.clone()),
            ..common.clone()
        }
    }
}

/// Calls and prints; returns the exit status.
pub(super) async fn run(flags: &Call, setup: Setup<'_>) -> u8 {
    let (body, file) = (flags.body.as_deref(), flags.file.as_deref());
    let reading = CallRequest::read(&flags.request, body, file, setup.common);
    let request = match prepare(setup, reading).await {
        Ok(request) => request,
        Err(exit_status) => return exit_status,
    };
    let mut output = Output::start(setup.common.style());
    let mut client = None;
    let calling = call(flags, &request, setup, &mut client);
    // If it was stopped or the reader is gone, there is nothing left to print.
    let _ = match setup.stop.run_until_cancelled(Box::pin(calling)).await {
        Some(Ok(Ok(reply))) => print_reply(reply, &output).await,
        Some(Ok(Err(error))) => print_error(&error, &mut output).await,
        Some(Err(failed)) => failed.report(&mut output).await,
        None => Ok(()),
    };
    if let Some(client) = client {
        client.close().await;
    }
    output.finish().await
}

async fn call(
    flags: &Call,
    request: &CallRequest,
    Setup { common, config, .. }: Setup<'_>,
    client: &mut Option<Client>,
) -> Result<Result<Reply, CallError>, Failed> {
    let began = Instant::now();
    let mut notice = Notice::new(common);
    let mut settings = settings(config);
    settings.wait_for_server = flags.wait;
    let client = client.insert(connect(settings, config, &mut notice).await?);
    let calling = request
        .call(client, queue(config))
        .trace_context(trace::of_environment(common).as_ref())
        .timeout(config.client.timeout)
        .since(began);
    let waiting = || waiting_for_reply(client, config);
    Ok(notice.after_patience(calling.into_future(), waiting).await)
}

async fn print_reply(reply: Reply, output: &Output) -> Result<(), Closed> {
    if output.style.json {
        return output.line(line_of(&JsonReply::new(&reply))).await;
    }
    let times = output.style.verbose.then(|| {
        let content_type = reply.content_type.as_deref().unwrap_or("no content type");
        let times = times(&reply.trailer, reply.round_trip);
        format!("{} bytes, {content_type}; {times}", reply.body.len())
    });
    let body = if io::stdout().is_terminal() {
        shown(&reply.body).into_bytes()
    } else {
        reply.body
    };
    output.bytes(body).await?;
    match times {
        Some(times) => output.note(&times).await,
        None => Ok(()),
    }
}

async fn print_error(error: &CallError, output: &mut Output) -> Result<(), Closed> {
    let status = error.status();
    output.failed(status.code());
    if output.style.json {
        return output.line(line_of(&JsonError::new(error))).await;
    }
    if error.is_from_server() {
        output.complaint(&status.to_string()).await?;
    } else {
        output.complaint(status.message()).await?;
    }
    if let Some(details) = status.details() {
        let line = format!("details: {}", line_of(details));
        output.complaint(&line).await?;
    }
    if output.style.verbose && *error.trailer() != Trailer::default() {
        return output.note(&times(error.trailer(), None)).await;
    }
    Ok(())
}

/// A body as a terminal shows it: lines and tabs, the rest as safe text.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut shown = String::with_capacity(text.len() + 1);
    for line in text.lines() {
        for (index, part) in line.split('\t').enumerate() {
            if index > 0 {
                shown.push('\t');
            }
            shown.push_str(&safe(part));
        }
        shown.push('\n');
    }
    shown
}

/// A reply as a line of `--json`. Fields are added to it, never renamed.
#[derive(Serialize)]
struct JsonReply<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    /// Instead, if the body is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(flatten)]
    times: Times<'a>,
}

impl<'a> JsonReply<'a> {
    fn new(reply: &'a Reply) -> Self {
        let body = std::str::from_utf8(&reply.body);
        Self {
            body: body.ok(),
            body_base64: body.err().map(|_| STANDARD.encode(&reply.body)),
            content_type: reply.content_type.as_deref(),
            times: Times::new(&reply.trailer, reply.round_trip),
        }
    }
}

/// An error as a line of `--json`.
#[derive(Serialize)]
struct JsonError<'a> {
    #[serde(flatten)]
    failure: Failure<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Value>,
    #[serde(flatten)]
    times: Times<'a>,
}

impl<'a> JsonError<'a> {
    fn new(error: &'a CallError) -> Self {
        Self {
            failure: error.status().into(),
            details: error.status().details(),
            times: Times::new(error.trailer(), None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Status;
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn a_terminal_gets_lines_of_safe_text() {
        for (body, text) in [
            (&b""[..], ""),
            (b"832040", "832040\n"),
            (b"832040\n", "832040\n"),
            (b"{\n\t\"a\": 1\r\n}", "{\n\t\"a\": 1\n}\n"),
            (b"\n\n", "\n\n"),
            (b"\x1b[2J\0\x07", "\\u{1b}[2J\\0\\u{7}\n"),
            ("\u{202e}a".as_bytes(), "\\u{202e}a\n"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}\n"),
            (b"a\rb", "a\\rb\n"),
        ] {
            assert_eq!(shown(body), text, "{body:?}");
        }
    }

    fn reply(body: &[u8], content_type: Option<&str>) -> Reply {
        Reply {
            body: body.into(),
            content_type: content_type.map(|name| name.to_owned().into()),
            trailer: Trailer {
                server: Some("blue".into()),
                ..Trailer::default()
            },
            round_trip: Some(Duration::from_micros(2345)),
        }
    }

    #[test]
    fn json_of_replies() {
        for (reply, line) in [
            (
                reply(b"{\"cents\": 700}\n\x1b", Some("application/json")),
                r#"{"body":"{\"cents\": 700}\n\u001b","content_type":"application/json","server":"blue","round_trip_us":2345}"#,
            ),
            (
                reply(b"\xff\0", None),
                r#"{"body_base64":"/wA=","server":"blue","round_trip_us":2345}"#,
            ),
        ] {
            assert_eq!(line_of(&JsonReply::new(&reply)), line);
        }
    }

    #[test]
    fn json_of_errors() {
        let status = Status::not_found("no \"gold\"").with_details(json!({"item": "a\nb"}));
        assert_eq!(
            line_of(&JsonError::new(&status.into())),
            r#"{"code":"NOT_FOUND","message":"no \"gold\"","retryable":false,"details":{"item":"a\nb"}}"#
        );
    }
}
