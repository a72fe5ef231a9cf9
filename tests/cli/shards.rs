//! Shards: tar files in, one shard of outputs for each.

use crate::run::{Place, Ran, TINY, lines};
use half::f16;
use npyz::NpyFile;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Command, Stdio};

/// A member of a tar file.
type Member = (String, Vec<u8>);

pub fn pack(place: &Place, name: &str, members: &[Member]) {
    let path = place.file(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut builder = tar::Builder::new(std::fs::File::create(path).unwrap());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content.as_slice()).unwrap();
    }
    builder.finish().unwrap();
}

fn unpack(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(bytes);
    let members = archive.entries().unwrap().map(|member| {
        let mut member = member.unwrap();
        let mut content = Vec::new();
        member.read_to_end(&mut content).unwrap();
        (member.path().unwrap().to_string_lossy().into_owned(), content)
    });
    members.collect()
}

/// The bytes of a picture of noise.
pub fn picture(place: &Place, seed: u64) -> Vec<u8> {
    let name = format!("pictures/{seed}.png");
    place.picture(&name, seed);
    place.read(&name)
}

/// Tar files `in/0.tar` to `in/2.tar` of so many pictures each, with classes and other members.
fn place(sizes: [u64; 3]) -> Place {
    let place = Place::new();
    for (shard, size) in sizes.into_iter().enumerate() {
        let members = (0..size).flat_map(|number| {
            let seed = 100 * shard as u64 + number;
            let class = format!("{}\n", number % 5).into_bytes();
            [
                (format!("x/{number:03}.png"), picture(&place, seed)),
                (format!("x/{number:03}.cls"), class),
                (format!("x/{number:03}.txt"), b"a caption".to_vec()),
            ]
        });
        pack(&place, &format!("in/{shard}.tar"), &members.collect::<Vec<_>>());
    }
    place
}

fn rows(place: &Place, file: &str) -> Vec<Value> {
    lines(&String::from_utf8(place.read(file)).unwrap())
}

/// Files of a folder with their bytes, but for what depends on time; markers without their times and threads.
fn outputs(place: &Place, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let files = place.files(folder).into_iter().filter(|file| !file.starts_with("run."));
    let content = |file: &String| {
        let bytes = place.read(&format!("{folder}/{file}"));
        let Some(mut marker) =
            file.ends_with(".json").then(|| serde_json::from_slice::<Value>(&bytes).unwrap())
        else {
            return bytes;
        };
        let object = marker.as_object_mut().unwrap();
        assert!(object.remove("times").is_some() && object.remove("device").is_some());
        serde_json::to_vec(&marker).unwrap()
    };
    files.map(|file| (file.clone(), content(&file))).collect()
}

const CALL: &str = "--method gradient,attribution:filter";

#[test]
fn a_tar_file_makes_a_shard_of_what_single_files_make() {
    let place = place([3, 2, 1]);
    let ran = place.explain(&format!("in/{{0..2}}.tar {CALL} --format png,npy --target key -o o")).done();
    assert_eq!(ran.out.lines().count(), 3, "{}", ran.out);
    assert!(ran.out.starts_with("0: 3 images"), "{}", ran.out);
    assert!(ran.err.contains("6 explained in 3 shards in o"), "{}", ran.err);
    let expected: Vec<String> = (0..3)
        .flat_map(|shard| ["json", "jsonl", "tar"].map(|extension| format!("{shard}.{extension}")))
        .chain(["run.json".to_owned()])
        .collect();
    assert_eq!(place.files("o"), expected);

    place.write("list", (0..3).map(|seed| format!("pictures/{seed}.png\t{seed}\n")).collect::<String>());
    place.explain(&format!("@list {CALL} --format png,npy --target key -o single")).done();
    let members = unpack(&place.read("o/0.tar"));
    assert_eq!(members.len(), 3 * 4);
    for (seed, single) in place.manifest("single").iter().enumerate() {
        for file in ["gradient.png", "gradient.npy", "attribution-filter.png", "attribution-filter.npy"] {
            let alone = place.read(&format!("single/{seed}.{file}"));
            assert!(members[&format!("x/{seed:03}.{file}")] == alone, "{seed}.{file}");
        }
        let row = &rows(&place, "o/0.jsonl")[seed];
        assert_eq!(row["input"], format!("in/0.tar/x/{seed:03}.png"));
        for key in ["status", "target", "key", "response", "probability"] {
            assert_eq!(row[key], single[key], "{key}");
        }
        assert_eq!(
            row["methods"]["gradient"]["files"],
            json!([format!("0.tar/x/{seed:03}.gradient.png"), format!("0.tar/x/{seed:03}.gradient.npy")])
        );
    }
    let marker = place.json("o/0.json");
    assert_eq!(marker["counts"], json!({ "images": 3, "done": 3, "failed": 0 }));
    assert_eq!(marker["files"]["0.tar"], place.read("o/0.tar").len());
    assert_eq!((&marker["input"], &marker["error"]), (&json!("in/0.tar"), &Value::Null));
    assert_eq!(marker["identity"]["method"], json!(["gradient", "attribution:filter"]));
}

