//! Images: every format against Pillow, resizing against Pillow, and what must be refused.
//!
//! The fixtures come from tests/scripts/resize_fixtures.py.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use vggx::images::decode::{DEFAULT_MAX_PIXELS, decode, decode_bytes};
use vggx::images::find::find;
use vggx::images::output_collisions;
use vggx::images::resize::resize_and_crop;
use vggx::images::{ImageProblem, InputImage, LoadOptions, Rgb8, load, prefetch};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/images")
}

fn fixture(name: &str) -> PathBuf {
    fixtures().join(name)
}

/// Expected pixels, read by the `image` crate alone.
fn reference(name: &str) -> Rgb8 {
    let image = image::open(fixture(name)).unwrap().into_rgb8();
    Rgb8 { width: image.width() as usize, height: image.height() as usize, pixels: image.into_raw() }
}

fn largest_difference(found: &Rgb8, expected: &Rgb8) -> u8 {
    assert_eq!((found.width, found.height), (expected.width, expected.height));
    assert_eq!(found.pixels.len(), expected.pixels.len());
    found
        .pixels
        .iter()
        .zip(&expected.pixels)
        .map(|(found, expected)| found.abs_diff(*expected))
        .max()
        .unwrap()
}

fn problem(path: &Path) -> ImageProblem {
    let error = decode(path, DEFAULT_MAX_PIXELS).unwrap_err();
    assert_eq!(error.path, path);
    let text = error.to_string();
    assert!(text.starts_with(&path.display().to_string()), "{text}");
    assert!(!text.contains('\n'), "{text}");
    error.problem
}

/// Formats without loss, alpha and 16 bits included: every sample must be the one that is meant.
#[test]
fn lossless_formats_decode_exactly() {
    let names = [
        "rgb.png",
        "grey.png",
        "one_bit.png",
        "palette.png",
        "palette_alpha.png",
        "rgba.png",
        "grey_alpha.png",
        "rgb_16.png",
        "grey_16.png",
        "rgba_16.png",
        "orientation.png",
        "lossless.webp",
        "alpha.webp",
        "orientation.webp",
        "still.gif",
        "transparent.gif",
        "moving.gif",
        "rgb.bmp",
        "palette.bmp",
        "grey.bmp",
        "rgb.tiff",
        "lzw.tiff",
        "deflate.tiff",
        "grey.tiff",
        "one_bit.tiff",
        "rgba.tiff",
        "rgb_16.tiff",
        "grey_16.tiff",
        "orientation.tiff",
    ];
    for name in names {
        let found = decode(&fixture(name), DEFAULT_MAX_PIXELS).unwrap();
        let difference = largest_difference(&found, &reference(&format!("{name}.png")));
        assert_eq!(difference, 0, "{name}");
    }
}

/// Two correct JPEG decoders differ by 1 in a decoded sample (IEEE 1180), by 1 more where chroma is interpolated, and
/// by 1 in the rounding to RGB, where blue weighs chroma by 1.772.
#[test]
fn lossy_formats_decode_as_pillow_does() {
    let mut cases: Vec<(String, u8)> = [
        ("grey.jpg", 1),
        ("grey_progressive.jpg", 1),
        ("rgb.jpg", 1),
        ("full.jpg", 3),
        ("subsampled.jpg", 5),
        ("sideways.jpg", 5),
        ("progressive.jpg", 5),
        ("restarts.jpg", 5),
        // Ink times black: both are off by 1 at most.
        ("cmyk.jpg", 2),
        ("ycck.jpg", 4),
        // Only the rounding of the product differs.
        ("cmyk.tiff", 1),
        // VP8 is specified to the bit; the conversion to RGB is not.
        ("lossy.webp", 1),
    ]
    .map(|(name, tolerance)| (name.to_string(), tolerance))
    .to_vec();
    cases.extend((1..=8).map(|orientation| (format!("orientation_{orientation}.jpg"), 3)));
    for (name, tolerance) in cases {
        let found = decode(&fixture(&name), DEFAULT_MAX_PIXELS).unwrap();
        let difference = largest_difference(&found, &reference(&format!("{name}.png")));
        assert!(difference <= tolerance, "{name}: {difference}");
    }
}

fn noise(width: usize, height: usize) -> Rgb8 {
    let mut pixels = Vec::with_capacity(width * height * 3);
    for y in 0..height as i64 {
        for x in 0..width as i64 {
            for channel in 0..3 {
                let value = x * 73_856_093 + y * 19_349_663 + channel * 83_492_791;
                let value = (value ^ (value >> 13)).wrapping_mul(1_274_126_177);
                pixels.push((value >> 16) as u8);
            }
        }
    }
    Rgb8 { width, height, pixels }
}

