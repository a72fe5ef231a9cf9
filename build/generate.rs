//! Writes the Rust file that embeds the compiled kernels.

use crate::compile::Module;
use std::fmt::Write as _;
use std::path::Path;

/// What was compiled; nothing: a build for the CPU only.
#[derive(Default)]
pub struct Built {
    pub architectures: Vec<String>,
    pub modules: Vec<Module>,
}

pub fn write(built: &Built, path: &Path) -> Result<(), String> {
    std::fs::write(path, source(built)).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn source(built: &Built) -> String {
    let mut text = String::from("// Written by build.rs.\n\n");
    text.push_str("/// Drivers read words from a fatbin.\n#[allow(dead_code)]\n#[repr(C, align(64))]\nstruct Aligned<Bytes: ?Sized>(Bytes);\n\n");
    text.push_str("/// Of each .cu file its name without .cu, and its fatbin.\n#[allow(dead_code)]\n");
    text.push_str("pub(crate) static FATBINS: &[(&str, &[u8])] = &[\n");
    for Module { stem, fatbin, .. } in &built.modules {
        let _ = writeln!(
            text,
            "    ({stem:?}, {{ static FATBIN: &Aligned<[u8]> = &Aligned(*include_bytes!({:?})); &FATBIN.0 }}),",
            fatbin.display().to_string()
        );
    }
    text.push_str("];\n\n");
    let kernels: Vec<&String> = built.modules.iter().flat_map(|module| &module.kernels).collect();
    let _ = writeln!(
        text,
        "/// What the fatbins hold: machine code of `sm_..`, PTX of `compute_..`. Empty: built for the CPU only.\n\
         #[allow(dead_code)]\npub(crate) static ARCHITECTURES: &[&str] = &{:?};\n\n\
         /// Names of all kernels.\n#[allow(dead_code)]\npub(crate) static KERNELS: &[&str] = &{kernels:?};",
        built.architectures
    );
    text
}
