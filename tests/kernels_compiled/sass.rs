//! The machine code of each kernel, as cuobjdump shows it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// One kernel's instructions for one architecture.
#[derive(Debug)]
pub struct Code {
    pub kernel: String,
    pub architecture: String,
    /// How often each opcode stands there, modifiers included: "HMMA.16816.F32".
    pub opcodes: BTreeMap<String, usize>,
}

impl Code {
    /// How many instructions begin with `opcode`: "HMMA" counts "HMMA.16816.F32" too.
    pub fn count(&self, opcode: &str) -> usize {
        let is = |found: &str| {
            found.strip_prefix(opcode).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.opcodes.iter().filter(|(found, _)| is(found)).map(|(_, count)| count).sum()
    }

    /// What is wrong with it: local memory, and instructions that it must or must not have, by the kernel's name.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut fault = |wrong: bool, what: String| {
            if wrong {
                faults.push(format!("{} for {}: {what}", self.kernel, self.architecture));
            }
        };
        for (opcode, does) in [("LDL", "loads from"), ("STL", "stores to")] {
            fault(
                self.count(opcode) > 0,
                format!("{} times {does} local memory ({opcode})", self.count(opcode)),
            );
        }
        for opcode in self.demanded() {
            fault(self.count(opcode) == 0, format!("no {opcode}"));
        }
        for opcode in self.forbidden() {
            fault(self.count(opcode) > 0, format!("{} times {opcode}", self.count(opcode)));
        }
        faults
    }

    /// Products on tensor cores with sums in float32, cp.async and ldmatrix.
    fn demanded(&self) -> Vec<&'static str> {
        let words: Vec<&str> = self.kernel.split('_').collect();
        if words[..2] == ["hopper", "moments"] {
            // Boxes of x and z; a product's rows from registers, columns innermost.
            let product = if words[2] == "bf16" { "HGMMA.64x192x16.F32.BF16" } else { "HGMMA.64x192x16.F32" };
            return vec![product, "UTMALDG.4D", "LDSM.16.MT88.4", "USETMAXREG"];
        }
        if words[0] == "hopper" {
            // Boxes of maps and of operators; sums in float32; a register budget for each role.
            let resident = words[1] == "resident";
            let narrow = words.iter().any(|word| word.ends_with("x64"));
            // What the input is; what leaves may be something else.
            let element = words[if resident { 3 } else { 2 }];
            let product = match (resident, narrow, element) {
                (true, _, "bf16") => "HGMMA.64x256x16.F32.BF16",
                (true, _, _) => "HGMMA.64x256x16.F32",
                (false, true, "bf16") => "HGMMA.64x64x16.F32.BF16",
                (false, true, "f8") => "QGMMA.64x64x32.F32.E4M3.E4M3",
                (false, true, _) => "HGMMA.64x64x16.F32",
                (false, false, "bf16") => "HGMMA.64x128x16.F32.BF16",
                (false, false, "f8") => "QGMMA.64x128x32.F32.E4M3.E4M3",
                (false, false, _) => "HGMMA.64x128x16.F32",
            };
            let mut opcodes = vec![product, "UTMALDG.4D", "USETMAXREG"];
            if resident {
                // Channels become the innermost extent again.
                opcodes.extend(["UTMALDG.2D", "MOVM.16.MT88"]);
            } else if words.contains(&"cluster") {
                // Parts of operators for all blocks, and nobody leaves before the others.
                opcodes.extend(["UTMALDG.2D.MULTICAST", "UCGABAR_WAIT"]);
            } else {
                opcodes.push("UTMALDG.2D");
            }
            // Float8 leaves otherwise.
            let leaves_as =
                *words.iter().rfind(|word| matches!(**word, "f16" | "bf16" | "f8")).unwrap_or(&element);
            opcodes.extend((!resident && leaves_as != "f8").then_some("UTMASTG.4D"));
            return opcodes;
        }
        if let ["signal", "image", element] = words[..] {
            // A position's channels lie in the order of registers: ldmatrix has nothing to do.
            return match element {
                "f16" => vec!["HMMA.16816.F32"],
                "bf16" => vec!["HMMA.16816.F32.BF16"],
                _ => vec!["FFMA", "LDGSTS"],
            };
        }
        let is_moments = matches!(words[..], ["moments", ..] | ["second", "products" | "dense", ..]);
        let is_product = is_moments || words[0] == "convolution";
        let product = match words.get(2).copied().filter(|_| is_product) {
            Some("f16") => "HMMA.16816.F32",
            Some("bf16") => "HMMA.16816.F32.BF16",
            Some("f32") => "FFMA",
            _ => return Vec::new(),
        };
        let mut opcodes = vec![product];
        if product != "FFMA" {
            // Positions are the depth of the products, and lie in rows.
            opcodes.push(if is_moments { "LDSM.16.MT88.4" } else { "LDSM" });
        }
        // Rows of an image are 3 channels wide: no 16 bytes to copy at a time; its z has them.
        if words[1] != "image" || is_moments {
            opcodes.push("LDGSTS");
        }
        opcodes
    }

    /// Tensor cores would round what float32 promises to keep.
    fn forbidden(&self) -> &'static [&'static str] {
        if self.kernel.split('_').any(|word| word == "f32") { &["HMMA", "HGMMA", "QGMMA"] } else { &[] }
    }
}

