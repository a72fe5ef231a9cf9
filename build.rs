//! Compiles kernels/*.cu where there is nvcc, and writes OUT_DIR/kernels.rs, which the CUDA engine includes.
//!
//! | variable | meaning |
//! |---|---|
//! | `VGGX_CUDA` | `auto` (default): with CUDA where nvcc is found; `on`: fails without nvcc; `off`: without CUDA |
//! | `NVCC`, `CUDA_HOME`, `CUDA_PATH` | where nvcc is; see build/nvcc.rs |
//! | `VGGX_CUDA_ARCHITECTURES` | what is compiled for; see build/architectures.rs |
//! | `VGGX_KERNEL_CACHE` | a folder that several builds share compiled kernels in |

#[path = "build/architectures.rs"]
mod architectures;
#[path = "build/compile.rs"]
mod compile;
#[path = "build/generate.rs"]
mod generate;
#[path = "build/hash.rs"]
mod hash;
#[cfg(feature = "header")]
#[path = "build/header.rs"]
mod header;
#[path = "build/nvcc.rs"]
mod nvcc;
#[cfg(feature = "regenerate")]
#[path = "build/params.rs"]
mod params;
#[path = "build/sources.rs"]
mod sources;

use std::path::{Path, PathBuf};

fn main() {
    if let Err(message) = run() {
        eprintln!("error: {message}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), String> {
    let root =
        PathBuf::from(variable("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set: run cargo")?);
    let out = PathBuf::from(variable("OUT_DIR").ok_or("OUT_DIR is not set: run cargo")?);
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");

    #[cfg(feature = "regenerate")]
    params::regenerate(&root)?;
    #[cfg(feature = "header")]
    header::regenerate(&root)?;

    let built = match nvcc::find()? {
        nvcc::Found::Nvcc(nvcc) => compile_all(&root, &out, &nvcc)?,
        nvcc::Found::No(reason) => {
            println!("cargo:warning=vggx is built without CUDA, for the CPU only: {reason}");
            // Tests look here for what was compiled.
            let _ = std::fs::remove_dir_all(out.join("kernels"));
            generate::Built::default()
        }
    };
    generate::write(&built, &out.join("kernels.rs"))
}

fn compile_all(root: &Path, out: &Path, nvcc: &nvcc::Nvcc) -> Result<generate::Built, String> {
    let architectures = architectures::Architectures::chosen(nvcc)?;
    let sources = sources::read(&root.join("kernels"))?;
    let settings = compile::Settings { nvcc, architectures: &architectures, folder: &out.join("kernels") };
    let modules = compile::compile(&sources, &settings)?;
    Ok(generate::Built { architectures: architectures.names(), modules })
}

/// An environment variable that is set and not empty; cargo runs the build again when it changes.
fn tracked_variable(name: &str) -> Option<String> {
    println!("cargo:rerun-if-env-changed={name}");
    variable(name)
}

/// An environment variable that is set and not empty, and that the result does not depend on.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
