//! What a run leaves behind, seen from outside: files, manifest, restart.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;
use vggx::output::manifest::{self, ManifestWriter, MethodOutput, Row, Status};
use vggx::output::resume::{IDENTITY_FILE_NAME, Identity, Resume};
use vggx::output::run_record::{self, Counts, Fingerprints, RunRecord, Times};
use vggx::output::{Explanation, Format, OutputError, Rendering, Writer, parse_formats, picture};

const HEIGHT: usize = 2;
const WIDTH: usize = 5;
const ALL: [Format; 4] = [Format::Png, Format::Npy, Format::Npz, Format::Safetensors];

/// An explanation whose values differ in every place and from method to method.
fn explanation(method: &str, rendering: Rendering, scale_log2: i32) -> Explanation {
    let seed = method.len() as f32;
    let values = (0..3 * HEIGHT * WIDTH).map(|place| (place as f32 - 11.0) * seed + 0.25).collect();
    Explanation { method: method.into(), rendering, height: HEIGHT, width: WIDTH, values, scale_log2 }
}

fn patternnet() -> Explanation {
    explanation("patternnet", Rendering::Signal, 140)
}

fn attribution() -> Explanation {
    explanation("attribution:linear", Rendering::HeatMap, -3)
}

fn identity(gamma: f64) -> Identity {
    Identity::from_iter([("gamma".into(), json!(gamma)), ("weights".into(), json!("a1b2"))])
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|&name| name.to_owned()).collect()
}

/// All files below a folder, relative to it, with their contents.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let inner = PathBuf::from(path.file_name().unwrap());
            files.extend(tree(&path).into_iter().map(|(file, bytes)| (inner.join(file), bytes)));
        } else {
            files.insert(path.file_name().unwrap().into(), fs::read(&path).unwrap());
        }
    }
    files
}

fn file_names(folder: &Path) -> Vec<String> {
    tree(folder).into_keys().map(|file| file.to_str().unwrap().to_owned()).collect()
}

fn npy_of(bytes: &[u8]) -> (Vec<u64>, Vec<f32>) {
    let file = npyz::NpyFile::new(bytes).unwrap();
    assert_eq!(file.dtype().descr(), "'<f4'");
    assert_eq!(file.order(), npyz::Order::C);
    (file.shape().to_vec(), file.into_vec().unwrap())
}

