//! The `roomcast` command: see `roomcast --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    roomcast::cli::run()
}
