//! What commands that solve patterns share: their options, and telling what came of it.

use super::exit::{Failure, print};
use crate::output::path_text;
use crate::patterns::{Centering, Component, Report, SolveOptions};
use crate::weights::ElementType;
use clap::{Args, ValueEnum};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Args)]
pub struct SolveArguments {
    /// Mean response that two-component patterns are centred with: over all positions, or over those of their regime
    #[arg(long, value_name = "C", value_parser = ["global", "regime"], default_value = "global", requires = "output")]
    centering: String,
    /// Number type of the stored patterns
    #[arg(long, value_name = "TYPE", value_enum, default_value = "f32", requires = "output")]
    store: Stored,
}

/// Number types of stored patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stored {
    F32,
    F16,
    Bf16,
}

impl SolveArguments {
    /// The library's options.
    pub fn options(&self) -> Result<SolveOptions, Failure> {
        Ok(SolveOptions {
            centering: self.centering.parse::<Centering>()?,
            element: match self.store {
                Stored::F32 => ElementType::F32,
                Stored::F16 => ElementType::F16,
                Stored::Bf16 => ElementType::Bf16,
            },
            metadata: BTreeMap::new(),
        })
    }
}

/// Tells what a pattern file holds, on standard output.
pub fn tell(report: &Report, path: &Path, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return print(&json!({ "patterns": path_text(path), "report": report }).to_string());
    }
    let neurons: usize = report.layers.iter().map(|layer| layer.neurons).sum();
    let without = |component| -> usize {
        report.layers.iter().map(|layer| layer.component(component).without().len()).sum()
    };
    let missing: Vec<String> = Component::ALL
        .into_iter()
        .filter_map(|component| match without(component) {
            0 => None,
            count => Some(format!("{count} without a {component} pattern")),
        })
        .collect();
    let missing = if missing.is_empty() { String::new() } else { format!(" ({})", missing.join(", ")) };
    print(&format!(
        "{}: {} layers, {neurons} neurons{missing}, from {} images; `vggx info` shows more",
        path_text(path),
        report.layers.len(),
        report.images
    ))
}
