//! What the CUDA compiler made of the kernels: no spills, no local memory, tensor cores where they are meant. Needs no GPU,
//! only that the kernels were compiled (scripts/install-nvcc).

mod report;
mod sass;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use report::Resources;
use sass::Code;

/// What build.rs left.
struct Compiled {
    nvcc: PathBuf,
    modules: Vec<Module>,
}

struct Module {
    stem: String,
    fatbin: PathBuf,
    log: String,
}

/// `None`, after a line that says so, where the crate was built for the CPU only.
fn compiled() -> Option<&'static Compiled> {
    static COMPILED: OnceLock<Option<Compiled>> = OnceLock::new();
    let compiled = COMPILED.get_or_init(|| {
        let folder = Path::new(env!("OUT_DIR")).join("kernels");
        let nvcc = PathBuf::from(fs::read_to_string(folder.join("nvcc.txt")).ok()?);
        let mut modules = Vec::new();
        for entry in fs::read_dir(&folder).unwrap() {
            let fatbin = entry.unwrap().path();
            if fatbin.extension().is_some_and(|extension| extension == "fatbin") {
                let (stem, _hash) = fatbin.file_stem().unwrap().to_str().unwrap().rsplit_once('-').unwrap();
                let log = fs::read_to_string(fatbin.with_extension("log")).unwrap();
                modules.push(Module { stem: stem.to_owned(), log, fatbin });
            }
        }
        modules.sort_by(|one, other| one.stem.cmp(&other.stem));
        Some(Compiled { nvcc, modules })
    });
    if compiled.is_none() {
        println!("skipped: built without CUDA; scripts/install-nvcc fetches the compiler");
    }
    compiled.as_ref()
}

impl Compiled {
    /// `None`, after a line that says so, where the toolkit is without its disassembler.
    fn cuobjdump(&self) -> Option<PathBuf> {
        let cuobjdump = self.nvcc.with_file_name("cuobjdump");
        if cuobjdump.is_file() {
            return Some(cuobjdump);
        }
        println!("skipped: {} is missing; scripts/install-nvcc fetches it", cuobjdump.display());
        None
    }

    fn resources(&self) -> Vec<Resources> {
        self.modules.iter().flat_map(|module| report::read(&module.log)).collect()
    }
}

#[track_caller]
fn none(faults: &[String]) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_source_is_compiled() {
    let Some(compiled) = compiled() else { return };
    let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
    let names =
        fs::read_dir(&kernels).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let sources: BTreeSet<String> =
        names.filter_map(|name| Some(name.strip_suffix(".cu")?.to_owned())).collect();
    let modules: BTreeSet<String> = compiled.modules.iter().map(|module| module.stem.clone()).collect();
    // build.rs does not watch the folder (see build/sources.rs).
    assert_eq!(modules, sources, "after adding or removing a .cu file: touch build.rs");
}

#[test]
fn no_kernel_spills_or_has_a_stack() {
    let Some(compiled) = compiled() else { return };
    let mut resources = compiled.resources();
    resources
        .sort_by(|one, other| (&one.kernel, &one.architecture).cmp(&(&other.kernel, &other.architecture)));
    println!("registers  spills  stack  static shared  kernel");
    for found in &resources {
        println!(
            "{:9}  {:6}  {:5}  {:13}  {} ({})",
            found.registers,
            found.spill_store_bytes + found.spill_load_bytes,
            found.stack_bytes,
            found.static_shared_bytes,
            found.kernel,
            found.architecture
        );
    }
    let seconds: f64 = compiled.modules.iter().map(|module| report::seconds(&module.log)).sum();
    println!("compiled by nvcc in {seconds:.1} s, added up over {} files", compiled.modules.len());
    none(&resources.iter().flat_map(Resources::faults).collect::<Vec<_>>());
    // What roles of warpgroups release and claim is what all threads were launched with (setmaxnreg): other numbers would never end.
    for found in resources.iter().filter(|found| found.kernel.starts_with("hopper_")) {
        let launched = if found.kernel.starts_with("hopper_moments_") { 128 } else { 168 };
        assert_eq!(found.registers, launched, "{} ({})", found.kernel, found.architecture);
    }
    // ptxas cannot have compiled a kernel with no register: a report that is not understood.
    assert!(resources.iter().all(|found| found.registers > 0), "{resources:?}");
}

#[test]
fn compilers_have_nothing_to_warn_of() {
    let Some(compiled) = compiled() else { return };
    let warnings = |module: &Module| -> Vec<String> {
        report::warnings(&module.log).iter().map(|line| format!("{}.cu: {line}", module.stem)).collect()
    };
    none(&compiled.modules.iter().flat_map(warnings).collect::<Vec<_>>());
}

