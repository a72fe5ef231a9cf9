//! `--device cuda`, and what `auto` makes of machines where it cannot be used. The kernels run on the CPU behind the
//! driver's API (`tests/host_driver`), which also fails as it is told to; a build without kernels is told so.

use crate::host_driver;
use crate::run::{Place, Ran, VGGX};
use npyz::NpyFile;
use serde_json::Value;
use std::process::Command;

/// As `run::TINY`, with one method.
const TINY: &str = "explain --weights net.safetensors --resize 14 --crop 12";
const ALL: &str = "--method gradient,deconvnet,guided-backprop,patternnet,pattern-attribution --patterns patterns.safetensors";

/// Whether this build has kernels; said when not.
fn compiled() -> bool {
    let output = Command::new(VGGX).args(["info", "--json"]).output().unwrap();
    let compiled = Ran::from(&output).done().rows()[0]["cuda"]["architectures"] != serde_json::json!([]);
    if !compiled {
        eprintln!("not run: this build has no CUDA kernels");
    }
    compiled
}

/// Whether the pretended driver can be told to fail, which a real one cannot.
fn pretended() -> bool {
    compiled() && !host_driver::on_device()
}

/// Five pictures in `in/` and the tiny network.
fn place() -> Place {
    let place = Place::new();
    for seed in 0..5 {
        place.picture(format!("in/{seed}.png"), seed);
    }
    place
}

/// Runs the command with the pretended driver, which gets these variables.
fn with_driver(place: &Place, arguments: &str, variables: &[(&str, &str)]) -> Ran {
    let mut command = place.command(arguments.split_whitespace());
    command.env_remove("CUDA_VISIBLE_DEVICES").envs(variables.iter().copied());
    Ran::from(&host_driver::with_driver(&mut command).output().unwrap())
}

fn explain(place: &Place, arguments: &str, variables: &[(&str, &str)]) -> Ran {
    with_driver(place, &format!("{TINY} {arguments}"), variables)
}

fn array(place: &Place, file: &str) -> Vec<f64> {
    let values: Vec<f32> = NpyFile::new(&place.read(file)[..]).unwrap().into_vec().unwrap();
    values.into_iter().map(f64::from).collect()
}

/// 1 − cos of two arrays.
fn difference(a: &[f64], b: &[f64]) -> f64 {
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    assert!(product(a, a) > 0.0 && product(b, b) > 0.0 && a.len() == b.len());
    1.0 - product(a, b) / (product(a, a) * product(b, b)).sqrt()
}

/// All files of two folders but `run.json` have the same bytes.
#[track_caller]
fn assert_same(place: &Place, one: &str, other: &str) {
    assert_eq!(place.files(one), place.files(other));
    assert!(place.files(one).len() > 3);
    for file in place.files(one).iter().filter(|file| *file != "run.json") {
        assert!(
            place.read(&format!("{one}/{file}")) == place.read(&format!("{other}/{file}")),
            "{other}/{file}"
        );
    }
}

#[test]
fn it_agrees_with_the_cpu() {
    if !compiled() {
        return;
    }
    let place = place();
    place.explain(&format!("in {ALL} --device cpu --format npy,png --target 3 -o cpu")).done();
    // Measured on these inputs: 1.8e-14, 1.0e-6 and 5.4e-5, without a mask bit that differs. Rounding to 24, 11 and 8 bits at
    // each of 5 layers, forward and back, gives about 10 · 2^(-2 · bits).
    for (precision, bound) in [("f32", 1e-12), ("f16", 1e-5), ("bf16", 1e-3)] {
        let call = format!(
            "in {ALL} --device cuda --precision {precision} --format npy,png --target 3 -o {precision}"
        );
        explain(&place, &call, &[]).done();
        assert_eq!(place.files("cpu"), place.files(precision));
        let mut largest = 0f64;
        for file in place.files("cpu").iter().filter(|file| file.ends_with(".npy")) {
            let [ours, cpu] = [precision, "cpu"].map(|folder| array(&place, &format!("{folder}/{file}")));
            largest = largest.max(difference(&ours, &cpu));
        }
        println!("{precision}: 1 - cos {largest:.1e}");
        assert!(largest < bound, "{precision}: {largest:e}");
        let record = place.json(&format!("{precision}/run.json"));
        assert_eq!(
            (&record["options"]["device"], &record["options"]["precision"]),
            (&"cuda:0".into(), &precision.into())
        );
        assert!(record["device"].as_str().unwrap().starts_with("cuda:0, "), "{record}");
        for (ours, cpu) in place.manifest(precision).iter().zip(place.manifest("cpu")) {
            assert_eq!((&ours["input"], &ours["target"]), (&cpu["input"], &cpu["target"]));
            let [ours, cpu] = [ours, &cpu].map(|row| row["probability"].as_f64().unwrap());
            assert!((ours - cpu).abs() < bound.sqrt() * cpu, "{ours} {cpu}");
        }
    }
}

