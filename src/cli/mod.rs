//! The command line: one file a subcommand, each thin over the library.

mod allocator;
mod bench;
mod columns;
mod compare;
mod completions;
mod convert;
mod drawing;
mod exit;
mod explain;
mod identity;
mod images;
mod info;
mod interrupt;
mod learn;
mod moments;
mod network;
mod patterns;
mod perturb;
mod places;
mod plotted;
mod progress;
mod quality;
mod randomise;
mod report;
mod solve;
mod tally;
mod targets;

use clap::{Parser, Subcommand};
use exit::Outcome;
use std::process::ExitCode;

/// Explain what a VGG network saw.
#[derive(Parser)]
#[command(name = "vggx", version, about, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 done; 1 could not run; 2 usage; 3 done, but some inputs failed; 130 interrupted."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Explain images: signals and heat maps of what made the network respond
    Explain(Box<explain::Options>),
    /// Draw images and their explanations side by side, in one figure
    Compare(Box<compare::Options>),
    /// Learn the patterns of a network from images
    Learn(Box<learn::Options>),
    /// Make patterns of the moments that runs and shards of `learn` kept
    Solve(Box<solve::Options>),
    /// Measure how good signal estimators are: ρ of every neuron
    Quality(Box<quality::Options>),
    /// Measure how fast the response falls when the patches that a method calls relevant are replaced
    Perturb(Box<perturb::Options>),
    /// Measure whether explanations change when the network's layers are randomised
    Randomise(Box<randomise::Options>),
    /// Time the network: layer by layer and end to end, beside what the device could do
    Bench(Box<bench::Options>),
    /// Write weights of any format as safetensors
    Convert(Box<convert::Options>),
    /// Show this build and its devices, or what a weight, pattern or moment file holds
    Info(info::Options),
    /// Print shell completions
    Completions(completions::Options),
}

/// Reads the command line, runs the command, and tells how it went.
pub fn run() -> ExitCode {
    allocator::share_one_pool();
    let outcome = match Cli::parse().command {
        Command::Explain(options) => explain::run(&options),
        Command::Compare(options) => compare::run(&options),
        Command::Learn(options) => learn::run(&options),
        Command::Solve(options) => solve::run(&options),
        Command::Quality(options) => quality::run(&options),
        Command::Perturb(options) => perturb::run(&options),
        Command::Randomise(options) => randomise::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Convert(options) => convert::run(&options),
        Command::Info(options) => info::run(&options),
        Command::Completions(options) => completions::run::<Cli>(&options),
    };
    exit::report(outcome.unwrap_or_else(Outcome::Failed))
}
