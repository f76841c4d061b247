//! Passes the arguments to the library and returns its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    session_sweep::run(std::env::args_os()).into()
}
