//! Text in the embedded font: its width, how it is cut to fit, and its pixels.

use crate::output::plot::FONT;
use ab_glyph::{Font, FontRef, Glyph, GlyphId, PxScale, ScaleFont, point};
use image::{Rgb, RgbImage};
use std::sync::LazyLock;

/// What stands for letters that were cut out.
const CUT: &str = "…";

static DEJAVU: LazyLock<FontRef<'static>> =
    LazyLock::new(|| FontRef::try_from_slice(FONT).expect("the embedded font is a font"));

/// The scale at which an em has `size` pixels; the library counts from the highest to the lowest point.
fn scale(size: f32) -> PxScale {
    let units = DEJAVU.units_per_em().unwrap_or(2048.0);
    PxScale::from(size * DEJAVU.height_unscaled() / units)
}

/// The glyphs of a text in a row from 0, and where the next one would begin, in pixels. A letter that the font lacks is an
/// em wide, as letters of most other scripts are at most: where a reader's font has it, there is room.
fn glyphs(text: &str, size: f32) -> (Vec<Glyph>, f32) {
    let font = DEJAVU.as_scaled(scale(size));
    let (mut x, mut glyphs, mut former) = (0.0, Vec::new(), None);
    for letter in text.chars() {
        let id = font.glyph_id(letter);
        if let Some(former) = former.replace(id) {
            x += font.kern(former, id);
        }
        glyphs.push(id.with_scale_and_position(font.scale(), point(x, 0.0)));
        x += if id == GlyphId(0) { size } else { font.h_advance(id) };
    }
    (glyphs, x)
}

/// Width of a text in a size, in pixels.
pub fn width(text: &str, size: f32) -> f32 {
    glyphs(text, size).1
}

