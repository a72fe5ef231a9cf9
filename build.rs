//! Compiles the CUDA kernels.

#[cfg(feature = "regenerate")]
#[path = "build/params.rs"]
mod params;

fn main() {
    #[cfg(feature = "regenerate")]
    if let Err(error) = params::regenerate(std::path::Path::new(env!("CARGO_MANIFEST_DIR"))) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}
