//! The report as JSON; the README has the schema.

use super::layers::{LayerReport, total};
use super::table::way_name;
use super::{Report, Throughput};
use serde_json::{Value, json};

impl Report {
    /// The report as one JSON object.
    pub fn to_json(&self) -> Value {
        let convolutions = self.layers.iter().filter(|layer| layer.convolution);
        let (seconds, flops) = total(convolutions);
        let tflops = flops / seconds / 1e12;
        let convolutions = (seconds > 0.0).then(|| {
            json!({ "milliseconds": 1e3 * seconds, "tflops": tflops, "share": self.ceiling.share(tflops) })
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "device": self.device,
            "hardware": self.hardware.as_ref().map(|hardware| &hardware.name),
            "element": self.hardware.as_ref().map(|hardware| hardware.element),
            "architecture": self.architecture,
            "batch": self.batch,
            "side": self.side,
            "repeats": self.repeats,
            "ceiling": {
                "tflops": self.ceiling.tflops().map(|(tflops, _)| tflops),
                "source": self.ceiling.tflops().map(|(_, source)| source),
                "given": self.ceiling.given,
                "datasheet": self.ceiling.datasheet,
                "products": self.ceiling.products.iter().map(|product| json!({
                    "kernel": product.kernel, "side": product.side, "tflops": product.tflops,
                })).collect::<Vec<_>>(),
            },
            "copy": self.copy.map(|copy| json!({
                "bytes": copy.bytes,
                "gigabytes_per_second": copy.gigabytes_per_second,
                "datasheet": copy.datasheet,
            })),
            "layers": self.layers.iter().map(|layer| self.layer(layer)).collect::<Vec<_>>(),
            "convolutions": convolutions,
            "end_to_end": self.end_to_end.iter().map(|row| self.throughput(row)).collect::<Vec<_>>(),
        })
    }

    fn layer(&self, layer: &LayerReport) -> Value {
        json!({
            "name": layer.name,
            "way": way_name(layer.way),
            "kernel": layer.kernel,
            "milliseconds": 1e3 * layer.seconds,
            "gflop": layer.flops / 1e9,
            "megabytes": layer.bytes / 1e6,
            "tflops": layer.tflops(),
            "gigabytes_per_second": layer.gigabytes_per_second(),
            "share": layer.tflops().and_then(|tflops| self.ceiling.share(tflops)),
            "tried": layer.tried.iter().map(|time| json!({
                "kernel": time.kernel, "milliseconds": 1e3 * time.seconds,
            })).collect::<Vec<_>>(),
        })
    }

    fn throughput(&self, row: &Throughput) -> Value {
        json!({
            "method": row.method.map(|method| method.to_string()),
            "images_per_second": row.images_per_second,
            "batch_milliseconds": row.batch_milliseconds,
            "concurrent": row.concurrent,
            "tflops": row.tflops(),
            "share": self.ceiling.share(row.tflops()),
        })
    }
}
