//! Which GPUs the kernels are compiled for.

use crate::nvcc::Nvcc;
use crate::tracked_variable;

/// Compute capabilities 8.0 and 9.0 with its own instructions, and PTX that drivers compile for later chips.
const DEFAULT: &str = "80+ptx,90a";

/// The oldest compute capability the kernels run on: cp.async and bfloat16 began with it.
const OLDEST: u32 = 80;

/// A comma-separated list like `80+ptx,86,90a`: machine code of each, and with `+ptx` PTX as well, which drivers compile
/// for chips that there is no machine code for.
pub struct Architectures {
    list: Vec<Architecture>,
}

#[derive(PartialEq)]
struct Architecture {
    /// A number, with the suffix `a` for instructions of this capability only, `f` of its family.
    capability: String,
    ptx: bool,
}

impl Architectures {
    /// Those of `VGGX_CUDA_ARCHITECTURES`, or the default.
    pub fn chosen(nvcc: &Nvcc) -> Result<Self, String> {
        let text = tracked_variable("VGGX_CUDA_ARCHITECTURES");
        Self::parse(text.as_deref().unwrap_or(DEFAULT), &nvcc.capabilities()?)
            .map_err(|error| format!("VGGX_CUDA_ARCHITECTURES: {error}; expected a list like '{DEFAULT}'"))
    }

    fn parse(text: &str, known: &[u32]) -> Result<Self, String> {
        let mut list: Vec<Architecture> = Vec::new();
        for item in text.split(',').map(str::trim) {
            let (capability, ptx) = match item.strip_suffix("+ptx") {
                Some(capability) => (capability, true),
                None => (item, false),
            };
            let digits = capability.strip_suffix(['a', 'f']).unwrap_or(capability);
            let number: u32 = match digits.parse() {
                Ok(number) if digits.bytes().all(|byte| byte.is_ascii_digit()) => number,
                _ => return Err(format!("'{item}' is no compute capability")),
            };
            if number < OLDEST {
                return Err(format!("'{item}': the kernels need compute capability {OLDEST} or later"));
            }
            if !known.contains(&number) {
                let known: Vec<String> = known.iter().map(u32::to_string).collect();
                return Err(format!("'{item}': this nvcc knows {}", known.join(", ")));
            }
            if ptx && digits != capability {
                return Err(format!("'{item}': PTX of {capability} does not run on later chips"));
            }
            match list.iter_mut().find(|other| other.capability == capability) {
                Some(other) => other.ptx |= ptx,
                None => list.push(Architecture { capability: capability.to_owned(), ptx }),
            }
        }
        Ok(Architectures { list })
    }

    /// As nvcc takes them; of one of them alone, or of all.
    pub fn flags(&self, only: Option<&str>) -> Vec<String> {
        let mut flags = Vec::new();
        let wanted = |architecture: &&Architecture| only.is_none_or(|only| architecture.capability == only);
        for Architecture { capability, ptx } in self.list.iter().filter(wanted) {
            let ptx = if *ptx { format!(",compute_{capability}") } else { String::new() };
            flags.push("-gencode".to_owned());
            flags.push(format!("arch=compute_{capability},code=[sm_{capability}{ptx}]"));
        }
        flags
    }

    /// Whether it is one of them.
    pub fn contains(&self, capability: &str) -> bool {
        self.list.iter().any(|architecture| architecture.capability == capability)
    }

    /// Machine code first: `sm_80`, `sm_90a`, `compute_80`.
    pub fn names(&self) -> Vec<String> {
        let machine_code = self.list.iter().map(|architecture| format!("sm_{}", architecture.capability));
        let with_ptx = self.list.iter().filter(|architecture| architecture.ptx);
        machine_code
            .chain(with_ptx.map(|architecture| format!("compute_{}", architecture.capability)))
            .collect()
    }
}
