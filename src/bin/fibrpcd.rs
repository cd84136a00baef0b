//! The daemon's binary; everything is in [`fibrpc::daemon`].
fn main() -> std::process::ExitCode {
    fibrpc::daemon::main()
}