#[test]
fn neither_batches_nor_the_order_of_the_device_change_a_byte() {
    if !compiled() {
        return;
    }
    let place = place();
    let call = |folder: &str| format!("in {ALL} --device cuda --format npy,png -o {folder}");
    let first = explain(&place, &format!("{} --json", call("whole")), &[]).done();
    assert_eq!(first.rows(), place.manifest("whole"));
    for (folder, options, order) in [
        ("one", "--batch 1", "reverse"),
        ("two", "--batch 2", "shuffle:7"),
        ("three", "--batch 3 --threads 1", "forward"),
    ] {
        let ran =
            explain(&place, &format!("{} --json {options}", call(folder)), &[("VGGX_HOST_ORDER", order)])
                .done();
        assert_eq!(ran.rows(), first.rows());
        assert_same(&place, "whole", folder);
    }
}

#[test]
fn several_devices_make_what_one_makes() {
    if !pretended() {
        return;
    }
    let place = place();
    let devices = [("VGGX_HOST_DEVICES", "3")];
    let call = |folder: &str| format!("in {ALL} --format npy,png -o {folder}");
    explain(&place, &format!("{} --device cuda:0", call("one")), &devices).done();
    for (folder, options) in
        [("two", "--device cuda:1,0 --batch 1"), ("three", "--device cuda:0,1,2 --batch 2")]
    {
        let ran = explain(&place, &format!("{} --json {options}", call(folder)), &devices).done();
        assert_eq!(ran.rows(), place.manifest("one"));
        assert_same(&place, "one", folder);
        let record = place.json(&format!("{folder}/run.json"));
        let named = options.split(' ').nth(1).unwrap();
        assert_eq!(record["options"]["device"], named);
        assert_eq!(
            record["device"].as_str().unwrap().matches("host execution").count(),
            named.split(',').count()
        );
        assert!(record["pipeline"]["batches_in_flight"].as_u64().unwrap() >= 2);
    }
    // Shards of noise, whatever the devices.
    let call = "--synthetic 23 --shard-size 5 --method gradient --format npy --batch 2";
    explain(&place, &format!("{call} --device cuda:0 -o shards-one"), &devices).done();
    explain(&place, &format!("{call} --device cuda:2,1,0 -o shards-three"), &devices).done();
    for shard in 0..5 {
        let file = |folder: &str| place.read(&format!("{folder}/synthetic-{shard:05}.tar"));
        assert!(file("shards-one") == file("shards-three"), "{shard}");
    }
    explain(&place, &format!("{call} --device cuda:0,3 -o o"), &devices).expect(1, &["cuda:3"]);
    with_driver(&place, "learn in --weights net.safetensors --device cuda:0,1 -o p", &devices)
        .expect(2, &["one device", "--shard"]);
}

#[test]
fn the_precision_is_part_of_what_a_folder_holds() {
    if !compiled() {
        return;
    }
    let place = place();
    explain(&place, "in --method gradient --device cuda -o o", &[]).done();
    let kept = explain(&place, "in --method gradient --precision f16 -o o", &[]).done();
    assert!(kept.err.contains("5 kept"), "{}", kept.err);
    for other in ["--device cpu", "--precision f32", "--precision bf16"] {
        let words = ["precision", "\"f16\"", "--overwrite"];
        explain(&place, &format!("in --method gradient {other} -o o"), &[]).expect(1, &words);
    }
}

