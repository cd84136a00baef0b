//! One look at a queue and its daemons, and whether it shows a failure. Holds no state.

use super::super::connect::{Failed, Notice, settings, waiting_for_broker};
use super::super::output::Output;
use crate::client::{Monitor, Overview};
use crate::config::Config;
use crate::protocol::{Code, Status};
use std::time::{Duration, Instant};

/// From one look of `--watch` to the next.
pub(super) const REFRESH: Duration = Duration::from_secs(2);

/// Queries the daemons, over a new connection if there is none.
pub(super) async fn look(
    fleet: &mut Option<Monitor>,
    notice: &mut Notice,
    config: &Config,
) -> Result<Overview, Failed> {
    let began = Instant::now();
    let mut connected = if let Some(connected) = fleet.take() {
        connected
    } else {
        let settings = settings(config);
        notice
            .after_patience(Monitor::connect(&settings, &config.queue.name), || {
                waiting_for_broker(config)
            })
            .await?
    };
    let waiting = || format!("waiting for the daemons on queue {:?}", config.queue.name);
    let looking = connected.overview(began, config.client.timeout);
    let view = notice.after_patience(looking, waiting).await?;
    // After a failure, the next query starts with a new connection.
    *fleet = Some(connected);
    Ok(view)
}

/// Remembers the exit status for what was seen.
pub(super) fn judge(
    looked: Result<Overview, Failed>,
    output: &mut Output,
) -> Result<Overview, Status> {
    let looked = looked.map_err(|Failed { status, exit }| {
        output.exit_with(exit);
        status
    });
    if let Some(code) = failure(&looked) {
        output.failed(code);
    }
    looked
}

/// The failure, if any.
pub(super) fn failure(looked: &Result<Overview, Status>) -> Option<Code> {
    let view = match looked {
        Ok(view) => view,
        Err(status) => return Some(status.code()),
    };
    match (&view.queue, &view.servers) {
        (_, Err(status)) => Some(status.code()),
        (Ok(queue), Ok(servers)) if queue.consumers == 0 && servers.is_empty() => {
            Some(Code::Unavailable)
        }
        _ => None,
    }
}