#[test]
fn nothing_depends_on_threads_or_batches() {
    let place = place([5, 0, 4]);
    let formats = "--format png,npy,npz,safetensors";
    place.explain(&format!("in {CALL} {formats} -o o --batch 1 --threads 1")).done();
    let expected = outputs(&place, "o");
    assert_eq!(expected.len(), 3 * 5);
    for (number, options) in ["--batch 2", "--batch 3 --threads 3", "--batch 50"].into_iter().enumerate() {
        place.explain(&format!("in {CALL} {formats} -o o{number} {options}")).done();
        assert!(outputs(&place, &format!("o{number}")) == expected, "{options}");
    }
    // A shard without images is a shard.
    assert_eq!(place.json("o/1.json")["counts"]["images"], 0);
    assert!(unpack(&place.read("o/1.tar")).is_empty());
}

#[test]
fn containers_hold_all_images_and_parquet_their_rows() {
    let place = place([3, 0, 0]);
    let call = format!("in/0.tar {CALL} --format npy,npz,safetensors --rows parquet -o o");
    place.explain(&call).done();
    let members = unpack(&place.read("o/0.tar"));
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(place.read("o/0.npz"))).unwrap();
    let tensors = place.read("o/0.safetensors");
    let tensors = safetensors::SafeTensors::deserialize(&tensors).unwrap();
    assert_eq!((archive.len(), tensors.len()), (3 * 2 * 2, 3 * 2 * 2));
    for (name, npy) in &members {
        let key = name.strip_suffix(".npy").unwrap();
        let mut entry = Vec::new();
        archive.by_name(name).unwrap().read_to_end(&mut entry).unwrap();
        assert!(entry == *npy, "{name}");
        let tensor = tensors.tensor(key).unwrap();
        assert_eq!(tensor.shape(), [3, 12, 12]);
        assert!(npy.ends_with(tensor.data()), "{name}");
        assert_eq!(tensors.tensor(&format!("{key}.scale_log2")).unwrap().data(), [0; 4]);
        assert!(archive.by_name(&format!("{key}.scale_log2.npy")).is_ok());
    }
    let file = std::fs::File::open(place.file("o/0.parquet")).unwrap();
    let table = SerializedFileReader::new(file).unwrap();
    let read: Vec<parquet::record::Row> = table.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(read.len(), 3);
    assert_eq!(read[1].get_string(0).unwrap(), "in/0.tar/x/001.png");
    let methods: Value = serde_json::from_str(read[1].get_string(8).unwrap()).unwrap();
    assert_eq!(methods["gradient"]["files"][1], "0.npz");
    assert!(!place.file("o/0.jsonl").exists());
}