#[test]
fn what_cannot_be_used_is_told_and_auto_takes_the_cpu() {
    if !pretended() {
        return;
    }
    let place = place();
    let call = "a.png --method gradient --format npy --overwrite";
    place.explain(&format!("{call} --device cpu -o cpu")).done();
    for (variables, long, short) in [
        (
            &[("VGGX_HOST_DEVICES", "0")][..],
            &["no device", "nvidia-smi", "--device cpu"][..],
            "finds no device",
        ),
        (
            &[("VGGX_HOST_FAIL", "cuInit=803")],
            &["too old", "update the driver", "--device cpu"],
            "driver too old: it supports CUDA 13.0",
        ),
        (
            &[("VGGX_HOST_CAPABILITY", "7.5"), ("VGGX_HOST_DRIVER_VERSION", "12020")],
            &["too old", "12.2", "13.0", "update the driver"],
            "driver too old: it supports CUDA 12.2, this build needs 13.0",
        ),
        (
            &[("VGGX_HOST_CAPABILITY", "7.5"), ("VGGX_HOST_DEVICES", "2")],
            &["capability 7.5", "sm_", "--device cpu"],
            "no code for compute capability 7.5, compiled: sm_",
        ),
        (
            &[("VGGX_HOST_FAIL", "cuDevicePrimaryCtxRetain=999")],
            &["cuDevicePrimaryCtxRetain"],
            "cuDevicePrimaryCtxRetain",
        ),
    ] {
        explain(&place, &format!("{call} --device cuda -o o"), variables)
            .expect(1, long)
            .expect(1, &["--device cuda:0: "]);
        assert!(!place.file("o/run.json").exists());

        let ran = explain(&place, &format!("{call} -o auto"), variables).done();
        let lines: Vec<&str> =
            ran.err.lines().filter(|line| line.starts_with("computing on the CPU: ")).collect();
        assert!(lines.len() == 1 && lines[0].contains(short), "{}", ran.err);
        assert_same_but_record(&place, "cpu", "auto");
        assert_eq!(place.json("auto/run.json")["options"]["device"], "cpu");
        assert_eq!(explain(&place, &format!("{call} -o auto --quiet"), variables).done().err, "");

        for precision in ["f16", "bf16"] {
            let words = [&format!("--precision {precision}"), short, "--precision f32"];
            explain(&place, &format!("{call} --precision {precision} -o o"), variables).expect(1, &words);
        }
    }
    // A device that the kernels run on may be too old for float8.
    for device in ["cuda", "auto"] {
        let old = explain(
            &place,
            &format!("{call} --device {device} --precision f8 -o o"),
            &[("VGGX_HOST_CAPABILITY", "8.6")],
        );
        old.expect(1, &["precision f8", "compute capability 9.0", "8.6", "f16"]);
    }
    explain(&place, &format!("{call} --device cuda:3 -o o"), &[("VGGX_HOST_DEVICES", "2")])
        .expect(1, &["--device cuda:3", "no CUDA device 3", "has 2"]);
    // The second device of two is one of its own.
    explain(&place, &format!("{call} --device cuda:1 -o second"), &[("VGGX_HOST_DEVICES", "2")]).done();
    assert_eq!(place.json("second/run.json")["options"]["device"], "cuda:1");
    // The CPU does not ask the driver.
    explain(&place, &format!("{call} --device cpu -o o"), &[("VGGX_HOST_FAIL", "cuInit=999")]).done();
}

/// As [`assert_same`], for folders of one image.
#[track_caller]
fn assert_same_but_record(place: &Place, one: &str, other: &str) {
    assert_eq!(place.files(one), ["a.gradient.npy", "manifest.jsonl", "run.json"]);
    for file in &place.files(one)[..2] {
        assert!(
            place.read(&format!("{one}/{file}")) == place.read(&format!("{other}/{file}")),
            "{other}/{file}"
        );
    }
}

