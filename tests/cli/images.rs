//! Inputs: how they are named, and what is wrong with some.

use crate::run::{Place, Ran};
use std::io::Write;
use std::process::Stdio;

const METHOD: &str = "--method gradient --format npy";

#[test]
fn folders_are_mirrored_and_names_kept() {
    let place = Place::new();
    for (seed, name) in ["in/x/one.png", "in/x/y/two.two.png", "in/three words.png", "in/größe 猫.png"]
        .into_iter()
        .enumerate()
    {
        place.picture(name, seed as u64);
    }
    place.write("in/notes.txt", "no image");
    place.explain(&format!("in a.png {METHOD} -o o")).done();
    let mut expected = [
        "x/one.gradient.npy",
        "x/y/two.two.gradient.npy",
        "three words.gradient.npy",
        "größe 猫.gradient.npy",
        "a.gradient.npy",
        "manifest.jsonl",
        "run.json",
    ];
    expected.sort_unstable();
    assert_eq!(place.files("o"), expected);
    assert!(place.manifest("o").iter().any(|row| row["input"] == "in/größe 猫.png"));
}

#[cfg(target_os = "linux")]
#[test]
fn names_need_not_be_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let name = OsStr::from_bytes(b"caf\xe9.png");
    place.picture(name, 5);
    let mut command = place
        .command("explain --weights net.safetensors --resize 14 --crop 12 --method gradient -o o".split(' '));
    Ran::from(&command.arg(name).output().unwrap()).done();
    assert_eq!(place.manifest("o")[0]["input"], "caf%E9.png");
    assert_eq!(place.json("o/run.json")["options"]["inputs"][0], "caf%E9.png");
    assert!(place.files("o").contains(&"caf%E9.gradient.png".to_owned()), "{:?}", place.files("o"));
}

/// A name that is not text, and a file that is called what it is written as.
#[cfg(target_os = "linux")]
#[test]
fn names_that_are_written_alike_are_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    place.picture(OsStr::from_bytes(b"in/caf\xe9.png"), 5);
    place.picture("in/caf%E9.png", 6);
    place.explain(&format!("in {METHOD} -o o")).expect(1, &["caf%E9", "rename"]);
    assert!(!place.file("o").exists());
}

#[test]
fn two_inputs_of_one_row_are_refused() {
    let place = Place::new();
    place.picture("x/y/c.png", 5);
    place.write("list.txt", "x\t1\nx/y/c.png\t2\n");
    place.explain(&format!("@list.txt --target key {METHOD} -o o")).expect(1, &["x/y/c.png", "rename"]);
    assert!(!place.file("o").exists());
}

#[test]
fn an_image_named_twice_is_done_once() {
    let place = Place::new();
    place.explain(&format!("a.png ./a.png a.png {METHOD} -o o")).done();
    assert_eq!(place.manifest("o").len(), 1);
    let kept = place.explain(&format!("./a.png {METHOD} -o o --json")).done();
    assert!(kept.err.contains("1 kept"), "{}", kept.err);
    assert_eq!(kept.rows(), place.manifest("o"));
}

#[test]
fn collisions_are_refused_before_any_work() {
    let place = Place::new();
    place.picture("other/a.png", 9);
    place.explain(&format!("a.png other/a.png {METHOD} -o o")).expect(1, &["a.png", "other/a.png"]);
    assert!(!place.file("o").exists());
    // Another input of a later call, too.
    place.explain(&format!("a.png {METHOD} -o o")).done();
    let before = place.read("o/a.gradient.npy");
    place.explain(&format!("other/a.png b.png {METHOD} -o o")).expect(1, &["other/a.png", "a.gradient.npy"]);
    assert!(place.read("o/a.gradient.npy") == before);
    assert!(!place.file("o/b.gradient.npy").exists());
}

#[test]
fn lists_come_from_files_and_standard_input_with_targets() {
    let place = Place::new();
    place.write("labels.txt", "ant\nbee\ncat\ndog\neel\nfox\ngnu\nhen\n");
    place.write("list.txt", "a.png\t3\r\nb.png\tbee\r\n");
    place.explain(&format!("@list.txt --target key --labels labels.txt {METHOD} -o o")).done();
    let targets = |folder: &str| -> Vec<u64> {
        place.manifest(folder).iter().map(|row| row["target"].as_u64().unwrap()).collect()
    };
    assert_eq!(targets("o"), [3, 1]);

    let arguments = format!("{} - --target key {METHOD} -o piped", crate::run::TINY);
    let mut child = place
        .command(arguments.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"b.png\ttop8\na.png\t7\n").unwrap();
    Ran::from(&child.wait_with_output().unwrap()).done();
    assert_eq!(targets("piped")[1], 7);

    // An image without target, or with one that does not exist, fails alone.
    place.picture("c.png", 3);
    place.write("some.txt", "a.png\nb.png\t8\nc.png\t0\n");
    let ran = place
        .explain(&format!("@some.txt --target key {METHOD} -o some"))
        .expect(3, &["a.png", "--target key", "b.png", "target 8"]);
    assert!(ran.err.contains("1 explained, 2 failed"), "{}", ran.err);

    // The same folder with another target of an input, by whichever name.
    place.write("list.txt", "a.png\tdog\nb.png\tcat\n");
    place
        .explain(&format!("@list.txt --target key --labels labels.txt {METHOD} -o o"))
        .expect(1, &["b.png", "'bee'", "'cat'", "--overwrite"]);
}

