//! Packs photos into tar shards as data sets come: `photo_shards FOLDER OUTPUT SHARDS IMAGES WIDTH HEIGHT`.
//!
//! Every photo of the folder is cut at random places (`vggx::images::random_crops`), scaled to the size and encoded as JPEG with
//! quality 90; each of the shards `00000.tar` and so on holds so many images, `000000.jpg` and their class in `000000.cls`.

use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use std::error::Error;
use std::fs::File;
use std::path::PathBuf;
use vggx::images::decode::{DEFAULT_MAX_PIXELS, decode};
use vggx::images::find::find;
use vggx::images::random_crops;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, output, shards, images, width, height] = &arguments[..] else {
        return Err("usage: photo_shards FOLDER OUTPUT SHARDS IMAGES WIDTH HEIGHT".into());
    };
    let (width, height): (u32, u32) = (width.parse()?, height.parse()?);
    let (shards, images): (u32, u32) = (shards.parse()?, images.parse()?);
    let photos: Vec<_> = find(&[folder])?
        .images
        .iter()
        .map(|photo| decode(&photo.path, DEFAULT_MAX_PIXELS))
        .collect::<Result<_, _>>()?;
    if photos.is_empty() {
        return Err(format!("no photos in {folder}").into());
    }
    std::fs::create_dir_all(output)?;
    for shard in 0..shards {
        let path = PathBuf::from(output).join(format!("{shard:05}.tar"));
        let mut builder = tar::Builder::new(File::create(path)?);
        for image in 0..images {
            let number = shard * images + image;
            let photo = &photos[number as usize % photos.len()];
            let crop = random_crops(photo, width.max(height), 0, number.into(), 0..1)?.remove(0);
            let square = image::RgbImage::from_raw(crop.width as u32, crop.height as u32, crop.pixels);
            let square = square.ok_or("a crop is not as large as it says")?;
            let scaled = image::imageops::resize(&square, width, height, FilterType::Triangle);
            let mut jpeg = Vec::new();
            JpegEncoder::new_with_quality(&mut jpeg, 90).encode_image(&scaled)?;
            let class = format!("{}\n", number % 10);
            for (extension, content) in [("jpg", &jpeg[..]), ("cls", class.as_bytes())] {
                let mut header = tar::Header::new_gnu();
                header.set_size(content.len() as u64);
                header.set_mode(0o644);
                builder.append_data(&mut header, format!("{image:06}.{extension}"), content)?;
            }
        }
        builder.finish()?;
    }
    Ok(())
}
