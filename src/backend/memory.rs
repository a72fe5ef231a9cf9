//! How much memory this machine has left.

/// Bytes that this process can still take without swapping, where the system tells: Linux does. A container's limit
/// (control groups, version 2) counts too.
pub fn available() -> Option<u64> {
    let machine = parse(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
    let number = |file: &str| -> Option<u64> {
        std::fs::read_to_string(format!("/sys/fs/cgroup/{file}")).ok()?.trim().parse().ok()
    };
    let container = number("memory.max").zip(number("memory.current"));
    Some(container.map_or(machine, |(limit, used)| machine.min(limit.saturating_sub(used))))
}

/// The `MemAvailable` line, which is in kibibytes, in bytes.
fn parse(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1 << 10)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_the_available_memory() {
        let text = "MemTotal:       24689656 kB\nMemFree: 1 kB\nMemAvailable:   23000000 kB\n";
        assert_eq!(parse(text), Some(23_000_000 << 10));
        assert_eq!(parse("MemTotal: 1 kB\n"), None);
        assert_eq!(parse("MemAvailable: many kB\n"), None);
    }
}