#[test]
fn without_a_driver_auto_takes_the_cpu() {
    let place = place();
    let reason = place.vggx("info --json").done().rows()[0]["cuda"]["reason"].clone();
    if reason != "no NVIDIA driver" {
        eprintln!("not run: this machine has an NVIDIA driver ({reason})");
        return;
    }
    let call = "a.png --method gradient --format npy";
    let (short, long) = match compiled() {
        true => ("no NVIDIA driver", ["no NVIDIA driver", "install the driver", "--device cpu"]),
        false => {
            ("this build has no CUDA kernels", ["no CUDA kernels", "scripts/install-nvcc", "--device cpu"])
        }
    };
    let auto = |arguments: &str| place.vggx(&format!("{TINY} {call} {arguments}"));
    auto("--device cuda -o o").expect(1, &long);
    auto("--precision f16 -o o").expect(1, &["--precision f16", short, "--precision f32"]);
    let ran = auto("-o o").done();
    assert_eq!(ran.err.lines().filter(|line| line.contains(short)).count(), 1, "{}", ran.err);
    assert_eq!(auto("-o o --overwrite --quiet").done().err, "");
    assert!(!auto("-o o --overwrite --device cpu").done().err.contains("CUDA"));
}

/// Whichever allocation fails: either the weights and operators do not fit, which ends the run, or a batch does not,
/// which makes it smaller; results never change.
#[test]
fn short_memory_makes_batches_smaller() {
    if !pretended() {
        return;
    }
    let place = place();
    let call =
        |folder: &str| format!("in {ALL} --device cuda --batch 5 --format npy --overwrite -o {folder}");
    assert!(!explain(&place, &call("whole"), &[]).done().err.contains("memory"));
    let (mut ended, mut smaller) = (0, 0);
    for allocation in 1.. {
        let fail = format!("cuMemAlloc_v2@{allocation}=2");
        let ran = explain(&place, &call("o"), &[("VGGX_HOST_FAIL", &fail)]);
        if ran.code == 1 {
            ran.expect(1, &["out of memory"]);
            ended += 1;
            continue;
        }
        let notices = ran.err.lines().filter(|line| line.contains("too little memory for 5 images")).count();
        assert!(ran.code == 0 && notices <= 1, "{fail}: {}", ran.err);
        assert_same(&place, "whole", "o");
        smaller += notices;
        if notices == 0 {
            break;
        }
    }
    assert!(ended >= 5 && smaller >= 1, "{ended} {smaller}");

    // A device that grows: too small for the network, then for the batch, then large enough.
    let (mut ended, mut smaller) = (0, 0);
    let mut memory = 256_u64 << 10;
    loop {
        let ran = explain(&place, &call("o"), &[("VGGX_HOST_MEMORY", &memory.to_string())]);
        if ran.code == 0 {
            assert_same(&place, "whole", "o");
            if !ran.err.contains("too little memory") {
                break;
            }
            smaller += 1;
        } else {
            ran.expect(1, &["memory"]);
            assert_eq!(smaller, 0, "{memory} bytes are too little, and fewer were not");
            ended += 1;
        }
        memory += memory / 12;
    }
    println!("up to {memory} bytes: {ended} too small, {smaller} with smaller batches");
    assert!(ended >= 1 && smaller >= 1, "{ended} {smaller}");
}

#[test]
fn a_failing_kernel_is_named_and_the_run_goes_on() {
    if !pretended() {
        return;
    }
    let place = place();
    let call =
        |folder: &str| format!("in --method gradient --device cuda --batch 1 --format npy -o {folder}");
    explain(&place, &call("whole"), &[]).done();
    for (folder, graphs, words) in [
        ("apart", "1", &["a CUDA kernel failed, start_f16 (1 images", "please report"][..]),
        ("together", "0", &["a CUDA kernel failed, ", "start_f16"]),
    ] {
        let variables = [("VGGX_HOST_FAIL", "start_f16@3=700"), ("VGGX_NO_GRAPHS", graphs)];
        let ran = explain(&place, &call(folder), &variables).expect(1, words).expect(1, &["goes on"]);
        let done = place.manifest(folder).len();
        assert!(done < 5 && ran.out.lines().count() == done, "{}", ran.out);
        assert!(!place.file(format!("{folder}/run.json")).exists());
        let again = explain(&place, &call(folder), &[]).done();
        assert!(
            done == 0 || again.err.contains(&format!("{} explained, {done} kept", 5 - done)),
            "{}",
            again.err
        );
        assert_same(&place, "whole", folder);
    }
}

