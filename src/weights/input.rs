//! The preprocessing of a file, and who said it.

use super::assemble::InputOperations;
use super::error::{WeightProblem, on_one_line};
use super::import::{Imported, InputConvention};
use crate::network::{Preprocessing, PreprocessingError, PreprocessingOverrides};

/// A preprocessing and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Input {
    pub(super) preprocessing: Preprocessing,
    /// As in "from the file's metadata".
    pub(super) origin: String,
    /// Why somebody has to say it before the network is used; none where it is known.
    pub(super) unknown: Option<String>,
}

/// What makes the input of the first layer: what the file says or its kind implies, under what the user says, followed by
/// the operations at the file's start. A file of which nothing is known gets torchvision's preprocessing and is marked.
pub(super) fn resolve(
    imported: &Imported,
    operations: &InputOperations,
    overrides: &PreprocessingOverrides,
) -> Result<Input, WeightProblem> {
    let said = *overrides != PreprocessingOverrides::default();
    let mut unknown = None;
    let (outside, mut origin) = match &imported.input {
        InputConvention::Metadata => {
            let stated =
                Preprocessing::from_metadata(&imported.metadata).is_ok_and(|stated| stated.is_some());
            // A file that was converted says who said it first.
            let earlier = imported.metadata.get("preprocessing_origin");
            let earlier = earlier.and_then(|text| serde_json::from_str::<String>(text).ok());
            let origin = match (stated, earlier) {
                (true, None) => "from the file's metadata".to_owned(),
                (true, Some(earlier)) => format!("from the file's metadata, and before: {earlier}"),
                (false, _) => "torchvision's, since the file says nothing".to_owned(),
            };
            (Preprocessing::resolve(&imported.metadata, overrides)?, origin)
        }
        InputConvention::Assumed { preprocessing, reason } => {
            (overrides.apply(*preprocessing)?, reason.clone())
        }
        InputConvention::Pixels { white, channel_order, reason } => {
            let pixels = Preprocessing {
                channel_order: *channel_order,
                pixel_scale: *white,
                mean: [0.0; 3],
                std: [1.0; 3],
            };
            (overrides.apply(pixels)?, reason.clone())
        }
        InputConvention::Unknown { reason } => match overrides.complete() {
            Ok(preprocessing) => (preprocessing, "as given".to_owned()),
            Err(PreprocessingError::Incomplete { .. }) => {
                unknown = Some(on_one_line(reason));
                (overrides.apply(Preprocessing::default())?, format!("not known: {reason}"))
            }
            Err(error) => return Err(error.into()),
        },
    };
    if said && unknown.is_none() && origin != "as given" {
        origin.push_str(", under what was given");
    }
    if let Some(step) = operations.last() {
        origin.push_str(&format!("; with the file's own operations up to {step}"));
    }
    let preprocessing = operations.after(outside);
    preprocessing.validate()?;
    Ok(Input { preprocessing, origin: on_one_line(&origin), unknown })
}