/// What the array of a method is of the one with float32 channels, from single files.
#[test]
fn smaller_numbers_and_heat_maps_are_as_close_as_promised() {
    let place = Place::new();
    let call = "a.png --method gradient,attribution:filter,attribution:identity --format npy,npz,safetensors";
    place.explain(&format!("{call} -o f32")).done();
    place.explain(&format!("{call} --store f16 -o f16")).done();
    place.explain(&format!("{call} --store u8 --heat-maps -o u8")).done();
    place.explain(&format!("{call} --heat-maps -o sums")).done();
    let full = |folder: &str, method: &str| {
        let bytes = place.read(&format!("{folder}/a.{method}.npy"));
        let array = NpyFile::new(&bytes[..]).unwrap();
        let shape = array.shape().to_vec();
        let exponent = {
            let named = method.replacen('-', ":", usize::from(method != "gradient"));
            place.manifest(folder)[0]["methods"][named]["scale_log2"].as_i64().unwrap() as i32
        };
        let values: Vec<f64> = match folder {
            "f16" => array.into_vec::<f16>().unwrap().into_iter().map(f64::from).collect(),
            "u8" => {
                array.into_vec::<u8>().unwrap().into_iter().map(|level| f64::from(level) - 128.0).collect()
            }
            _ => array.into_vec::<f32>().unwrap().into_iter().map(f64::from).collect(),
        };
        let values: Vec<f64> = values.into_iter().map(|value| value * 2_f64.powi(exponent)).collect();
        (shape, values)
    };
    for method in ["gradient", "attribution-filter", "attribution-identity"] {
        let (_, exact) = full("f32", method);
        let largest = exact.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        let (shape, halves) = full("f16", method);
        assert_eq!(shape, [3, 12, 12]);
        for (exact, half) in exact.iter().zip(&halves) {
            assert!((exact - half).abs() <= exact.abs() * 2_f64.powi(-11) + largest * 2_f64.powi(-39));
        }
        let heat_map = method != "gradient";
        let (shape, sums) = full("sums", method);
        let (levels_shape, levels) = full("u8", method);
        assert_eq!(shape, levels_shape);
        assert_eq!(shape, if heat_map { vec![12, 12] } else { vec![3, 12, 12] });
        let plane = exact.len() / 3;
        let summed: Vec<f64> = if heat_map {
            (0..plane).map(|pixel| exact[pixel] + exact[plane + pixel] + exact[2 * plane + pixel]).collect()
        } else {
            exact.clone()
        };
        let top = summed.iter().fold(0.0, |top: f64, value| top.max(value.abs()));
        for ((summed, sum), level) in summed.iter().zip(&sums).zip(&levels) {
            // Rounded once to float32 by whoever summed; the channels were rounded before.
            assert!((summed - sum).abs() <= 3e-7 * largest, "{method}: {summed} {sum}");
            assert!((summed - level).abs() <= top / 127.0 + 3e-7 * largest, "{method}: {summed} {level}");
        }
    }
    // Containers hold the same, and keep what they held when methods are added.
    place.explain("a.png --method gradient --store f16 --format npz -o added").done();
    place.explain("a.png --method deconvnet --store f16 --format npz -o added").done();
    let entry = |folder: &str| {
        let mut archive =
            zip::ZipArchive::new(std::io::Cursor::new(place.read(&format!("{folder}/a.npz")))).unwrap();
        let mut bytes = Vec::new();
        archive.by_name("gradient.npy").unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    assert!(entry("added") == entry("f16"));
    place.explain("a.png --method deconvnet --format npz -o added").expect(1, &["store"]);
}

#[test]
fn a_finished_shard_is_kept_and_what_is_missing_made_again() {
    let place = place([2, 2, 2]);
    let call = format!("in {CALL} -o o");
    place.explain(&call).done();
    let expected = outputs(&place, "o");
    let time = |file: &str| std::fs::metadata(place.file(file)).unwrap().modified().unwrap();
    let (first, second) = (time("o/0.tar"), time("o/1.tar"));
    std::fs::remove_file(place.file("o/1.json")).unwrap();
    std::fs::remove_file(place.file("o/2.tar")).unwrap();
    let ran = place.explain(&call).done();
    assert!(ran.err.contains("4 explained, 2 kept"), "{}", ran.err);
    assert!(outputs(&place, "o") == expected);
    assert!(time("o/0.tar") == first && time("o/1.tar") != second);
    assert_eq!(place.json("o/run.json")["counts"], json!({ "images": 6, "done": 4, "failed": 0, "kept": 2 }));
    // A file that was cut short is no output.
    place.write("o/0.tar", b"cut");
    let ran = place.explain(&call).done();
    assert!(ran.err.contains("2 explained, 4 kept"), "{}", ran.err);
    assert!(outputs(&place, "o") == expected);
}

#[test]
fn changed_options_weights_and_inputs_are_noticed() {
    let place = place([2, 1, 1]);
    crate::support::Model::tiny_classifier(2).save(
        place.path(),
        "other.safetensors",
        safetensors::Dtype::F32,
    );
    let base = "in --method gradient -o o";
    place.explain(base).done();
    let before = outputs(&place, "o");
    for (change, word) in [
        ("in --method gradient,deconvnet -o o", "method"),
        ("in --method gradient -o o --format npy", "format"),
        ("in --method gradient -o o --target 1", "target"),
        ("in --method gradient -o o --rows parquet", "rows"),
        ("in --method gradient -o o --shard-size 5", "shard-size"),
    ] {
        place.explain(change).expect(1, &[word, "--overwrite"]);
    }
    let weights = TINY.replace("net.safetensors", "other.safetensors");
    place.vggx(&format!("{weights} {base}")).expect(1, &["weights", "--overwrite"]);
    assert!(outputs(&place, "o") == before);

    // Another tar file under the name of one that was done.
    let members = [("new.png".to_owned(), picture(&place, 77))];
    pack(&place, "in/1.tar", &members);
    place.explain(base).expect(1, &["in/1.tar", "bytes", "--overwrite"]);
    let ran = place.explain(&format!("{base} --overwrite")).done();
    assert!(ran.err.contains("4 explained"), "{}", ran.err);
    assert!(unpack(&place.read("o/1.tar")).contains_key("new.gradient.png"));

    // Over outputs that were made otherwise; what was not made again does not count.
    place.explain("in/0.tar --method gradient --target 1 --overwrite -o o").done();
    let ran = place.explain("in/{0..2}.tar --method gradient --target 1 -o o").done();
    assert!(ran.err.contains("2 explained, 2 kept"), "{}", ran.err);
}

#[test]
fn single_images_are_packed_too() {
    let place = Place::new();
    for number in 0..7 {
        place.picture(format!("many/{}/{number}.png", number % 2), number);
    }
    let call = "--method gradient --layout shards --shard-size 3";
    place.explain(&format!("many {call} -o o")).done();
    let shards = ["images-00000", "images-00001", "images-00002"];
    let keys: Vec<usize> =
        shards.iter().map(|shard| unpack(&place.read(&format!("o/{shard}.tar"))).len()).collect();
    assert_eq!(keys, [3, 3, 1]);
    let rows = rows(&place, "o/images-00000.jsonl");
    let inputs: Vec<&str> = rows.iter().map(|row| row["input"].as_str().unwrap()).collect();
    assert_eq!(inputs, ["many/0/0.png", "many/0/2.png", "many/0/4.png"]);
    assert!(unpack(&place.read("o/images-00001.tar")).contains_key("1/1.gradient.png"));

    // The same by a list on standard input.
    let mut command = place.command(format!("{TINY} - {call} -o listed").split_whitespace());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let order = ["0/0", "0/2", "0/4", "0/6", "1/1", "1/3", "1/5"];
    let list: String = order.iter().map(|name| format!("many/{name}.png\n")).collect();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), list.as_bytes()).unwrap();
    Ran::from(&child.wait_with_output().unwrap()).done();
    assert_eq!(outputs(&place, "listed").len(), outputs(&place, "o").len());

    // An image more shifts all groups: that is another input.
    place.picture("many/0/1.png", 99);
    place.explain(&format!("many {call} -o o")).expect(1, &["images-00000", "--overwrite"]);
    // Names that would collide in a shard.
    std::fs::copy(place.file("many/0/0.png"), place.file("many/0/0.jpg")).unwrap();
    let ran = place.explain(&format!("many/0 {call} -o colliding"));
    ran.expect(3, &["many/0/0.png", "twice"]);
}

