//! What ptxas reported of each kernel (`-Xptxas -v`).

/// One kernel, compiled for one architecture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    pub kernel: String,
    pub architecture: String,
    pub registers: u32,
    pub stack_bytes: u32,
    pub spill_store_bytes: u32,
    pub spill_load_bytes: u32,
    /// Beside the dynamic shared memory of a launch.
    pub static_shared_bytes: u32,
}

impl Resources {
    /// What is wrong with it.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut fault = |bytes: u32, what: &str| {
            if bytes > 0 {
                faults.push(format!("{} for {}: {bytes} bytes {what}", self.kernel, self.architecture));
            }
        };
        fault(self.spill_store_bytes, "of spill stores");
        fault(self.spill_load_bytes, "of spill loads");
        fault(self.stack_bytes, "of stack, in local memory");
        // A launch asks for what it needs, up to all that the device has; memory beside that would not be counted.
        fault(self.static_shared_bytes, "of shared memory that does not come from SharedMemory::take");
        faults
    }
}

/// Reads the lines
///
/// ```text
/// ptxas info    : Compiling entry function 'name' for 'sm_80'
/// ptxas info    : Function properties for name
///     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
/// ptxas info    : Used 168 registers, used 1 barriers, 1024 bytes smem, 448 bytes cmem[0]
/// ```
pub fn read(log: &str) -> Vec<Resources> {
    let mut all: Vec<Resources> = Vec::new();
    for line in log.lines() {
        if let Some(rest) = line.split("Compiling entry function '").nth(1) {
            let mut parts = rest.split('\'');
            let kernel = parts.next().unwrap_or_default().to_owned();
            let architecture = parts.nth(1).unwrap_or_default().to_owned();
            all.push(Resources { kernel, architecture, ..Resources::default() });
        } else if let Some(resources) = all.last_mut() {
            if line.contains("bytes stack frame") {
                resources.stack_bytes = before(line, " bytes stack frame").unwrap();
                resources.spill_store_bytes = before(line, " bytes spill stores").unwrap();
                resources.spill_load_bytes = before(line, " bytes spill loads").unwrap();
            } else if line.contains("Used ") && line.contains(" registers") {
                resources.registers = before(line, " registers").unwrap();
                resources.static_shared_bytes = before(line, " bytes smem").unwrap_or(0);
            }
        }
    }
    all
}

/// The number that stands before `unit`.
fn before(line: &str, unit: &str) -> Option<u32> {
    let (left, _) = line.split_once(unit)?;
    left.rsplit([' ', ',']).next()?.parse().ok()
}

/// Lines that a compiler means as a warning. C7508 and C7510 to C7514 are ptxas's notes that asynchronous matrix products
/// were made to wait for each other, which costs most of their speed.
pub fn warnings(log: &str) -> Vec<&str> {
    const SERIALISED: [&str; 6] = ["C7508", "C7510", "C7511", "C7512", "C7513", "C7514"];
    let warns = |line: &&str| line.contains("warning") || SERIALISED.iter().any(|code| line.contains(code));
    log.lines().filter(warns).collect()
}

/// How long nvcc took, from the line that build.rs adds at the end: "image.cu: 3.5 s".
pub fn seconds(log: &str) -> f64 {
    let last = log.lines().last().unwrap();
    let (_, seconds) = last.rsplit_once(": ").unwrap();
    seconds.trim_end_matches(" s").parse().unwrap()
}
