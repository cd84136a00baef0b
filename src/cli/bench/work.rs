//! What a load requests: numbers, whose values are checked, or one request to any service, for which every reply
//! without an error counts.

use super::check::is_fibonacci;
use super::mix::Mix;
use super::summary::Requests;
use crate::cli::request::CallRequest;
use crate::client::{CallError, Client};
use crate::fibonacci::client::Number;
use fastrand::Rng;
use std::sync::Arc;
use std::time::Duration;

/// See the module.
#[derive(Debug)]
pub(super) enum Work {
    Numbers(Mix),
    Any(CallRequest),
}

/// What a reply without an error says.
#[derive(Debug)]
pub(super) enum Answer {
    Number { n: u64, value: String },
    Any,
}

impl Work {
    /// The number to request next; has no meaning for other requests.
    pub(super) fn pick(&self, random: &mut Rng) -> u64 {
        match self {
            Self::Numbers(mix) => mix.pick(random),
            Self::Any(_) => 0,
        }
    }

    /// Makes one request.
    pub(super) async fn ask(
        &self,
        client: &Client,
        queue: Arc<str>,
        n: u64,
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        match self {
            Self::Numbers(_) => {
                let calling = client.call::<Number>(queue, n.to_string());
                let value = calling.timeout(timeout).await?.value;
                Ok(Answer::Number { n, value })
            }
            Self::Any(request) => {
                request.call(client, queue).timeout(timeout).await?;
                Ok(Answer::Any)
            }
        }
    }

    /// For the report.
    pub(super) fn describe(&self) -> Requests {
        match self {
            Self::Numbers(mix) => Requests::Numbers { n: mix.to_string() },
            Self::Any(request) => Requests::Any {
                method: request.method().map(str::to_owned),
                body_bytes: request.body.len(),
            },
        }
    }
}

impl Answer {
    /// What is wrong with it.
    pub(super) fn fault(&self) -> Option<String> {
        match self {
            Self::Number { n, value } if !is_fibonacci(*n, value) => {
                Some(format!("the reply for {n} is another number"))
            }
            Self::Number { .. } | Self::Any => None,
        }
    }
}
