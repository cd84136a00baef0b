//! The telemetry endpoint: metrics over HTTP, for whoever may connect.
//!
//! It has a thread of its own with a runtime of its own and a lower priority, so that it delays no request and answers
//! even if the server hangs. It owns its listener and at most [four](connections) connections.

mod connections;
mod listener;
mod negotiation;
mod pages;

use super::source::Source;
use crate::config::Listen;
use crate::server::{log, lower_priority};
use listener::Listener;
use pages::Pages;
use std::io;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

pub(crate) use listener::Passed;

/// How long to wait before trying to listen again.
const RETRY: Duration = Duration::from_secs(5);

/// The running endpoint. Dropping it ends the thread and waits for that.
#[derive(Debug)]
pub(crate) struct Endpoint {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Endpoint {
    /// Starts the thread, which listens at this address, with a socket that was passed for it if there is one.
    ///
    /// If it cannot listen, it reports that and tries again until it can: the daemon serves nevertheless.
    pub(crate) fn start(at: Listen, passed: Passed, source: Source) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new()
            .name("telemetry".into())
            .spawn(move || run(&runtime, &at, passed, source, stopped))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
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

fn run(
    runtime: &Runtime,
    at: &Listen,
    passed: Passed,
    source: Source,
    stopped: oneshot::Receiver<()>,
) {
    lower_priority();
    runtime.block_on(async {
        tokio::select! {
            () = serve(at, passed, source) => {}
            // Its sender was dropped.
            _ = stopped => {}
        }
    });
}

async fn serve(at: &Listen, mut passed: Passed, source: Source) {
    let pages = Rc::new(Pages::new(source));
    let listener = listen(at, &mut passed).await;
    tracing::info!("telemetry: listening at {at}");
    connections::serve(&listener, &pages).await;
}

/// Listens, as soon as that is possible.
async fn listen(at: &Listen, passed: &mut Passed) -> Listener {
    let mut reported = None;
    loop {
        match Listener::bind(at, passed) {
            Ok(listener) => return listener,
            Err(why) if reported.as_ref() == Some(&why) => {}
            Err(why) => {
                log::telemetry_unavailable(&at.to_string(), &why);
                reported = Some(why);
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}
