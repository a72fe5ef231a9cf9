//! Compiles .cu files into fatbins, several at a time, and only those that are not there yet.
//!
//! A compiled file is `<stem>-<hash>.fatbin`, where the hash is over everything it depends on, with the compiler's report
//! beside it in `.log` (registers, spills; tests/kernels_compiled reads it).

use crate::architectures::Architectures;
use crate::hash::Hash;
use crate::nvcc::Nvcc;
use crate::sources::{Source, missed};
use crate::{tracked_variable, variable};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

/// nvcc's own variables, which add flags or choose the host compiler.
const NVCC_VARIABLES: [&str; 3] = ["NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS", "NVCC_CCBIN"];

const OFF: &str = "VGGX_CUDA=off builds for the CPU only.";
const HOST_COMPILER: &str =
    "nvcc needs a C++ compiler that it knows: install g++, or name another one in NVCC_CCBIN. ";

pub struct Settings<'a> {
    pub nvcc: &'a Nvcc,
    pub architectures: &'a Architectures,
    /// Where compiled files go; other files in it are removed.
    pub folder: &'a Path,
}

/// A compiled .cu file.
pub struct Module {
    pub stem: String,
    pub fatbin: PathBuf,
    /// Names of its kernels.
    pub kernels: BTreeSet<String>,
}

/// Compiles what is neither in the folder nor in the shared cache.
pub fn compile(sources: &[Source], settings: &Settings) -> Result<Vec<Module>, String> {
    let wanted = |source: &&Source| source.only().is_none_or(|only| settings.architectures.contains(only));
    let named: BTreeMap<String, &Source> = sources
        .iter()
        .filter(wanted)
        .map(|source| (name(source, &flags(source, settings), settings.nvcc), source))
        .collect();
    let cache = variable("VGGX_KERNEL_CACHE").map(PathBuf::from);
    let folder = settings.folder;
    for place in [Some(folder), cache.as_deref()].into_iter().flatten() {
        fs::create_dir_all(place).map_err(|error| format!("cannot create {}: {error}", place.display()))?;
    }

    let mut missing: Vec<(&String, &Source)> = Vec::new();
    for (name, source) in &named {
        if !has(folder, name) {
            match &cache {
                Some(cache) if has(cache, name) => copy(cache, folder, name)?,
                _ => missing.push((name, source)),
            }
        }
    }
    compile_missing(missing, settings, cache.as_deref())?;

    tidy(folder, &named)?;
    let file = folder.join("nvcc.txt");
    fs::write(&file, settings.nvcc.path.display().to_string())
        .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    modules(&named, folder)
}

fn flags(source: &Source, settings: &Settings) -> Vec<String> {
    let mut flags = ["-fatbin", "-std=c++17", "-Xptxas", "-v"].map(str::to_owned).to_vec();
    if settings.nvcc.release >= (13, 0) {
        // A seventh of the size without, a quarter of the default's (measured with convolution_image.cu).
        flags.push("--compress-mode=size".to_owned());
    }
    flags.extend(settings.architectures.flags(source.only()));
    flags
}

fn name(source: &Source, flags: &[String], nvcc: &Nvcc) -> String {
    let mut hash = Hash::new();
    hash.field(nvcc.version.as_bytes());
    for name in NVCC_VARIABLES {
        hash.field(tracked_variable(name).unwrap_or_default().as_bytes());
    }
    for flag in flags {
        hash.field(flag.as_bytes());
    }
    for (name, contents) in &source.contents {
        hash.field(name.as_bytes());
        hash.field(contents);
    }
    format!("{}-{}", source.stem, hash.hexadecimal())
}

fn fatbin(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.fatbin"))
}

fn log(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}

fn has(folder: &Path, name: &str) -> bool {
    fatbin(folder, name).is_file() && log(folder, name).is_file()
}