#[test]
fn shares_make_the_shards_of_the_whole_in_one_folder() {
    let place = place([3, 2, 4]);
    place.picture("in/z.png", 5);
    place.explain(&format!("in {CALL} --layout shards -o whole")).done();
    let children: Vec<_> = (0..3)
        .map(|share| {
            let call = format!("{TINY} in {CALL} --layout shards --shard {share}/3 -o shares");
            let mut command = place.command(call.split_whitespace());
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let shares = children.into_iter().map(|child| Ran::from(&child.wait_with_output().unwrap()).done());
    let told: Vec<usize> = shares.map(|ran| ran.out.lines().count()).collect();
    assert_eq!(told, [2, 1, 1]);
    assert!(outputs(&place, "shares") == outputs(&place, "whole"));
    for share in 0..3 {
        let record = place.json(&format!("shares/run.{share}-of-3.json"));
        assert_eq!(record["options"]["shard"], format!("{share}/3"));
    }
    // More shares than shards: some have nothing to do, and that is no error.
    let ran = place.explain("in/0.tar --method gradient --shard 1/2 -o none").done();
    assert!(ran.err.contains("nothing to do"), "{}", ran.err);
    let mut command =
        place.command(format!("{TINY} in/{{0..2}}.tar {CALL} --shard auto -o auto").split_whitespace());
    command.env("SLURM_ARRAY_TASK_ID", "1").env("SLURM_ARRAY_TASK_COUNT", "3");
    command.env("SLURM_ARRAY_TASK_MIN", "0").env("SLURM_ARRAY_TASK_STEP", "1");
    Ran::from(&command.output().unwrap()).done();
    assert!(place.file("auto/1.json").exists() && !place.file("auto/0.json").exists());
    // With files of their own, shares are of images.
    place
        .explain("in --layout files --shard 0/2 --method gradient -o f")
        .expect(0, &["3 tar shards", "left out"]);
}

#[test]
fn bad_members_and_bad_shards_are_named_and_others_go_on() {
    let place = place([3, 2, 2]);
    let members = [
        ("a.png".to_owned(), picture(&place, 1)),
        ("b.jpg".to_owned(), b"no image".to_vec()),
        ("c.txt".to_owned(), b"only text".to_vec()),
        ("d.png".to_owned(), Vec::new()),
        ("a.png".to_owned(), picture(&place, 2)),
        ("e.png".to_owned(), picture(&place, 3)),
        ("README".to_owned(), b"no sample".to_vec()),
    ];
    pack(&place, "in/1.tar", &members);
    let whole = place.read("in/2.tar");
    place.write("in/2.tar", &whole[..whole.len() - 1500]);
    place.write("in/3.tar", b"\x1F\x8Bsomething compressed");
    place.write("in/4.tar", b"");
    let call = "in/{0..5}.tar --method gradient -o o";
    let ran = place.explain(call).expect(
        3,
        &[
            "in/1.tar/b.jpg: is not an image",
            "in/1.tar/c: the sample has no image, only txt",
            "in/1.tar/d.png: is empty",
            "in/1.tar/a.png: the shard has the key a twice",
            "in/2.tar: is truncated after",
            "in/3.tar: is compressed with gzip",
            "in/4.tar: is empty (0 bytes)",
            "in/5.tar: no such file",
        ],
    );
    assert!(ran.out.contains("2: 2 images, not read whole"), "{}", ran.out);
    let counts = |shard: usize| place.json(&format!("o/{shard}.json"))["counts"].clone();
    assert_eq!(counts(1), json!({ "images": 6, "done": 2, "failed": 4 }));
    assert_eq!(rows(&place, "o/1.jsonl").len(), 6);
    assert_eq!(unpack(&place.read("o/1.tar")).len(), 2);
    assert_eq!(counts(2), json!({ "images": 2, "done": 2, "failed": 0 }));
    assert!(place.json("o/2.json")["error"].as_str().unwrap().contains("truncated"));

    // What could not be read to its end is tried again; what was done stays, failed images included.
    place.write("in/2.tar", &whole);
    let ran = place.explain("in/{0..2}.tar --method gradient -o o").expect(3, &["2 explained, 5 kept"]);
    assert!(!ran.err.contains("in/1.tar/b.jpg"), "{}", ran.err);
    assert_eq!(place.json("o/2.json")["error"], Value::Null);

    // Nothing that could be read at all.
    place.explain("in/5.tar --method gradient -o nothing").expect(1, &["no such file", "every input failed"]);
    // Names that lead elsewhere stay inside.
    let mut builder = tar::Builder::new(std::fs::File::create(place.file("hostile.tar")).unwrap());
    let content = picture(&place, 4);
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..12].copy_from_slice(b"../../e.png\0");
    header.set_size(content.len() as u64);
    header.set_cksum();
    builder.append(&header, &content[..]).unwrap();
    builder.finish().unwrap();
    place.explain("hostile.tar --method gradient -o deep/h").expect(1, &["`..`"]);
    assert!(!place.file("e.gradient.png").exists());
}

#[test]
fn shards_never_replace_their_inputs_or_each_other() {
    let place = place([1, 1, 1]);
    place
        .explain("in/0.tar --method gradient -o in")
        .expect(1, &["in/0.tar", "choose another output folder"]);
    place.explain("in --method gradient --layout shards -o in").expect(2, &["is an input as well"]);
    pack(&place, "other/0.tar", &[]);
    place
        .explain("in/0.tar other/0.tar --method gradient -o o")
        .expect(1, &["in/0.tar", "other/0.tar", "0.*"]);
    assert!(!place.file("o").exists());
    place.explain(". --method gradient --layout shards -o o").done();
    assert_eq!(
        place.files("o").iter().filter(|file| file.ends_with("0.tar")).count(),
        3,
        "{:?}",
        place.files("o")
    );
    // Outputs below a directory that is searched are no inputs of the next call.
    let ran = place.explain(". --method gradient --layout shards -o o").done();
    assert!(ran.err.contains("0 explained"), "{}", ran.err);
    place.explain("in/0.tar --layout files --method gradient -o f").expect(1, &["in/0.tar", "tar shard"]);
}

#[test]
fn scripts_read_rows_and_events() {
    let place = place([2, 1, 0]);
    place.write("bad.tar", b"x");
    let ran =
        place.explain("in bad.tar --method gradient --json -o o").expect(3, &["bad.tar: is not a tar file"]);
    let (events, rows): (Vec<Value>, Vec<Value>) =
        ran.rows().into_iter().partition(|line| line.get("event").is_some());
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row["status"] == "ok"));
    let named = |name: &str| events.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    assert_eq!(named("shard").len(), 4);
    assert_eq!(named("shard")[3]["error"], "is not a tar file");
    let summary = named("summary");
    assert_eq!(summary[0]["counts"]["done"], 3);
    let seconds = summary[0]["pipeline"]["seconds"].as_object().unwrap();
    for stage in ["read", "decode", "resize", "compute", "encode", "write"] {
        assert!(seconds[stage].as_f64().unwrap() > 0.0, "{stage}");
    }
    assert!(["device", "loading", "output"].contains(&summary[0]["pipeline"]["busiest"].as_str().unwrap()));
    place.explain("in --method gradient --quiet -o quiet").done();
}

