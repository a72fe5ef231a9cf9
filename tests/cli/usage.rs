//! Wrong calls, help and completions.

use crate::run::{Place, Ran};
use crate::support::Model;
use safetensors::Dtype;

#[test]
fn usage_errors_end_with_2_and_leave_nothing() {
    let place = Place::new();
    for (arguments, words) in [
        (
            "a.png --method foo",
            &["foo", "gradient", "pattern-attribution", "signal:linear", "attribution:random"][..],
        ),
        ("a.png --method=", &["method"]),
        ("a.png --crop 15", &["--crop 15", "--resize 14"]),
        ("a.png --crop 0", &["0"]),
        ("a.png --format bmp", &["bmp", "png", "safetensors"]),
        ("a.png --format none,png", &["none"]),
        ("a.png --gamma 0", &["positive"]),
        ("a.png --gamma nan", &["positive"]),
        ("a.png --mean 1,2", &["three numbers"]),
        ("a.png --std 0,1,1", &["zero"]),
        ("a.png --pixel-scale -1", &["positive"]),
        ("a.png --channel-order brg", &["rgb", "bgr"]),
        ("a.png --device gpu", &["cuda:N"]),
        ("a.png --device cuda:0,1,0", &["cuda:0,1,0", "cuda:0 is named twice"]),
        ("a.png --device cuda:0,cpu", &["cuda:0,cpu", "cuda:0,1"]),
        ("a.png --synthetic 5", &["--synthetic"]),
        ("--synthetic 5 --target key", &["--target key"]),
        ("a.png --layout folders", &["files", "shards"]),
        ("a.png --rows csv", &["jsonl", "parquet"]),
        ("a.png --store f64", &["f16", "u8"]),
        ("a.png --shard 4/4", &["shard 4 of 4", "3/4"]),
        ("a.png --precision f64", &["f16", "bf16"]),
        ("a.png --batch 0", &["--batch"]),
        ("a.png --threads 0", &["--threads"]),
        ("a.png --seed -1", &["-1"]),
        ("a.png --target top0", &["top0", "topN"]),
        ("a.png --max-pixels 0", &["--max-pixels"]),
        ("a.png --nonsense", &["--nonsense"]),
        (". --output .", &["output folder", "--output"]),
    ] {
        let arguments = match arguments.contains("--crop") {
            true => format!("explain --weights net.safetensors --resize 14 {arguments}"),
            false => format!("explain --weights net.safetensors {arguments}"),
        };
        let ran = place.vggx(&arguments).expect(2, words);
        assert!(ran.out.is_empty() && ran.err.contains("--help"), "{arguments}: {} {}", ran.out, ran.err);
    }
    assert!(!place.file("explanations").exists());
    place.vggx("").expect(2, &["Usage", "explain", "info", "completions"]);
    place.vggx("frobnicate").expect(2, &["frobnicate"]);
    place.vggx("completions tcsh").expect(2, &["zsh"]);
}

