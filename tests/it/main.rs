//! The integration tests: the real binaries and the library against private RabbitMQ nodes.
//!
//! One binary, so that it is linked once and its tests share one node. Each test has a virtual host of
//! its own; a test that breaks the broker borrows the spare one ([`support::Broker::exclusive`]).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::too_many_lines,
    unreachable_pub,
    reason = "all of it is test code, in one crate"
)]

mod adopted;
mod alarm;
mod amqp10;
mod any_service;
mod ask;
mod bench;
mod call;
mod check;
mod client;
mod completions;
mod configuration;
mod control;
mod counters;
mod deadline;
mod doctor;
mod examples;
mod faults;
mod flood;
mod generations;
mod gone_node;
mod handlers;
mod harness;
mod harness_proxy;
mod headers;
mod hostile;
mod ignored;
mod load;
mod manners;
mod metrics;
mod nonblocking;
mod notify;
mod otlp;
mod places;
mod poison;
mod presence;
mod reach;
mod refused;
mod reload;
mod restarts;
mod retry;
mod serve;
mod services;
mod stdio;
mod succession;
mod support;
mod telemetry;
mod tls;
mod traces;
mod typed;
mod watch;