#[cfg(unix)]
fn start(place: &Place, call: &str) -> std::process::Child {
    let mut command = place.command(format!("{TINY} {call}").split_whitespace());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[cfg(unix)]
fn signal(child: &std::process::Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

/// Waits for a file of a run that is going on.
#[cfg(unix)]
fn wait_for(place: &Place, file: &str, child: &mut std::process::Child) {
    let begun = std::time::Instant::now();
    while !place.file(file).exists() && child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed().as_secs() < 60, "no {file}");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Temporary files, which a run that ended in good order does not leave.
#[cfg(unix)]
fn partial(place: &Place, folder: &str) -> usize {
    let names = std::fs::read_dir(place.file(folder)).unwrap();
    names.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".partial")).count()
}

const MANY: &str = "--synthetic 4000 --shard-size 250 --method gradient --format npy --batch 8";

#[cfg(unix)]
#[test]
fn a_killed_run_loses_one_shard_and_ends_as_an_undisturbed_one() {
    let place = Place::new();
    place.explain(&format!("{MANY} -o whole")).done();
    let expected = outputs(&place, "whole");
    assert_eq!(expected.len(), 16 * 3);
    let mut child = start(&place, &format!("{MANY} -o killed"));
    let mut kills = 0;
    for number in [1, 4, 9] {
        wait_for(&place, &format!("killed/synthetic-{number:05}.json"), &mut child);
        std::thread::sleep(std::time::Duration::from_millis(3 * number));
        child.kill().unwrap();
        kills += usize::from(child.wait().unwrap().code().is_none());
        let before: Vec<String> =
            place.files("killed").into_iter().filter(|file| file.ends_with(".json")).collect();
        assert!(before.len() as u64 > number);
        // What has a marker is whole.
        for file in &before {
            let marker = place.json(&format!("killed/{file}"));
            let shard = marker["shard"].as_str().unwrap();
            assert!(place.read(&format!("killed/{shard}.tar")) == expected[&format!("{shard}.tar")]);
        }
        child = start(&place, &format!("{MANY} -o killed"));
    }
    let ran = Ran::from(&child.wait_with_output().unwrap()).done();
    assert!(kills >= 2 && ran.err.contains("kept from an earlier run"), "{kills}: {}", ran.err);
    assert!(outputs(&place, "killed") == expected);
    place.explain(&format!("{MANY} -o killed")).done();
    assert_eq!(partial(&place, "killed"), 0, "what the killed runs left is tidied");
}

