//! `compare`: methods side by side.

use crate::run::{Place, Ran};
use crate::support::Model;
use image::RgbImage;
use safetensors::Dtype;

/// The tiny network on inputs of 12×12, whose pictures are drawn ten times as large.
const TINY: &str = "compare --weights net.safetensors --resize 14 --crop 12";
const SIDE: u32 = 120;

fn compare(place: &Place, arguments: &str) -> Ran {
    place.vggx(&format!("{TINY} {arguments}"))
}

fn picture(bytes: &[u8]) -> RgbImage {
    image::load_from_memory(bytes).unwrap().to_rgb8()
}

/// Whether a picture, each of its pixels ten times as large, is somewhere in a figure.
fn holds(figure: &RgbImage, small: &RgbImage) -> bool {
    let large = RgbImage::from_fn(SIDE, SIDE, |x, y| *small.get_pixel(x / 10, y / 10));
    let (width, height) = figure.dimensions();
    let row = |figure: &RgbImage, x: u32, y: u32| {
        let start = 3 * (y * figure.width() + x) as usize;
        figure.as_raw()[start..start + 3 * SIDE as usize].to_vec()
    };
    let first = row(&large, 0, 0);
    (0..=height - SIDE).any(|top| {
        (0..=width - SIDE).any(|left| {
            row(figure, left, top) == first
                && (1..SIDE).all(|y| row(figure, left, top + y) == row(&large, 0, y))
        })
    })
}

#[test]
fn cells_are_the_pictures_of_explain() {
    let place = Place::new();
    let methods = "a.png b.png --patterns patterns.safetensors --method \
                   gradient,patternnet,pattern-attribution,attribution:identity,signal:identity";
    place.explain(&format!("{methods} -o o")).done();
    let ran = compare(&place, &format!("{methods} -o f.png")).done();
    assert!(ran.err.contains("f.png: 2 rows, 6 columns") && ran.out.is_empty(), "{}", ran.err);
    let figure = picture(&place.read("f.png"));
    let pictures: Vec<String> = place.files("o").into_iter().filter(|file| file.ends_with(".png")).collect();
    assert_eq!(pictures.len(), 10);
    for file in pictures {
        assert!(holds(&figure, &picture(&place.read(&format!("o/{file}")))), "{file}");
    }
    assert!(!holds(&figure, &RgbImage::from_pixel(12, 12, image::Rgb([1, 2, 3]))));
    // Heat maps over the image are others; signals are the same.
    compare(&place, &format!("{methods} --overlay -o over.png")).done();
    let over = picture(&place.read("over.png"));
    assert!(holds(&over, &picture(&place.read("o/a.patternnet.png"))));
    assert!(!holds(&over, &picture(&place.read("o/a.pattern-attribution.png"))));
}

#[test]
fn neither_batches_nor_threads_change_a_byte() {
    let place = Place::new();
    for seed in 0..5 {
        place.picture(format!("in/{seed}.png"), seed);
    }
    for format in ["png", "svg", "html"] {
        let file = |name: &str| format!("{name}.{format}");
        for (name, options) in
            [("one", "--batch 1 --threads 1"), ("two", "--batch 2 --threads 3"), ("three", "")]
        {
            compare(&place, &format!("in --method gradient,signal:random {options} -o {}", file(name)))
                .done();
        }
        assert!(place.read(&file("one")) == place.read(&file("two")), "{format}");
        assert!(place.read(&file("one")) == place.read(&file("three")), "{format}");
    }
}

#[test]
fn captions_say_what_is_shown() {
    let place = Place::new();
    place.write("list.txt", "a.png\tbee\nb.png\ttop1\na.png\t<hen>\n");
    place.write("labels.txt", "ant\nbee\ncat\ndog\neel\nfox\ngnu\n<hen>\n");
    let ran = compare(
        &place,
        "@list.txt --target key --labels labels.txt --method gradient,attribution:filter --gamma 0.7 -o f.html",
    )
    .done();
    assert!(ran.err.contains("3 rows, 3 columns"), "{}", ran.err);
    let page = String::from_utf8(place.read("f.html")).unwrap();
    for text in [
        "bee (1)",
        "&lt;hen&gt; (7)",
        "probability 0.",
        "attribution:filter",
        "gamma 0.7",
        "a.png: gradient",
        ">input<",
    ] {
        assert!(page.contains(text), "{text}");
    }
    // Without classifier: the response.
    Model::tiny(1).save(place.path(), "headless.safetensors", Dtype::F32);
    place
        .vggx(
            "compare --weights headless.safetensors --resize 14 --crop 12 a.png --target 3 --quiet -o h.svg",
        )
        .done();
    let svg = String::from_utf8(place.read("h.svg")).unwrap();
    for text in ["output 3", "response ", "guided-backprop"] {
        assert!(svg.contains(text), "{text}");
    }
    assert!(!svg.contains("patternnet"), "there are no patterns of these weights");
}

