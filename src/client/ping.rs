//! The result of a ping: a round trip to a server that computes nothing.

use crate::protocol::Message;
use crate::protocol::control::{Report, read_pong};
use crate::protocol::reply;
use crate::protocol::reply_value::Trailer;
use std::time::Duration;

/// The reply to a ping.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pong {
    /// From the (last) publish of the ping to its reply, through the request queue.
    pub round_trip: Duration,
    /// Who replied.
    pub(crate) from: Answerer,
}

impl Pong {
    /// The instance name of the server that replied, if it gave one.
    pub fn server(&self) -> Option<&str> {
        match &self.from {
            Answerer::Server(report) => Some(&report.instance),
            Answerer::Plain(trailer) => trailer.server.as_deref(),
        }
    }
}

/// Who replied to a ping.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answerer {
    /// A server that supports pings, with its report about itself.
    Server(Box<Report>),
    /// Any other server of the tutorial's kind: it treated the ping as an ordinary request.
    Plain(Trailer),
}

impl From<Message> for Answerer {
    fn from(message: Message) -> Self {
        match read_pong(&message) {
            Some(report) => Self::Server(Box::new(report)),
            // An error reply also shows that there is a server.
            None => Self::Plain(reply::trailer(&message.properties)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::pending::Payload;
    use crate::protocol::control::pong;
    use crate::protocol::{Properties, RequestMessage};

    #[test]
    fn the_reply_shows_who_replied() {
        let ping = Payload::Ping.message(b"id", Duration::from_secs(1), false);
        let report = Report {
            instance: "blue".into(),
            ..Report::default()
        };
        let answer = pong(&RequestMessage::read(ping), &report, 1);
        assert_eq!(Answerer::from(answer), Answerer::Server(Box::new(report)));
        for body in ["0", "", "error: UNAVAILABLE: draining"] {
            let plain = Message {
                body: body.into(),
                properties: Properties::default(),
            };
            let plain = Answerer::from(plain);
            assert_eq!(plain, Answerer::Plain(Trailer::default()), "{body:?}");
        }
    }
}