fn npz_entry(archive: &Path, name: &str) -> Vec<u8> {
    let mut archive = zip::ZipArchive::new(Cursor::new(fs::read(archive).unwrap())).unwrap();
    let mut bytes = Vec::new();
    archive.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn npz_names(archive: &Path) -> Vec<String> {
    let archive = zip::ZipArchive::new(Cursor::new(fs::read(archive).unwrap())).unwrap();
    archive.file_names().map(|name| name.unwrap().into_owned()).collect()
}

#[test]
fn every_format_holds_the_same_explanations() {
    let folder = TempDir::new().unwrap();
    let writer = Writer::create(folder.path().join("made/here"), &ALL, 0.5).unwrap();
    let explanations = [patternnet(), attribution()];
    let written = writer.write(Path::new("walk/a.b"), &explanations, &[]).unwrap();

    assert_eq!(written[0].method, "patternnet");
    assert_eq!(written[0].scale_log2, 140);
    assert_eq!(
        written[1].files,
        [
            "walk/a.b.attribution-linear.png",
            "walk/a.b.attribution-linear.npy",
            "walk/a.b.npz",
            "walk/a.b.safetensors"
        ]
    );
    let listed: Vec<_> = written.iter().flat_map(|method| method.files.clone()).collect();
    for file in file_names(writer.folder()) {
        assert!(listed.contains(&file), "{file} is listed nowhere");
    }

    let tensors = fs::read(writer.folder().join("walk/a.b.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&tensors).unwrap();
    for (explanation, key) in explanations.iter().zip(["patternnet", "attribution-linear"]) {
        let expected = (vec![3, HEIGHT as u64, WIDTH as u64], explanation.values.clone());
        let path = writer.folder().join("walk").join(format!("a.b.{key}.npy"));
        assert_eq!(npy_of(&fs::read(path).unwrap()), expected);

        let npz = writer.folder().join("walk/a.b.npz");
        assert_eq!(npy_of(&npz_entry(&npz, &format!("{key}.npy"))), expected);
        let exponent = npz_entry(&npz, &format!("{key}.scale_log2.npy"));
        let exponent = npyz::NpyFile::new(exponent.as_slice()).unwrap();
        assert!(exponent.shape().is_empty(), "a scalar");
        assert_eq!(exponent.into_vec::<i32>().unwrap(), [explanation.scale_log2]);

        let tensor = tensors.tensor(key).unwrap();
        assert_eq!(
            (tensor.dtype(), tensor.shape()),
            (safetensors::Dtype::F32, [3, HEIGHT, WIDTH].as_slice())
        );
        let values: Vec<u8> = explanation.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(tensor.data(), values);
        let exponent = tensors.tensor(&format!("{key}.scale_log2")).unwrap();
        assert_eq!((exponent.dtype(), exponent.shape()), (safetensors::Dtype::I32, [].as_slice()));
        assert_eq!(exponent.data(), explanation.scale_log2.to_le_bytes());

        let path = writer.folder().join("walk").join(format!("a.b.{key}.png"));
        let drawn = picture::picture(explanation, 0.5).unwrap();
        assert_eq!(image::open(path).unwrap().to_rgb8(), drawn);
    }
    assert_ne!(
        picture::picture(&explanations[1], 0.5).unwrap(),
        picture::picture(&explanations[1], 1.0).unwrap(),
        "gamma must matter, or the comparison above shows nothing"
    );
}

#[test]
fn the_same_explanations_make_the_same_bytes_in_any_order() {
    let [once, again] = [(); 2].map(|()| TempDir::new().unwrap());
    let writer = |folder: &TempDir| Writer::create(folder.path(), &ALL, 0.5).unwrap();
    writer(&once).write(Path::new("a"), &[patternnet(), attribution()], &[]).unwrap();
    writer(&again).write(Path::new("a"), &[attribution(), patternnet()], &[]).unwrap();
    assert_eq!(tree(once.path()), tree(again.path()));
}

#[test]
fn no_formats_write_nothing() {
    let folder = TempDir::new().unwrap();
    let writer = Writer::create(folder.path(), &parse_formats("none").unwrap(), 0.5).unwrap();
    let written = writer.write(Path::new("inner/a"), &[patternnet()], &[]).unwrap();
    assert_eq!((written[0].scale_log2, written[0].files.len()), (140, 0));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn containers_keep_the_methods_of_earlier_runs() {
    let [split, whole] = [(); 2].map(|()| TempDir::new().unwrap());
    let writer = Writer::create(split.path(), &[Format::Npz, Format::Safetensors], 0.5).unwrap();
    writer.write(Path::new("a"), &[attribution()], &[]).unwrap();
    // gradient was kept by another format only; asking for it here must not hurt.
    writer.write(Path::new("a"), &[patternnet()], &names(&["attribution:linear", "gradient"])).unwrap();
    let writer = Writer::create(whole.path(), &[Format::Npz, Format::Safetensors], 0.5).unwrap();
    writer.write(Path::new("a"), &[patternnet(), attribution()], &[]).unwrap();
    assert_eq!(tree(split.path()), tree(whole.path()));

    // Without the word that they are to be kept, stale arrays go.
    writer.write(Path::new("a"), &[patternnet()], &[]).unwrap();
    assert_eq!(npz_names(&whole.path().join("a.npz")), ["patternnet.npy", "patternnet.scale_log2.npy"]);

    for extension in ["npz", "safetensors"] {
        let folder = TempDir::new().unwrap();
        let writer = Writer::create(folder.path(), &[extension.parse().unwrap()], 0.5).unwrap();
        let path = folder.path().join(format!("a.{extension}"));
        fs::write(&path, b"not what it should be").unwrap();
        let error = writer.write(Path::new("a"), &[patternnet()], &names(&["gradient"])).unwrap_err();
        assert!(matches!(error, OutputError::Damaged { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"not what it should be");
    }
}

#[test]
fn wrong_calls_write_nothing() {
    let folder = TempDir::new().unwrap();
    let writer = Writer::create(folder.path().join("out"), &ALL, 0.5).unwrap();
    let outside = folder.path().join("outside");
    for name in [Path::new("../outside"), &outside, Path::new("a/../../outside"), Path::new("")] {
        let error = writer.write(name, &[patternnet()], &[]).unwrap_err();
        assert!(matches!(error, OutputError::EscapingName { .. }), "{error}");
    }
    let short = Explanation { height: HEIGHT + 1, ..attribution() };
    let error = writer.write(Path::new("a"), &[patternnet(), short], &[]).unwrap_err();
    assert!(matches!(error, OutputError::Shape { .. }), "{error}");
    let slash = Explanation { method: "../up".into(), ..patternnet() };
    let error = writer.write(Path::new("a"), &[patternnet(), slash], &[]).unwrap_err();
    assert!(matches!(error, OutputError::InvalidMethod { .. }), "{error}");
    let error = writer.write(Path::new("a"), &[patternnet(), patternnet()], &[]).unwrap_err();
    assert!(matches!(error, OutputError::RepeatedMethod { .. }), "{error}");
    assert!(file_names(folder.path()).is_empty());
    for gamma in [0.0, f64::NAN] {
        assert!(matches!(Writer::create(folder.path(), &ALL, gamma), Err(OutputError::InvalidGamma { .. })));
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_before_any_work() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    for place in [file.join("out"), file] {
        let error = Writer::create(&place, &ALL, 0.5).unwrap_err();
        assert!(matches!(error, OutputError::FolderNotWritable { .. }), "{error}");
        assert!(error.to_string().contains(place.to_str().unwrap()), "{error}");
    }
}

#[test]
fn many_threads_may_write_at_once() {
    let folder = TempDir::new().unwrap();
    let writer = Writer::create(folder.path(), &[Format::Npy], 0.5).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let writer = &writer;
            scope.spawn(move || {
                for image in 0..25 {
                    let name = format!("folder{}/{thread}-{image}", image % 5);
                    writer.write(Path::new(&name), &[patternnet()], &[]).unwrap();
                }
            });
        }
    });
    let files = tree(folder.path());
    assert_eq!(files.len(), 100, "and no temporary file");
    assert!(files.values().all(|bytes| npy_of(bytes).1 == patternnet().values));
}

/// One call of the tool in small: for every input what is missing is written and noted, unless the call is killed.
struct Call<'a> {
    folder: &'a Path,
    inputs: &'a [&'a str],
    methods: &'a [&'a str],
    formats: &'a [Format],
    gamma: f64,
    overwrite: bool,
    killed_after: usize,
}

impl<'a> Call<'a> {
    fn of(folder: &'a TempDir, inputs: &'a [&'a str], methods: &'a [&'a str]) -> Self {
        let killed_after = usize::MAX;
        Self {
            folder: folder.path(),
            inputs,
            methods,
            formats: &[Format::Npy],
            gamma: 0.5,
            overwrite: false,
            killed_after,
        }
    }

    /// Returns what was done as `input:method`, and the manifest's rows where the call was not killed.
    fn run(&self) -> Result<(Vec<String>, Vec<Row>), OutputError> {
        let writer = Writer::create(self.folder, self.formats, self.gamma)?;
        let resume = Resume::open(self.folder, &identity(self.gamma), self.overwrite)?;
        let mut manifest = ManifestWriter::new(&resume);
        let mut done = Vec::new();
        // Backwards, since images are not finished in the order of the call.
        for (position, &input) in self.inputs.iter().enumerate().rev() {
            if done.len() >= self.killed_after {
                return Ok((done, Vec::new()));
            }
            let name = Path::new(input).with_extension("");
            let missing = resume.missing(input, &name, &names(self.methods), self.formats)?;
            if missing.is_empty() {
                manifest.keep(position as u64, input);
                continue;
            }
            done.extend(missing.iter().map(|method| format!("{input}:{method}")));
            if input.starts_with("broken") {
                manifest.append(position as u64, Row::failed(input, "it is broken"))?;
                continue;
            }
            let explanations: Vec<_> =
                missing.iter().map(|method| explanation(method, Rendering::Signal, 0)).collect();
            let written = writer.write(&name, &explanations, &resume.kept_methods(input)?)?;
            // A response that many decimal digits are needed for: it must come through all merging unchanged.
            let response = Some(0.1 + 0.2 + position as f64 / 3.0);
            let row = Row { target: Some(3), response, ..Row::explained(input, written) };
            manifest.append(position as u64, row)?;
        }
        manifest.finish()?;
        Ok((done, manifest::read(self.folder)?))
    }
}

fn inputs_of(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.input.as_str()).collect()
}

#[test]
fn a_manifest_has_the_fields_of_the_contract() {
    let folder = TempDir::new().unwrap();
    Call::of(&folder, &["cat.jpg", "broken.jpg"], &["signal:linear"]).run().unwrap();
    let text = fs::read_to_string(folder.path().join("manifest.jsonl")).unwrap();
    let response = 0.1_f64 + 0.2;
    assert_eq!(
        text,
        format!(
            "{}{response}{}\n{}\n",
            r#"{"input":"cat.jpg","status":"ok","error":null,"target":3,"label":null,"response":"#,
            r#","probability":null,"methods":{"signal:linear":{"scale_log2":0,"files":["cat.signal-linear.npy"]}}}"#,
            r#"{"input":"broken.jpg","status":"failed","error":"it is broken","target":null,"label":null,"response":null,"probability":null,"methods":{}}"#,
        )
    );
}

#[test]
fn a_repeated_call_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let call = Call::of(&folder, &["a.png", "b.png"], &["patternnet", "gradient"]);
    let (done, rows) = call.run().unwrap();
    assert_eq!(done, ["b.png:patternnet", "b.png:gradient", "a.png:patternnet", "a.png:gradient"]);
    assert_eq!(inputs_of(&rows), ["a.png", "b.png"]);
    fs::write(folder.path().join(run_record::FILE_NAME), b"{}").unwrap();

    let before = tree(folder.path());
    let (done, again) = call.run().unwrap();
    assert!(done.is_empty());
    assert_eq!(again, rows);
    assert_eq!(tree(folder.path()), before, "run.json included");
}

#[test]
fn inputs_methods_and_formats_are_added() {
    let folder = TempDir::new().unwrap();
    let first = Call::of(&folder, &["b.png", "c.png"], &["patternnet"]);
    first.run().unwrap();
    fs::write(folder.path().join(run_record::FILE_NAME), b"{}").unwrap();

    let more = Call { inputs: &["a.png", "c.png"], methods: &["gradient", "patternnet"], ..first };
    let (done, rows) = more.run().unwrap();
    assert_eq!(done, ["c.png:gradient", "a.png:gradient", "a.png:patternnet"]);
    assert_eq!(inputs_of(&rows), ["b.png", "c.png", "a.png"]);
    assert_eq!(rows[1].methods.keys().collect::<Vec<_>>(), ["gradient", "patternnet"]);
    assert!(!folder.path().join(run_record::FILE_NAME).exists(), "the record told of another run");

    let (done, rows) = Call { formats: &[Format::Png, Format::Npy], ..more }.run().unwrap();
    assert_eq!(done.len(), 4, "no pictures yet");
    let expected = MethodOutput { scale_log2: 0, files: names(&["c.gradient.npy", "c.gradient.png"]) };
    assert_eq!(rows[1].methods["gradient"], expected);

    fs::remove_file(folder.path().join("c.gradient.npy")).unwrap();
    let (done, _) = more.run().unwrap();
    assert_eq!(done, ["c.png:gradient"], "only what was lost");
}

#[test]
fn failed_inputs_are_tried_again_and_lose_nothing() {
    let folder = TempDir::new().unwrap();
    let call = Call::of(&folder, &["a.png", "broken.png"], &["gradient"]);
    let (_, rows) = call.run().unwrap();
    assert_eq!(rows[1].status, Status::Failed);
    assert_eq!(call.run().unwrap().0, ["broken.png:gradient"]);

    let resume = Resume::open(folder.path(), &identity(0.5), false).unwrap();
    let mut manifest = ManifestWriter::new(&resume);
    manifest.append(0, Row::failed("a.png", "it has gone")).unwrap();
    manifest.finish().unwrap();
    let now = &manifest::read(folder.path()).unwrap()[0];
    assert_eq!((now.status, now.error.as_deref()), (Status::Failed, Some("it has gone")));
    assert_eq!((&now.methods, now.response), (&rows[0].methods, rows[0].response));
}

#[test]
fn a_killed_run_goes_on_and_ends_as_if_nothing_had_happened() {
    let inputs = ["a.png", "b.png", "c.png", "d.png"];
    let straight = TempDir::new().unwrap();
    Call::of(&straight, &["z.png"], &["gradient"]).run().unwrap();
    Call::of(&straight, &inputs, &["gradient"]).run().unwrap();
    let expected = tree(straight.path());

    for killed_after in 1..4 {
        for torn in ["", "{\"position\":0,\"inp", "\0\0\0\0", "\n\n"] {
            let folder = TempDir::new().unwrap();
            Call::of(&folder, &["z.png"], &["gradient"]).run().unwrap();
            let before = manifest::read(folder.path()).unwrap();
            let call = Call::of(&folder, &inputs, &["gradient"]);
            let (first, _) = Call { killed_after, ..Call { ..call } }.run().unwrap();
            assert_eq!(first.len(), killed_after);
            assert_eq!(
                manifest::read(folder.path()).unwrap(),
                before,
                "the former manifest while a run goes on"
            );

            let partial = folder.path().join(manifest::PARTIAL_FILE_NAME);
            let mut text = fs::read_to_string(&partial).unwrap();
            assert_eq!(text.lines().count(), killed_after, "rows are there as soon as they come");
            text.push_str(torn);
            fs::write(&partial, text).unwrap();

            let call = Call::of(&folder, &inputs, &["gradient"]);
            let (second, _) = call.run().unwrap();
            assert_eq!(second.len(), inputs.len() - killed_after, "nothing twice");
            assert_eq!(tree(folder.path()), expected, "killed after {killed_after}, torn {torn:?}");
        }
    }
}

#[test]
fn a_last_row_without_its_line_feed_counts() {
    let folder = TempDir::new().unwrap();
    Call { killed_after: 1, ..Call::of(&folder, &["a.png", "b.png"], &["gradient"]) }.run().unwrap();
    let partial = folder.path().join(manifest::PARTIAL_FILE_NAME);
    let text = fs::read_to_string(&partial).unwrap();
    fs::write(&partial, text.trim_end()).unwrap();
    let (done, rows) = Call::of(&folder, &["a.png", "b.png"], &["gradient"]).run().unwrap();
    assert_eq!(done, ["a.png:gradient"]);
    assert_eq!(inputs_of(&rows), ["a.png", "b.png"]);
}

#[test]
fn rows_of_a_killed_run_with_other_inputs_are_kept() {
    let folder = TempDir::new().unwrap();
    let killed = Call { killed_after: 2, ..Call::of(&folder, &["x.png", "y.png", "z.png"], &["gradient"]) };
    killed.run().unwrap();
    let (_, rows) = Call::of(&folder, &["b.png", "a.png", "y.png"], &["patternnet"]).run().unwrap();
    assert_eq!(inputs_of(&rows), ["z.png", "b.png", "a.png", "y.png"]);
    assert_eq!(rows[3].methods.keys().collect::<Vec<_>>(), ["gradient", "patternnet"]);
    // A kill between the last two steps leaves the partial file beside the finished one: no harm.
    let finished = fs::read(folder.path().join(manifest::FILE_NAME)).unwrap();
    let line = format!("{{\"position\":7,{}\n", &serde_json::to_string(&rows[3]).unwrap()[1..]);
    fs::write(folder.path().join(manifest::PARTIAL_FILE_NAME), line).unwrap();
    Call::of(&folder, &["a.png"], &["patternnet"]).run().unwrap();
    assert_eq!(fs::read(folder.path().join(manifest::FILE_NAME)).unwrap(), finished);
    assert!(!folder.path().join(manifest::PARTIAL_FILE_NAME).exists());
}

#[test]
fn only_the_last_line_may_be_torn() {
    let folder = TempDir::new().unwrap();
    Call::of(&folder, &["a.png", "b.png", "c.png"], &["gradient"]).run().unwrap();
    let path = folder.path().join(manifest::FILE_NAME);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() - 20]).unwrap();
    assert_eq!(inputs_of(&manifest::read(folder.path()).unwrap()), ["a.png", "b.png"]);
    fs::write(&path, text.replacen("\"input\":\"b.png\"", "\"inp", 1)).unwrap();
    let error = manifest::read(folder.path()).unwrap_err();
    assert!(matches!(error, OutputError::Damaged { .. }) && error.to_string().contains("line 2"), "{error}");
    let error = Resume::open(folder.path(), &identity(0.5), false).unwrap_err();
    assert!(matches!(error, OutputError::Damaged { .. }), "{error}");
    assert!(manifest::read(&folder.path().join("absent")).unwrap().is_empty());
}