fn every_32nd_row(image: &Rgb8) -> Rgb8 {
    let rows: Vec<&[u8]> = image.pixels.chunks_exact(image.width * 3).step_by(32).collect();
    Rgb8 { width: image.width, height: rows.len(), pixels: rows.concat() }
}

/// White noise is the hardest input, and the passes have Pillow's order and rounding.
#[test]
fn resizing_agrees_with_pillow_within_one_grey_level() {
    for (width, height, resize, crop) in [
        (500, 375, 256, 224),
        (375, 500, 256, 224),
        (97, 61, 256, 224),
        (1501, 211, 224, 224),
        (640, 427, 96, 95),
        (1, 1, 256, 224),
        (5, 2, 40, 33),
    ] {
        let resized = resize_and_crop(noise(width, height), resize, crop).unwrap();
        let expected = reference(&format!("resized_{width}x{height}_{resize}_{crop}.png"));
        let difference = largest_difference(&every_32nd_row(&resized), &expected);
        assert!(difference <= 1, "{width}×{height} to {resize}, {crop}: {difference}");
    }
}

/// The folder of the shared photos, or None where a test is to be skipped.
fn shared_photos() -> Option<PathBuf> {
    let folder = std::env::var_os("VGGX_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let photos = folder.join("data/photos");
    if photos.is_dir() {
        return Some(photos);
    }
    assert!(
        std::env::var("VGGX_REQUIRE_SHARED").as_deref() != Ok("1"),
        "VGGX_REQUIRE_SHARED=1, but there is no {}",
        photos.display()
    );
    println!("skipped: no {}", photos.display());
    None
}

#[test]
fn photos_agree_with_pillow() {
    let Some(photos) = shared_photos() else {
        return;
    };
    let found = find(&[&photos]).unwrap().images;
    for name in ["astronaut", "cat", "coffee", "rocket", "seeding"] {
        let input = found.iter().find(|input| input.path.file_stem().unwrap() == name).unwrap();
        let image = load(&input.path, &LoadOptions::default()).unwrap();
        let expected = reference(&format!("photo_{name}.png"));
        let rows = every_32nd_row(&image);
        // The decoders' difference, see above, and 1 of the resizing; on the average over pixels hardly any.
        let difference = largest_difference(&rows, &expected);
        assert!(difference <= 6, "{name}: {difference}");
        let sum: usize = rows
            .pixels
            .iter()
            .zip(&expected.pixels)
            .map(|(found, expected)| usize::from(found.abs_diff(*expected)))
            .sum();
        let mean = sum as f64 / rows.pixels.len() as f64;
        println!("{name}: {difference}, {mean}");
        assert!(mean < 0.5, "{name}: {mean}");
    }
}

/// A copy under any name decodes the same: the content decides.
#[test]
fn the_content_decides_not_the_extension() {
    let folder = tempfile::tempdir().unwrap();
    for (from, to) in [
        ("full.jpg", "a.png"),
        ("rgb.png", "b.jpg"),
        ("lossless.webp", "c"),
        ("still.gif", "d.tiff"),
        ("rgb.bmp", "e.txt"),
        ("rgb.tiff", "f.bmp"),
    ] {
        let copy = folder.path().join(to);
        fs::copy(fixture(from), &copy).unwrap();
        let found = decode(&copy, DEFAULT_MAX_PIXELS).unwrap();
        assert_eq!(found, decode(&fixture(from), DEFAULT_MAX_PIXELS).unwrap());
    }
}

/// Cut anywhere, a file is an error, or nothing that matters was cut off. Never a picture with a grey half.
#[test]
fn truncated_files_are_errors() {
    let mut files = 0;
    for input in find(&[fixtures()]).unwrap().images {
        let name = input.name.to_str().unwrap();
        if !fixture(&format!("{name}.png")).exists() {
            continue;
        }
        files += 1;
        let bytes = fs::read(&input.path).unwrap();
        let whole = decode_bytes(&bytes, DEFAULT_MAX_PIXELS).unwrap();
        let mut errors = 0;
        for end in 0..bytes.len() {
            match decode_bytes(&bytes[..end], DEFAULT_MAX_PIXELS) {
                Ok(image) => assert!(image == whole, "{name} cut at {end} of {}", bytes.len()),
                Err(ImageProblem::DecoderFailed { reason }) => {
                    panic!("{name} cut at {end}: the decoder panicked: {reason}")
                }
                Err(_) => errors += 1,
            }
        }
        // The second frame of a GIF may be missing; a third of any file is not enough.
        assert!(errors * 3 > bytes.len(), "{name}: {errors} of {}", bytes.len());
        if name.ends_with(".jpg") {
            assert_eq!(errors, bytes.len(), "{name}");
        }
    }
    assert!(files > 40, "{files}");
}

#[test]
fn a_truncated_file_says_so() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["full.jpg", "progressive.jpg", "rgb.png", "lossless.webp", "rgb.bmp", "rgb.tiff"] {
        let bytes = fs::read(fixture(name)).unwrap();
        let path = folder.path().join(name);
        fs::write(&path, &bytes[..bytes.len() * 2 / 3]).unwrap();
        let problem = problem(&path);
        println!("{name}: {problem}");
        assert!(matches!(problem, ImageProblem::Truncated { .. }), "{name}: {problem}");
    }
}

