//! RPC over RabbitMQ: a server, a client, and the two programs `fibrpcd` and `fibrpc` around them.

pub mod broker;
pub mod cli;
pub mod client;
pub mod config;
pub mod daemon;
pub mod fibonacci;
pub mod protocol;
pub mod server;