/// A key that ranks is another one than a key that names, whatever output it was.
#[test]
fn a_changed_key_is_refused() {
    let place = Place::new();
    place.write("labels.txt", "ant\nbee\ncat\ndog\neel\nfox\ngnu\nhen\n");
    let run = |key: &str, more: &str| {
        place.write("list.txt", format!("a.png{key}\n"));
        place.explain(&format!("@list.txt --target key --labels labels.txt {METHOD} -o o {more}"))
    };
    run("\ttop1", "").done();
    let row = place.manifest("o").remove(0);
    assert_eq!(row["key"], "top1");
    let first = row["target"].as_u64().unwrap();
    assert!(run("\ttop1", "").done().err.contains("1 kept"));
    let other = format!("\t{}", (first + 1) % 8);
    for key in ["\ttop2", &format!("\t{first}"), &other, "\tbee", "", "\t99", "\ttop0"] {
        let named = if key.is_empty() { "no target".to_owned() } else { format!("'{}'", key.trim()) };
        run(key, "").expect(1, &["a.png: ", "'top1'", &named, "--overwrite", "another --output"]);
    }
    assert_eq!(place.manifest("o"), std::slice::from_ref(&row));

    run("\t1", "--overwrite").done();
    assert_eq!((&place.manifest("o")[0]["key"], &place.manifest("o")[0]["target"]), (&"1".into(), &1.into()));
    // The same output by its name.
    assert!(run("\tbee", "").done().err.contains("1 kept"));
    for key in ["\ttop1", "\ttop2", "\tcat", "\tdodo", "\t2", ""] {
        run(key, "").expect(1, &["a.png: ", "'1'", key.trim(), "--overwrite"]);
    }
}

/// Explanations of different outputs do not end up under one row.
#[test]
fn an_overwritten_target_leaves_no_others_listed() {
    let place = Place::new();
    let run = |key: &str, methods: &str| {
        place.write("list.txt", format!("a.png\t{key}\n"));
        place
            .explain(&format!("@list.txt --target key --method {methods} --format npy -o o --overwrite"))
            .done();
        let row = place.manifest("o").remove(0);
        row["methods"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(run("1", "gradient,deconvnet"), ["deconvnet", "gradient"]);
    assert_eq!(run("1", "gradient"), ["deconvnet", "gradient"]);
    assert_eq!(run("2", "gradient"), ["gradient"]);
}

/// A PNG of any announced size whose pixels are missing.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = b"IHDR".to_vec();
    header.extend_from_slice(&width.to_be_bytes());
    header.extend_from_slice(&height.to_be_bytes());
    header.extend_from_slice(&[8, 2, 0, 0, 0]);
    bytes.extend_from_slice(&13u32.to_be_bytes());
    bytes.extend_from_slice(&header);
    let checksum = header.iter().fold(!0u32, |sum, &byte| {
        (0..8).fold(
            sum ^ u32::from(byte),
            |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 },
        )
    });
    bytes.extend_from_slice(&(!checksum).to_be_bytes());
    bytes.extend_from_slice(&[0, 0, 0, 0]);
    bytes.extend_from_slice(b"IDAT\x35\xaf\x06\x1e");
    bytes
}

