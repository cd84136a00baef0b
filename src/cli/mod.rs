//! `fibrpc`: the process around the client.

/// The whole of `fibrpc`.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