#[test]
fn help_and_version_of_all_fit_a_terminal() {
    let place = Place::new();
    for arguments in
        ["--help", "-h", "help", "explain --help", "info --help", "completions --help", "help explain"]
    {
        let output = place.command(arguments.split(' ')).env("COLUMNS", "80").output().unwrap();
        let ran = crate::run::Ran::from(&output).done();
        assert!(ran.out.contains("Usage: vggx"), "{}", ran.out);
        for line in ran.out.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
    assert_eq!(place.vggx("--version").done().out, format!("vggx {}\n", env!("CARGO_PKG_VERSION")));
    let help = place.vggx("--help").done().out;
    assert!(help.contains("Exit codes"), "{help}");
    let help = place.vggx("explain --help").done().out;
    assert!(help.contains("[default: patternnet,pattern-attribution]"), "{help}");
}

#[test]
fn completions_know_the_options() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = place.vggx(&format!("completions {shell}")).done().out;
        for word in ["vggx", "explain", "max-pixels", "channel-order"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn what_cannot_run_ends_with_1() {
    let place = Place::new();
    for (arguments, words) in [
        ("a.png --device cuda", &["cuda", "--device cpu"][..]),
        ("a.png --precision f16", &["f16", "f32"]),
        ("a.png --precision bf16 --device cpu", &["bf16", "f32"]),
        ("a.png --precision f8 --device cpu", &["f8", "f32"]),
        ("a.png --target 8", &["target 8", "8 outputs", "0 to 7"]),
        ("a.png --target top9", &["top9", "8 outputs"]),
        ("a.png --target bee", &["bee", "--labels"]),
        ("a.png --labels missing.txt", &["labels missing.txt", "one name a line"]),
        ("@missing.txt", &["missing.txt", "check the path"]),
        ("shards.tar", &["shards.tar", "no such file"]),
        ("s-{0..99999999}.tar", &["s-{0..99999999}.tar", "ten million"]),
        ("a.png --method patternnet", &["patternnet", "--patterns", "gradient"]),
    ] {
        let method = if arguments.contains("--method") { "" } else { "--method gradient" };
        place.explain(&format!("{arguments} {method}")).expect(1, words);
    }
    // Without an input there must be samples/; here there is none.
    place.explain("").expect(1, &["samples/", "name images"]);
    std::fs::create_dir(place.file("empty")).unwrap();
    place.explain("empty").expect(1, &["no images found in empty"]);
    place.write("labels.txt", "one\ntwo\n");
    place
        .explain("a.png --method gradient --labels labels.txt")
        .expect(1, &["labels.txt have 2", "8 outputs"]);
    place.write("labels.txt", "ant\nbee\ncrane\ndog\neel\nfox\ncrane\nhen\n");
    let crane = "a.png --method gradient --labels labels.txt --target crane -o crane";
    place.explain(crane).expect(1, &["'crane'", "outputs 2 and 6", "index"]);
}

#[test]
fn a_thousand_classes_have_the_names_of_imagenet() {
    let place = Place::new();
    Model::vgg(&[vec![4], vec![5]], 2, &[6, 1000], 3).save(place.path(), "net.safetensors", Dtype::F32);
    let call = ["explain", "a.png", "--weights", "net.safetensors", "--resize", "14", "--crop", "12"];
    let target = |target: &str, more: &[&str]| {
        let options = ["--method", "gradient", "--format", "none", "--json", "--target", target];
        Ran::from(&place.command(call.iter().chain(&options).chain(more)).output().unwrap())
    };
    let explained = |name: &str| {
        let row = target(name, &[]).done().rows().remove(0);
        (row["target"].as_u64().unwrap(), row["label"].as_str().unwrap().to_owned())
    };
    assert_eq!(explained("golden retriever"), (207, "golden retriever".to_owned()));
    assert_eq!(explained("crane bird"), (134, "crane bird, crane".to_owned()));
    assert_eq!(explained("projectile"), (744, "projectile, missile".to_owned()));
    assert_eq!(explained("999"), (999, "toilet tissue".to_owned()));
    for (name, indices) in [("crane", "134 and 517"), ("maillot", "638 and 639"), ("missile", "657 and 744")]
    {
        target(name, &[]).expect(1, &[name, indices, "index"]);
    }
    target("retriever", &[]).expect(1, &["'retriever'", "index"]);
    // Names that are given stand alone.
    let names: Vec<String> = (0..1000).map(|class| format!("class {class}")).collect();
    place.write("labels.txt", names.join("\n"));
    let row = target("class 207", &["--labels", "labels.txt"]).done().rows().remove(0);
    assert_eq!((&row["target"], &row["label"]), (&207.into(), &"class 207".into()));
    target("golden retriever", &["--labels", "labels.txt"]).expect(1, &["'golden retriever'"]);
}

#[test]
fn an_output_folder_that_cannot_be_one_is_refused_before_any_work() {
    let place = Place::new();
    place.write("file", "in the way");
    // The weights do not even exist: the folder is looked at first.
    let missing = "explain a.png --weights missing.safetensors --output";
    place.vggx(&format!("{missing} file")).expect(1, &["output folder file", "choose another"]);
    place.vggx(&format!("{missing} file/below")).expect(1, &["output folder file/below"]);
    place.vggx(&format!("{missing} /proc/nothing")).expect(1, &["output folder /proc/nothing"]);
    assert_eq!(place.read("file"), b"in the way");
}