/// The text, with letters cut out of its middle where it is wider than `limit`: names differ at their ends.
pub fn cut(text: &str, size: f32, limit: f32) -> String {
    if width(text, size) <= limit {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    let keeping = |count: usize| {
        let (head, tail) = (count.div_ceil(2), count / 2);
        letters[..head]
            .iter()
            .copied()
            .chain(CUT.chars())
            .chain(letters[letters.len() - tail..].iter().copied())
    };
    // The most letters that fit.
    let counts: Vec<usize> = (1..letters.len()).collect();
    let fitting = counts.partition_point(|&count| width(&keeping(count).collect::<String>(), size) <= limit);
    keeping(fitting).collect()
}

/// The text in at most `lines` lines of at most `limit` pixels, broken where it can be: after what parts words, else after what
/// parts their parts. What is left for the last line is cut.
pub fn wrapped(text: &str, size: f32, limit: f32, lines: usize) -> Vec<String> {
    let mut wrapped = Vec::new();
    let mut rest = text.trim();
    while wrapped.len() + 1 < lines && width(rest, size) > limit {
        let ends: Vec<usize> = rest.char_indices().map(|(start, letter)| start + letter.len_utf8()).collect();
        let fitting = ends.partition_point(|&end| width(rest[..end].trim_end(), size) <= limit);
        let Some(&end) = ends[..fitting].last() else { break };
        let after = |signs: &[char]| rest[..end].rfind(signs).map(|sign| sign + 1);
        let end = after(&[' ', ':', '/']).or_else(|| after(&['-', '_', '.', ','])).unwrap_or(end);
        wrapped.push(rest[..end].trim_end().to_owned());
        rest = rest[end..].trim_start();
    }
    wrapped.push(cut(rest, size, limit));
    wrapped
}

/// Draws a text that begins at `left`, on a base line.
pub fn draw(picture: &mut RgbImage, text: &str, size: f32, (left, baseline): (f32, f32), colour: Rgb<u8>) {
    let (columns, rows) = picture.dimensions();
    for mut glyph in glyphs(text, size).0 {
        glyph.position.x += left;
        glyph.position.y = baseline;
        let Some(outline) = DEJAVU.outline_glyph(glyph) else { continue };
        let corner = outline.px_bounds().min;
        outline.draw(|x, y, coverage| {
            let (x, y) = (corner.x as i64 + i64::from(x), corner.y as i64 + i64::from(y));
            if (0..i64::from(columns)).contains(&x) && (0..i64::from(rows)).contains(&y) {
                let Rgb(below) = picture.get_pixel_mut(x as u32, y as u32);
                for (level, ink) in below.iter_mut().zip(colour.0) {
                    let (from, to) = (f32::from(*level), f32::from(ink));
                    *level = (from + (to - from) * coverage.clamp(0.0, 1.0)).round() as u8;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_the_fonts() {
        // DejaVu Sans: the advance of `m` is 1995 of 2048 units, that of `i` 569.
        assert!((width("m", 20.48) - 19.95).abs() < 1e-3, "{}", width("m", 20.48));
        assert!((width("iii", 2048.0) - 3.0 * 569.0).abs() < 0.5);
        assert_eq!(width("", 14.0), 0.0);
        assert_eq!(width("猫", 14.0), 14.0);
    }

    #[test]
    fn what_fits_is_left_alone_and_what_does_not_keeps_both_ends() {
        assert_eq!(cut("cat.jpg", 13.0, 100.0), "cat.jpg");
        for limit in [20.0, 45.5, 80.0, 119.0] {
            let cut = cut("a photograph of a cat 0001.jpeg", 13.0, limit);
            assert!(width(&cut, 13.0) <= limit && cut.contains(CUT), "{cut}");
            assert!(limit < 60.0 || cut.starts_with("a p") && cut.ends_with("eg"), "{cut}");
            // Not one letter more would fit.
            assert!(limit - width(&cut, 13.0) < 2.0 * width("m", 13.0), "{cut}");
        }
        assert_eq!(cut("wide", 13.0, 0.0), CUT);
    }

    #[test]
    fn lines_break_after_signs() {
        assert_eq!(wrapped("pattern-attribution", 14.0, 150.0, 2), ["pattern-attribution"]);
        assert_eq!(wrapped("pattern-attribution", 14.0, 112.0, 2), ["pattern-", "attribution"]);
        assert_eq!(wrapped("signal:two-component", 14.0, 112.0, 2), ["signal:", "two-component"]);
        assert_eq!(wrapped("one two three", 14.0, 60.0, 5), ["one two", "three"]);
        let lines = wrapped("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", 14.0, 100.0, 2);
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| width(line, 14.0) <= 100.0), "{lines:?}");
        assert!(lines[0].starts_with("abc") && lines[1].ends_with("xyz") && lines[1].contains(CUT));
        assert_eq!(wrapped("größe 猫猫猫猫", 14.0, 44.0, 2).len(), 2);
    }

    #[test]
    fn every_letter_of_captions_is_in_the_font() {
        let letters = ('!'..='~').chain("…·×−½²ρ₊₋ÄÖÜäöüßéèñ±°–—".chars());
        let missing: String = letters.filter(|&letter| DEJAVU.glyph_id(letter) == GlyphId(0)).collect();
        assert_eq!(missing, "");
    }

    #[test]
    fn ink_stays_within_the_texts_width_and_the_picture() {
        let mut picture = RgbImage::from_pixel(90, 30, Rgb([255; 3]));
        draw(&mut picture, "Wagon", 16.0, (10.0, 20.0), Rgb([0; 3]));
        let inked: Vec<u32> =
            picture.enumerate_pixels().filter(|(.., pixel)| pixel.0[0] < 128).map(|(x, ..)| x).collect();
        let (first, last) = (*inked.iter().min().unwrap(), *inked.iter().max().unwrap());
        let right = 10.0 + width("Wagon", 16.0);
        assert!((9..13).contains(&first), "{first}");
        assert!(last as f32 <= right && last as f32 > right - 4.0, "{last} {right}");
        // Beyond the edges nothing happens.
        draw(&mut picture, "far out 猫", 60.0, (-20.0, 5.0), Rgb([200, 0, 0]));
        draw(&mut picture, "far out", 60.0, (80.0, 40.0), Rgb([200, 0, 0]));
    }
}