#[test]
fn every_pattern_file_has_its_column() {
    let place = Place::new();
    let model = Model::tiny_classifier(1);
    for (name, centering) in [("one", "global"), ("two", "regime")] {
        let mut patterns = model.patterns(&["positive", "linear"]);
        patterns.metadata.insert("centering".to_owned(), centering.to_owned());
        if name == "two" {
            for (layer, (_, values)) in &mut patterns.tensors {
                if layer.ends_with("positive") {
                    values.iter_mut().for_each(|value| *value *= 1.5 + *value);
                }
            }
        }
        patterns.save(place.path(), &format!("{name}.safetensors"), Dtype::F32);
    }
    let ran = compare(
        &place,
        "a.png --patterns one.safetensors,two.safetensors --method patternnet,gradient,signal:linear -o f.svg",
    )
    .done();
    // The input, patternnet twice, gradient, and linear once: both files hold the same.
    assert!(ran.err.contains("1 rows, 5 columns"), "{}", ran.err);
    let svg = String::from_utf8(place.read("f.svg")).unwrap();
    for text in ["patternnet (global)", "patternnet (regime)", "signal:linear (global, regime)", "gradient<"]
    {
        assert!(svg.contains(text), "{text}");
    }
}

#[test]
fn bad_images_are_left_out_and_named() {
    let place = Place::new();
    place.write("broken.png", b"\x89PNG\r\n\x1a\nbroken");
    let ran = compare(&place, "a.png broken.png missing.png b.png --method gradient -o f.png")
        .expect(3, &["error: broken.png", "error: missing.png", "2 rows, 2 columns, 2 failed"]);
    assert!(ran.out.is_empty());
    let with_broken = place.read("f.png");
    compare(&place, "a.png b.png --method gradient -o good.png").done();
    assert!(place.read("good.png") == with_broken);
    compare(&place, "broken.png missing.png --method gradient -o none.png")
        .expect(1, &["every input failed"]);
    assert!(!place.file("none.png").exists());
    place.write("list.txt", "a.png\t3\nb.png\t99\n");
    compare(&place, "@list.txt --target key --method gradient -o key.png").expect(3, &["b.png", "target 99"]);
}

#[test]
fn what_cannot_be_is_refused_before_any_work() {
    let place = Place::new();
    compare(&place, "a.png --method gradient -o f.jpeg").expect(2, &["f.jpeg", ".png", "--format"]);
    compare(&place, "a.png --method gradient -f gif").expect(2, &["gif", "svg"]);
    compare(&place, "a.png --method lrp -o f.png").expect(2, &["lrp"]);
    compare(&place, "a.png --method gradient --target 8 -o f.png").expect(1, &["target 8", "8 outputs"]);
    compare(&place, "a.png --method patternnet -o f.png").expect(1, &["--patterns"]);
    compare(&place, "a.png b.png --method gradient,deconvnet,guided-backprop --cell 16384 -o big.png")
        .expect(1, &["too large", "--cell"]);
    let before = place.read("a.png");
    compare(&place, "a.png --method gradient -o a.png --overwrite").expect(2, &["a.png", "the input"]);
    assert!(place.read("a.png") == before);
    place.write("there.png", "mine");
    compare(&place, "a.png --method gradient -o there.png").expect(1, &["there.png", "--overwrite"]);
    assert_eq!(place.read("there.png"), b"mine");
    compare(&place, "a.png --method gradient -o there.png --overwrite").done();
    compare(&place, "a.png --method gradient -f html -o new/folder/page").done();
    assert!(place.read("new/folder/page").starts_with(b"<!DOCTYPE html>"));
    assert!(!place.file("big.png").exists() && !place.file("f.png").exists());
}
