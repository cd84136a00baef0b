//! Which broker to try next.
