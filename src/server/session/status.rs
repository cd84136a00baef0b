//! How a session answers control requests.

use super::open::Session;
use crate::protocol::control::{Report, pong};
use crate::protocol::{Message, Request};
use crate::server::context::Context;
use crate::server::control::StatusRequest;
use crate::server::log;
use crate::server::service::Service;
use crate::server::state::Counters;

impl<S: Service> Session<S> {
    /// The pong to a ping, which is counted.
    pub(super) fn pong(&mut self, request: &Request) -> Message {
        Counters::add(&self.context.counters.pinged);
        pong(request, &self.report(), self.next_reply())
    }

    /// Answers a status request, or opens the control queue again if it is time for that.
    pub(super) fn on_status(&mut self, asked: Option<StatusRequest>) {
        let Some(asked) = asked else {
            return self.retry_control();
        };
        let report = self.report();
        if let Err(refused) = self.control.answer(&asked, &self.policy, &report) {
            Counters::add(&self.context.counters.refused);
            log::reply_refused(&refused);
        }
    }

    fn report(&mut self) -> Report {
        self.requests.update_gauge();
        let Context {
            reporter,
            counters,
            state,
            ..
        } = &self.context;
        let report = reporter.report(&self.settings, counters, &state.borrow());
        let mut report = self.control.complete(report);
        let is_quorum = report.queue_type.as_deref() == Some("quorum");
        let consumer = &mut self.prefetch.consumer;
        consumer.forget_earlier(&self.requests.window);
        report.consumers = consumer.count(is_quorum);
        report
    }
}
