//! `fibrpcd`: the process around the server.

/// The whole of `fibrpcd`.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
