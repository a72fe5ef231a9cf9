//! Compares the arrays of two `vggx explain --format npy` runs: `compare_arrays FOLDER FOLDER [--least COSINE] [--equal]`.
//!
//! Prints a line for each method, with the smallest cosine and the largest difference in magnitude over all images. Ends with 1 when an
//! array is missing, a target differs, a cosine is below `--least`, or, with `--equal`, any bit differs.

use clap::Parser;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Parser)]
struct Options {
    /// The arrays to compare with
    expected: PathBuf,
    /// The arrays to judge
    got: PathBuf,
    /// The smallest cosine that passes: COSINE for all methods, or METHOD=COSINE
    #[arg(long)]
    least: Vec<String>,
    /// Every bit must be the same
    #[arg(long)]
    equal: bool,
}

/// Over the images of a method.
struct Method {
    images: usize,
    cosine: f64,
    /// Largest | |a| / |b| − 1 |.
    magnitude: f64,
    equal: bool,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let options = Options::parse();
    let expected = rows(&options.expected)?;
    let got = rows(&options.got)?;
    let mut methods: BTreeMap<String, Method> = BTreeMap::new();
    let mut passed = !expected.is_empty();
    for (input, row) in &expected {
        let Some(other) = got.get(input) else {
            println!("{input} is missing");
            passed = false;
            continue;
        };
        if row["status"] != other["status"] || row["target"] != other["target"] {
            println!("{input}: target {}, expected {}", other["target"], row["target"]);
            passed = false;
        }
        for (name, method) in row["methods"].as_object().into_iter().flatten() {
            let array = |folder: &Path, row: &serde_json::Value| read(folder, &row["methods"][name]);
            let (Some(a), Some(b)) = (array(&options.expected, row)?, array(&options.got, other)?) else {
                println!("{input}: {name} has no .npy file");
                passed = false;
                continue;
            };
            let exponents = [method, &other["methods"][name]].map(|method| method["scale_log2"].clone());
            let equal = exponents[0] == exponents[1]
                && a.len() == b.len()
                && a.iter().zip(&b).all(|(a, b)| a.to_bits() == b.to_bits());
            let cosine = cosine(&a, &b);
            let power = |exponent: &serde_json::Value| 2f64.powi(exponent.as_i64().unwrap_or(0) as i32);
            let magnitude = (norm(&b) * power(&exponents[1]) / (norm(&a) * power(&exponents[0])) - 1.0).abs();
            let entry = methods.entry(name.clone()).or_insert(Method {
                images: 0,
                cosine: 1.0,
                magnitude: 0.0,
                equal: true,
            });
            entry.images += 1;
            // A cosine that is no number must not look like a good one.
            entry.cosine = if cosine.is_nan() { f64::NEG_INFINITY } else { entry.cosine.min(cosine) };
            entry.magnitude = entry.magnitude.max(magnitude);
            entry.equal &= equal;
        }
    }
    for (name, method) in &methods {
        let least = least(&options.least, name)?;
        let good = method.cosine >= least && (method.equal || !options.equal);
        passed &= good;
        println!(
            "{name:<22} {} images, cosine at least {:.9} (needed {least}), magnitude within {:.1e}{}{}",
            method.images,
            method.cosine,
            method.magnitude,
            if method.equal { ", the same bits" } else { "" },
            if good { "" } else { "  FAILED" }
        );
    }
    passed &= !methods.is_empty();
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The manifest's rows by input.
fn rows(folder: &Path) -> Result<BTreeMap<String, serde_json::Value>, Box<dyn Error>> {
    let path = folder.join("manifest.jsonl");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    text.lines()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line)?;
            Ok((row["input"].as_str().unwrap_or_default().to_owned(), row))
        })
        .collect()
}

/// The array that a method left.
fn read(folder: &Path, method: &serde_json::Value) -> Result<Option<Vec<f32>>, Box<dyn Error>> {
    let files = method["files"].as_array().into_iter().flatten();
    let Some(name) = files.filter_map(|file| file.as_str()).find(|file| file.ends_with(".npy")) else {
        return Ok(None);
    };
    let file = BufReader::new(File::open(folder.join(name))?);
    Ok(Some(npyz::NpyFile::new(file)?.into_vec()?))
}

/// The needed cosine of a method: its own, or that of all.
fn least(options: &[String], name: &str) -> Result<f64, Box<dyn Error>> {
    let mut least = -1.0;
    for option in options {
        match option.rsplit_once('=') {
            Some((method, cosine)) if method == name => return Ok(cosine.parse()?),
            Some(_) => {}
            None => least = option.parse()?,
        }
    }
    Ok(least)
}

fn norm(a: &[f32]) -> f64 {
    a.iter().map(|&a| f64::from(a).powi(2)).sum::<f64>().sqrt()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return f64::NAN;
    }
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() / (norm(a) * norm(b))
}
