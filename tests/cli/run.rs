//! A folder with a tiny network and pictures, and calls of the command in it.

use crate::support::{Model, Random};
use safetensors::Dtype;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

pub const VGGX: &str = env!("CARGO_BIN_EXE_vggx");

/// What a call left.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Checks what is true of every call: it ends by itself, and never with a panic.
    pub fn from(output: &Output) -> Self {
        let out = String::from_utf8(output.stdout.clone()).expect("text on standard output");
        let err = String::from_utf8(output.stderr.clone()).expect("text on standard error");
        for bad in ["panicked", "RUST_BACKTRACE", "unwrap", "src/"] {
            assert!(!err.contains(bad), "{err}");
        }
        let code = output.status.code().unwrap_or_else(|| panic!("killed: {} {err}", output.status));
        Ran { code, out, err }
    }

    /// The call ended with this code, and its message holds all of these words.
    #[track_caller]
    pub fn expect(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in: {}", self.err);
        }
        self
    }

    #[track_caller]
    pub fn done(self) -> Self {
        self.expect(0, &[])
    }

    /// The rows that `--json` printed.
    pub fn rows(&self) -> Vec<Value> {
        lines(&self.out)
    }
}

/// JSON lines.
pub fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// A working folder: `net.safetensors` with classifier, `patterns.safetensors` of it, and pictures `a.png`, `b.png`.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        let place = Place(tempfile::tempdir().expect("a temporary folder"));
        let model = Model::tiny_classifier(1);
        model.save(place.path(), "net.safetensors", Dtype::F32);
        model.patterns(&["positive"]).save(place.path(), "patterns.safetensors", Dtype::F32);
        place.picture("a.png", 1);
        place.picture("b.png", 2);
        place
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a 20×16 picture of noise, folders included.
    pub fn picture(&self, name: impl AsRef<Path>, seed: u64) {
        let mut random = Random(seed);
        let picture = image::RgbImage::from_fn(20, 16, |_, _| {
            image::Rgb(std::array::from_fn(|_| ((random.next() + 1.0) * 127.0) as u8))
        });
        let path = self.file(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        picture.save_with_format(path, image::ImageFormat::Png).unwrap();
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.file(name), bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.read(name)).expect(name)
    }

    pub fn manifest(&self, folder: &str) -> Vec<Value> {
        lines(&String::from_utf8(self.read(&format!("{folder}/manifest.jsonl"))).unwrap())
    }

    /// Names of all files below a folder, in order, but for those that begin with a dot.
    pub fn files(&self, folder: &str) -> Vec<String> {
        let (root, mut files) = (self.file(folder), Vec::new());
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.file_name().unwrap().to_string_lossy().starts_with('.') {
                    files.push(path.strip_prefix(&root).unwrap().to_string_lossy().into_owned());
                }
            }
        }
        files.sort();
        files
    }

    /// The command with these arguments in this folder.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(VGGX);
        command.args(arguments).current_dir(self.path()).env_remove("VGGX_DATA").stdin(Stdio::null());
        // What `auto` means must not depend on the machine.
        command.env("CUDA_VISIBLE_DEVICES", "-1");
        command
    }

    /// Runs the command with arguments parted by spaces.
    pub fn vggx(&self, arguments: &str) -> Ran {
        Ran::from(&self.command(arguments.split_whitespace()).output().unwrap())
    }

    /// `explain` with the tiny network.
    pub fn explain(&self, arguments: &str) -> Ran {
        self.vggx(&format!("{TINY} {arguments}"))
    }
}

/// The tiny network on inputs of 12×12.
pub const TINY: &str = "explain --weights net.safetensors --resize 14 --crop 12";
