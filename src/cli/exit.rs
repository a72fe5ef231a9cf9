//! Exit codes and the last words on standard error.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

/// How a command ended, and the exit code for it.
pub enum Outcome {
    /// Done: 0.
    Done,
    /// Could not run: 1.
    Failed(Failure),
    /// Done, but some inputs failed: 3.
    SomeFailed,
}

/// Why a command could not run, or what was wrong with its arguments.
pub enum Failure {
    /// 1.
    Run(String),
    /// Whoever read standard output has seen enough (`vggx ... | head`): nothing went wrong, 0.
    ReaderGone,
    /// 2.
    Usage(String),
    /// Asked to stop, and stopped in good order: 130, as after SIGINT.
    Interrupted(String),
}

impl Failure {
    /// A usage error: 2.
    pub fn usage(message: impl ToString) -> Self {
        Failure::Usage(message.to_string())
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Run(error.to_string())
    }
}

/// Prints the error, if any, and gives the exit code.
pub fn report(outcome: Outcome) -> ExitCode {
    let (message, code) = match outcome {
        Outcome::Done => return ExitCode::SUCCESS,
        Outcome::SomeFailed => return ExitCode::from(3),
        Outcome::Failed(Failure::ReaderGone) => return ExitCode::SUCCESS,
        Outcome::Failed(Failure::Run(message)) => (message, 1),
        Outcome::Failed(Failure::Interrupted(message)) => (message, 130),
        Outcome::Failed(Failure::Usage(message)) => {
            (format!("{message}\n\nFor more information, try '--help'."), 2)
        }
    };
    // Nothing can be done when standard error is closed.
    let _ = writeln!(io::stderr(), "error: {message}");
    ExitCode::from(code)
}

/// Prints a line on standard output.
///
/// # Errors
/// When standard output cannot be written.
pub fn print(line: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Failure::Run(format!(
            "cannot write to standard output: {error}; send it to a place with space that can be written"
        )),
    })
}