/// Lenient decoders fill up with grey from where the entropy-coded data stops making sense.
#[test]
fn damaged_jpeg_data_is_an_error() {
    for name in ["full.jpg", "subsampled.jpg", "progressive.jpg"] {
        let mut bytes = fs::read(fixture(name)).unwrap();
        let middle = bytes.len() * 4 / 5;
        for pair in bytes[middle..middle + 60].chunks_exact_mut(2) {
            // Only ones: no Huffman code has that many.
            pair.copy_from_slice(&[0xFF, 0x00]);
        }
        assert!(image::load_from_memory(&bytes).is_ok(), "{name}");
        let problem = decode_bytes(&bytes, DEFAULT_MAX_PIXELS).unwrap_err();
        println!("{name}: {problem}");
        assert!(matches!(problem, ImageProblem::Damaged { .. }), "{name}: {problem}");
    }
}

#[test]
fn huge_images_are_refused_by_their_header() {
    for name in ["huge.jpg", "huge.png", "huge.gif", "huge.bmp", "huge.tiff", "huge.webp"] {
        // The fastest of some: other tests run at the same time.
        let fastest = (0..5)
            .map(|_| {
                let start = Instant::now();
                let problem = problem(&fixture(name));
                let elapsed = start.elapsed();
                assert!(
                    matches!(
                        problem,
                        ImageProblem::TooLarge {
                            width: 30_000,
                            height: 30_000,
                            max_pixels: DEFAULT_MAX_PIXELS
                        }
                    ),
                    "{name}: {problem}"
                );
                assert!(problem.to_string().contains("--max-pixels"), "{problem}");
                elapsed
            })
            .min()
            .unwrap();
        // Zeroing its 2.7 GB alone would take longer.
        assert!(fastest < Duration::from_millis(200), "{name}: {fastest:?}");
    }
    let path = fixture("rgb.png");
    assert!(decode(&path, 45 * 30).is_ok());
    assert!(matches!(
        decode(&path, 45 * 30 - 1).unwrap_err().problem,
        ImageProblem::TooLarge { width: 45, height: 30, .. }
    ));
}

#[test]
fn what_is_no_image_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    assert!(matches!(problem(&folder.path().join("missing.jpg")), ImageProblem::NotFound));
    assert!(matches!(problem(Path::new("")), ImageProblem::NotFound));
    assert!(matches!(problem(&write("file", b"x").join("below.jpg")), ImageProblem::NotFound));
    assert!(matches!(problem(folder.path()), ImageProblem::Directory));
    assert!(matches!(problem(&write("empty.png", b"")), ImageProblem::Empty));
    assert!(matches!(problem(&write("text.jpg", b"hello")), ImageProblem::UnknownFormat));
    assert!(matches!(problem(&write("one.jpg", b"\xFF")), ImageProblem::UnknownFormat));
    // Known to the sniffer, but not read: an icon and a portable pixmap.
    assert!(matches!(problem(&write("a.ico", &[0, 0, 1, 0, 1, 0])), ImageProblem::UnknownFormat));
    assert!(matches!(problem(&write("a.ppm", b"P6 1 1 255 abc")), ImageProblem::UnknownFormat));
    let palette = problem(&fixture("unsupported_palette.tiff"));
    assert!(matches!(palette, ImageProblem::Unsupported { format: "TIFF", .. }), "{palette}");
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_do_not_hang() {
    assert!(matches!(problem(Path::new("/dev/null")), ImageProblem::NotAFile));
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket.jpg");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert!(matches!(problem(&socket), ImageProblem::NotAFile));
}

#[cfg(unix)]
#[test]
fn files_without_permission_are_unreadable() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let locked = folder.path().join("locked");
    fs::create_dir(&locked).unwrap();
    let path = folder.path().join("locked.png");
    fs::copy(fixture("rgb.png"), &path).unwrap();
    for path in [&path, &locked] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
    }
    if fs::File::open(&path).is_ok() {
        println!("not checked: this user may read everything");
        return;
    }
    assert!(matches!(problem(&path), ImageProblem::Unreadable(_)));
    // The folder that cannot be listed is reported, not skipped.
    let images = find(&[folder.path()]).unwrap().images;
    assert_eq!(images.len(), 2);
    assert!(matches!(problem(&locked), ImageProblem::Unreadable(_)));
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o700)).unwrap();
}