/// Runs cuobjdump on a fatbin or cubin.
pub fn disassemble(cuobjdump: &Path, file: &Path) -> Vec<Code> {
    read(&run(cuobjdump, &["-sass"], file))
}

/// Architectures of a fatbin: `sm_80` of machine code, `compute_80` of PTX.
pub fn architectures(cuobjdump: &Path, file: &Path) -> Vec<String> {
    let listed = run(cuobjdump, &["-lelf", "-lptx"], file);
    let names = listed.lines().filter_map(|line| {
        // "ELF file    1: image-3d00a6b7.1.sm_80.cubin"
        let mut parts = line.rsplit('.');
        match (parts.next()?, parts.next()?) {
            ("cubin", architecture) => Some(architecture.to_owned()),
            ("ptx", architecture) => Some(architecture.replace("sm_", "compute_")),
            _ => None,
        }
    });
    names.collect()
}

fn run(cuobjdump: &Path, arguments: &[&str], file: &Path) -> String {
    let output = Command::new(cuobjdump).args(arguments).arg(file).output().unwrap();
    assert!(output.status.success(), "{}:\n{}", cuobjdump.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Reads lines like
///
/// ```text
/// arch = sm_80
///         Function : product_bf16_8
///         /*0010*/              @!P0 HMMA.16816.F32 R4, R8, R2, R4 ;     /* 0x... */
/// ```
fn read(text: &str) -> Vec<Code> {
    let mut all: Vec<Code> = Vec::new();
    let mut architecture = String::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix("arch = ") {
            architecture = name.to_owned();
        } else if let Some(kernel) = line.strip_prefix("Function : ") {
            let (kernel, architecture) = (kernel.to_owned(), architecture.clone());
            all.push(Code { kernel, architecture, opcodes: BTreeMap::new() });
        } else if let (Some(code), Some(opcode)) = (all.last_mut(), opcode(line)) {
            *code.opcodes.entry(opcode.to_owned()).or_insert(0) += 1;
        }
    }
    all
}

fn opcode(line: &str) -> Option<&str> {
    let (address, rest) = line.strip_prefix("/*")?.split_once("*/")?;
    // The other comments hold the encoding, "/* 0x... */".
    if address.is_empty() || !address.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut words = rest.split_whitespace();
    let first = words.next()?;
    let opcode = if first.starts_with('@') { words.next()? } else { first };
    Some(opcode.trim_end_matches(';'))
}
