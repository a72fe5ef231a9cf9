//! Stopping when asked to: by Ctrl-C, by a batch system that warns before it kills, by a terminal that is closed.

use std::ffi::c_int;
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::{consts, flag};

use super::exit::Failure;

/// Exit code of a process that was urged to stop: 128 + SIGINT, as shells have it.
const STOPPED: c_int = 130;

/// What asks a process to stop.
const SIGNALS: &[c_int] = &[
    consts::SIGINT,
    consts::SIGTERM,
    #[cfg(unix)]
    consts::SIGHUP,
];

/// Tells whether this process has been asked to stop.
#[derive(Clone, Debug)]
pub struct Interrupt {
    requested: Arc<AtomicBool>,
}

impl Interrupt {
    /// From now on a first SIGINT, SIGTERM or SIGHUP only makes [`Interrupt::requested`] true, and the next SIGINT or SIGHUP
    /// ends the process at once with exit code 130. Another SIGTERM does not: some batch systems send it to every process of
    /// a job, and the job's script or srun hands it on, which is the same wish twice. A signal that the process was started to
    /// ignore, as `nohup` does with SIGHUP and shells with SIGINT in the background, stays ignored (on Linux, where the system
    /// tells).
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn install() -> Result<Self, Failure> {
        let refused = |error| Failure::Run(format!("cannot catch signals ({error}); try again"));
        Self::handle().map_err(refused)
    }

    fn handle() -> io::Result<Self> {
        let requested = Arc::new(AtomicBool::new(false));
        let ignored = ignored_signals();
        for &signal in SIGNALS {
            if ignored >> (signal - 1) & 1 == 1 {
                continue;
            }
            // In this order: the first signal finds the flag unset, and sets it.
            if signal != consts::SIGTERM {
                flag::register_conditional_shutdown(signal, STOPPED, Arc::clone(&requested))?;
            }
            flag::register(signal, Arc::clone(&requested))?;
        }
        Ok(Self { requested })
    }

    /// Whether a signal has arrived.
    pub fn requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }
}

/// The signals this process ignores, bit n - 1 for signal n.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// What [`patient_process`] says on standard output.
    const READY: &str = "waiting for signals";
    const ASKED: &str = "asked to stop";

    /// A process of its own for the tests below: tells when it has been asked to stop, and does not.
    #[test]
    #[ignore = "run by the tests beside it, in a process of its own"]
    fn patient_process() {
        let interrupt = Interrupt::handle().unwrap();
        println!("\n{READY}");
        let mut told = false;
        for _ in 0..6000 {
            if interrupt.requested() && !told {
                println!("{ASKED}");
                told = true;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    struct Patient {
        child: Child,
        lines: std::io::Lines<BufReader<ChildStdout>>,
    }

    impl Patient {
        /// With a word before the program, a shell's command such as `nohup`.
        fn start(before: &str) -> Self {
            let program = std::env::current_exe().unwrap();
            let name = "cli::interrupt::tests::patient_process";
            let script = format!("{before} exec \"$0\" --exact --ignored --nocapture {name}");
            let mut child = Command::new("sh")
                .args(["-c", &script])
                .arg(program)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut patient = Self { child, lines };
            patient.wait_for(READY);
            patient
        }

        fn wait_for(&mut self, line: &str) {
            assert!(self.lines.any(|read| read.unwrap() == line), "it never said: {line}");
        }

        fn send(&self, signal: &str) {
            let id = self.child.id().to_string();
            assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        }

        fn end(mut self) -> ExitStatus {
            self.child.wait().unwrap()
        }
    }

    #[test]
    fn the_first_signal_asks_and_the_second_ends() {
        let (int, term, hup) = (("INT", consts::SIGINT), ("TERM", consts::SIGTERM), ("HUP", consts::SIGHUP));
        // What this process was started to ignore, by nohup or by a shell in the background, its children ignore too.
        let ignored = ignored_signals();
        let is_heeded = |number: c_int| ignored >> (number - 1) & 1 == 0;
        assert!(is_heeded(consts::SIGTERM));
        for ((first, number), (second, other)) in [(int, int), (term, int), (term, hup), (hup, int)] {
            if !is_heeded(number) || !is_heeded(other) {
                continue;
            }
            let mut patient = Patient::start("");
            patient.send(first);
            patient.wait_for(ASKED);
            patient.send(second);
            let status = patient.end();
            assert_eq!((status.code(), status.signal()), (Some(STOPPED), None), "{first}, {second}");
        }
    }

    #[test]
    fn a_batch_system_may_ask_twice() {
        let mut patient = Patient::start("");
        patient.send("TERM");
        patient.wait_for(ASKED);
        patient.send("TERM");
        // As below.
        thread::sleep(Duration::from_millis(200));
        assert_eq!(patient.child.try_wait().unwrap(), None);
        patient.child.kill().unwrap();
        patient.end();
    }

    #[test]
    fn ignored_signals_stay_ignored() {
        let mut patient = Patient::start("trap '' HUP;");
        patient.send("HUP");
        patient.send("HUP");
        // Had it heeded them, it would be gone by now.
        thread::sleep(Duration::from_millis(200));
        assert_eq!(patient.child.try_wait().unwrap(), None);
        patient.send("TERM");
        patient.wait_for(ASKED);
        patient.child.kill().unwrap();
        patient.end();
    }
}
