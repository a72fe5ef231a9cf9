//! Compares two pattern files layer by layer: `compare_patterns EXPECTED GOT [--least COSINE] [--json]`.
//!
//! Prints a line for each layer and component that both files have, with the median, the 5th percentile and the least of the neurons'
//! cosines. Patterns of no length are counted apart. Ends with 1 when a layer has another shape in the other file, when nothing
//! could be compared, or when a median is below `--least`.

use clap::Parser;
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
struct Options {
    /// The patterns to compare with
    expected: PathBuf,
    /// The patterns to judge
    got: PathBuf,
    /// The smallest median that passes
    #[arg(long)]
    least: Option<f64>,
    /// One JSON object a line instead of a table
    #[arg(long)]
    json: bool,
}

/// The neurons of one layer and component.
struct Comparison {
    /// Of the neurons that both files have a pattern of, in rising order.
    cosines: Vec<f64>,
    /// Neurons without one in both files, in the first only, in the second only.
    without: [usize; 3],
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let options = Options::parse();
    let read = |path: &PathBuf| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let (expected, got) = (read(&options.expected)?, read(&options.got)?);
    for (path, bytes) in [(&options.expected, &expected), (&options.got, &got)] {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let centering = header.metadata().as_ref().and_then(|metadata| metadata.get("centering").cloned());
        eprintln!("{}: centering {}", path.display(), centering.as_deref().unwrap_or("not said"));
    }
    let (expected, got) = (SafeTensors::deserialize(&expected)?, SafeTensors::deserialize(&got)?);
    if !options.json {
        println!(
            "{:<14} {:<10} {:>7}  {:>9} {:>9} {:>9}  without (both, first, second)",
            "layer", "component", "neurons", "median", "5 %", "least"
        );
    }
    let mut passed = true;
    let mut compared = 0;
    let mut missing: BTreeMap<String, usize> = BTreeMap::new();
    for ((component, _, layer), name) in names(&expected) {
        let (expected, got) = (expected.tensor(&name)?, got.tensor(&name));
        let Ok(got) = got else {
            *missing.entry(component).or_insert(0) += 1;
            continue;
        };
        if expected.shape() != got.shape() {
            eprintln!("{name} is {:?} in one file and {:?} in the other", expected.shape(), got.shape());
            passed = false;
            continue;
        }
        let comparison = compare(&values(&expected)?, &values(&got)?, expected.shape()[0]);
        let [both, first, second] = comparison.without;
        let neurons = comparison.cosines.len();
        if options.json {
            println!(
                "{}",
                serde_json::json!({
                    "layer": layer, "component": component, "neurons": neurons, "median": comparison.at(0.5),
                    "percentile_5": comparison.at(0.05), "least": comparison.at(0.0),
                    "without": {"both": both, "first": first, "second": second},
                })
            );
        } else {
            let number = |share| comparison.at(share).map_or("-".to_owned(), |cosine| format!("{cosine:.5}"));
            println!(
                "{layer:<14} {component:<10} {neurons:>7}  {:>9} {:>9} {:>9}  {both}, {first}, {second}",
                number(0.5),
                number(0.05),
                number(0.0)
            );
        }
        compared += neurons;
        if let (Some(least), Some(median)) = (options.least, comparison.at(0.5)) {
            passed &= median >= least;
        }
    }
    for (component, layers) in missing {
        eprintln!("{}: no {component} patterns of {layers} layers", options.got.display());
    }
    if compared == 0 {
        eprintln!("nothing to compare: the files have no layer and component in common");
    }
    Ok(if passed && compared > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Component, number of the layer within its part of the network, and name of the layer, by which rows are sorted.
type Key = (String, (String, usize), String);

/// The tensors `LAYER.COMPONENT`, component after component, layers in the order of the network (features before classifier).
fn names(file: &SafeTensors) -> BTreeMap<Key, String> {
    let named = file.names().into_iter().filter_map(|name| {
        let (layer, component) = name.rsplit_once('.')?;
        let (part, number) = layer.rsplit_once('.').unwrap_or((layer, ""));
        // Of features and classifier, features is the later word.
        let part = if part == "features" { String::new() } else { part.to_owned() };
        let number = number.parse().unwrap_or(0);
        Some(((component.to_owned(), (part, number), layer.to_owned()), name.to_owned()))
    });
    named.collect()
}

fn values(tensor: &TensorView) -> Result<Vec<f64>, Box<dyn Error>> {
    let bytes = tensor.data();
    Ok(match tensor.dtype() {
        Dtype::F64 => numbers(bytes, f64::from_le_bytes),
        Dtype::F32 => numbers(bytes, |bytes| f64::from(f32::from_le_bytes(bytes))),
        Dtype::F16 => numbers(bytes, |bytes| f16::from_le_bytes(bytes).to_f64()),
        Dtype::BF16 => numbers(bytes, |bytes| bf16::from_le_bytes(bytes).to_f64()),
        other => return Err(format!("elements of type {other:?} are not patterns").into()),
    })
}

fn numbers<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.as_chunks::<N>().0.iter().map(|&bytes| number(bytes)).collect()
}

fn compare(expected: &[f64], got: &[f64], neurons: usize) -> Comparison {
    let mut comparison = Comparison { cosines: Vec::new(), without: [0; 3] };
    let fan_in = (expected.len() / neurons.max(1)).max(1);
    for (expected, got) in expected.chunks_exact(fan_in).zip(got.chunks_exact(fan_in)) {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let lengths = [dot(expected, expected).sqrt(), dot(got, got).sqrt()];
        match lengths.map(|length| length == 0.0) {
            [true, true] => comparison.without[0] += 1,
            [true, false] => comparison.without[1] += 1,
            [false, true] => comparison.without[2] += 1,
            [false, false] => comparison.cosines.push(dot(expected, got) / lengths[0] / lengths[1]),
        }
    }
    comparison.cosines.sort_by(f64::total_cmp);
    comparison
}

impl Comparison {
    /// The cosine that a share of the neurons is below; of an even number, the upper of the two in the middle.
    fn at(&self, share: f64) -> Option<f64> {
        let index = (share * self.cosines.len() as f64) as usize;
        self.cosines.get(index.min(self.cosines.len().saturating_sub(1))).copied()
    }
}
