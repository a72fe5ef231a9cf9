//! `vggx solve`: what is kept, what is refused, and what is printed.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};
use vggx::network::PreprocessingOverrides;
use vggx::patterns::{MomentFile, MomentRecord, Report, SolveOptions, solve};
use vggx::weights::Weights;

use crate::samples::{Place, random_moments, run};
use crate::support::Model;

impl Place {
    /// Moments under this name; another seed gives other sums.
    fn moments(&self, name: &str, record: &MomentRecord, seed: u64) {
        let moments = random_moments(&self.weights, 12, false, seed);
        MomentFile::write(&self.path().join(name), &moments, record, &self.weights).unwrap();
    }

    fn call(&self, arguments: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vggx"));
        command.args(arguments.split_whitespace()).current_dir(self.path()).output().unwrap()
    }

    /// Solves: the call ends with this code and says these words. What it prints.
    #[track_caller]
    fn solve(&self, arguments: &str, code: i32, words: &[&str]) -> String {
        let output = self.call(&format!("solve --weights weights.safetensors {arguments}"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments}: {said}");
        for word in words {
            assert!(said.contains(word), "{arguments}: {word:?} is not in: {said}");
        }
        String::from_utf8(output.stdout).unwrap()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path().join(name)).unwrap()
    }
}

#[test]
fn patterns_of_the_same_sums_alone_are_kept() {
    let place = Place::new(&Model::tiny(0));
    place.moments("m", &run(0), 0);
    place.moments("n", &run(1), 1);
    let first = place.solve("m n -o p --json", 0, &[]);
    let patterns = place.bytes("p");
    // The order does not matter; the report is that of the file.
    assert_eq!(place.solve("n m -o q --json", 0, &[]), first.replace("\"p\"", "\"q\""));
    assert_eq!(place.solve("m n -o p --json", 0, &["kept"]), first);
    assert_eq!(place.solve("m n -o p", 0, &["kept"]), "");
    let printed: Value = serde_json::from_str(&first).unwrap();
    assert_eq!((&printed["patterns"], &printed["report"]["images"]), (&json!("p"), &json!(21)));

    // The same run again, with other sums.
    place.moments("m", &run(0), 2);
    place.solve("m n -o p", 1, &["p is there already", "other sums", "--overwrite"]);
    assert!(place.bytes("p") == patterns);
    place.solve("m n -o p --overwrite", 0, &[]);
    assert!(place.bytes("p") != patterns);

    // Patterns of sums in memory do not say what they are of.
    let moments = random_moments(&place.weights, 12, false, 1);
    let path = place.path().join("memory");
    solve(&moments, &run(1), &place.weights, &SolveOptions::default(), &path).unwrap();
    place.solve("n -o memory", 1, &["does not say which moments"]);
}

#[test]
fn a_preview_of_a_run_that_has_gone_on_is_not_kept() {
    let place = Place::new(&Model::tiny(0));
    let at = |next: u64| MomentRecord { images: next, progress: Some(json!({ "next": next })), ..run(0) };
    place.moments("p.checkpoint", &at(5), 0);
    place.solve("p.checkpoint -o preview", 0, &["has not finished"]);
    place.solve("p.checkpoint -o preview", 0, &["kept"]);
    place.moments("p.checkpoint", &at(9), 1);
    place.solve("p.checkpoint -o preview", 1, &["preview is there already"]);
}

#[test]
fn merged_moments_are_kept_where_they_are_the_same() {
    let place = Place::new(&Model::tiny(0));
    place.moments("m", &run(0), 0);
    place.moments("n", &run(1), 1);
    let printed = place.solve("m n --moments a --json", 0, &[]);
    let expected = json!({ "moments": "a", "images": 21 });
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), expected);
    let merged = place.bytes("a");
    assert_eq!(place.solve("m n --moments a --json", 0, &["kept"]), printed);
    place.solve("m --moments a", 1, &["a is there already", "other runs"]);
    place.moments("m", &run(0), 2);
    place.solve("m n --moments a", 1, &["a is there already", "other sums"]);
    assert!(place.bytes("a") == merged);
}

#[test]
fn moments_of_inputs_prepared_otherwise_are_refused() {
    let place = Place::new(&Model::tiny(0));
    let overrides =
        PreprocessingOverrides { mean: Some([0.1, 0.25, 0.3]), ..PreprocessingOverrides::default() };
    let prepared = Weights::open(place.weights.path(), &overrides).unwrap();
    let moments = random_moments(&prepared, 12, false, 0);
    MomentFile::write(&place.path().join("m"), &moments, &run(0), &prepared).unwrap();
    place.moments("n", &run(1), 0);
    for call in ["m -o p", "m --moments a", "n -o p --mean 0.1,0.25,0.3"] {
        place.solve(call, 1, &["another preprocessing", "the options they were learnt with"]);
    }
    place.solve(
        "m -o p",
        1,
        &["--channel-order rgb --pixel-scale 1 --mean 0.1,0.25,0.3 --std 0.229,0.224,0.225"],
    );
    assert_eq!(place.names(), ["m", "n", "weights.safetensors"]);
    place.solve("m -o p --moments a --mean 0.1,0.25,0.3", 0, &[]);
    let written = MomentFile::open(&place.path().join("a"), &place.weights).unwrap();
    assert_eq!(*written.preprocessing(), prepared.network().preprocessing);
}

#[test]
fn no_file_is_written_over_another_of_the_same_call() {
    let place = Place::new(&Model::tiny(0));
    place.moments("m", &run(0), 0);
    place.moments("n", &run(1), 1);
    fs::create_dir(place.path().join("folder")).unwrap();
    let mut calls = vec![
        "n m -o m".to_owned(),
        "n m -o ./m".to_owned(),
        "n m --moments folder/../m".to_owned(),
        format!("n m --moments {}", place.path().join("n").display()),
        "n m -o p --moments p".to_owned(),
        "n m -o p --moments new/../p".to_owned(),
    ];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("m", place.path().join("link")).unwrap();
        calls.extend(["link n -o m", "m n -o link"].map(str::to_owned));
    }
    let before = ["m", "n"].map(|name| place.bytes(name));
    for call in calls {
        place.solve(&format!("{call} --overwrite"), 2, &["is the same file as", "name another file"]);
        assert!(["m", "n"].map(|name| place.bytes(name)) == before, "{call}");
        assert!(!place.path().join("p").exists(), "{call}");
    }
    // The same name in another folder is another file.
    place.solve("m n -o folder/m", 0, &[]);
}

#[test]
fn patterns_without_a_denominator_are_explained() {
    let place = Place::new(&Model::tiny(0));
    let mut moments = random_moments(&place.weights, 12, false, 0);
    moments.layers[1].positive_xy.fill(0.0);
    moments.layers[1].positive_x.fill(0.0);
    let path = place.path().join("p");
    for centering in ["global", "regime"] {
        let options = SolveOptions { centering: centering.parse().unwrap(), ..SolveOptions::default() };
        let report: Report = solve(&moments, &run(0), &place.weights, &options, &path).unwrap();
        let layers = report.layers.iter();
        let count: usize = layers
            .map(|layer| [&layer.positive, &layer.negative, &layer.linear].map(|part| part.degenerate.len()))
            .map(|counts| counts.iter().sum::<usize>())
            .sum();
        assert!(count >= 5);
        let shown = String::from_utf8(place.call("info p").stdout).unwrap();
        let words = format!("{count} patterns are missing since their denominator is not above 1e-10·E[y²]");
        assert!(shown.contains(&words), "{shown}");
        assert_eq!(shown.contains("--centering regime there may be"), centering == "global", "{shown}");
    }
}