#[test]
fn a_lost_device_ends_the_run_and_it_goes_on() {
    if !pretended() {
        return;
    }
    let place = place();
    let call = "in --method gradient --device cuda --batch 1 --format npy -o";
    explain(&place, &format!("{call} whole"), &[]).done();
    let (mut ended, mut kept) = (0, 0);
    for wait in (1..).step_by(5) {
        let folder = format!("o{wait}");
        let fail = format!("cuStreamSynchronize@{wait}=46");
        let ran = explain(&place, &format!("{call} {folder}"), &[("VGGX_HOST_FAIL", &fail)]);
        if ran.code == 0 {
            break;
        }
        ran.expect(1, &["the CUDA device was lost", "dmesg"]);
        ended += 1;
        kept += explain(&place, &format!("{call} {folder}"), &[]).done().err.contains("kept") as usize;
        assert_same(&place, "whole", &folder);
    }
    // Also between images, where the first are done.
    assert!(ended >= 3 && kept >= 1, "{ended} {kept}");
}

#[test]
fn the_build_and_the_devices_in_text_and_json() {
    if !pretended() {
        return;
    }
    let place = Place::new();
    let two = [("VGGX_HOST_DEVICES", "2"), ("VGGX_HOST_CAPABILITY", "8.6")];
    let text = with_driver(&place, "info", &two).done().out;
    for word in [
        "compiled for sm_",
        "cuda:0",
        "cuda:1",
        "compute capability 8.6",
        "8.0 GiB",
        "mma.sync f16/bf16, FMA f32",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let cuda = with_driver(&place, "info --json", &two).done().rows()[0]["cuda"].clone();
    assert_eq!((cuda["devices"].as_array().unwrap().len(), &cuda["reason"]), (2, &Value::Null));
    let second = &cuda["devices"][1];
    assert_eq!((&second["device"], &second["compute_capability"]), (&"cuda:1".into(), &"8.6".into()));
    assert_eq!((&second["memory"], &second["driver"]), (&(8_u64 << 30).into(), &"13.0".into()));
    assert_eq!((&second["path"], &second["reason"]), (&"mma.sync f16/bf16, FMA f32".into(), &Value::Null));

    let path = |variables: &[(&str, &str)]| {
        with_driver(&place, "info --json", variables).done().rows()[0]["cuda"]["devices"][0]["path"].clone()
    };
    assert_eq!(path(&[]), "wgmma f16/bf16/f8, FMA f32");
    assert_eq!(path(&[("VGGX_PORTABLE_KERNELS", "1")]), "mma.sync f16/bf16, FMA f32");

    let text = with_driver(&place, "info", &[("VGGX_HOST_CAPABILITY", "7.5")]).done().out;
    assert!(text.contains("cannot be used: no code for compute capability 7.5"), "{text}");
    let text = with_driver(&place, "info", &[("VGGX_HOST_DEVICES", "0")]).done().out;
    assert!(text.contains("no devices: the NVIDIA driver finds no device"), "{text}");
    let text = with_driver(&place, "info", &[("VGGX_HOST_FAIL", "cuInit=803")]).done().out;
    assert!(text.contains("no devices: driver too old"), "{text}");
}

#[test]
fn patches_are_flipped_as_on_the_cpu() {
    if !compiled() {
        return;
    }
    let place = place();
    let call = "perturb in --weights net.safetensors --resize 14 --crop 12 --patch 5 -m gradient --steps 3 --batch 4 --mode deletion";
    place.vggx(&format!("{call} --device cpu -o cpu.json")).done();
    with_driver(&place, &format!("{call} --device cuda --precision f32 -o cuda.json"), &[]).done();
    let (cpu, cuda) = (place.json("cpu.json"), place.json("cuda.json"));
    let images = cpu["images"].as_object().unwrap();
    assert_eq!(images.len(), 5);
    for curve in ["gradient", "random"] {
        for image in images.keys() {
            let values = |document: &Value| -> Vec<f64> {
                let values = document["methods"][curve]["images"][image].as_array().unwrap().iter();
                values.map(|value| value.as_f64().unwrap()).collect()
            };
            // As of responses, 1e-5 of the largest.
            for (one, other) in values(&cpu).iter().zip(values(&cuda)) {
                assert!((one - other).abs() < 1e-5, "{curve}, {image}: {one} and {other}");
            }
        }
    }
    with_driver(
        &place,
        "randomise a.png --weights net.safetensors --resize 14 --crop 12 -m gradient --device cuda",
        &[],
    )
    .done();
    assert_eq!(place.json("randomise.json")["run"]["device"], "cuda:0");
}
