//! What a moment file holds.

use super::lines::{input_line, metadata_lines, run_lines};
use crate::cli::exit::Failure;
use crate::output::path_text;
use crate::patterns::{LayerSource, MomentFile};
use serde_json::{Value, json};
use std::path::Path;

/// Reads all of the file, to check it.
pub fn describe(path: &Path) -> Result<(Value, Vec<String>), Failure> {
    let moments = MomentFile::inspect(path)?;
    let (record, metadata) = (moments.record(), moments.file().metadata());
    let architecture = moments.architecture().unwrap_or("an unnamed architecture");
    let preprocessing = moments.preprocessing();
    let layers: Vec<Value> = moments
        .layers()
        .map(|(name, shape, positions)| json!({ "name": name, "shape": shape, "positions": positions }))
        .collect();
    let description = json!({
        "file": path_text(path),
        "kind": "moments",
        "version": metadata.get("moments"),
        "architecture": architecture,
        "images": record.images,
        "second_moments": moments.has_second_moments(),
        "checksum": "verified",
        "run": record.run,
        "progress": record.progress,
        "preprocessing": preprocessing.to_json(),
        "layers": layers,
        "metadata": metadata,
    });
    let second = if moments.has_second_moments() { "with" } else { "without" };
    let mut text = vec![
        format!("{}: moments of {}", path_text(path), architecture.escape_debug()),
        format!("  {} images, {} layers, {second} second moments", record.images, moments.layer_count()),
        format!(
            "  version {}, checksum verified; {}",
            metadata.get("moments").map_or("", String::as_str).escape_debug(),
            if record.progress.is_some() { "the run has not finished" } else { "the run has finished" }
        ),
        input_line(preprocessing),
    ];
    text.extend(moments.layers().map(|(name, shape, positions)| {
        format!("  {:<22}{:<23}{positions} positions", name.escape_debug().to_string(), format!("{shape:?}"))
    }));
    text.extend(metadata_lines(
        moments.file().metadata(),
        &[
            "moments",
            "architecture",
            "images",
            "second_moments",
            "checksum",
            "fingerprint",
            "channel_order",
            "pixel_scale",
            "mean",
            "std",
            "run",
        ],
    ));
    text.extend(run_lines(&record.run));
    Ok((description, text))
}
