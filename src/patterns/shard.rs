//! Telling runs, and parts of them, apart.

use std::fmt;

use serde_json::{Map, Value};

/// Keys of a run that do not tell it from others: the same images on another device would still count twice.
const INCIDENTAL: [&str; 5] = ["shard", "device", "precision", "version", "failed"];

/// Most missing shards that are named.
const NAMED: usize = 1000;

/// Which part of a run moments are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// Shard `number` of `shards`, as in `2/4`.
    Shard { number: u64, shards: u64 },
    /// Something that is no shard; only the same text is the same part.
    Other(String),
}

impl Part {
    pub(super) fn of(run: &Map<String, Value>) -> Self {
        let text = match run.get("shard") {
            None | Some(Value::Null) => return Self::Whole,
            Some(Value::String(text)) => text,
            Some(other) => return Self::Other(other.to_string()),
        };
        let numbers = text
            .split_once('/')
            .and_then(|(number, shards)| Some((number.trim().parse().ok()?, shards.trim().parse().ok()?)));
        match numbers {
            Some((number, shards)) => Self::Shard { number, shards },
            None => Self::Other(text.clone()),
        }
    }

    /// Its name in the run, if it is a part.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Self::Whole => None,
            Self::Shard { number, shards } => Some(format!("{number}/{shards}")),
            Self::Other(text) => Some(text.clone()),
        }
    }

    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Shard { number, .. } => Some(*number),
            Self::Whole | Self::Other(_) => None,
        }
    }

    /// Shards that the run is cut into; `None` for the whole of it.
    pub(super) fn of_how_many(&self) -> Option<u64> {
        match self {
            Self::Shard { shards, .. } => Some(*shards),
            Self::Whole | Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => formatter.write_str("the whole of it"),
            Self::Shard { number, shards } => write!(formatter, "shard {number}/{shards}"),
            Self::Other(text) => write!(formatter, "part {text:?}"),
        }
    }
}

/// What of a run tells it from others.
pub(super) fn identity(run: &Map<String, Value>) -> Map<String, Value> {
    let mut identity = run.clone();
    identity.retain(|key, _| !INCIDENTAL.contains(&key.as_str()));
    identity
}

/// Numbers of the shards that are not among these. Shards count from 0 or from 1; where neither the first nor the last
/// number is there to tell, none are named.
pub(super) fn missing(numbers: &[u64], shards: u64) -> Vec<u64> {
    let first = match (numbers.contains(&0), numbers.contains(&shards)) {
        (true, false) => 0,
        (false, true) => 1,
        _ => return Vec::new(),
    };
    (first..shards.saturating_add(first)).filter(|number| !numbers.contains(number)).take(NAMED).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn shards_are_numbers_whatever_their_spelling() {
        let part = |shard: Value| Part::of(&run(json!({ "shard": shard })));
        assert_eq!(part(Value::Null), Part::Whole);
        assert_eq!(Part::of(&Map::new()), Part::Whole);
        assert_eq!((part(json!("2/4")).number(), part(json!("2/4")).of_how_many()), (Some(2), Some(4)));
        assert_eq!(part(json!("02/4")), part(json!("2 / 4")));
        assert_eq!(part(json!(3)), Part::Other("3".to_owned()));
        assert_eq!(part(json!("-1/4")), Part::Other("-1/4".to_owned()));
    }

    #[test]
    fn the_device_does_not_make_another_run() {
        let one =
            run(json!({ "seed": 0, "device": "cpu", "precision": "f32", "shard": "1/2", "version": "1" }));
        let other = run(json!({ "seed": 0, "device": "cuda:0", "shard": "2/2" }));
        assert_eq!(identity(&one), identity(&other));
        assert_ne!(identity(&one), identity(&run(json!({ "seed": 1 }))));
    }

    #[test]
    fn missing_shards_are_named_where_the_numbers_tell() {
        assert_eq!(missing(&[0, 2], 4), [1, 3]);
        assert_eq!(missing(&[4, 2], 4), [1, 3]);
        assert_eq!(missing(&[1, 2], 4), [] as [u64; 0]);
        assert_eq!(missing(&[0], u64::MAX).len(), NAMED);
    }
}
