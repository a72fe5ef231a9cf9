//! The report of how patterns came out, as a table.

use super::columns::aligned;
use crate::patterns::{Centering, Component, ComponentReport, LayerReport, Report, Spread};

/// Neurons without a pattern that are listed by number.
const LISTED: usize = 6;

/// A row for each layer and component, under a heading.
pub fn lines(report: &Report) -> Vec<String> {
    let mut rows = vec![
        ["layer", "patterns", "positions", "share", "fewest", "median", "conditioning", "(median)"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut without = vec!["neurons without".to_owned()];
    for layer in &report.layers {
        for component in Component::ALL {
            rows.push(row(layer, component));
            without.push(neurons(layer.component(component)));
        }
    }
    let mut lines = vec![
        "  share: of positions in the regime; fewest, median: positions of a neuron; conditioning: wᵀ(numerator) / E[y²], \
         the least"
            .to_owned(),
    ];
    let told = aligned(&rows, 2).into_iter().zip(&without);
    lines.extend(told.map(|(row, without)| format!("  {row}  {without}")));
    lines.extend(degenerate(report));
    lines
}

/// Why neurons have no pattern that have positions enough.
fn degenerate(report: &Report) -> Option<String> {
    let count = |components: &[Component]| -> usize {
        let of = |layer: &LayerReport| {
            components.iter().map(|&component| layer.component(component).degenerate.len()).sum::<usize>()
        };
        report.layers.iter().map(of).sum()
    };
    let all = count(&Component::ALL);
    // The denominator of the linear patterns is the same for both centerings.
    let two = match report.centering {
        Centering::Global => count(&[Component::Positive, Component::Negative]),
        Centering::Regime => 0,
    };
    let hint = if two > 0 { "; with --centering regime there may be a positive or negative one" } else { "" };
    (all > 0).then(|| {
        format!("  {all} patterns are missing since their denominator is not above 1e-10·E[y²]{hint}")
    })
}

fn row(layer: &LayerReport, component: Component) -> Vec<String> {
    let report = layer.component(component);
    let first = component == Component::ALL[0];
    let share = match component {
        Component::Positive => layer.active,
        Component::Negative => layer.active.map(|active| 1.0 - active),
        Component::Linear => layer.active.map(|_| 1.0),
    };
    let conditioning = |of: fn(Spread) -> f64| {
        report.conditioning.map_or_else(|| "-".to_owned(), |spread| format!("{:.1e}", of(spread)))
    };
    vec![
        // As it stands in a file, which anybody may have written: nothing of it controls the terminal.
        if first {
            layer.name.chars().take(40).flat_map(char::escape_debug).collect()
        } else {
            String::new()
        },
        component.name().to_owned(),
        if first { layer.positions.to_string() } else { String::new() },
        share.map_or_else(|| "-".to_owned(), |share| format!("{:.1}%", 100.0 * share)),
        format!("{:.0}", report.positions.least),
        format!("{:.0}", report.positions.median),
        conditioning(|spread| spread.least),
        conditioning(|spread| spread.median),
    ]
}

/// How many neurons have no pattern, and the first of them.
fn neurons(report: &ComponentReport) -> String {
    let without = report.without();
    let Some(first) = without.get(..LISTED.min(without.len())).filter(|first| !first.is_empty()) else {
        return "none".to_owned();
    };
    let numbers: Vec<String> = first.iter().map(usize::to_string).collect();
    let more = if without.len() > LISTED { ", …" } else { "" };
    format!("{}: {}{more}", without.len(), numbers.join(", "))
}