/// Any single byte changed anywhere: an error or a picture, never a panic that reaches the caller, never a hang.
#[test]
fn damaged_bytes_never_panic() {
    for name in [
        "progressive.jpg",
        "restarts.jpg",
        "cmyk.jpg",
        "palette_alpha.png",
        "alpha.webp",
        "lossy.webp",
        "moving.gif",
        "palette.bmp",
        "lzw.tiff",
        "one_bit.tiff",
    ] {
        let whole = fs::read(fixture(name)).unwrap();
        for position in 0..whole.len() {
            for value in [0x00, 0x01, 0x7F, 0xFF] {
                let mut bytes = whole.clone();
                bytes[position] = value;
                match decode_bytes(&bytes, 1 << 20) {
                    Ok(image) => assert_eq!(image.pixels.len(), image.width * image.height * 3),
                    Err(ImageProblem::DecoderFailed { reason }) => {
                        println!("{name}, byte {position} = {value}: decoder panicked: {reason}");
                    }
                    Err(_) => {}
                }
            }
        }
    }
}

#[test]
fn loading_gives_the_networks_square() {
    let options = LoadOptions { resize: 20, crop: 16, max_pixels: 2000 };
    for name in ["orientation_6.jpg", "rgba_16.png", "moving.gif"] {
        let image = load(&fixture(name), &options).unwrap();
        assert_eq!((image.width, image.height, image.pixels.len()), (16, 16, 16 * 16 * 3));
        let decoded = decode(&fixture(name), 2000).unwrap();
        assert_eq!(image, resize_and_crop(decoded, 20, 16).unwrap());
    }
    let too_large = LoadOptions { crop: 21, ..options };
    let error = load(&fixture("rgb.png"), &too_large).unwrap_err();
    assert!(matches!(error.problem, ImageProblem::Resize(_)), "{error}");
}

/// The fixtures themselves are a folder with good and bad images: all come out, in order, the bad ones as errors.
#[test]
fn prefetching_keeps_order_and_errors() {
    let mut images = find(&[fixtures()]).unwrap().images;
    images.insert(
        3,
        InputImage {
            path: fixture("missing.png"),
            name: "missing.png".into(),
            target: Some("7".to_string()),
        },
    );
    assert!(output_collisions(&images).is_err(), "rgb.png and rgb.jpg");
    let options = LoadOptions { resize: 40, crop: 32, ..LoadOptions::default() };
    let expected: Vec<_> = images.iter().map(|input| load(&input.path, &options).ok()).collect();
    assert!(expected.iter().filter(|image| image.is_none()).count() == 8, "6 huge, 1 palette, 1 missing");
    for threads in [1, 3] {
        let results: Vec<_> = prefetch(images.clone(), options, threads, 5).collect();
        assert_eq!(results.len(), images.len());
        for (((found, result), input), expected) in results.into_iter().zip(&images).zip(&expected) {
            assert_eq!(&found, input);
            if let Err(error) = &result {
                assert_eq!(error.path, input.path);
            }
            assert_eq!(result.ok(), *expected, "{}", input.path.display());
        }
    }
}

/// Prints what decoding and resizing cost on one core; not a check. `cargo test --release --test images -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn time_of_decoding_and_resizing() {
    let Some(photos) = shared_photos() else {
        return;
    };
    for name in ["learn/coffee.jpg", "learn/pagoda.jpg", "evaluate/cat.jpg"] {
        // ImageNet's most frequent size, at a camera's quality.
        let photo = image::open(photos.join(name)).unwrap();
        let photo = photo.resize_exact(500, 375, image::imageops::FilterType::Triangle);
        let mut bytes = Vec::new();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 90).encode_image(&photo).unwrap();
        let image = decode_bytes(&bytes, DEFAULT_MAX_PIXELS).unwrap();
        let (width, height) = (image.width, image.height);
        let best = |work: &dyn Fn()| {
            (0..200)
                .map(|_| {
                    let start = Instant::now();
                    work();
                    start.elapsed()
                })
                .min()
                .unwrap()
        };
        let decoding = best(&|| {
            std::hint::black_box(decode_bytes(&bytes, DEFAULT_MAX_PIXELS).unwrap());
        });
        let both = best(&|| {
            let image = decode_bytes(&bytes, DEFAULT_MAX_PIXELS).unwrap();
            std::hint::black_box(resize_and_crop(image, 256, 224).unwrap());
        });
        let rate = 1.0 / both.as_secs_f64();
        println!(
            "{name} {width}×{height}: decode {decoding:?}, with resize {both:?}, {rate:.0} images/s a core"
        );
    }
}
