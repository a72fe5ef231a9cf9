//! Which output is explained.

use std::fmt;
use std::str::FromStr;

/// The output a backward pass starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The output with the n-th largest response, from 1.
    Top(usize),
    /// A fixed output.
    Index(usize),
    /// The output with this label; of a label with commas, as lists of ImageNet's synonyms have them, one of its names.
    Label(String),
    /// The target that comes with each input.
    Key,
}

/// Why an image has no target.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TargetError {
    /// An index past the last output.
    #[error("target {target} does not exist: the network has {outputs} outputs, 0 to {}", outputs - 1)]
    OutOfRange {
        /// The index as given.
        target: usize,
        /// Number of the network's outputs.
        outputs: usize,
    },
    /// A rank below the last output's.
    #[error("top{rank} does not exist: the network has {outputs} outputs")]
    RankOutOfRange {
        /// The rank as given, from 1.
        rank: usize,
        /// Number of the network's outputs.
        outputs: usize,
    },
    /// A label that no output has.
    #[error(
        "the label '{label}' is not among the network's labels; give them with --labels, or the index of the output"
    )]
    UnknownLabel {
        /// The label as given.
        label: String,
    },
    /// A label that several outputs share.
    #[error(
        "the label '{label}' names the outputs {first} and {second}; give the index of the one that is meant"
    )]
    AmbiguousLabel {
        /// The label as given.
        label: String,
        /// The first output of this name.
        first: usize,
        /// The second one.
        second: usize,
    },
    /// [`Target::Key`] for an input without a target.
    #[error("--target key, but no target comes with this input; give one in the list, after a tab")]
    NoKey,
    /// A text that is no target.
    #[error("'{text}' is not a target; use top1, topN, an index, a label or key")]
    Syntax {
        /// The text as given.
        text: String,
    },
}

impl FromStr for Target {
    type Err = TargetError;

    /// `top1`, `topN`, an index, `key`, and anything else is a label.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let syntax = || TargetError::Syntax { text: text.to_owned() };
        if text.trim().is_empty() {
            return Err(syntax());
        }
        if text == "key" {
            return Ok(Target::Key);
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(Target::Index).map_err(|_| syntax());
        }
        if let Some(rank) = text.strip_prefix("top")
            && !rank.is_empty()
            && rank.bytes().all(|byte| byte.is_ascii_digit())
        {
            return match rank.parse() {
                Ok(rank) if rank >= 1 => Ok(Target::Top(rank)),
                _ => Err(syntax()),
            };
        }
        Ok(Target::Label(text.to_owned()))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Target::Top(rank) => write!(formatter, "top{rank}"),
            Target::Index(index) => write!(formatter, "{index}"),
            Target::Label(label) => formatter.write_str(label),
            Target::Key => formatter.write_str("key"),
        }
    }
}

impl Target {
    /// The output that this target means for one image.
    ///
    /// # Errors
    /// When there is no such output, label or key.
    pub fn resolve(
        &self,
        responses: &[f32],
        labels: Option<&[String]>,
        key: Option<&str>,
    ) -> Result<usize, TargetError> {
        let outputs = responses.len();
        match self {
            &Target::Index(target) if target < outputs => Ok(target),
            &Target::Index(target) => Err(TargetError::OutOfRange { target, outputs }),
            &Target::Top(rank) => {
                nth_largest(responses, rank).ok_or(TargetError::RankOutOfRange { rank, outputs })
            }
            Target::Label(label) => {
                let known = labels.unwrap_or_default().iter().take(outputs).enumerate();
                let mut outputs =
                    known.filter(|(_, known)| is_called(known, label)).map(|(output, _)| output);
                match (outputs.next(), outputs.next()) {
                    (None, _) => Err(TargetError::UnknownLabel { label: label.clone() }),
                    (Some(output), None) => Ok(output),
                    (Some(first), Some(second)) => {
                        Err(TargetError::AmbiguousLabel { label: label.clone(), first, second })
                    }
                }
            }
            Target::Key => match key.map(str::parse) {
                None | Some(Ok(Target::Key)) => Err(TargetError::NoKey),
                Some(Err(error)) => Err(error),
                Some(Ok(target)) => target.resolve(responses, labels, None),
            },
        }
    }
}

/// Whether a name is a label, or one of those between its commas.
fn is_called(label: &str, name: &str) -> bool {
    label == name || label.split(',').any(|synonym| synonym.trim() == name)
}

/// Indices of the `count` largest responses, or of all where there are fewer, the largest first; of equal ones the lower
/// index first.
pub fn largest(responses: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..responses.len()).collect();
    order.sort_by(|&a, &b| responses[b].total_cmp(&responses[a]).then(a.cmp(&b)));
    order.truncate(count);
    order
}

/// Index of the n-th largest response, from 1.
fn nth_largest(responses: &[f32], rank: usize) -> Option<usize> {
    largest(responses, rank).get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_resolved() {
        let responses = [1.0, 5.0, -2.0, 5.0];
        let labels: Vec<String> = ["ant", "bee", "top dog", "7"].map(str::to_owned).to_vec();
        let resolve =
            |text: &str, key| text.parse::<Target>().and_then(|t| t.resolve(&responses, Some(&labels), key));
        assert_eq!(resolve("top1", None), Ok(1));
        assert_eq!(resolve("top2", None), Ok(3));
        assert_eq!(resolve("top4", None), Ok(2));
        assert_eq!(resolve("top5", None), Err(TargetError::RankOutOfRange { rank: 5, outputs: 4 }));
        assert_eq!(resolve("2", None), Ok(2));
        assert_eq!(resolve("4", None), Err(TargetError::OutOfRange { target: 4, outputs: 4 }));
        assert_eq!(resolve("top dog", None), Ok(2));
        assert!(matches!(resolve("cat", None), Err(TargetError::UnknownLabel { .. })));
        let twice: Vec<String> = ["crane", "bee", "crane", "cow"].map(str::to_owned).to_vec();
        let crane = Target::Label("crane".to_owned()).resolve(&responses, Some(&twice), None);
        assert_eq!(
            crane,
            Err(TargetError::AmbiguousLabel { label: "crane".to_owned(), first: 0, second: 2 })
        );
        let synonyms: Vec<String> =
            ["crane bird, crane", "crane", "owl, , hooter", "elk"].map(str::to_owned).to_vec();
        let called = |name: &str| Target::Label(name.to_owned()).resolve(&responses, Some(&synonyms), None);
        assert_eq!(called("crane bird"), Ok(0));
        assert_eq!(called("crane bird, crane"), Ok(0));
        assert!(matches!(called("crane"), Err(TargetError::AmbiguousLabel { first: 0, second: 1, .. })));
        assert_eq!(called("hooter"), Ok(2));
        assert!(matches!(called("bird"), Err(TargetError::UnknownLabel { .. })));
        assert_eq!(resolve("key", Some("bee")), Ok(1));
        assert_eq!(resolve("key", Some("0")), Ok(0));
        assert_eq!(resolve("key", None), Err(TargetError::NoKey));
        assert_eq!(resolve("key", Some("key")), Err(TargetError::NoKey));
        assert!(matches!(resolve("top0", None), Err(TargetError::Syntax { .. })));
        assert!(matches!(resolve("", None), Err(TargetError::Syntax { .. })));
        assert!(matches!(resolve("99999999999999999999999", None), Err(TargetError::Syntax { .. })));
    }
}
