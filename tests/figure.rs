//! Figures: where things are, that nothing is cut off or overlaps, and what the files hold.

use image::{Rgb, RgbImage};
use vggx::output::figure::{Caption, Figure, FigureError, FigureFormat, Layout, PlacedText, Row, Weight};

/// Noise that tells pictures and their pixels apart.
fn picture(seed: u32, width: u32, height: u32) -> RgbImage {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    RgbImage::from_fn(width, height, |_, _| {
        Rgb(std::array::from_fn(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        }))
    })
}

fn caption(title: &str, details: &[&str]) -> Caption {
    Caption { title: title.to_owned(), details: details.iter().map(|&detail| detail.to_owned()).collect() }
}

fn figure(rows: &[&str], columns: &[&str], (width, height): (u32, u32)) -> Figure {
    let row = |(number, name): (usize, &&str)| Row {
        caption: caption(name, &["output 7", "response 12.5"]),
        cells: (0..columns.len())
            .map(|column| picture((number * 100 + column) as u32, width, height))
            .collect(),
    };
    Figure {
        title: "Explanations".to_owned(),
        columns: columns.iter().map(|name| caption(name, &[])).collect(),
        rows: rows.iter().enumerate().map(row).collect(),
        note: "Heat maps: red speaks for the output, blue against it. Each picture has a scale of its own."
            .to_owned(),
    }
}

const LONG: &str =
    "a photograph of a very small cat on a very large and very red sofa, second attempt (final).jpeg";

/// The pixels that a text may ink, generously: from its widest extent, an em up and a third of one down.
fn extent(text: &PlacedText) -> (f32, f32, f32, f32) {
    // No letter of the font is wider than 1.1 em, and the mean of English is near 0.56.
    let width = text.text.chars().count() as f32 * 0.68 * text.size as f32;
    let left = text.x as f32 - if text.is_centred { width / 2.0 } else { 0.0 };
    let (size, baseline) = (text.size as f32, text.baseline as f32);
    (left, left + width, baseline - size, baseline + size / 3.0)
}

#[test]
fn cells_stand_in_a_grid_inside_the_figure() {
    for size in [(112, 112), (7, 13), (224, 224), (1, 1), (120, 33)] {
        let figure = figure(&["a", "b", "c"], &["input", "gradient"], size);
        let layout = Layout::of(&figure).unwrap();
        assert_eq!((layout.cell, layout.cells.len()), (size, 6));
        for (index, cell) in layout.cells.iter().enumerate() {
            assert_eq!((cell.row, cell.column), (index / 2, index % 2));
            assert!(cell.left + size.0 < layout.width && cell.top + size.1 < layout.height, "{size:?}");
            for other in &layout.cells[..index] {
                let apart = cell.left.abs_diff(other.left) > size.0 || cell.top.abs_diff(other.top) > size.1;
                assert!(apart, "{cell:?} {other:?}");
                assert_eq!(cell.left == other.left, cell.column == other.column);
                assert_eq!(cell.top == other.top, cell.row == other.row);
            }
        }
    }
}

#[test]
fn captions_neither_leave_the_figure_nor_lie_over_cells_and_each_other() {
    for (side, rows) in [(112, vec!["cat.jpg", LONG]), (40, vec!["x", "größe 猫.png"]), (300, vec![LONG])]
    {
        let mut figure =
            figure(&rows, &["input", "attribution:two-component", "pattern-attribution"], (side, side));
        figure.columns[1].details = vec!["a rather long name of a file of patterns".to_owned()];
        let layout = Layout::of(&figure).unwrap();
        let picture = figure.picture().unwrap();
        assert_eq!(picture.dimensions(), (layout.width, layout.height));
        // What is drawn: nothing at the edges, and cells are whole.
        for (x, y, pixel) in picture.enumerate_pixels() {
            let at_edge = x < 4 || y < 4 || x + 4 >= layout.width || y + 4 >= layout.height;
            assert!(!at_edge || *pixel == Rgb([255; 3]), "{x},{y} of {side}");
        }
        for cell in &layout.cells {
            let drawn = &figure.rows[cell.row].cells[cell.column];
            for (x, y, pixel) in drawn.enumerate_pixels() {
                assert_eq!(picture.get_pixel(cell.left + x, cell.top + y), pixel, "{cell:?} {x} {y}");
            }
        }
        for (index, text) in layout.texts.iter().enumerate() {
            let (left, right, top, bottom) = extent(text);
            for other in &layout.texts[..index] {
                let (other_left, other_right, other_top, other_bottom) = extent(other);
                let apart =
                    left >= other_right || right <= other_left || top >= other_bottom || bottom <= other_top;
                // Columns stand close together: what their real widths are is in the next test.
                assert!(apart || text.is_centred && other.is_centred, "{text:?} {other:?}");
            }
        }
    }
}