#[cfg(unix)]
#[test]
fn a_signal_stops_in_good_order() {
    let place = Place::new();
    for name in ["-INT", "-TERM"] {
        let mut child = start(&place, &format!("{MANY} -o o{name}"));
        wait_for(&place, &format!("o{name}/synthetic-00001.json"), &mut child);
        signal(&child, name);
        let ran = Ran::from(&child.wait_with_output().unwrap());
        if ran.code == 0 {
            // A shell in the background makes its children ignore SIGINT.
            assert_eq!(name, "-INT");
            continue;
        }
        ran.expect(130, &["stopped after", "the same call goes on"]);
        assert_eq!(partial(&place, &format!("o{name}")), 0);
        let left = place.files(&format!("o{name}"));
        assert!(left.len().is_multiple_of(3) && left.len() < 48, "{left:?}");
        let ran = place.explain(&format!("{MANY} -o o{name}")).done();
        assert!(ran.err.contains("kept from an earlier run"), "{}", ran.err);
        assert_eq!(outputs(&place, &format!("o{name}")).len(), 48);
    }
    // With files of each image, too.
    let mut child =
        start(&place, "--synthetic 3000 --layout files --method gradient --format npy --batch 8 -o files");
    wait_for(&place, "files/noise-000000040.gradient.npy", &mut child);
    signal(&child, "-TERM");
    Ran::from(&child.wait_with_output().unwrap()).expect(130, &["stopped after", "of 3000 images"]);
    let listed = place.manifest("files").len();
    assert!((40..3000).contains(&listed), "{listed}");
}

#[cfg(unix)]
#[test]
fn an_output_folder_that_goes_away_ends_the_run() {
    let place = Place::new();
    let mut child = start(&place, &format!("{MANY} -o o"));
    wait_for(&place, "o/synthetic-00001.json", &mut child);
    while std::fs::remove_dir_all(place.file("o")).is_err() && place.file("o").exists() {}
    Ran::from(&child.wait_with_output().unwrap()).expect(1, &["error: "]);
    assert!(!place.file("o/run.json").exists(), "a run whose folder is gone does not end well");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_the_run_and_keeps_what_was_finished() {
    let place = Place::new();
    std::fs::create_dir(place.file("disk")).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"])
        .arg(place.file("disk"))
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("not run here: a file system cannot be mounted");
        return;
    }
    // A shard of 250 images has 250 · (1024 + 2048) bytes and rows.
    for format in ["npy", "npz", "safetensors"] {
        let call = MANY.replace("npy", format);
        let ran = place.explain(&format!("{call} -o disk/{format}"));
        let left = place.files(&format!("disk/{format}"));
        let partial = partial(&place, &format!("disk/{format}"));
        std::fs::remove_dir_all(place.file(format!("disk/{format}"))).unwrap();
        if ran.code != 1 {
            Command::new("umount").arg(place.file("disk")).status().unwrap();
        }
        let ran = ran.expect(1, &["no space left", "finished outputs are kept"]);
        assert!(left.len() >= 3 && left.len().is_multiple_of(3), "{format}: {left:?} {}", ran.err);
        assert_eq!(partial, 0, "{format}");
    }
    assert!(Command::new("umount").arg(place.file("disk")).status().unwrap().success());
}

/// The clock goes back two hours while shards are made, and forward again: nothing is decided by it.
#[cfg(target_os = "linux")]
#[test]
fn a_changed_clock_changes_nothing() {
    let place = Place::new();
    place.write(
        "clock.c",
        r#"#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

/* Every third look at the calendar's clock is two hours early, every fourth a year late. */
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    static int looks;
    if (!real) {
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    }
    int result = real(clock, now);
    if (clock == CLOCK_REALTIME) {
        int look = ++looks;
        now->tv_sec += look % 3 == 0 ? -7200 : look % 4 == 0 ? 31536000 : 0;
    }
    return result;
}
"#,
    );
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o", "clock.so", "clock.c", "-ldl"])
        .current_dir(place.path())
        .status();
    assert!(built.unwrap().success());
    let call = "--synthetic 600 --shard-size 100 --method gradient --format npy";
    place.explain(&format!("{call} -o true")).done();
    let with_clock = |call: &str| {
        let mut command = place.command(format!("{TINY} {call}").split_whitespace());
        Ran::from(&command.env("LD_PRELOAD", place.file("clock.so")).output().unwrap()).done()
    };
    with_clock(&format!("{call} -o other"));
    assert!(outputs(&place, "true") == outputs(&place, "other"));
    for shard in 0..6 {
        let times = place.json(&format!("other/synthetic-{shard:05}.json"))["times"].clone();
        let seconds = times["seconds"].as_f64().unwrap();
        assert!((0.0..600.0).contains(&seconds), "{times}");
    }
    std::fs::remove_file(place.file("other/synthetic-00003.json")).unwrap();
    let ran = with_clock(&format!("{call} -o other"));
    assert!(ran.err.contains("100 explained, 500 kept"), "{}", ran.err);
}