#[test]
fn other_options_are_refused_and_overwrite_redoes() {
    let folder = TempDir::new().unwrap();
    let call = Call::of(&folder, &["a.png", "b.png"], &["gradient"]);
    // Killed: the identity is there from the start.
    Call { killed_after: 1, ..Call { ..call } }.run().unwrap();
    let call = Call::of(&folder, &["a.png", "b.png"], &["gradient"]);
    let before = tree(folder.path());
    let error = Call { gamma: 0.7, ..call }.run().unwrap_err();
    assert!(
        matches!(&error, OutputError::DifferentIdentity { option, former, current, .. }
            if (option.as_str(), former.as_str(), current.as_str()) == ("gamma", "0.5", "0.7")),
        "{error}"
    );
    let message = error.to_string();
    assert!(message.contains("--overwrite") && message.contains("gamma 0.5"), "{message}");
    assert_eq!(tree(folder.path()), before);

    let call = Call::of(&folder, &["a.png", "b.png"], &["gradient"]);
    call.run().unwrap();
    let call = Call { overwrite: true, ..Call::of(&folder, &["b.png"], &["gradient"]) };
    let (done, rows) = call.run().unwrap();
    assert_eq!(done, ["b.png:gradient"], "redone");
    assert_eq!(inputs_of(&rows), ["a.png", "b.png"], "the same options: other rows are still true");
    let (_, rows) = Call { gamma: 0.7, ..call }.run().unwrap();
    assert_eq!(inputs_of(&rows), ["b.png"], "other options: they are not");

    // From now on the new options are the folder's.
    let call = Call { gamma: 0.7, ..Call::of(&folder, &["a.png", "b.png"], &["gradient"]) };
    assert_eq!(call.run().unwrap().0, ["a.png:gradient"]);
    fs::remove_file(folder.path().join(IDENTITY_FILE_NAME)).unwrap();
    assert!(matches!(call.run(), Err(OutputError::UnknownIdentity { .. })));
    fs::write(folder.path().join(IDENTITY_FILE_NAME), "{").unwrap();
    assert!(matches!(call.run(), Err(OutputError::UnknownIdentity { .. })));
}

