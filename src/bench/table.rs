//! The report as a table.

use super::layers::{LayerReport, total};
use super::{Ceiling, Report};
use crate::backend::profile::Way;
use std::fmt::Write;

impl Report {
    /// The report as text, lines without a last line break.
    pub fn table(&self) -> String {
        let mut text = String::new();
        self.head(&mut text);
        if !self.layers.is_empty() {
            self.layer_rows(&mut text);
        }
        if !self.end_to_end.is_empty() {
            self.method_rows(&mut text);
        }
        text.truncate(text.trim_end().len());
        text
    }

    fn head(&self, text: &mut String) {
        let element = self.hardware.as_ref().map_or("", |hardware| hardware.element);
        line(
            text,
            format_args!(
                "{}, {side}×{side}, batch {}, {element}, medians of {}",
                self.architecture,
                self.batch,
                self.repeats,
                side = self.side
            ),
        );
        line(text, format_args!("device   {}", self.device));
        let ceiling = match self.ceiling.tflops() {
            Some((tflops, source)) => format!("{} TFLOP/s ({source})", digits(tflops)),
            None => "unknown; give one with --ceiling".to_owned(),
        };
        line(text, format_args!("ceiling  {ceiling}"));
        for (name, rate) in [("--ceiling", self.ceiling.given), ("datasheet", self.ceiling.datasheet)] {
            if let Some(rate) = rate {
                line(text, format_args!("         {name} {} TFLOP/s", digits(rate)));
            }
        }
        if let Some(product) = self.ceiling.product() {
            let best = match self.ceiling.products.len() {
                1 => String::new(),
                others => format!(" (the best of {others})"),
            };
            line(
                text,
                format_args!(
                    "         own product {}³ {} TFLOP/s, {}{best}",
                    product.side,
                    digits(product.tflops),
                    product.kernel
                ),
            );
        }
        if let Some(copy) = &self.copy {
            let datasheet =
                copy.datasheet.map_or(String::new(), |rate| format!(" of the datasheet's {}", digits(rate)));
            line(
                text,
                format_args!(
                    "copy     {} GB/s{datasheet} ({} MiB, read and written)",
                    digits(copy.gigabytes_per_second),
                    copy.bytes >> 20
                ),
            );
        }
    }

    fn layer_rows(&self, text: &mut String) {
        let tried = self.layers.iter().any(|layer| !layer.tried.is_empty());
        text.push('\n');
        line(
            text,
            format_args!(
                "{:<16} {:<8} {:>10} {:>9} {:>8} {:>8}  kernel{}",
                "layer",
                "way",
                "ms",
                "TFLOP/s",
                "GB/s",
                "ceiling",
                if tried { " (best of those tried)" } else { "" }
            ),
        );
        for layer in &self.layers {
            self.layer_row(text, layer);
        }
        for (name, way) in
            [("forward", Some(Way::Forward)), ("backward", Some(Way::Backward)), ("both", None)]
        {
            let chosen = || self.layers.iter().filter(move |layer| way.is_none_or(|way| layer.way == way));
            let (seconds, flops) = total(chosen().filter(|layer| layer.convolution));
            self.total_row(text, "convolutions", name, seconds, flops);
            let (seconds, flops) = total(chosen());
            self.total_row(text, "all", name, seconds, flops);
        }
    }

    fn layer_row(&self, text: &mut String, layer: &LayerReport) {
        let tflops = layer.tflops();
        let best = match layer.best() {
            Some(best) if best.kernel != layer.kernel => {
                format!(" (best: {}, {} ms)", best.kernel, digits(1e3 * best.seconds))
            }
            Some(_) => " (best)".to_owned(),
            None => String::new(),
        };
        line(
            text,
            format_args!(
                "{:<16} {:<8} {:>10} {:>9} {:>8} {:>8}  {}{best}",
                layer.name,
                way_name(layer.way),
                digits(1e3 * layer.seconds),
                tflops.map_or(String::new(), digits),
                digits(layer.gigabytes_per_second()),
                share(&self.ceiling, tflops),
                layer.kernel
            ),
        );
    }

    fn total_row(&self, text: &mut String, name: &str, way: &str, seconds: f64, flops: f64) {
        let tflops = flops / seconds / 1e12;
        line(
            text,
            format_args!(
                "{name:<16} {way:<8} {:>10} {:>9} {:>8} {:>8}",
                digits(1e3 * seconds),
                digits(tflops),
                "",
                share(&self.ceiling, Some(tflops))
            ),
        );
    }

    fn method_rows(&self, text: &mut String) {
        text.push('\n');
        line(
            text,
            format_args!(
                "{:<24} {:>10} {:>12} {:>11} {:>9} {:>8}",
                "end to end", "images/s", "ms a batch", "concurrent", "TFLOP/s", "ceiling"
            ),
        );
        for row in &self.end_to_end {
            let name = row.method.map_or("forward".to_owned(), |method| method.to_string());
            line(
                text,
                format_args!(
                    "{name:<24} {:>10} {:>12} {:>11} {:>9} {:>8}",
                    digits(row.images_per_second),
                    digits(row.batch_milliseconds),
                    row.concurrent,
                    digits(row.tflops()),
                    share(&self.ceiling, Some(row.tflops()))
                ),
            );
        }
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments) {
    let row = arguments.to_string();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}", row.trim_end());
}

pub(super) fn way_name(way: Way) -> &'static str {
    match way {
        Way::Forward => "forward",
        Way::Backward => "backward",
    }
}

fn share(ceiling: &Ceiling, tflops: Option<f64>) -> String {
    match tflops.and_then(|tflops| ceiling.share(tflops)) {
        Some(share) if share.is_finite() => format!("{:.1}%", 100.0 * share),
        _ => String::new(),
    }
}

/// Four significant digits, none of them cut off before the point.
fn digits(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let before = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    let decimals = usize::try_from(3 - before).unwrap_or(0).min(6);
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::digits;

    #[test]
    fn numbers_have_four_digits() {
        for (value, text) in
            [(0.0, "0.000"), (0.012345, "0.01235"), (1.0, "1.000"), (123.45, "123.5"), (98765.4, "98765")]
        {
            assert_eq!(digits(value), text);
        }
        assert_eq!(digits(f64::NAN), "-");
        assert_eq!(digits(1e-9), "0.000000");
    }
}
