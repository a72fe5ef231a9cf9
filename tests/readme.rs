//! The README tells the truth: its commands run, from top to bottom as a reader would, its links lead somewhere, and no
//! option is left out.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const README: &str = include_str!("../README.md");

/// Lines that this test cannot run, with what they need instead; each must be in the README as it is here.
const NOT_RUN: [(&str, &str); 10] = [
    // This very test is a part of it.
    ("scripts/test", "scripts/test"),
    // They compile.
    ("cargo install --path .", "Cargo.toml"),
    ("cargo build --release", "Cargo.toml"),
    ("cargo build --release --example time_forward", "examples/time_forward.rs"),
    // scripts/test-lib runs them.
    ("scripts/install-lib ~/.local", "scripts/install-lib"),
    (
        "cmake -B build -D CMAKE_PREFIX_PATH=\"$HOME/.local\" && cmake --build build && build/see samples/cat.jpg",
        "scripts/test-lib",
    ),
    (
        "c++ -std=c++17 see.cpp $(PKG_CONFIG_PATH=~/.local/lib/pkgconfig pkg-config --cflags --libs vggx) -o see",
        "scripts/test-lib",
    ),
    // They install and need Python packages.
    ("scripts/install-nvcc", "scripts/install-nvcc"),
    (
        "python3 -m venv venv && venv/bin/pip install -r benches/peers/requirements.txt",
        "benches/peers/requirements.txt",
    ),
    (
        "venv/bin/python benches/peers/onnxruntime_forward.py weights/vgg16-features.safetensors --threads 2",
        "benches/peers/onnxruntime_forward.py",
    ),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The contents of fenced blocks in one language.
fn blocks(language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<(bool, String)> = None;
    for line in README.lines() {
        match (&mut block, line.strip_prefix("```")) {
            (None, Some(info)) => block = Some((info == language, String::new())),
            (None, None) => {}
            (Some((wanted, text)), Some("")) => {
                if *wanted {
                    blocks.push(std::mem::take(text));
                }
                block = None;
            }
            (Some((_, text)), _) => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    assert!(block.is_none(), "the README's last block is not closed");
    blocks
}

/// Every command of the README, a line each.
fn commands() -> Vec<String> {
    blocks("sh").iter().flat_map(|block| block.lines()).map(str::to_owned).collect()
}

/// A folder with what the commands expect in a clone, and `vggx` in the PATH.
struct Clone {
    folder: tempfile::TempDir,
    path: OsString,
}

impl Clone {
    /// `None` without the bundled weights, which the packed crate lacks.
    fn new() -> Option<Self> {
        for file in [vggx::weights::bundled::WEIGHTS, vggx::weights::bundled::PATTERNS] {
            let path = root().join("weights").join(file);
            if !path.is_file() {
                assert_ne!(
                    env::var("VGGX_REQUIRE_SHARED").as_deref(),
                    Ok("1"),
                    "{} is missing",
                    path.display()
                );
                println!("skipped: {} is missing", path.display());
                return None;
            }
        }
        let folder = tempfile::tempdir().unwrap();
        symlink(root().join("weights"), folder.path().join("weights")).unwrap();
        // Copied, since `find` does not follow links.
        let samples = folder.path().join("samples");
        fs::create_dir(&samples).unwrap();
        for photo in fs::read_dir(root().join("samples")).unwrap() {
            let photo = photo.unwrap();
            fs::copy(photo.path(), samples.join(photo.file_name())).unwrap();
        }
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        symlink(env!("CARGO_BIN_EXE_vggx"), bin.join("vggx")).unwrap();
        let rest = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([bin].into_iter().chain(env::split_paths(&rest))).unwrap();
        Some(Self { folder, path })
    }

    fn run(&self, command: &str) -> Output {
        let command = command.replace("cargo run --release --", "vggx");
        let output = Command::new("sh")
            .args(["-euc", &command])
            .current_dir(self.folder.path())
            .env("PATH", &self.path)
            .env_remove("VGGX_DATA")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{command}\nended with {}:\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[test]
fn every_command_runs() {
    let Some(clone) = Clone::new() else { return };
    let commands = commands();
    for (line, needs) in NOT_RUN {
        assert!(commands.iter().any(|command| command == line), "the README no longer has '{line}'");
        assert!(root().join(needs).exists(), "'{line}' needs {needs}");
    }
    assert_eq!(commands[0], "cargo run --release -- explain samples");
    assert_eq!(commands[1], "scripts/test");
    let mut ran = 0;
    for command in commands.iter().filter(|command| NOT_RUN.iter().all(|(line, _)| line != command)) {
        let output = clone.run(command);
        // One object a line is a promise to scripts.
        if command.contains("--json") {
            for line in String::from_utf8(output.stdout).unwrap().lines() {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                assert!(value.is_object(), "{command}: {line}");
            }
        }
        ran += 1;
    }
    assert!(ran >= 15, "only {ran} commands ran");

    // What the text around the commands says they leave.
    let photos = fs::read_dir(root().join("samples")).unwrap();
    for photo in
        photos.map(|entry| entry.unwrap().path()).filter(|path| path.extension() == Some("jpg".as_ref()))
    {
        for method in ["patternnet", "pattern-attribution"] {
            let name = format!("explanations/{}.{method}.png", photo.file_stem().unwrap().to_str().unwrap());
            assert!(clone.file(&name).is_file(), "{name} is missing");
        }
    }
    for name in [
        "methods/cat.signal-filter.png",
        "arrays/cat.gradient.npy",
        "arrays/cat.npz",
        "arrays/cat.safetensors",
        "listed/seeding.patternnet.png",
        "figure.png",
        "page.html",
        "centerings.svg",
        "curves.html",
        "timing/run.json",
    ] {
        assert!(clone.file(name).is_file(), "{name} is missing");
    }
    assert!(!clone.file("timing/cat.patternnet.png").exists());
}

#[test]
fn shell_commands_are_marked_as_such() {
    for language in ["bash", "shell", "console", "", "text"] {
        assert_eq!(blocks(language), Vec::<String>::new(), "mark commands as ```sh, so that they are tested");
    }
}

#[test]
fn links_lead_somewhere() {
    for (page, at_least) in [
        ("README.md", 5),
        ("CONTRIBUTING.md", 1),
        ("docs/clusters.md", 5),
        ("docs/large_sets.md", 1),
        ("docs/figures-compare.md", 6),
        ("samples/README.md", 0),
        ("weights/README.md", 1),
    ] {
        let page = root().join(page);
        let text = fs::read_to_string(&page).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let mut links = 0;
        for target in targets.filter(|target| !target.contains("://")) {
            let place = page.with_file_name(target);
            assert!(place.exists(), "{} links to {target}, which is not there", page.display());
            links += 1;
        }
        assert!(links >= at_least, "{}: only {links} links were found", page.display());
    }
}

#[test]
fn every_option_is_explained() {
    let help: String = ["explain", "compare", "learn", "solve", "perturb", "randomise", "bench"]
        .map(|command| {
            let help = Command::new(env!("CARGO_BIN_EXE_vggx")).args([command, "--help"]).output().unwrap();
            String::from_utf8(help.stdout).unwrap()
        })
        .concat();
    let options: BTreeSet<&str> = help
        .lines()
        .filter_map(|line| line.trim_start().split_once("--").filter(|(before, _)| before.len() <= 4))
        .map(|(_, rest)| rest.split([' ', ',']).next().unwrap_or_default())
        .filter(|option| !option.is_empty() && *option != "help")
        .collect();
    assert!(options.contains("method") && options.contains("quiet"), "{options:?}");
    let explained = |option: &str| {
        README.match_indices(&format!("--{option}")).any(|(start, found)| {
            let after = README[start + found.len()..].chars().next();
            after.is_none_or(|letter| !letter.is_ascii_alphanumeric() && letter != '-')
        })
    };
    let missing: Vec<&str> = options.into_iter().filter(|option| !explained(option)).collect();
    assert!(missing.is_empty(), "the README does not explain {missing:?}");
}

#[test]
fn every_method_is_in_the_table() {
    for method in vggx::explain::Method::all() {
        assert!(README.contains(&format!("`{method}`")), "the README does not explain {method}");
    }
}