#[test]
fn patterns_are_learnt_from_tar_files_as_from_single_files() {
    let place = place([4, 3, 2]);
    let learn = |arguments: &str| {
        place.vggx(&format!("learn --weights net.safetensors --resize 14 --crop 12 {arguments}"))
    };
    learn("in -o shards --batch 4").done();
    let order = [0, 1, 2, 3, 100, 101, 102, 200, 201];
    place.write("list", order.map(|seed| format!("pictures/{seed}.png\n")).concat());
    learn("@list -o files --batch 4").done();
    let tensors = |file: &str| {
        let bytes = place.read(file);
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut found: Vec<_> =
            tensors.tensors().into_iter().map(|(name, tensor)| (name, tensor.data().to_vec())).collect();
        found.sort();
        found
    };
    assert!(tensors("shards") == tensors("files"), "the same images in the same batches make the same bits");

    // Shares take whole tar files; random crops depend on names alone.
    let crops = "in --crops 3 --batch 2 --seed 7";
    learn(&format!("{crops} -o whole")).done();
    for share in 0..2 {
        learn(&format!("{crops} --shard {share}/2 --moments m{share}")).done();
    }
    place.vggx("solve m0 m1 --weights net.safetensors -o merged").done();
    let numbers = |file: &str| -> Vec<f64> {
        let values = tensors(file).into_iter().flat_map(|(_, bytes)| bytes);
        let bytes: Vec<u8> = values.collect();
        bytes.as_chunks::<4>().0.iter().map(|value| f64::from(f32::from_le_bytes(*value))).collect()
    };
    let (whole, merged) = (numbers("whole"), numbers("merged"));
    let largest = whole.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    for (whole, merged) in whole.iter().zip(&merged) {
        assert!((whole - merged).abs() <= 1e-7 * largest, "{whole} {merged}");
    }
    learn("in --shard 3/4 -o x").expect(1, &["no image"]);
    // A truncated tar file is an input that failed.
    let bytes = place.read("in/1.tar");
    place.write("in/1.tar", &bytes[..bytes.len() - 1500]);
    learn("in -o cut").expect(3, &["in/1.tar: is truncated", "1 inputs failed"]);
}

#[test]
fn what_is_not_vggxs_own_is_never_replaced() {
    let place = place([2, 1, 1]);
    pack(&place, "other/0.tar", &[("data.txt".to_owned(), b"somebody's".to_vec())]);
    let before = place.read("other/0.tar");
    place.explain("in/0.tar --method gradient -o other").expect(1, &["other/0.tar was there before"]);
    // Nor by a second call, nor by one that is told to overwrite.
    place
        .explain("in/0.tar --method gradient -o other --overwrite")
        .expect(1, &["other/0.tar was there before"]);
    assert!(place.read("other/0.tar") == before);
    place.explain("in/1.tar --method gradient -o other").done();
    // The folder's own records.
    std::fs::copy(place.file("in/0.tar"), place.file("run.tar")).unwrap();
    place.explain("run.tar --method gradient -o o").expect(1, &["run.tar", "rename it"]);
    // Shards of single images and of an archive of their name.
    pack(&place, "mixed/images-00000.tar", &[("a.png".to_owned(), picture(&place, 1))]);
    place.picture("mixed/z.png", 2);
    place
        .explain("mixed --layout shards --method gradient -o m")
        .expect(1, &["images-00000", "two output folders"]);
}

#[test]
fn a_folder_has_one_layout_and_one_set_of_names() {
    let place = place([1, 1, 1]);
    place.explain("a.png --method gradient --target 1 -o o").done();
    place
        .explain("in/0.tar --method gradient --target 2 -o o")
        .expect(1, &["other layout", "choose another output folder"]);
    place.explain("in/0.tar --method gradient -o s").done();
    place.explain("a.png --method gradient --overwrite -o s").expect(1, &["other layout"]);

    let names = "a\nb\nc\nd\ne\nf\ng\nh\n";
    place.write("labels", names);
    place.write("others", names.replace("a\nb", "b\na"));
    place.explain("in --method gradient --target key --labels labels -o l").done();
    place
        .explain("in --method gradient --target key --labels others -o l")
        .expect(1, &["labels", "--overwrite"]);

    // Other images of the same names are other images.
    for folder in ["x", "y"] {
        place.picture(format!("{folder}/p.png"), folder.len() as u64);
    }
    place.explain("x --layout shards --method gradient -o p").done();
    place
        .explain("y --layout shards --method gradient -o p")
        .expect(1, &["images-00000.json", "made from x/p.png"]);
    place.explain("./x --layout shards --method gradient -o p").done();
    // What is made otherwise takes the place of all that was there.
    place.explain("in --method gradient --format npz -o q").done();
    place.explain("in/0.tar --method gradient --format npy --overwrite -o q").done();
    assert_eq!(place.files("q"), ["0.json", "0.jsonl", "0.tar", "run.json"]);
}

