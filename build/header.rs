//! Writes include/vggx.h, the C side of src/capi (feature `header`).

use std::path::Path;

/// The files in the order in which a reader wants them.
const FILES: [&str; 11] = [
    "status",
    "error",
    "version",
    "log",
    "engine",
    "description",
    "image",
    "batch",
    "classify",
    "explain",
    "job",
];

/// Those about learning, which come last.
const LEARNING: [&str; 2] = ["learner", "solve"];

const TOP: &str = "\
/* vggx: explains what a VGG network saw in an image. The C API.
 *
 * Written by cbindgen from src/capi. Do not edit: `scripts/regenerate` writes it anew.
 *
 * A program opens an engine (vggx_engine_open), gives it batches of images (vggx_batch), and gets classes (vggx_classify) and
 * explanations (vggx_explain) into its own buffers. include/vggx.hpp is the same for C++17.
 *
 * Calls. Functions return a vggx_status; vggx_last_error gives the reason in words, for each thread. Nothing is written to
 * standard output or standard error, nothing unwinds, and calls share nothing but what they are given. Nothing aborts either: what
 * needs much memory is refused when there is too little, and only a system that refuses a small allocation ends the program.
 *
 * Threads. Everything may be called from any thread, and a handle may be used by several at the same time; nobody may use
 * one while or after it is closed or freed. An engine's own threads have the floating-point mode (denormals flushed to zero or
 * not) of the thread that opens it.
 *
 * CUDA. Pixels and explanations may be in memory of the device that the engine works on: see vggx_batch, vggx_request and
 * `cuda_context`. Calls end when their work has ended, and leave the thread's current context as it was. While one runs,
 * memory may be allocated and freed in the engine's context, which waits for all work there and ends what is being captured
 * into graphs.
 *
 * Structs. Those with a `size` may grow in later versions; begin with VGGX_INIT(type), which sets it and zeros the rest: all
 * defaults. A shorter struct of an older version's header is fine; a longer one is refused unless what is more is zero.
 *
 * Pointers. Arguments must not be null unless a comment says so, must be aligned for what they point to, and must hold as
 * many elements as the count beside them says; wrong ones are VGGX_ERROR_ARGUMENT as far as can be seen. Strings are UTF-8 and
 * end with a zero byte; but paths, given or told, are bytes, as the system has them. Nothing is kept after a call unless a comment says so.
 *
 * Ownership. Handles belong to the caller, who closes or frees each once. Everything that a `const` pointer leads to belongs
 * to vggx and lives as long as its comment says.
 */";

const INIT: &str = "
/* A struct of this type with its size set and everything else zero: all defaults.
 *
 *     vggx_batch batch = VGGX_INIT(vggx_batch);
 */
#ifdef __cplusplus
#define VGGX_INIT(type) ([] { type initial = type(); initial.size = sizeof(type); return initial; }())
#else
#define VGGX_INIT(type) {.size = sizeof(type)}
#endif";

/// Writes what cbindgen makes of `root`/src/capi.
pub fn regenerate(root: &Path) -> Result<(), String> {
    let sources = root.join("src/capi");
    let file = root.join("include/vggx.h");
    println!("cargo:rerun-if-changed={}", sources.display());
    println!("cargo:rerun-if-changed={}", file.display());

    let config = cbindgen::Config {
        language: cbindgen::Language::C,
        cpp_compat: true,
        style: cbindgen::Style::Both,
        documentation_style: cbindgen::DocumentationStyle::Cxx,
        header: Some(TOP.to_owned()),
        include_guard: Some("VGGX_H".to_owned()),
        no_includes: true,
        sys_includes: vec!["stddef.h".to_owned(), "stdint.h".to_owned()],
        after_includes: Some(INIT.to_owned()),
        usize_is_size_t: true,
        tab_width: 4,
        line_length: 120,
        ..cbindgen::Config::default()
    };
    let mut builder = cbindgen::Builder::new().with_config(config);
    for name in FILES.into_iter().chain(LEARNING) {
        builder = builder.with_src(sources.join(name).with_extension("rs"));
    }
    let bindings = builder.generate().map_err(|error| format!("cbindgen cannot read src/capi: {error}"))?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    std::fs::write(&file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))
}
