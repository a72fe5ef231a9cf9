//! How much memory this machine has left.

/// Bytes that this process can still take without swapping, where the system tells: Linux does. A container's limit
/// (control groups, version 2) and the process's own (`ulimit -v`) count too.
pub fn available() -> Option<u64> {
    let machine = parse(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
    let number = |file: &str| -> Option<u64> {
        std::fs::read_to_string(format!("/sys/fs/cgroup/{file}")).ok()?.trim().parse().ok()
    };
    // What it holds of files counts, and goes when memory is wanted.
    let files = std::fs::read_to_string("/sys/fs/cgroup/memory.stat").ok().and_then(|text| of_files(&text));
    let used = number("memory.current").map(|used| used.saturating_sub(files.unwrap_or(0)));
    let container = number("memory.max").zip(used);
    let container = container.map(|(limit, used)| limit.saturating_sub(used));
    [Some(machine), container, address_space()].into_iter().flatten().min()
}

/// Bytes of addresses that the process may still take, if there is a limit.
#[cfg(target_os = "linux")]
fn address_space() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: fills the struct.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) } == 0;
    if !known || limit.rlim_cur == libc::RLIM_INFINITY {
        return None;
    }
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
    let used: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    // Narrower on some systems.
    #[allow(clippy::useless_conversion)]
    let limit = u64::from(limit.rlim_cur);
    Some(limit.saturating_sub(used << 10))
}

/// Other systems tell nothing anyway.
#[cfg(not(target_os = "linux"))]
fn address_space() -> Option<u64> {
    None
}

/// The `MemAvailable` line, which is in kibibytes, in bytes.
fn parse(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1 << 10)
}

/// Bytes of files that are not in use, of a container's statistics.
fn of_files(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("inactive_file "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{of_files, parse};

    #[test]
    fn reads_what_a_container_holds_of_files() {
        assert_eq!(of_files("anon 12\ninactive_file 4096\nactive_file 7\n"), Some(4096));
        assert_eq!(of_files("anon 12\n"), None);
    }

    #[test]
    fn reads_the_available_memory() {
        let text = "MemTotal:       24689656 kB\nMemFree: 1 kB\nMemAvailable:   23000000 kB\n";
        assert_eq!(parse(text), Some(23_000_000 << 10));
        assert_eq!(parse("MemTotal: 1 kB\n"), None);
        assert_eq!(parse("MemAvailable: many kB\n"), None);
    }
}
