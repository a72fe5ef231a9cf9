//! Times copies with replaced patches beside plain forward passes of as many images, on the CPU.
//!
//! `time_perturb [--weights FILE] [--batch N] [--threads N] [--repeat R] [--size S] [--photos FOLDER]` prints one JSON line, milliseconds a
//! batch that went by and that were used of the processor: `{"photos": [[elapsed, processor], ...], "same_copies": [...], "respond": [...]}`.
//! `photos`: forward passes of the photos as bytes; `same_copies`: of the very copies, made beforehand; `respond`: with making them. One of each in
//! turn. On a busy machine the processor's time tells more; it is counted in hundredths of a second, on Linux only.

use clap::Parser;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use vggx::backend::{AlteredCopy, Backend, Batch, Filling, PatchGrid, Pixels};
use vggx::explain::on_cpu;
use vggx::images::find::find;
use vggx::images::{LoadOptions, load};
use vggx::network::PreprocessingOverrides;
use vggx::weights::{Weights, bundled};

#[derive(Parser)]
struct Options {
    #[arg(long)]
    weights: Option<PathBuf>,
    #[arg(long, default_value_t = 8)]
    batch: usize,
    #[arg(long, default_value_t = 0)]
    threads: usize,
    #[arg(long, default_value_t = 10)]
    repeat: usize,
    #[arg(long, default_value_t = 224)]
    size: usize,
    #[arg(long, default_value = "samples")]
    photos: PathBuf,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let path = options.weights.or_else(bundled::weights).ok_or("no bundled weights: set VGGX_DATA")?;
    let weights = Arc::new(Weights::open(&path, &PreprocessingOverrides::default())?);
    let preprocessing = weights.network().preprocessing;
    let cpu = on_cpu(&weights, options.threads)?;
    let (size, images) = (options.size, options.batch);
    let side = u32::try_from(size)?;
    let load_options = LoadOptions { resize: side, crop: side, ..LoadOptions::default() };
    let mut pixels = Vec::new();
    for photo in find(&[&options.photos])?.images.iter().cycle().take(images) {
        pixels.push(load(&photo.path, &load_options)?.pixels);
    }
    let planes: Vec<Vec<f32>> = pixels.iter().map(|pixels| preprocessing.normalise_planes(pixels)).collect();
    let grid = PatchGrid { height: size, width: size, side: 9 };
    let mut perturber = cpu.perturb(&planes.concat(), images, grid, Filling::PatchMeans)?;
    // Scattered over the image, as relevance is: neighbours in rank are 7 patches apart.
    let patches = grid.patches();
    let stride = [7, 11, 13].into_iter().find(|stride| !patches.is_multiple_of(*stride)).unwrap_or(1);
    let ranks: Vec<u32> = (0..patches).map(|patch| (patch * stride % patches) as u32).collect();
    let copies = |turn: usize| -> Vec<AlteredCopy> {
        let count = |image: usize| ((turn * images + image) * 7 % 101) as u32;
        (0..images).map(|image| AlteredCopy { image, ranks: &ranks, replaced: 0..count(image) }).collect()
    };
    let means: Vec<f32> = planes.iter().flat_map(|planes| patch_means(planes, grid)).collect();
    let forward = |pixels: Pixels| -> Result<[f64; 2], Box<dyn std::error::Error>> {
        let start = Start::now();
        cpu.forward(&Batch { images, height: size, width: size, pixels })?;
        Ok(start.milliseconds())
    };
    let (mut photos, mut same_copies, mut respond) = (Vec::new(), Vec::new(), Vec::new());
    let bytes = pixels.concat();
    for turn in 0..=options.repeat {
        let copies = copies(turn);
        let mut altered = planes.concat();
        for (number, copy) in copies.iter().enumerate() {
            for patch in (0..patches).filter(|&patch| copy.replaced.contains(&copy.ranks[patch])) {
                let (rows, columns) = grid.pixels(patch);
                for row in (0..3).flat_map(|channel| rows.clone().map(move |row| channel * size + row)) {
                    let place = (number * 3 * size + row) * size;
                    let place = place + columns.start..place + columns.end;
                    altered[place.clone()].copy_from_slice(&means[place]);
                }
            }
        }
        photos.push(forward(Pixels::Rgb8(&bytes))?);
        same_copies.push(forward(Pixels::Normalised(&altered))?);
        let start = Start::now();
        for responses in perturber.respond(&copies)? {
            responses?;
        }
        respond.push(start.milliseconds());
    }
    // The first turn warms up.
    let rest = |times: Vec<[f64; 2]>| times[1..].to_vec();
    let times = serde_json::json!({
        "photos": rest(photos), "same_copies": rest(same_copies), "respond": rest(respond),
    });
    println!("{times}");
    Ok(())
}

/// When something began.
struct Start {
    elapsed: Instant,
    processor: f64,
}

impl Start {
    fn now() -> Self {
        Start { elapsed: Instant::now(), processor: processor_milliseconds() }
    }

    /// That have gone by, and that the process has used of the processor.
    fn milliseconds(&self) -> [f64; 2] {
        [self.elapsed.elapsed().as_secs_f64() * 1e3, processor_milliseconds() - self.processor]
    }
}

/// What all threads have used, from the 14th and 15th field of `/proc/self/stat`, the name in brackets being the second.
fn processor_milliseconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * 10.0
}

/// Every patch of an image filled with its mean, in each channel.
fn patch_means(planes: &[f32], grid: PatchGrid) -> Vec<f32> {
    let plane = grid.height * grid.width;
    let mut means = planes.to_vec();
    for means in means.chunks_exact_mut(plane) {
        for patch in 0..grid.patches() {
            let (rows, columns) = grid.pixels(patch);
            let at = |row: usize| row * grid.width + columns.start..row * grid.width + columns.end;
            let sum: f64 = rows.clone().flat_map(|row| &means[at(row)]).map(|&value| f64::from(value)).sum();
            let mean = (sum / (rows.len() * columns.len()) as f64) as f32;
            rows.for_each(|row| means[at(row)].fill(mean));
        }
    }
    means
}
