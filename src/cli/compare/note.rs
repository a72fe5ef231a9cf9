//! How to read a figure.

use super::Options;
use crate::explain::{Kind, Method};

/// The figure's title.
pub fn title(names: &[String]) -> String {
    match names {
        [name] => format!("Explanations of {name}"),
        names => format!("Explanations of {} images", names.len()),
    }
}

/// What the pictures mean.
pub fn note(options: &Options, methods: &[Method]) -> String {
    let any = |kind| methods.iter().any(|method| method.kind() == kind);
    let mut parts = Vec::new();
    if any(Kind::Signal) {
        parts.push("In colour: x / (2 max|x|) + ½, grey is zero.".to_owned());
    }
    if any(Kind::Attribution) {
        let over = if options.overlay { ", over the image in grey" } else { "" };
        parts.push(format!(
            "Heat maps: red speaks for the output, blue against it (gamma {}){over}.",
            options.gamma
        ));
    }
    parts.push("Each picture has a scale of its own.".to_owned());
    parts.join(" ")
}
