//! The event loop: server, signals, reloads and notifications to systemd.
//!
//! The server is a separate task, which the loop waits for until it ends by itself, so a drain continues while STATUS
//! counts down, and nothing is left running.

use super::exit::Exit;
use super::logging::Logging;
use super::notify::Notify;
use super::reload;
use super::signals::{Signal, Signals};
use super::watchdog::{UNIT_WATCHDOG, patience};
use crate::config::{Config, Listen, Loaded, Overrides};
use crate::fibonacci::service::{Fibonacci, METHOD};
use crate::fibonacci::settings::max_n;
use crate::server::metrics::Metrics;
use crate::server::{Builder, Handle, Stop, log};
use crate::telemetry::endpoint::{Endpoint, Passed};
use crate::telemetry::source::{ProcessCounters, Source};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::time::MissedTickBehavior;

pub(super) async fn serve(
    loaded: Loaded,
    overrides: Overrides,
    logging: &Logging,
    counters: Arc<ProcessCounters>,
    passed: Passed,
) -> Exit {
    // Before READY: systemd may send signals from then on.
    let mut signals = match Signals::register() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!("cannot catch signals: {error}");
            return Exit::Internal;
        }
    };
    warn(&loaded.warnings);
    let config = loaded.config;
    let limit = Arc::new(AtomicU64::new(max_n(&config)));
    let mut builder = Builder::from(config.clone());
    if let Some(directory) = state_directory() {
        builder = builder.state_directory(directory);
    }
    let mut server = builder.compute("fibrpcd", Fibonacci::new(limit.clone()));
    let handle = server.handle();
    let mut endpoint = None;
    if config.telemetry.listen != Listen::Off {
        endpoint = start_endpoint(&config, passed, &handle, server.metrics(), &counters);
    } else if !passed.is_empty() {
        tracing::warn!(
            "systemd passed a socket, and telemetry.listen is not set: nothing is answered there"
        );
    }
    let mut state = handle.state();
    let mut process = Process {
        notify: Notify::new(config.server.ready_timeout, Instant::now()),
        config,
        overrides,
        handle,
        max_n: limit,
        logging,
        counters,
        endpoint,
    };
    let mut tick = tokio::time::interval(process.notify.interval());
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // A separate task: woken by the tasks of its connections, it runs next, without polling everything that this
    // loop waits for.
    let mut server = tokio::spawn(server.into_future());
    let outcome = loop {
        tokio::select! {
            outcome = &mut server => match outcome {
                Ok(Ok(outcome)) => break outcome,
                // The settings were checked. A panic was logged by the hook; the process ends with it.
                Ok(Err(_)) | Err(_) => return Exit::Internal,
            },
            signal = signals.next() => process.signalled(signal),
            Ok(()) = state.changed() => {}
            _ = tick.tick() => {
                logging.write_overdue();
                process.publish();
            }
        }
        process.notify_systemd();
    };
    process.notify_systemd();
    tracing::info!("stopped");
    match outcome.abandoned {
        0 => Exit::Done,
        _ => Exit::Abandoned,
    }
}

/// The state directory from systemd; the first if there are several.
fn state_directory() -> Option<PathBuf> {
    let directories = std::env::var_os("STATE_DIRECTORY")?;
    let first = directories.to_str()?.split(':').next()?;
    (!first.is_empty()).then(|| first.into())
}

/// Starts the telemetry endpoint. Without the threads or descriptors that it takes, requests are served nevertheless.
fn start_endpoint(
    config: &Config,
    passed: Passed,
    handle: &Handle,
    metrics: Arc<Metrics>,
    counters: &Arc<ProcessCounters>,
) -> Option<Endpoint> {
    let source = Source {
        method: METHOD,
        handle: handle.clone(),
        metrics,
        process: counters.clone(),
        patience: patience(sd_notify::watchdog_enabled().unwrap_or(UNIT_WATCHDOG)),
    };
    let at = config.telemetry.listen.clone();
    let shown = at.to_string();
    Endpoint::start(at, passed, source)
        .map_err(|error| log::telemetry_unavailable(&shown, &error.to_string()))
        .ok()
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

/// What the event loop works with.
struct Process<'a> {
    config: Config,
    overrides: Overrides,
    handle: Handle,
    /// The service's own limit, which sessions do not know.
    max_n: Arc<AtomicU64>,
    notify: Notify,
    logging: &'a Logging,
    counters: Arc<ProcessCounters>,
    endpoint: Option<Endpoint>,
}

impl Process<'_> {
    fn signalled(&mut self, signal: Signal) {
        match signal {
            Signal::Drain => {
                tracing::info!("stopping: finishing the work in flight");
                self.notify.stopping(self.config.server.drain_timeout);
                self.handle.stop(Stop::Drain);
            }
            Signal::Now => {
                tracing::warn!("second stop signal, exiting at once");
                self.handle.stop(Stop::Now);
            }
            Signal::Reload => self.reload(),
            #[cfg(test_wedge)]
            Signal::Wedge => loop {
                std::thread::park();
            },
        }
    }

    fn reload(&mut self) {
        self.notify.reloading();
        let refused = match reload::read_again(&self.overrides, &self.config) {
            Ok(accepted) => {
                self.put_in_force(accepted);
                None
            }
            Err(problems) => {
                for problem in &problems {
                    log::reload_refused(problem);
                }
                Some(reload::summary(&problems))
            }
        };
        self.counters.reloaded(refused.is_none());
        self.notify.reloaded(refused.as_deref());
    }

    fn put_in_force(&mut self, accepted: reload::Accepted) {
        let config = accepted.config;
        self.logging.set_level(config.log.level);
        self.max_n.store(max_n(&config), Ordering::Relaxed);
        self.notify.ready_within(config.server.ready_timeout);
        self.handle.reconfigure(config.clone());
        self.config = config;
        warn(&accepted.warnings);
        log::reloaded(&accepted.changes);
    }

    /// Passes on what the endpoint shows, and why there is none.
    fn publish(&mut self) {
        if let Some(endpoint) = &self.endpoint {
            endpoint.publish(self.handle.report());
            self.notify.telemetry(endpoint.problem());
        }
    }

    fn notify_systemd(&mut self) {
        let state = self.handle.state();
        let state = state.borrow();
        self.notify
            .update(&state, self.handle.counters(), Instant::now());
    }
}
