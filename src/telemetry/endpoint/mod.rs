//! The telemetry endpoint: metrics, health and status over HTTP.
//!
//! It has a thread of its own with a runtime of its own, a lower priority if that is permitted, and a [pace], so that it
//! delays no request and answers even if the server hangs. It owns its listener and at most [four](connections) connections.

mod connections;
mod health;
mod listener;
mod negotiation;
mod overview;
mod pace;
mod pages;
pub(crate) mod probe;

use super::source::Source;
use crate::config::Listen;
use crate::protocol::control::Report;
use crate::server::{log, lower_priority};
use listener::Listener;
use pace::paced;
use pages::Pages;
use std::io;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};
use tokio::time::MissedTickBehavior;

pub(crate) use listener::Passed;

/// How long to wait before trying to listen again.
const RETRY: Duration = Duration::from_secs(5);

/// The running endpoint. Dropping it ends the thread and waits for that.
#[derive(Debug)]
pub(crate) struct Endpoint {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    report: watch::Sender<Report>,
    problem: watch::Receiver<Option<String>>,
}

impl Endpoint {
    /// Listens at this address, with a socket that was passed for it if there is one, and starts the thread.
    ///
    /// If it cannot listen, it reports that and tries again until it can: the daemon serves nevertheless.
    pub(crate) fn start(at: Listen, mut passed: Passed, source: Source) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (problem_sender, problem) = watch::channel(None);
        let (report, report_receiver) = watch::channel(Report::default());
        let runtime = Builder::new_current_thread().enable_all().build()?;
        // Not by the thread, which may run late: who knows that the daemon is ready can connect.
        let first = {
            let _entered = runtime.enter();
            Listener::bind(&at, &mut passed)
        };
        let thread = std::thread::Builder::new()
            .name("telemetry".into())
            .spawn(move || {
                lower_priority();
                let pages = Rc::new(Pages::new(source, report_receiver));
                runtime.block_on(paced(async {
                    tokio::select! {
                        () = serve(&at, passed, first, &pages, &problem_sender) => {}
                        () = look(&pages) => {}
                        // Its sender was dropped.
                        _ = stopped => {}
                    }
                }));
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
            report,
            problem,
        })
    }

    /// Shows this report from now on. To be called once per second.
    pub(crate) fn publish(&self, report: Report) {
        self.report.send_replace(report);
    }

    /// Why it cannot listen, in one line.
    pub(crate) fn problem(&self) -> Option<String> {
        self.problem.borrow().clone()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it was logged by the hook.
            let _ = thread.join();
        }
    }
}

/// Looks once per second whether the server makes progress.
async fn look(pages: &Pages) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        pages.look();
    }
}

async fn serve(
    at: &Listen,
    mut passed: Passed,
    first: Result<Listener, String>,
    pages: &Rc<Pages>,
    problem: &watch::Sender<Option<String>>,
) {
    let listener = listen(at, &mut passed, first, problem).await;
    tracing::info!("telemetry: listening at {at}");
    connections::serve(&listener, pages).await;
}

/// Listens as soon as that is possible, if it was not at first.
async fn listen(
    at: &Listen,
    passed: &mut Passed,
    mut bound: Result<Listener, String>,
    problem: &watch::Sender<Option<String>>,
) -> Listener {
    loop {
        match bound {
            Ok(listener) => {
                problem.send_replace(None);
                return listener;
            }
            Err(why) => {
                let line = format!("cannot listen at {at}: {why}");
                let is_new = problem.borrow().as_ref() != Some(&line);
                if is_new {
                    log::telemetry_unavailable(&at.to_string(), &why);
                    problem.send_replace(Some(line));
                }
            }
        }
        tokio::time::sleep(RETRY).await;
        bound = Listener::bind(at, passed);
    }
}