#[test]
fn a_folder_without_outputs_takes_any_options() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("notes.txt"), b"mine").unwrap();
    Call::of(&folder, &["broken.png"], &["gradient"]).run().unwrap();
    let (_, rows) = Call { gamma: 0.7, ..Call::of(&folder, &["a.png"], &["gradient"]) }.run().unwrap();
    assert_eq!(inputs_of(&rows), ["a.png"]);
    assert_eq!(fs::read(folder.path().join("notes.txt")).unwrap(), b"mine");
}

#[test]
fn options_are_compared_by_name_and_value() {
    let folder = TempDir::new().unwrap();
    Call::of(&folder, &["a.png"], &["gradient"]).run().unwrap();
    let with = |name: &str, value| {
        let mut identity = identity(0.5);
        identity.insert(name.into(), value);
        Resume::open(folder.path(), &identity, false)
    };
    let refused = |name: &str, value, former: &str, current: &str| match with(name, value).unwrap_err() {
        OutputError::DifferentIdentity { option, former: was, current: is, .. } => {
            assert_eq!((option.as_str(), was.as_str(), is.as_str()), (name, former, current));
        }
        other => panic!("{other}"),
    };
    with("seed", json!(null)).unwrap();
    refused("weights", json!("c3"), "\"a1b2\"", "\"c3\"");
    // What a call does not depend on agrees with anything, and what it adds is held from then on.
    with("weights", json!(null)).unwrap();
    with("seed", json!(1)).unwrap();
    refused("seed", json!(2), "1", "2");
    refused("weights", json!("c3"), "\"a1b2\"", "\"c3\"");
}

