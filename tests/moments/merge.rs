//! Moments of several files are their sum, and images count once.

use std::path::PathBuf;

use serde_json::{Value, json};
use vggx::backend::{LayerMoments, Moments};
use vggx::network::PreprocessingOverrides;
use vggx::patterns::{LayerSource, MergeError, Merged, MomentFile, MomentRecord, Notice};
use vggx::weights::Weights;

use crate::samples::{Place, random_moments, record, run};
use crate::support::Model;

impl Place {
    fn written(&self, name: &str, moments: &Moments, record: &MomentRecord) -> MomentFile {
        let path = self.path().join(name);
        MomentFile::write(&path, moments, record, &self.weights).unwrap();
        MomentFile::open(&path, &self.weights).unwrap()
    }

    /// Files with these runs.
    fn runs(&self, runs: &[Value]) -> Vec<MomentFile> {
        let file = |(index, run): (usize, &Value)| {
            let moments = random_moments(&self.weights, 4, false, index as u64);
            self.written(&format!("{index}"), &moments, &record(1, run.clone()))
        };
        runs.iter().enumerate().map(file).collect()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

fn values(layer: &LayerMoments) -> Vec<f64> {
    layer.fields().iter().flat_map(|field| field.values).copied().collect()
}

#[test]
fn merging_is_addition_in_float64() {
    let place = Place::new(&Model::tiny_classifier(0));
    let all: Vec<Moments> =
        (0..4).map(|seed| random_moments(&place.weights, 10 + seed, true, seed as u64)).collect();
    let files: Vec<MomentFile> = all
        .iter()
        .enumerate()
        .map(|(index, moments)| place.written(&index.to_string(), moments, &run(index as u64)))
        .collect();
    let merged = Merged::new(&files).unwrap();
    assert!(merged.notices().is_empty(), "{:?}", merged.notices());
    assert!(merged.has_second_moments());
    assert_eq!(merged.record().images, 10 + 11 + 12 + 13);
    assert_eq!(merged.layer_count(), 5);
    let sum = merged.read();
    for (number, layer) in sum.layers.iter().enumerate() {
        let parts: Vec<Vec<f64>> = all.iter().map(|moments| values(&moments.layers[number])).collect();
        let expected: Vec<f64> =
            (0..parts[0].len()).map(|at| parts.iter().fold(0.0, |sum, part| sum + part[at])).collect();
        assert_eq!(values(layer), expected);
        assert_eq!(layer.positions, 10.0 + 11.0 + 12.0 + 13.0);
        assert_eq!(layer.name, all[0].layers[number].name);
    }
    // A file alone is what it is.
    assert_eq!(Merged::new(&files[2..3]).unwrap().read(), all[2]);
    assert_eq!(Merged::new(&files[2..3]).unwrap().record(), run(2));
}

#[test]
fn the_order_does_not_matter() {
    let place = Place::new(&Model::tiny(0));
    let mut files: Vec<MomentFile> = (0..6)
        .map(|seed| {
            place.written(&seed.to_string(), &random_moments(&place.weights, 50, false, seed), &run(seed))
        })
        .collect();
    let forwards = Merged::new(&files).unwrap().read();
    let magnitudes: Vec<Vec<f64>> = (0..2)
        .map(|number| {
            let all = files.iter().map(|file| values(&file.layer(number)));
            all.fold(vec![], |sum: Vec<f64>, part| {
                part.iter().enumerate().map(|(at, value)| sum.get(at).unwrap_or(&0.0) + value.abs()).collect()
            })
        })
        .collect();
    files.reverse();
    files.swap(1, 4);
    let other = Merged::new(&files).unwrap().read();
    assert_ne!(forwards, other, "no rounding at all: the test shows nothing");
    for (number, magnitudes) in magnitudes.iter().enumerate() {
        let (one, other) = (values(&forwards.layers[number]), values(&other.layers[number]));
        for ((one, other), magnitude) in one.iter().zip(other).zip(magnitudes) {
            assert!((one - other).abs() <= 1e-12 * magnitude, "{one} {other}");
        }
    }
}

#[test]
fn images_count_once() {
    let place = Place::new(&Model::tiny(0));
    let shard = |shard: Value| json!({ "inputs": "photos", "seed": 0, "device": "cpu", "shard": shard });
    let repeated = |runs: &[Value], shard: Option<&str>| match Merged::new(&place.runs(runs)).unwrap_err() {
        MergeError::Repeated { first, other, shard: named } => {
            assert_eq!((first, other), (place.file("0"), place.file("1")));
            assert_eq!(named.as_deref(), shard);
        }
        error => panic!("{error}"),
    };
    repeated(&[shard(json!("2/4")), shard(json!("2/4"))], Some("2/4"));
    repeated(&[shard(Value::Null), shard(Value::Null)], None);
    repeated(&[shard(json!("2/4")), shard(json!("02/4"))], Some("2/4"));
    // On another device, or with another vggx, the images are the same.
    let elsewhere =
        json!({ "inputs": "photos", "seed": 0, "device": "cuda:0", "shard": "2/4", "version": "9" });
    repeated(&[shard(json!("2/4")), elsewhere], Some("2/4"));

    for runs in [[shard(json!("1/2")), shard(json!("1/4"))], [shard(json!("1/2")), shard(Value::Null)]] {
        let error = Merged::new(&place.runs(&runs)).unwrap_err();
        assert!(matches!(error, MergeError::OtherDivision { .. }), "{error}");
        assert!(error.to_string().contains("count images twice"), "{error}");
    }

    // Of runs that say nothing about themselves, only copies can be told.
    let files = place.runs(&[json!({}), json!({})]);
    assert!(Merged::new(&files).is_ok());
    let copy = place.file("copy");
    std::fs::copy(files[0].path(), &copy).unwrap();
    let files = [MomentFile::open(files[0].path(), &place.weights), MomentFile::open(&copy, &place.weights)];
    let files = files.map(Result::unwrap);
    assert!(matches!(Merged::new(&files), Err(MergeError::Repeated { .. })));

    assert!(matches!(Merged::new(&[]), Err(MergeError::Empty)));
}

#[test]
fn other_runs_and_other_shards_are_added() {
    let place = Place::new(&Model::tiny(0));
    let shard = |seed: u64, shard: &str| json!({ "seed": seed, "shard": shard, "device": "cpu" });
    let files = place.runs(&[shard(0, "1/2"), shard(0, "2/2")]);
    let merged = Merged::new(&files).unwrap();
    assert!(merged.notices().is_empty());
    let expected = json!({ "seed": 0, "shard": ["1/2", "2/2"], "device": "cpu" });
    assert_eq!(Value::Object(merged.record().run), expected);

    // Two runs, each with shards of its own, of which some are missing.
    let files = place.runs(&[shard(0, "0/3"), shard(1, "3/3"), shard(0, "2/3"), json!({ "seed": 2 })]);
    let merged = Merged::new(&files).unwrap();
    let missing = |file: &str, found, missing: &[u64]| Notice::MissingShards {
        path: place.file(file),
        found,
        expected: 3,
        missing: missing.to_vec(),
    };
    assert_eq!(merged.notices(), [missing("0", 2, &[1]), missing("1", 1, &[1, 2])]);
    assert!(merged.notices()[1].to_string().contains("1/3, 2/3"), "{}", merged.notices()[1]);
    assert_eq!(
        Value::Object(merged.record().run),
        json!({ "runs": [
            { "seed": 0, "shard": ["0/3", "2/3"], "device": "cpu" },
            { "seed": 1, "shard": "3/3", "device": "cpu" },
            { "seed": 2 },
        ] })
    );
}

impl Place {
    /// What merging files writes, opened.
    fn merged(&self, name: &str, files: &[&MomentFile]) -> MomentFile {
        let files = self.again(files);
        let merged = Merged::new(&files).unwrap();
        let path = self.file(name);
        MomentFile::write(&path, &merged, &merged.record(), &self.weights).unwrap();
        MomentFile::open(&path, &self.weights).unwrap()
    }

    fn again(&self, files: &[&MomentFile]) -> Vec<MomentFile> {
        files.iter().map(|file| MomentFile::open(file.path(), &self.weights).unwrap()).collect()
    }

    /// Why files are not merged.
    fn refused(&self, files: &[&MomentFile]) -> MergeError {
        Merged::new(&self.again(files)).expect_err("images that would count twice")
    }
}

#[test]
fn merged_moments_are_merged_further_and_count_once() {
    let place = Place::new(&Model::tiny(0));
    let shard = |number: u64| json!({ "seed": 0, "shard": format!("{number}/4"), "device": "cpu" });
    let files = place.runs(&[shard(0), shard(1), shard(2), shard(3), json!({ "seed": 0 })]);
    let [m0, m1, m2, m3, whole] = files.as_slice() else { unreachable!() };
    let a = place.merged("a", &[m1, m0]);
    assert_eq!(a.record().run["shard"], json!(["0/4", "1/4"]));

    // Shard 1 is in both, also where one of them was not merged, in either order.
    let b = place.merged("b", &[m1, m2]);
    for pair in [[&a, &b], [&a, m1], [m1, &a]] {
        let error = place.refused(&pair);
        let MergeError::Repeated { first, other, shard } = &error else { panic!("{error}") };
        assert_eq!([first.as_path(), other.as_path()], pair.map(MomentFile::path));
        assert_eq!(shard.as_deref(), Some("1/4"));
    }
    for pair in [[&a, whole], [whole, &a]] {
        let error = place.refused(&pair);
        assert!(matches!(error, MergeError::OtherDivision { .. }), "{error}");
    }

    // Shards that are missing are told, of a merged file alone too.
    let notices = |files: &[&MomentFile]| Merged::new(&place.again(files)).unwrap().notices().to_vec();
    let missing = |path: &str, found, missing: &[u64]| {
        let path = place.file(path);
        vec![Notice::MissingShards { path, found, expected: 4, missing: missing.to_vec() }]
    };
    assert_eq!(notices(&[&a]), missing("a", 2, &[2, 3]));
    assert_eq!(notices(&[m3, &a]), missing("3", 3, &[2]));
    assert_eq!(notices(&[&a, m2, m3]), []);

    // What is merged in steps is what is merged at once.
    let steps = [place.merged("s", &[&a, m2, m3]), {
        let c = place.merged("c", &[m3, m2]);
        place.merged("t", &[&a, &c])
    }];
    for steps in &steps {
        let record = steps.record();
        assert_eq!((record.images, &record.progress), (4, &None));
        let expected = json!({ "seed": 0, "shard": ["0/4", "1/4", "2/4", "3/4"], "device": "cpu" });
        assert_eq!(Value::Object(record.run.clone()), expected);
        let positions: Vec<f64> = steps.layers().map(|(_, _, positions)| positions).collect();
        assert_eq!(positions, [16.0, 16.0]);
    }
}

#[test]
fn runs_that_were_merged_are_told_apart() {
    let place = Place::new(&Model::tiny(0));
    let run = |seed: u64, shard: Value| json!({ "seed": seed, "shard": shard });
    let files = place.runs(&[
        run(0, json!("0/2")),
        run(1, Value::Null),
        run(0, json!("1/2")),
        run(2, Value::Null),
        run(0, json!("0/3")),
    ]);
    let [half, one, other_half, two, third] = files.as_slice() else { unreachable!() };
    let both = place.merged("both", &[half, one]);
    assert_eq!(
        both.record().run["runs"],
        json!([{ "seed": 0, "shard": "0/2" }, { "seed": 1, "shard": null }])
    );
    for own in [half, one] {
        for pair in [[&both, own], [own, &both]] {
            let error = place.refused(&pair);
            assert!(matches!(error, MergeError::Repeated { .. }), "{error}");
        }
    }
    let error = place.refused(&[&both, third]);
    assert!(matches!(error, MergeError::OtherDivision { .. }), "{error}");
    let more = place.merged("more", &[&both, two]);
    assert!(matches!(place.refused(&[&more, &both]), MergeError::Repeated { .. }));
    // The lists stay flat, and shards find their run.
    let all = place.merged("all", &[&more, other_half]);
    assert_eq!(
        Value::Object(all.record().run.clone()),
        json!({ "runs": [
            { "seed": 0, "shard": ["0/2", "1/2"] },
            { "seed": 1, "shard": null },
            { "seed": 2, "shard": null },
        ] })
    );
    assert_eq!(Merged::new(&[all]).unwrap().notices(), []);
}

#[test]
fn merged_moments_of_runs_that_have_not_finished_have_not_finished() {
    let place = Place::new(&Model::tiny(0));
    let shard = |number: u64, progress: Option<Value>| {
        let mut record = record(1, json!({ "seed": 0, "shard": format!("{number}/3") }));
        record.progress = progress;
        place.written(&number.to_string(), &random_moments(&place.weights, 2, false, number), &record)
    };
    let [done, first, second] =
        [shard(0, None), shard(1, Some(json!({ "next": 5 }))), shard(2, Some(json!({ "next": 7 })))];
    let merged = place.merged("merged", &[&done, &first]);
    assert_eq!(merged.record().progress, Some(json!([{ "next": 5 }])));
    let all = place.merged("all", &[&merged, &second]);
    assert_eq!(all.record().progress, Some(json!([{ "next": 5 }, { "next": 7 }])));
    let notices = Merged::new(&place.again(&[&all])).unwrap().notices().to_vec();
    assert_eq!(notices, [Notice::Unfinished { path: place.file("all") }]);
}

#[test]
fn second_moments_are_left_out_where_a_file_has_none() {
    let place = Place::new(&Model::tiny_classifier(0));
    for order in [[true, false], [false, true]] {
        let files: Vec<MomentFile> = order
            .iter()
            .enumerate()
            .map(|(index, &second)| {
                let moments = random_moments(&place.weights, 6, second, index as u64);
                place.written(&index.to_string(), &moments, &run(index as u64))
            })
            .collect();
        let merged = Merged::new(&files).unwrap();
        assert!(!merged.has_second_moments());
        let without = place.file(if order[0] { "1" } else { "0" });
        assert_eq!(merged.notices(), [Notice::SecondMomentsDropped { path: without }]);
        let sum = merged.read();
        assert!(sum.layers.iter().all(|layer| layer.second.is_none() && layer.positions == 12.0));
        let [one, other] = [0, 1].map(|index| files[index].layer(2).into_owned());
        assert_eq!(sum.layers[2].negative_xy[3], one.negative_xy[3] + other.negative_xy[3]);
    }
}

#[test]
fn a_run_that_has_not_finished_is_told() {
    let place = Place::new(&Model::tiny(0));
    let checkpoint = MomentRecord { progress: Some(json!({ "next": 5 })), ..run(0) };
    let files = [place.written("m", &random_moments(&place.weights, 2, false, 0), &checkpoint)];
    let merged = Merged::new(&files).unwrap();
    assert_eq!(merged.notices(), [Notice::Unfinished { path: place.file("m") }]);
}

#[test]
fn moments_of_other_weights_or_preprocessing_are_refused() {
    let place = Place::new(&Model::tiny(0));
    let other = Place::new(&Model::tiny(1));
    let files = [
        place.written("m", &random_moments(&place.weights, 2, false, 0), &run(0)),
        other.written("other", &random_moments(&other.weights, 2, false, 0), &run(1)),
    ];
    let error = Merged::new(&files).unwrap_err();
    assert!(matches!(error, MergeError::OtherWeights { .. }), "{error}");
    assert!(error.to_string().contains("/other are of different weights"), "{error}");

    let overrides = PreprocessingOverrides { mean: Some([0.0; 3]), ..PreprocessingOverrides::default() };
    let prepared = Weights::open(place.weights.path(), &overrides).unwrap();
    let path = place.file("prepared");
    MomentFile::write(&path, &random_moments(&prepared, 2, false, 0), &run(1), &prepared).unwrap();
    let [first, _] = files;
    let error = Merged::new(&[first, MomentFile::open(&path, &prepared).unwrap()]).unwrap_err();
    assert!(matches!(error, MergeError::OtherPreprocessing { .. }), "{error}");
}
