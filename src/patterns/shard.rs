//! Telling runs, and parts of them, apart.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

/// Keys of a run that do not tell it from others: the same images on another device would still count twice.
const INCIDENTAL: [&str; 5] = ["shard", "device", "precision", "version", "failed"];

/// Most missing shards that are named.
const NAMED: usize = 1000;

/// Which part of a run moments are of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// Shard `number` of `shards`, as in `2/4`.
    Shard { number: u64, shards: u64 },
    /// Something that is no shard; only the same text is the same part.
    Other(String),
}

/// The runs that moments are of, each with the parts of it that were summed: those of merged moments are lists.
pub(super) fn expand(run: &Map<String, Value>) -> Vec<(&Map<String, Value>, Vec<Part>)> {
    match merged_runs(run) {
        Some(runs) => runs.into_iter().flat_map(expand).collect(),
        None => vec![(run, Part::all(run))],
    }
}

/// The runs of a record that has nothing else.
fn merged_runs(run: &Map<String, Value>) -> Option<Vec<&Map<String, Value>>> {
    let runs = run.get("runs").filter(|_| run.len() == 1)?.as_array()?;
    let runs = runs.iter().map(Value::as_object).collect::<Option<Vec<_>>>()?;
    (!runs.is_empty()).then_some(runs)
}

impl Part {
    /// What a run that is no list of runs says of its parts: one of them, unless shards were merged.
    fn all(run: &Map<String, Value>) -> Vec<Self> {
        match run.get("shard") {
            None => vec![Self::Whole],
            Some(Value::Array(shards)) if !shards.is_empty() => shards.iter().map(Self::of).collect(),
            Some(shard) => vec![Self::of(shard)],
        }
    }

    fn of(shard: &Value) -> Self {
        let text = match shard {
            Value::Null => return Self::Whole,
            Value::String(text) => text,
            other => return Self::Other(other.to_string()),
        };
        let numbers = text
            .split_once('/')
            .and_then(|(number, shards)| Some((number.trim().parse().ok()?, shards.trim().parse().ok()?)));
        match numbers {
            Some((number, shards)) => Self::Shard { number, shards },
            None => Self::Other(text.clone()),
        }
    }

    /// Whether this part and another one, which is not the same, are known to have no image in common: shards of one
    /// division.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Shard { shards, .. }, Self::Shard { shards: others, .. }) => shards == others,
            // What these are is the caller's own business.
            (Self::Other(_), Self::Other(_)) => true,
            _ => false,
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
pub(super) fn missing(numbers: &BTreeSet<u64>, shards: u64) -> Vec<u64> {
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
        let part = |shard: Value| Part::of(&shard);
        assert_eq!(part(Value::Null), Part::Whole);
        assert_eq!(Part::all(&Map::new()), [Part::Whole]);
        assert_eq!((part(json!("2/4")).number(), part(json!("2/4")).of_how_many()), (Some(2), Some(4)));
        assert_eq!(part(json!("02/4")), part(json!("2 / 4")));
        assert_eq!(part(json!(3)), Part::Other("3".to_owned()));
        assert_eq!(part(json!("-1/4")), Part::Other("-1/4".to_owned()));
    }

    #[test]
    fn merged_moments_are_of_several_parts_and_runs() {
        let shard = |number, shards| Part::Shard { number, shards };
        let merged = run(json!({ "seed": 0, "shard": ["0/4", "1/4"] }));
        assert_eq!(expand(&merged), [(&merged, vec![shard(0, 4), shard(1, 4)])]);
        let other = run(json!({ "seed": 1 }));
        let both = run(json!({ "runs": [{ "runs": [merged] }, other] }));
        assert_eq!(expand(&both), [(&merged, vec![shard(0, 4), shard(1, 4)]), (&other, vec![Part::Whole])]);
        // Not what merging writes: a run like others.
        for odd in [json!({ "runs": [] }), json!({ "runs": [1] }), json!({ "runs": [{}], "seed": 1 })] {
            let odd = run(odd);
            assert_eq!(expand(&odd), [(&odd, vec![Part::Whole])]);
        }
        assert_eq!(Part::all(&run(json!({ "shard": [] }))), [Part::Other("[]".to_owned())]);
    }

    #[test]
    fn parts_of_one_division_have_no_image_in_common() {
        let shard = |number, shards| Part::Shard { number, shards };
        let other = |text: &str| Part::Other(text.to_owned());
        assert!(shard(1, 4).is_beside(&shard(2, 4)) && other("a").is_beside(&other("b")));
        for (one, another) in [
            (shard(1, 4), shard(1, 2)),
            (shard(1, 4), Part::Whole),
            (other("a"), Part::Whole),
            (other("a"), shard(0, 2)),
        ] {
            assert!(!one.is_beside(&another) && !another.is_beside(&one), "{one} {another}");
        }
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
        let missing = |numbers: &[u64], shards| missing(&numbers.iter().copied().collect(), shards);
        assert_eq!(missing(&[0, 2], 4), [1, 3]);
        assert_eq!(missing(&[4, 2], 4), [1, 3]);
        assert_eq!(missing(&[1, 2], 4), [] as [u64; 0]);
        assert_eq!(missing(&[0], u64::MAX).len(), NAMED);
    }
}
