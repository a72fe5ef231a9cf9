//! `vggx completions`: scripts for shells.

use super::exit::{Failure, Outcome, print};
use clap::{Args, CommandFactory};
use clap_complete::Shell;

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
    print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Outcome::Done)
}