/// Each file is whole or not there, whoever else writes the same one.
fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    fs::write(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn copy(from: &Path, to: &Path, name: &str) -> Result<(), String> {
    for file in [log, fatbin] {
        let path = file(from, name);
        let bytes = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        write(&file(to, name), &bytes)?;
    }
    Ok(())
}

fn compile_missing(
    mut missing: Vec<(&String, &Source)>,
    settings: &Settings,
    cache: Option<&Path>,
) -> Result<(), String> {
    let jobs: usize = variable("NUM_JOBS").and_then(|jobs| jobs.parse().ok()).unwrap_or(1).max(1);
    // Each nvcc compiles for several architectures at a time where there are fewer files than jobs.
    let threads = jobs.div_ceil(missing.len().max(1));
    // Taken from the end: the longest file first, so that none is left alone at the end.
    missing.sort_by_key(|(_, source)| source.contents.values().map(Vec::len).sum::<usize>());
    let workers = jobs.min(missing.len());
    let queue = Mutex::new(missing);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    // One failure is enough to read; the next may have the same cause.
                    if !failures.lock().expect("no thread panics").is_empty() {
                        break;
                    }
                    let Some((name, source)) = queue.lock().expect("no thread panics").pop() else { break };
                    let compiled = compile_one(name, source, threads, settings)
                        .and_then(|()| cache.map_or(Ok(()), |cache| copy(settings.folder, cache, name)));
                    if let Err(failure) = compiled {
                        failures.lock().expect("no thread panics").push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no thread panics");
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n\n")) }
}

fn compile_one(name: &str, source: &Source, threads: usize, settings: &Settings) -> Result<(), String> {
    let started = Instant::now();
    let file = format!("{}.cu", source.stem);
    let scratch = settings.folder.join(format!("{name}.compiling"));
    fs::create_dir_all(&scratch).map_err(|error| format!("cannot create {}: {error}", scratch.display()))?;
    let (compiled, dependencies) = (scratch.join("fatbin"), scratch.join("dependencies"));

    // Relative to the folder, so that no path of this machine gets into what is compiled.
    let mut command = Command::new(&settings.nvcc.path);
    command
        .current_dir(&source.folder)
        .args(flags(source, settings))
        .arg("--threads")
        .arg(threads.to_string());
    command.arg("-MD").arg("-MF").arg(&dependencies).arg("-o").arg(&compiled).arg(&file);
    let output =
        command.output().map_err(|error| format!("cannot run {}: {error}", settings.nvcc.path.display()))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if !output.status.success() {
        let _ = fs::remove_dir_all(&scratch);
        let hint = if said.contains("host compiler") { HOST_COMPILER } else { "" };
        let said = format!("{}\n{hint}{OFF}", said.trim_end());
        return Err(format!("kernels/{file} does not compile ({}):\n{command:?}\n{said}", output.status));
    }

    let unreadable = |error| format!("cannot read what nvcc wrote in {}: {error}", scratch.display());
    let dependencies = fs::read_to_string(&dependencies).map_err(unreadable)?;
    let missed = missed(source, &dependencies)?;
    if !missed.is_empty() {
        let missed = missed.join(", ");
        return Err(format!(
            "kernels/{file} includes {missed} in a way that build/sources.rs does not see; write #include \"file\""
        ));
    }
    let bytes = fs::read(&compiled).map_err(unreadable)?;
    let said = format!("{said}{file}: {:.1} s\n", started.elapsed().as_secs_f64());
    // The log first: where there is a fatbin, there is its log.
    write(&log(settings.folder, name), said.as_bytes())?;
    write(&fatbin(settings.folder, name), &bytes)?;
    let _ = fs::remove_dir_all(&scratch);
    Ok(())
}

/// Removes what earlier builds left.
fn tidy(folder: &Path, named: &BTreeMap<String, &Source>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot tidy {}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let keep =
            path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| named.contains_key(stem));
        if path.is_dir() {
            fs::remove_dir_all(&path).map_err(failed)?;
        } else if !keep {
            fs::remove_file(&path).map_err(failed)?;
        }
    }
    Ok(())
}

fn modules(named: &BTreeMap<String, &Source>, folder: &Path) -> Result<Vec<Module>, String> {
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    let mut modules = Vec::new();
    for (name, source) in named {
        let path = log(folder, name);
        let log =
            fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let kernels = kernels(&log);
        for kernel in &kernels {
            if let Some(other) = owners.insert(kernel.clone(), &source.stem) {
                return Err(format!(
                    "kernels/{other}.cu and kernels/{}.cu both define {kernel}",
                    source.stem
                ));
            }
        }
        modules.push(Module { stem: source.stem.clone(), fatbin: fatbin(folder, name), kernels });
    }
    Ok(modules)
}

/// Names in ptxas's lines "Compiling entry function 'name' for 'sm_80'".
fn kernels(log: &str) -> BTreeSet<String> {
    let lines = log.lines().filter_map(|line| line.split("Compiling entry function '").nth(1));
    lines.filter_map(|rest| rest.split('\'').next()).map(str::to_owned).collect()
}
