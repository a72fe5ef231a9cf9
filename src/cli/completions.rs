//! `vggx completions`: scripts for shells.

use super::exit::{Failure, Outcome};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::io::Write;

#[derive(Args)]
pub struct Options {
    /// The shell to complete in
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes the completion script of a command line to standard output.
pub fn run<C: CommandFactory>(options: &Options) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut C::command(), "vggx", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(Outcome::Done)
}
