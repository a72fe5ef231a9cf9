//! Finds nvcc: the environment variable `NVCC`, then `bin` of `CUDA_HOME` and `CUDA_PATH`, then `PATH`, then the cache
//! folder that scripts/install-nvcc fills.

use crate::tracked_variable;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Below `$XDG_CACHE_HOME` or `~/.cache`; scripts/install-nvcc has the same.
const INSTALLED: &str = "vggx/cuda-13.0.88/nvidia/cu13";

/// The first release that compiles for compute capability 9.0 with all instructions.
const OLDEST_RELEASE: (u32, u32) = (12, 0);

const HOW_TO_GET_IT: &str =
    "scripts/install-nvcc fetches the CUDA compiler, or set NVCC or CUDA_HOME to where one is";

pub struct Nvcc {
    pub path: PathBuf,
    /// All of `nvcc --version`.
    pub version: String,
    pub release: (u32, u32),
}

pub enum Found {
    Nvcc(Nvcc),
    /// Why the build is without CUDA.
    No(String),
}

pub fn find() -> Result<Found, String> {
    let required = match tracked_variable("VGGX_CUDA").as_deref() {
        None | Some("auto") => false,
        Some("on") => true,
        Some("off") => return Ok(Found::No("VGGX_CUDA is 'off'".to_owned())),
        Some(other) => return Err(format!("VGGX_CUDA is '{other}'; expected auto, on or off")),
    };

    // Who names a compiler means it: no other one takes its place.
    if let Some(named) = tracked_variable("NVCC") {
        let path = if Path::new(&named).components().count() == 1 { on_path(&named) } else { None };
        let nvcc = Nvcc::at(path.unwrap_or_else(|| PathBuf::from(&named)))
            .map_err(|error| format!("NVCC is '{named}': {error}"))?;
        if nvcc.release < OLDEST_RELEASE {
            return Err(format!("NVCC is '{named}': {}", nvcc.too_old()));
        }
        return Ok(Found::Nvcc(nvcc));
    }

    let mut reason = "no nvcc was found".to_owned();
    for candidate in candidates() {
        if let Some(path) = candidate() {
            let nvcc =
                Nvcc::at(path).map_err(|error| format!("{error}\nVGGX_CUDA=off builds without it."))?;
            if nvcc.release >= OLDEST_RELEASE {
                return Ok(Found::Nvcc(nvcc));
            }
            reason = nvcc.too_old();
        }
    }
    let reason = format!("{reason} ({HOW_TO_GET_IT})");
    if required { Err(format!("VGGX_CUDA is 'on', but {reason}")) } else { Ok(Found::No(reason)) }
}

/// Looked at one by one, so that a build depends only on the variables that decided.
fn candidates() -> [fn() -> Option<PathBuf>; 4] {
    fn in_folder(folder: PathBuf) -> Option<PathBuf> {
        Some(folder.join("bin").join(program("nvcc"))).filter(|path| path.is_file())
    }
    fn installed() -> Option<PathBuf> {
        let cache = tracked_variable("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(Path::new(&tracked_variable("HOME")?).join(".cache")))?;
        in_folder(cache.join(INSTALLED))
    }
    [
        || in_folder(tracked_variable("CUDA_HOME")?.into()),
        || in_folder(tracked_variable("CUDA_PATH")?.into()),
        || on_path("nvcc"),
        installed,
    ]
}

fn program(name: &str) -> String {
    format!("{name}{}", std::env::consts::EXE_SUFFIX)
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = tracked_variable("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program(name))).find(|path| path.is_file())
}

impl Nvcc {
    fn at(path: PathBuf) -> Result<Self, String> {
        let version = output(&path, "--version")?;
        let release = release(&version)
            .ok_or_else(|| format!("{} --version does not tell its release:\n{version}", path.display()))?;
        // Another toolkit in its place.
        println!("cargo:rerun-if-changed={}", path.display());
        Ok(Nvcc { path, version, release })
    }

    fn too_old(&self) -> String {
        let (major, minor) = self.release;
        let (oldest_major, oldest_minor) = OLDEST_RELEASE;
        format!(
            "{} is of CUDA {major}.{minor}, and the kernels need {oldest_major}.{oldest_minor} or later",
            self.path.display()
        )
    }

    /// The compute capabilities it compiles for, without suffixes.
    pub fn capabilities(&self) -> Result<Vec<u32>, String> {
        let listed = output(&self.path, "--list-gpu-code")?;
        Ok(listed.split_whitespace().filter_map(|code| code.strip_prefix("sm_")?.parse().ok()).collect())
    }
}

/// `13, 0` of "Cuda compilation tools, release 13.0, V13.0.88".
fn release(version: &str) -> Option<(u32, u32)> {
    let release = version.split("release ").nth(1)?.split(',').next()?;
    let (major, minor) = release.trim().split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn output(path: &Path, argument: &str) -> Result<String, String> {
    let output = Command::new(path)
        .arg(argument)
        .output()
        .map_err(|error| format!("cannot run {}: {error}", path.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} {argument} failed ({}):\n{said}", path.display(), output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
