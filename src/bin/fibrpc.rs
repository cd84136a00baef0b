//! The client's binary; everything is in [`fibrpc::cli`].
fn main() -> std::process::ExitCode {
    fibrpc::cli::main()
}
