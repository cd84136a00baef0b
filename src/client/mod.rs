//! The client: many calls in flight on one channel, each with a deadline.
