//! The progress of a handshake, and what is known about the broker so far. Pure.

use super::codec::method::Greeting;

/// How far a connection has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Step {
    /// The broker's name is being looked up.
    #[default]
    Lookup,
    /// TCP connections are being made.
    Connecting,
    /// The TLS handshake is under way.
    Securing,
    /// The protocol header is sent, and no method has come.
    Greeting,
    /// The broker has greeted, and the login is sent.
    Login,
    /// The broker has accepted the login; the vhost is being opened.
    Opening,
}

/// What is known about a broker so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) step: Step,
    /// Empty before the broker has greeted.
    pub(super) greeting: Greeting,
    /// The payload of the frame with the login, in bytes; 0 before there is one.
    pub(super) login_size: u64,
}

impl Progress {
    /// The handshake has reached this step.
    pub(super) fn reach(&mut self, step: Step) {
        self.step = self.step.max(step);
    }

    /// Whether the broker has offered mechanisms, and not this one.
    pub(super) fn lacks(&self, mechanism: &str) -> bool {
        let mut offered = self.greeting.mechanisms.split_whitespace();
        self.step >= Step::Login && !offered.any(|offered| offered == mechanism)
    }

    /// The largest payload that the broker is known to accept before it knows the user. `RabbitMQ` 4.1 made it a
    /// setting (`initial_frame_max`).
    fn login_max(&self) -> Option<u64> {
        let mut parts = self.greeting.version.split('.').map(str::parse::<u32>);
        let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
            return None;
        };
        (self.greeting.product == "RabbitMQ" && (major, minor) < (4, 1)).then_some(MIN_FRAME_MAX)
    }

    /// Whether the login is larger than the broker accepts.
    pub(super) fn login_is_too_large(&self) -> bool {
        self.login_max().is_some_and(|max| self.login_size > max)
    }
}

/// What every peer accepts in a frame (AMQP 0-9-1, `frame-min-size`), and `RabbitMQ` in a payload.
pub(super) const MIN_FRAME_MAX: u64 = 4_096;