#[test]
fn an_output_of_another_input_is_not_replaced() {
    let folder = TempDir::new().unwrap();
    Call::of(&folder, &["cat.jpg"], &["gradient"]).run().unwrap();
    for overwrite in [false, true] {
        let error = Call { overwrite, ..Call::of(&folder, &["cat.png"], &["gradient"]) }.run().unwrap_err();
        assert!(
            matches!(&error, OutputError::OwnedByOther { input, file, owner }
                if (input.as_str(), file.as_str(), owner.as_str()) == ("cat.png", "cat.gradient.npy", "cat.jpg")),
            "{error}"
        );
    }
    Call::of(&folder, &["cat.png"], &["patternnet"]).run().unwrap();
}

#[cfg(unix)]
#[test]
fn two_runs_do_not_share_a_folder() {
    let folder = TempDir::new().unwrap();
    let resume = Resume::open(folder.path(), &identity(0.5), false).unwrap();
    let manifest = ManifestWriter::new(&resume);
    drop(resume);
    let again = || Resume::open(folder.path(), &identity(0.5), false);
    assert!(matches!(again(), Err(OutputError::Busy { .. })));
    drop(manifest);
    again().unwrap();
}

#[test]
fn without_formats_everything_is_done_each_time() {
    let folder = TempDir::new().unwrap();
    let call = Call { formats: &[], ..Call::of(&folder, &["a.png"], &["gradient"]) };
    assert_eq!(call.run().unwrap().0.len(), 1);
    assert_eq!(call.run().unwrap().0.len(), 1);
}