#[test]
fn captions_of_columns_stay_in_their_columns() {
    let names = ["MMMMMMMMMMMMMMMMMMMMM", "attribution:two-component", "WWW WWW WWW WWW"];
    let figure = figure(&["cat"], &names, (112, 112));
    let (layout, picture) = (Layout::of(&figure).unwrap(), figure.picture().unwrap());
    let top = layout.cells[0].top;
    for x in 0..layout.width {
        let inside = layout.cells.iter().any(|cell| (cell.left..cell.left + 112).contains(&x));
        let inked = (0..top).any(|y| picture.get_pixel(x, y) != &Rgb([255; 3]));
        assert!(inside || !inked, "ink at {x}");
    }
    // All of them are there, the first cut: it has no place to break but anywhere.
    let of = |name: &str| layout.texts.iter().filter(|text| text.whole == name).count();
    assert_eq!((of(names[0]), of(names[1])), (2, 2));
}

#[test]
fn long_names_lose_their_middle_and_short_ones_nothing() {
    let layout = Layout::of(&figure(&[LONG, "cat.jpg"], &["input"], (112, 112))).unwrap();
    let lines: Vec<&PlacedText> = layout.texts.iter().filter(|text| text.whole == LONG).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].text.starts_with("a photograph"), "{lines:?}");
    assert!(lines[1].text.contains('…') && lines[1].text.ends_with(".jpeg"), "{lines:?}");
    assert!(lines.iter().all(|line| line.weight == Weight::Strong));
    assert!(layout.texts.iter().any(|text| text.text == "cat.jpg"));
}

#[test]
fn the_same_figure_has_the_same_bytes_whatever_the_threads() {
    let figure = figure(&["a.png", LONG, "größe 猫.png"], &["input", "gradient", "patternnet"], (64, 64));
    for format in [FigureFormat::Png, FigureFormat::Svg, FigureFormat::Html] {
        let bytes = figure.encode(format).unwrap();
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(pool.install(|| figure.encode(format).unwrap()) == bytes, "{format:?}");
        }
    }
}

#[test]
fn the_png_is_the_picture() {
    let figure = figure(&["a"], &["input", "gradient"], (50, 40));
    let decoded = image::load_from_memory(&figure.encode(FigureFormat::Png).unwrap()).unwrap();
    assert_eq!(decoded.to_rgb8(), figure.picture().unwrap());
}

#[test]
fn svg_and_html_name_everything_and_hold_every_picture() {
    let hostile = "</text><script>alert('1')</script> & \"q\" \u{1b}[31m.png";
    let mut figure = figure(&[hostile, "b.png"], &["input", "patternnet"], (112, 112));
    figure.columns[1].details = vec!["global".to_owned()];
    let decode = |uri: &str| {
        let text = uri.strip_prefix("data:image/png;base64,").unwrap();
        use base64::Engine;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        image::load_from_memory(&bytes).unwrap().to_rgb8()
    };
    for (format, attribute) in [(FigureFormat::Svg, "href=\""), (FigureFormat::Html, "src=\"")] {
        let text = String::from_utf8(figure.encode(format).unwrap()).unwrap();
        let pictures: Vec<RgbImage> =
            text.split(attribute).skip(1).map(|rest| decode(rest.split('"').next().unwrap())).collect();
        let expected: Vec<&RgbImage> = figure.rows.iter().flat_map(|row| &row.cells).collect();
        assert_eq!(pictures.iter().collect::<Vec<_>>(), expected, "{format:?}");
        assert!(!text.contains("<script") && !text.contains('\u{1b}'), "{format:?}");
        assert!(text.contains("b.png: patternnet (global)"), "{format:?}");
        assert!(text.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;q&quot;"));
        // Nothing is fetched.
        let addresses = text.matches("://").count();
        assert_eq!(addresses, usize::from(format == FigureFormat::Svg), "the namespace alone");
    }
    let svg = figure.svg().unwrap();
    for tag in ["svg", "title", "text"] {
        let opened = svg.matches(&format!("<{tag}>")).count() + svg.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, svg.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let good = figure(&["a", "b"], &["input", "gradient"], (8, 8));
    let mut empty = good.clone();
    empty.rows.clear();
    assert!(matches!(empty.png(), Err(FigureError::Empty)));
    let mut ragged = good.clone();
    ragged.rows[1].cells.pop();
    assert!(matches!(ragged.html(), Err(FigureError::Columns { row: 1, cells: 1, columns: 2 })));
    let mut uneven = good.clone();
    uneven.rows[1].cells[0] = picture(1, 8, 9);
    assert!(matches!(uneven.svg(), Err(FigureError::Sizes { row: 1, size: (8, 9), expected: (8, 8) })));
    let error = Layout::check_size(300, 6, (224, 224)).unwrap_err().to_string();
    assert!(error.contains("1380×69000") && error.contains("--cell") && error.contains("HTML"), "{error}");
    Layout::check_size(100, 6, (224, 224)).unwrap();
    assert!(Layout::check_size(usize::MAX, usize::MAX, (1, 1)).is_err());
}

#[test]
fn nothing_said_takes_no_room() {
    let mut plain = figure(&["", ""], &["", ""], (10, 10));
    plain.note.clear();
    plain.rows.iter_mut().for_each(|row| row.caption.details.clear());
    let layout = Layout::of(&plain).unwrap();
    assert!(layout.texts.is_empty());
    // Margins of 12, cells of 10, 6 between them.
    assert_eq!((layout.width, layout.height), (12 + 10 + 6 + 10 + 12, 12 + 10 + 6 + 10 + 12));
}
