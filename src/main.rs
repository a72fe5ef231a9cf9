//! The `vggx` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    vggx::cli::run()
}