#[test]
fn bad_images_are_named_and_good_ones_done() {
    let place = Place::new();
    place.write("zero.png", "");
    place.write("text.png", "this is no picture at all, whatever its name says");
    let whole = place.read("a.png");
    place.write("cut.png", &whole[..whole.len() / 2]);
    place.write("huge.png", png_header(30_000, 30_000));
    std::fs::create_dir(place.file("folder.png")).unwrap();
    let bad = ["missing.png", "zero.png", "text.png", "cut.png", "huge.png"];
    let ran = place
        .explain(&format!("missing.png zero.png a.png text.png cut.png huge.png b.png {METHOD} --json -o o"))
        .expect(3, &["no such file", "0 bytes", "30000×30000", "--max-pixels", "2 explained, 5 failed"]);
    let rows = place.manifest("o");
    assert_eq!(rows.len(), 7);
    for row in &rows {
        let input = row["input"].as_str().unwrap();
        assert_eq!(row["status"], if bad.contains(&input) { "failed" } else { "ok" }, "{row}");
        assert_eq!(row["error"].is_string(), bad.contains(&input), "{row}");
        assert!(!bad.contains(&input) || ran.err.contains(&format!("{input}: ")), "{input}: {}", ran.err);
        assert!(ran.rows().contains(row), "{row}");
    }
    assert_eq!(ran.rows().len(), 7);
    assert!(place.file("o/a.gradient.npy").exists() && place.file("o/b.gradient.npy").exists());
    assert_eq!(
        place.json("o/run.json")["counts"],
        serde_json::json!({"images": 7, "done": 2, "failed": 5, "kept": 0})
    );

    // The name comes once, also when it is part of the reason.
    place.write("1", "no picture");
    place.write("is", "");
    let ran = place.explain(&format!("1 is a.png {METHOD} -o named")).expect(3, &[]);
    for (name, reason) in [("1", "is not an image"), ("is", "is empty")] {
        let start = format!("error: {name}: {reason}");
        assert!(ran.err.lines().any(|line| line.starts_with(&start)), "{start}: {}", ran.err);
        let row = place.manifest("named").into_iter().find(|row| row["input"] == name).unwrap();
        assert!(row["error"].as_str().unwrap().starts_with(reason), "{row}");
    }

    // When nothing is left, the call has failed; --quiet or not, errors are told.
    let ran = place
        .explain(&format!("{} {METHOD} --quiet -o none", bad.join(" ")))
        .expect(1, &["every input failed"]);
    assert!(bad.iter().all(|name| ran.err.contains(name)), "{}", ran.err);
    // A limit of one's own, and a repaired file.
    place.explain(&format!("a.png {METHOD} --max-pixels 319 -o small")).expect(1, &["20×16", "319"]);
    place.write("cut.png", &whole);
    place.explain(&format!("cut.png zero.png {METHOD} -o o")).expect(3, &["1 explained, 1 failed"]);
    let row = place.manifest("o").into_iter().find(|row| row["input"] == "cut.png").unwrap();
    assert!(row["status"] == "ok" && row["error"].is_null(), "{row}");
}

#[cfg(unix)]
#[test]
fn an_unreadable_image_is_one_of_the_bad() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    std::fs::set_permissions(place.file("b.png"), std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(place.file("b.png")).is_ok() {
        eprintln!("not run here: this user may read everything");
        return;
    }
    place.explain(&format!("a.png b.png {METHOD} -o o")).expect(3, &["b.png", "permissions"]);
}

#[test]
fn inputs_smaller_than_the_pools_are_refused() {
    let place = Place::new();
    place
        .vggx("explain --weights net.safetensors --resize 14 --crop 3 a.png --method gradient")
        .expect(1, &["3×3", "4×4", "--crop"]);
    // A picture of one pixel is scaled up.
    image::RgbImage::new(1, 1).save(place.file("one.png")).unwrap();
    place.explain(&format!("one.png {METHOD}")).done();
}

/// `vggx explain .` writes below the folder it searches.
#[test]
fn outputs_are_not_inputs() {
    let place = Place::new();
    for _ in 0..2 {
        place.explain(". --method gradient").done();
        assert_eq!(place.manifest("explanations").len(), 2);
    }
}

/// Rows and errors come in the order of the inputs, whatever is loaded, computed and written meanwhile.
#[test]
fn results_come_in_the_order_of_the_inputs() {
    let place = Place::new();
    let mut expected = Vec::new();
    for number in 0..40 {
        let name = format!("in/{number:02}.png");
        place.picture(&name, number);
        if number % 3 == 1 || (20..28).contains(&number) {
            place.write(&name, "no picture");
        }
        expected.push(name);
    }
    for batch in [1, 2, 3, 100] {
        let ran = place.explain(&format!("in {METHOD} --batch {batch} --json -o o{batch}")).expect(3, &[]);
        let inputs = |rows: &[serde_json::Value]| -> Vec<String> {
            rows.iter().map(|row| row["input"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(inputs(&ran.rows()), expected);
        assert_eq!(ran.rows(), place.manifest(&format!("o{batch}")));
        let failed: Vec<&str> = ran.err.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
        let bad = ran.rows().into_iter().filter(|row| row["status"] == "failed");
        let bad: Vec<String> = inputs(&bad.collect::<Vec<_>>());
        assert_eq!((failed.len(), bad.len()), (19, 19));
        assert!(failed.iter().zip(&bad).all(|(line, name)| line.starts_with(name.as_str())), "{}", ran.err);
    }
}