#[test]
fn a_finished_run_has_a_record() {
    let folder = TempDir::new().unwrap();
    let started = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_767_225_599);
    let record = RunRecord {
        version: "0.1.0".into(),
        options: identity(0.5),
        fingerprints: Fingerprints { weights: Some("a1b2".into()), patterns: None },
        device: "cpu".into(),
        counts: Counts { images: 1, done: 1, failed: 0, kept: 0 },
        times: Times::new(started, std::time::Duration::from_millis(2500)),
        pipeline: None,
    };
    record.write(folder.path()).unwrap();
    let text = fs::read(folder.path().join("run.json")).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(value["times"], json!({"started": "2025-12-31T23:59:59Z", "seconds": 2.5}));
    assert_eq!(value["fingerprints"], json!({"weights": "a1b2", "patterns": null}));
    assert_eq!(RunRecord::read(folder.path()).unwrap(), Some(record));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the options' numbers are, the call that stored them is recognised.
    #[test]
    fn a_call_recognises_itself(gamma in proptest::num::f64::NORMAL) {
        let folder = TempDir::new().unwrap();
        let mut identity = identity(gamma);
        identity.insert("mean".into(), json!([gamma / 3.0, gamma]));
        let resume = Resume::open(folder.path(), &identity, false).unwrap();
        let mut manifest = ManifestWriter::new(&resume);
        let output = MethodOutput { scale_log2: 0, files: names(&["a.png"]) };
        let methods = BTreeMap::from([("gradient".to_owned(), output)]);
        manifest.append(0, Row { methods, ..Row::explained("a", Vec::new()) }).unwrap();
        manifest.finish().unwrap();
        drop(resume);
        Resume::open(folder.path(), &identity, false).unwrap();
    }

    /// No bytes in the place of a manifest make a panic.
    #[test]
    fn no_manifest_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400), partial: bool) {
        let folder = TempDir::new().unwrap();
        let name = if partial { manifest::PARTIAL_FILE_NAME } else { manifest::FILE_NAME };
        fs::write(folder.path().join(name), bytes).unwrap();
        let _ = manifest::read(folder.path());
        let _ = Resume::open(folder.path(), &identity(0.5), false);
    }

    /// Pictures have a colour for every float32 there is.
    #[test]
    fn no_value_panics(values in proptest::collection::vec(any::<f32>(), 12), gamma in 0.01_f64..10.0) {
        picture::signal_picture(&values, 2, 2).unwrap();
        picture::heat_map_picture(&values, 2, 2, gamma).unwrap();
    }
}
