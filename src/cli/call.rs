//! `fibrpc N...`: asks for all numbers at once and prints the answers in the order asked, each as
//! soon as it and all before it are there.

use super::args::{Args, Common};
use super::output::{Output, Style, complain};
use crate::client::{CallError, Client, Reply, Settings, State};
use crate::config::{BrokerUrl, Config};
use crate::protocol::{Code, Status};
use futures_util::stream::{self, StreamExt as _};
use std::future::Future;
use std::io::IsTerminal as _;
use std::pin::pin;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Calls in flight at once. Enough to keep a server busy, few enough that none waits long in the
/// queue, where its time runs.
const WINDOW: usize = 256;

/// After how long a wait deserves a word.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks and prints; gives the exit status.
pub(super) async fn run(args: &Args, config: &Config, stop: &CancellationToken) -> u8 {
    let mut output = Output::start(Style {
        json: args.common.json,
        verbose: args.common.verbose > 0,
    });
    let mut notice = Notice::new(&args.common);
    // Nobody needs to be asked about what is no number.
    if args.numbers.iter().all(|n| number(n).is_err()) {
        ask_all(args, config, None, &mut output, &mut notice).await;
        return output.finish().await;
    }
    let mut settings = settings(config);
    settings.wait_for_server = args.wait;
    let connecting = connect(settings, config, &mut notice);
    match stop.run_until_cancelled(connecting).await {
        Some(Ok(client)) => {
            let asking = ask_all(args, config, Some(&client), &mut output, &mut notice);
            stop.run_until_cancelled(asking).await;
            client.close().await;
            tracing::debug!(stats = ?client.stats(), "closed");
        }
        // Where nobody reads any more there is nobody to tell.
        Some(Err(status)) => drop(output.put_for_all(&args.numbers, &status).await),
        None => {}
    }
    output.finish().await
}

/// What a client needs to know.
pub(super) fn settings(config: &Config) -> Settings {
    let mut settings = Settings::new(config);
    // Nobody waits longer for the broker than for an answer.
    settings.broker.connect_timeout = settings.broker.connect_timeout.min(config.client.timeout);
    settings
}

/// Connects, and says so where that takes long.
pub(super) async fn connect(
    settings: Settings,
    config: &Config,
    notice: &mut Notice,
) -> Result<Client, Status> {
    // Boxed: what it takes to connect is large, and gone afterwards.
    let connecting = Box::pin(Client::connect(settings));
    notice
        .after_patience(connecting, || waiting_for_broker(config))
        .await
}

/// Where the client tries to connect to, in words.
pub(super) fn waiting_for_broker(config: &Config) -> String {
    let addresses: Vec<_> = config.broker.url.iter().map(BrokerUrl::address).collect();
    format!("waiting for broker {}", addresses.join(" or "))
}

async fn ask_all(
    args: &Args,
    config: &Config,
    client: Option<&Client>,
    output: &mut Output,
    notice: &mut Notice,
) {
    let timeout = config.client.timeout;
    let calls = args
        .numbers
        .iter()
        .map(|n| async move { (n, ask(client, n, timeout).await) });
    let mut answers = pin!(stream::iter(calls).buffered(WINDOW));
    let waiting = || match client.map(Client::state) {
        Some(State::Ready) | None => {
            format!(
                "waiting for a reply from queue {:?}, at most {timeout:?}",
                config.queue.name
            )
        }
        Some(state) => format!("{state}; waiting, at most {timeout:?}"),
    };
    while let Some((n, outcome)) = notice.after_patience(answers.next(), waiting).await {
        if output.put(n, outcome).await.is_err() {
            break;
        }
    }
}

async fn ask(client: Option<&Client>, n: &str, timeout: Duration) -> Result<Reply, CallError> {
    let n = number(n)?;
    match client {
        Some(client) => client.call(n, timeout).await,
        None => Err(Status::new(Code::Unavailable, "not connected").into()),
    }
}

/// Refuses what no server takes for a number, and what would bring a plain one down; the server is
/// the judge of the rest.
fn number(text: &str) -> Result<&str, Status> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let wrong = if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        "not an integer; ask for a whole number such as 30"
    } else if text.starts_with('-') {
        "negative; ask for 0 or more"
    } else {
        return Ok(text);
    };
    Err(Status::new(Code::InvalidArgument, wrong))
}

/// Says once, to a terminal, what takes so long.
pub(super) struct Notice {
    due: bool,
}

impl Notice {
    pub(super) fn new(common: &Common) -> Self {
        Self {
            due: !common.quiet && std::io::stderr().is_terminal(),
        }
    }

    pub(super) async fn after_patience<T>(
        &mut self,
        future: impl Future<Output = T>,
        waiting: impl Fn() -> String,
    ) -> T {
        let mut future = pin!(future);
        if self.due {
            tokio::select! {
                done = &mut future => return done,
                () = tokio::time::sleep(PATIENCE) => {}
            }
            self.due = false;
            complain(&waiting());
        }
        future.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_refused_here() {
        for (text, sent) in [
            ("30", Some("30")),
            (" 30\n", Some("30")),
            ("0", Some("0")),
            ("+5", Some("+5")),
            ("007", Some("007")),
            ("18446744073709551616", Some("18446744073709551616")), // the server's to judge
            ("-1", None),
            ("-0", None),
            ("", None),
            (" ", None),
            ("+", None),
            ("-", None),
            ("abc", None),
            ("1e3", None),
            ("5.0", None),
            ("0x10", None),
            ("++5", None),
            ("1 2", None),
            ("\u{663}", None), // a digit, but not of ASCII
        ] {
            assert_eq!(number(text).ok(), sent, "{text:?}");
        }
        assert_eq!(number("-1").unwrap_err().code, Code::InvalidArgument);
    }
}
