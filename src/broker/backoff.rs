//! Delays between attempts: exponential with full jitter.
