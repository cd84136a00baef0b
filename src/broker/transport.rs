//! The byte stream under the AMQP library.
