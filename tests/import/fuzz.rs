//! Any bytes are read or refused: no panic, no long wait, little memory.

use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use vggx::network::PreprocessingOverrides;
use vggx::patterns::{Component, Patterns};
use vggx::weights::Weights;

use crate::allocations::peak;
use crate::mutate::{Random, mutated};

/// What a reader of a small file may take, in bytes.
pub const MEMORY: usize = 50 << 20;

/// What a reader may take on a machine that does other things too.
pub const TIME: Duration = Duration::from_secs(2);

/// What a reader may take of a processor; it takes milliseconds.
const PROCESSOR: Duration = Duration::from_millis(500);

/// Measures a reading. Returns the result, and what it took if that was too much.
pub fn measured<T>(read: impl FnOnce() -> T) -> (T, Option<String>) {
    let start = processor_time();
    let (result, memory) = peak(read);
    let time = processor_time() - start;
    (result, (memory > MEMORY || time > PROCESSOR).then(|| format!("{memory} bytes, {time:?}")))
}

/// Time that this thread has run, which other programs do not lengthen; where the system does not say it, that of the clock.
fn processor_time() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    // Nanoseconds come first (Documentation/scheduler/sched-stats.rst).
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let run = text.split_whitespace().next().and_then(|text| text.parse().ok());
    run.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

/// Reads changed files for some seconds: 5, or as many as `VGGX_FUZZ_SECONDS` says. `read` uses all that is accepted.
pub fn fuzz(extension: &str, good: &[Vec<u8>], read: impl Fn(&Path) -> Result<(), String>) {
    fuzz_with(extension, |random| mutated(good, random), read);
}

/// The same with files that `next` makes.
pub fn fuzz_with(
    extension: &str,
    mut next: impl FnMut(&mut Random) -> Vec<u8>,
    read: impl Fn(&Path) -> Result<(), String>,
) {
    let seconds = std::env::var("VGGX_FUZZ_SECONDS").ok().map_or(5, |text| text.parse().expect("a number"));
    // It stays there when the reader panics or takes too much.
    let path = std::env::temp_dir().join(format!("vggx-fuzz-{}.{extension}", std::process::id()));
    let start = Instant::now();
    // The first files are the same in every run; long runs go on where short ones stop.
    let mut random = Random::new(9);
    let (mut files, mut accepted) = (0, 0);
    while start.elapsed() < Duration::from_secs(seconds) {
        let bytes = next(&mut random);
        std::fs::write(&path, &bytes).unwrap();
        let (result, excess) = measured(|| read(&path));
        assert!(excess.is_none(), "{}: {}", path.display(), excess.unwrap_or_default());
        match result {
            Ok(()) => accepted += 1,
            Err(message) => assert!(message.chars().count() < 2000, "{message}"),
        }
        files += 1;
    }
    std::fs::remove_file(&path).unwrap();
    println!("{files} files, {accepted} accepted");
    assert!(files > 50, "{files} files in {seconds} s");
    assert!(0 < accepted && accepted < files, "{accepted} of {files} accepted");
}

/// Opens weights and uses them.
pub fn use_weights(path: &Path) -> Result<(), String> {
    let weights =
        Weights::open(path, &PreprocessingOverrides::default()).map_err(|error| error.to_string())?;
    let finite = weights.check_finite().is_ok();
    for (number, (_, layer)) in weights.network().parametric().enumerate() {
        assert_eq!(weights.weight(number).len(), layer.outputs() * layer.fan_in());
        assert_eq!(weights.bias(number).len(), layer.outputs());
    }
    assert!(!finite || weights.fingerprint().matches(weights.fingerprint()));
    Ok(())
}

/// Opens patterns and uses them.
pub fn use_patterns(path: &Path, weights: &Weights) -> Result<(), String> {
    let patterns = Patterns::open(path, weights).map_err(|error| error.to_string())?;
    if let Ok(tensors) = patterns.tensors(Component::Positive) {
        for (tensor, (_, layer)) in tensors.iter().zip(weights.network().parametric()) {
            assert_eq!(tensor.len(), layer.outputs() * layer.fan_in());
            assert!(tensor.to_vec().iter().all(|value| value.is_finite()));
        }
    }
    Ok(())
}

#[test]
fn excess_is_seen() {
    assert_eq!(measured(|| vec![1_u8; 1 << 20]).1, None);
    assert!(measured(|| vec![1_u8; MEMORY + 1]).1.is_some());
    let busy = || {
        let start = processor_time();
        while processor_time() - start <= PROCESSOR {}
    };
    assert!(measured(busy).1.is_some());
}