#[test]
fn instructions_are_those_that_are_meant() {
    let Some(compiled) = compiled() else { return };
    let Some(cuobjdump) = compiled.cuobjdump() else { return };
    let mut disassembled = Vec::new();
    for module in &compiled.modules {
        disassembled.extend(sass::disassemble(&cuobjdump, &module.fatbin));
    }
    for code in &disassembled {
        let counts = ["HMMA", "FFMA", "LDGSTS", "LDSM", "HGMMA", "QGMMA", "UTMALDG", "UTMASTG"]
            .map(|opcode| format!("{} {opcode}", code.count(opcode)));
        println!("{} ({}): {}", code.kernel, code.architecture, counts.join(", "));
    }
    none(&disassembled.iter().flat_map(Code::faults).collect::<Vec<_>>());

    // Both views show every kernel.
    let reported: BTreeSet<_> =
        compiled.resources().into_iter().map(|found| (found.kernel, found.architecture)).collect();
    let shown: BTreeSet<_> = disassembled.into_iter().map(|code| (code.kernel, code.architecture)).collect();
    assert_eq!(reported, shown);
}

#[test]
fn every_kernel_is_there_for_every_architecture() {
    let Some(compiled) = compiled() else { return };
    let Some(cuobjdump) = compiled.cuobjdump() else { return };
    let mut expected: Option<BTreeSet<String>> = match option_env!("VGGX_CUDA_ARCHITECTURES") {
        None | Some("") => Some(["sm_80", "sm_90a", "compute_80"].map(str::to_owned).into()),
        Some(_) => None,
    };
    for module in &compiled.modules {
        let architectures: BTreeSet<String> =
            sass::architectures(&cuobjdump, &module.fatbin).into_iter().collect();
        let of_hopper: BTreeSet<String> = ["sm_90a".to_owned()].into();
        let expected = match module.stem.starts_with("hopper_") {
            true => &of_hopper,
            false => &*expected.get_or_insert_with(|| architectures.clone()),
        };
        assert_eq!(&architectures, expected, "{}.cu", module.stem);

        let resources = report::read(&module.log);
        let kernels: BTreeSet<&str> = resources.iter().map(|found| found.kernel.as_str()).collect();
        assert!(!kernels.is_empty(), "{}.cu has no kernel", module.stem);
        for kernel in kernels {
            let of_kernel = resources.iter().filter(|found| found.kernel == kernel);
            let machine_code: BTreeSet<&str> = of_kernel.map(|found| found.architecture.as_str()).collect();
            let wanted: BTreeSet<&str> =
                expected.iter().map(String::as_str).filter(|name| name.starts_with("sm_")).collect();
            assert_eq!(machine_code, wanted, "{kernel}");
        }
    }
}

/// The kernels of bad_kernels.cu have these faults, and the checks above would fail on them.
#[test]
fn the_checks_find_bad_kernels() {
    let Some(compiled) = compiled() else { return };
    let Some(cuobjdump) = compiled.cuobjdump() else { return };
    let folder = tempfile::tempdir().unwrap();
    let cubin = folder.path().join("bad_kernels.cubin");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernels_compiled/bad_kernels.cu");
    let output = Command::new(&compiled.nvcc)
        .args(["-cubin", "-arch=sm_80", "-Xptxas", "-v", "-o"])
        .args([&cubin, &source])
        .output()
        .unwrap();
    let log = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{log}");

    let faults: Vec<String> = report::read(&log).iter().flat_map(Resources::faults).collect();
    let instructions: Vec<String> =
        sass::disassemble(&cuobjdump, &cubin).iter().flat_map(Code::faults).collect();
    let found = |faults: &[String], parts: &[&str]| {
        assert!(
            faults.iter().any(|fault| parts.iter().all(|part| fault.contains(part))),
            "no {parts:?} in {faults:?}"
        );
    };
    found(&faults, &["convolution_forward_f16_spilling for sm_80", "spill stores"]);
    found(&faults, &["convolution_forward_f16_spilling for sm_80", "spill loads"]);
    found(&faults, &["indexed_array for sm_80", "of stack"]);
    found(&faults, &["static_shared for sm_80", "1024 bytes of shared memory"]);
    found(&instructions, &["convolution_forward_f16_spilling", "stores to local memory"]);
    found(&instructions, &["indexed_array", "loads from local memory"]);
    for opcode in ["HMMA.16816.F32", "LDSM", "LDGSTS"] {
        found(&instructions, &["convolution_forward_f16_spilling", "no ", opcode]);
    }
    assert!(!instructions.iter().any(|fault| fault.contains("static_shared")), "{instructions:?}");
}

#[test]
fn warnings_are_found() {
    let log = "ptxas info    : 0 bytes gmem\n\
               ptxas info    : (C7511) Potential Performance Loss: wgmma.mma_async instructions are serialized due to x\n\
               image.cu(3): warning #177-D: variable \"x\" was declared but never referenced\n\
               ptxas info    : Used 16 registers, used 0 barriers";
    assert_eq!(report::warnings(log).len(), 2);
}
