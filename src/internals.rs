//! What this crate's own tests, benchmarks, examples and fuzz targets use besides the public interface. Any release may
//! change it.

pub mod broker {
    //! A connection, and what arrives on it.
    pub use crate::broker::{Arrival, Connection, Options};
}

#[cfg(feature = "client")]
pub mod client {
    //! What a failed call says about its request.
    pub use crate::client::failure_kind::FAILURE_KINDS;
}

pub mod config {
    //! The configuration of the two programs.
    pub use crate::config::*;
}

#[cfg(feature = "fibonacci")]
pub mod fibonacci {
    //! The function that the two programs ship.
    pub use crate::fibonacci::{Digits, Doubt, cost, digits, exact_digits, settings};
}

pub mod protocol {
    //! A message as it travels.
    pub use crate::protocol::message::Message;
}
