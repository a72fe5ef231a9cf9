//! Writes src/backend/cuda/params.rs, the Rust side of kernels/params.h (feature `regenerate`; needs libclang).

use std::path::Path;

/// Writes what bindgen makes of `root`/kernels/params.h.
pub fn regenerate(root: &Path) -> Result<(), String> {
    let header = root.join("kernels/params.h");
    println!("cargo:rerun-if-changed={}", header.display());
    println!("cargo:rerun-if-env-changed=LIBCLANG_PATH");
    let file = root.join("src/backend/cuda/params.rs");
    println!("cargo:rerun-if-changed={}", file.display());

    bindgen::Builder::default()
        .header(header.display().to_string())
        .allowlist_type("Vggx.*|vggx_address")
        .allowlist_var("VGGX_.*")
        .blocklist_var("VGGX_PARAMS_H")
        .default_macro_constant_type(bindgen::MacroTypeVariation::Signed)
        .derive_default(true)
        .derive_partialeq(true)
        .generate_comments(false)
        // Versions of bindgen do not matter as long as they write the same.
        .disable_header_comment()
        .raw_line("// Written by bindgen from kernels/params.h, where everything is explained. Do not edit:")
        .raw_line("// `scripts/regenerate` writes it anew.")
        // Not every constant of the kernels has a use on the Rust side.
        .raw_line("#![allow(dead_code, non_camel_case_types)]")
        .formatter(bindgen::Formatter::Rustfmt)
        .rustfmt_configuration_file(Some(root.join("rustfmt.toml")))
        .generate()
        .map_err(|error| format!("bindgen cannot read {}: {error}", header.display()))?
        .write_to_file(&file)
        .map_err(|error| format!("cannot write {}: {error}", file.display()))
}
