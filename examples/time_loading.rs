//! How fast images are decoded and brought to the network's size: `time_loading FOLDER [SECONDS]`.
//!
//! The photos of the folder are scaled to 500×375, the usual size of ImageNet's, and encoded as JPEG with quality 90 and
//! halved chroma; then they are loaded again and again from memory by one thread, as `vggx explain` loads them.

use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};
use vggx::images::find::find;
use vggx::images::{Content, LoadOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = arguments.next().ok_or("usage: time_loading FOLDER [SECONDS]")?;
    let seconds: f64 = match arguments.next() {
        Some(text) => text.to_string_lossy().parse()?,
        None => 5.0,
    };
    let mut photos = Vec::new();
    for input in find(&[folder])?.images {
        let photo = image::open(&input.path)?.to_rgb8();
        let photo = image::imageops::resize(&photo, 500, 375, FilterType::Lanczos3);
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 90).encode_image(&photo)?;
        photos.push(bytes);
    }
    let bytes: usize = photos.iter().map(Vec::len).sum();
    println!("{} photos of 500×375, {} KB each", photos.len(), bytes / photos.len().max(1) / 1000);
    let options = LoadOptions::default();
    let (mut decoding, mut resizing, mut images) = (Duration::ZERO, Duration::ZERO, 0);
    while (decoding + resizing).as_secs_f64() < seconds {
        for photo in &photos {
            let content = Content::Encoded(photo.clone());
            let begun = Instant::now();
            let decoded = content.decode(Path::new("photo.jpg"), options.max_pixels)?;
            let between = Instant::now();
            let crop = vggx::images::resize::resize_and_crop(decoded, options.resize, options.crop)?;
            std::hint::black_box(crop);
            decoding += between - begun;
            resizing += between.elapsed();
            images += 1;
        }
    }
    let rate = |time: Duration| f64::from(images) / time.as_secs_f64();
    println!("decode: {:.0} images/s, resize: {:.0} images/s", rate(decoding), rate(resizing));
    println!("both: {:.0} images/s on one thread", rate(decoding + resizing));
    Ok(())
}