#[cfg(unix)]
#[test]
fn lists_that_can_be_read_only_once_are_read_once() {
    let place = place([2, 2, 1]);
    let with_list = |arguments: &str, list: &str| {
        let mut command = place.command(["-c", &format!("exec {} {arguments}", crate::run::VGGX)]);
        let program = std::mem::replace(&mut command, Command::new("bash"));
        command.args(program.get_args()).current_dir(place.path()).env("CUDA_VISIBLE_DEVICES", "-1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), list.as_bytes()).unwrap();
        Ran::from(&child.wait_with_output().unwrap())
    };
    let tars = "in/0.tar\nin/1.tar\nin/2.tar\n";
    let ran = with_list(&format!("{TINY} - --method gradient -o o"), tars).done();
    assert!(ran.err.contains("5 explained in 3 shards"), "{}", ran.err);
    let pictures: String =
        (0..2).flat_map(|a| (0..2).map(move |b| format!("pictures/{}.png\n", 100 * a + b))).collect();
    let named = "@<(cat)";
    let ran = with_list(&format!("{TINY} {named} --layout shards --method gradient -o p"), &pictures).done();
    assert!(ran.err.contains("4 explained in 1 shards"), "{}", ran.err);
    let learn = "learn --weights net.safetensors --resize 14 --crop 12";
    let ran = with_list(&format!("{learn} {named} -o patterns-of-list"), &pictures).done();
    assert!(ran.err.contains("4 images learnt"), "{}", ran.err);
}

#[cfg(unix)]
#[test]
fn a_signal_is_heard_while_a_list_is_silent() {
    let place = Place::new();
    let call = format!("{TINY} - --layout shards --shard-size 1 --method gradient -o o");
    let mut command = place.command(call.split_whitespace());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut list = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut list, b"a.png\nb.png\n").unwrap();
    wait_for(&place, "o/.vggx-identity.json", &mut child);
    std::thread::sleep(std::time::Duration::from_millis(300));
    signal(&child, "-TERM");
    // The list stays open.
    Ran::from(&child.wait_with_output().unwrap()).expect(130, &["stopped after"]);
    drop(list);
}

#[cfg(unix)]
#[test]
fn what_may_come_back_is_tried_again() {
    let place = Place::new();
    for number in 0..3 {
        place.picture(format!("disk/{number}.png"), number);
    }
    place.write("list", (0..3).map(|number| format!("disk/{number}.png\n")).collect::<String>());
    std::fs::rename(place.file("disk"), place.file("away")).unwrap();
    let call = "@list --layout shards --method gradient -o o";
    place.explain(call).expect(1, &["disk/0.png: no such file"]);
    std::fs::rename(place.file("away"), place.file("disk")).unwrap();
    let ran = place.explain(call).done();
    assert!(ran.err.contains("3 explained in 1 shards"), "{}", ran.err);
}

/// Shares of one call start together, again and again with other options; never do two sets of options mix.
#[cfg(unix)]
#[test]
fn shares_that_start_together_agree_or_are_refused() {
    let place = Place::new();
    let call = |options: &str, share: usize| {
        format!(
            "--synthetic 60 --shard-size 5 --method gradient --format npy --shard {share}/4 -o o {options}"
        )
    };
    let together = |options: [&str; 4]| -> Vec<Ran> {
        let children: Vec<_> = options
            .into_iter()
            .enumerate()
            .map(|(share, options)| start(&place, &call(options, share)))
            .collect();
        children.into_iter().map(|child| Ran::from(&child.wait_with_output().unwrap())).collect()
    };
    for target in ["--target 1", "--target 2 --overwrite", "--target 3 --overwrite"] {
        for ran in together([target; 4]) {
            ran.done();
        }
        for shard in 0..12 {
            let marker = place.json(&format!("o/synthetic-{shard:05}.json"));
            assert_eq!(marker["identity"]["target"], target[9..10], "{shard}");
        }
    }
    // With an array that goes on, the first share keeps nobody out.
    std::fs::remove_file(place.file("o/synthetic-00002.json")).unwrap();
    std::fs::remove_file(place.file("o/synthetic-00005.json")).unwrap();
    for ran in together(["--target 3"; 4]) {
        assert!(ran.done().err.contains("kept from an earlier run"));
    }
    std::fs::remove_dir_all(place.file("o")).unwrap();
    let ran = together(["--target 1", "--target 2", "--target 1", "--target 2"]);
    assert!(ran.iter().any(|ran| ran.code == 0));
    let targets: Vec<Value> = (0..12)
        .filter(|shard| place.file(format!("o/synthetic-{shard:05}.json")).exists())
        .map(|shard| place.json(&format!("o/synthetic-{shard:05}.json"))["identity"]["target"].clone())
        .collect();
    assert!(targets.len() >= 3 && targets.iter().all(|target| *target == targets[0]), "{targets:?}");
}
