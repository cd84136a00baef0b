//! The way to the broker for all commands: settings, the connection, and a notice if that takes long.

use super::common::Common;
use super::exit;
use super::output::{Closed, Output, note};
use crate::broker::{Error, Kind};
use crate::client::{Client, ConnectionState, Settings};
use crate::config::{BrokerUrl, Config};
use crate::protocol::Status;
use crate::text::duration;
use std::future::Future;
use std::io::IsTerminal as _;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// After how long a wait is mentioned.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// The client's settings. Connecting takes no longer than a reply may.
pub(super) fn settings(config: &Config) -> Settings {
    let timeout = config.client.timeout;
    let mut settings = Settings::new(config);
    settings.connect_limit = Some(timeout);
    let limit = &mut settings.broker.confirm_timeout;
    *limit = timeout.min(*limit);
    settings
}

/// Connects; mentions it if that takes long.
pub(super) async fn connect(
    settings: Settings,
    config: &Config,
    notice: &mut Notice,
) -> Result<Client, Failed> {
    // Boxed: what it takes to connect is large, and gone afterwards.
    let connecting = Box::pin(Client::open(settings));
    let connected = notice.after_patience(connecting, || waiting_for_broker(config));
    Ok(connected.await?)
}

/// The request queue, shared by all calls.
pub(super) fn queue(config: &Config) -> Arc<str> {
    config.queue.name.as_str().into()
}

/// The wait for a connection, in words.
pub(super) fn waiting_for_broker(config: &Config) -> String {
    let addresses: Vec<_> = config.broker.url.iter().map(BrokerUrl::address).collect();
    format!("waiting for broker {}", addresses.join(" or "))
}

/// The wait for a reply, in words.
pub(super) fn waiting_for_reply(client: &Client, config: &Config) -> String {
    let timeout = duration(config.client.timeout);
    match client.state() {
        ConnectionState::Ready => format!(
            "waiting for a reply from queue {:?}, at most {timeout}",
            config.queue.name
        ),
        state => format!("{state}; waiting, at most {timeout}"),
    }
}

/// A failure before the first request, and its exit status.
pub(super) struct Failed {
    pub(super) status: Status,
    pub(super) exit: u8,
}

impl Failed {
    /// Prints it, and remembers the exit status.
    pub(super) async fn report(self, output: &mut Output) -> Result<(), Closed> {
        output.exit_with(self.exit);
        output.failure(&self.status).await
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        let exit = match error.kind {
            Kind::Shortage => exit::SYSTEM,
            _ => error.code().exit_status(),
        };
        let status = error.into();
        Self { status, exit }
    }
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        let exit = status.code().exit_status();
        Self { status, exit }
    }
}

/// Mentions a long wait once, if standard error is a terminal.
pub(super) struct Notice {
    pub(super) due: bool,
}

impl Notice {
    pub(super) fn new(common: &Common) -> Self {
        Self {
            due: !common.quiet && std::io::stderr().is_terminal(),
        }
    }

    /// Runs the future to its end; mentions what it waits for after [`PATIENCE`].
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
            self.say(&waiting());
        }
        future.await
    }

    pub(super) fn say(&mut self, waiting: &str) {
        self.due = false;
        note(waiting);
    }
}
