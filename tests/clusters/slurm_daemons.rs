//! A Slurm cluster of one node, for one test: its own daemons, key, ports and folder, as the user who runs the test. It cannot
//! meet another Slurm of the machine, and ends with the test.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::{panicking, sleep};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longest time for anything to happen: a few seconds where the machine has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(120);

const PROGRAMS: [&str; 7] = ["munged", "slurmctld", "slurmd", "sbatch", "scontrol", "sinfo", "setpriv"];

/// A running cluster, and the folder that its jobs work in.
pub struct Cluster {
    folder: TempDir,
    work: PathBuf,
    /// With `vggx` in it.
    path: OsString,
    /// In the order in which they were started.
    daemons: Vec<(&'static str, Child)>,
}

impl Cluster {
    /// Starts one whose jobs find `vggx`; `None` where Slurm is not installed.
    pub fn start(work: &Path, vggx: &str) -> Option<Self> {
        // Where daemons are is in the path of root only.
        let given = std::env::var_os("PATH").unwrap_or_default();
        let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
        let places: Vec<PathBuf> = std::env::split_paths(&given).chain(system).collect();
        if let Some(missing) =
            PROGRAMS.iter().find(|name| !places.iter().any(|place| place.join(name).is_file()))
        {
            println!("skipped: no {missing}, so no job array ran (Debian: apt install slurm-wlm munge)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        symlink(vggx, bin.join("vggx")).unwrap();
        let path = std::env::join_paths([bin].into_iter().chain(places)).unwrap();
        let mut cluster = Self { folder, work: work.to_owned(), path, daemons: Vec::new() };
        cluster.configure();
        cluster.start_daemons();
        Some(cluster)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self) {
        for name in ["state", "spool"] {
            fs::create_dir(self.file(name)).unwrap();
        }
        let mut key = fs::OpenOptions::new();
        let mut key = key.write(true).create_new(true).mode(0o600).open(self.file("munge.key")).unwrap();
        // A secret only from other users, who cannot even open the folder.
        let random = fs::File::open("/dev/urandom").unwrap();
        std::io::copy(&mut std::io::Read::take(random, 128), &mut key).unwrap();
        key.flush().unwrap();
        // Held together, so that they differ.
        let ports = [0; 2].map(|any| TcpListener::bind(("127.0.0.1", any)).unwrap());
        let [controller, node] = ports.map(|port| port.local_addr().unwrap().port().to_string());
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let id = Command::new("id").arg("-un").output().unwrap();
        let configuration = include_str!("slurm.conf.in")
            .replace("@FOLDER@", self.folder.path().to_str().unwrap())
            .replace("@HOST@", host.trim().split('.').next().unwrap())
            .replace("@USER@", String::from_utf8(id.stdout).unwrap().trim())
            .replace("@CONTROLLER_PORT@", &controller)
            .replace("@NODE_PORT@", &node);
        fs::write(self.file("slurm.conf"), configuration).unwrap();
    }

    fn start_daemons(&mut self) {
        let option = |name: &str, file: &str| format!("--{name}={}", self.file(file).display());
        let files = [("key-file", "munge.key"), ("socket", "munge.socket"), ("seed-file", "munge.seed")];
        let more = [("pid-file", "munged.pid"), ("log-file", "munged.log")];
        let mut options = vec!["--foreground".to_owned(), "--force".to_owned()];
        options.extend(files.iter().chain(&more).map(|(name, file)| option(name, file)));
        self.daemon("munged", &options);
        self.wait("munged", |cluster| cluster.file("munge.socket").exists());
        let foreground = ["-D".to_owned()];
        self.daemon("slurmctld", &foreground);
        self.daemon("slurmd", &foreground);
        self.wait("the node", |cluster| {
            let shown = cluster.command("sinfo").args(["--noheader", "--format=%t"]).output().unwrap();
            shown.stdout.starts_with(b"idle")
        });
    }

    fn daemon(&mut self, name: &'static str, options: &[String]) {
        let log = fs::File::create(self.file(&format!("{name}.err"))).unwrap();
        // A test that is killed takes its daemons with it.
        let mut command = self.command("setpriv");
        let command = command.args(["--pdeathsig", "TERM", "--", name]).args(options);
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.daemons.push((name, child));
    }

    /// A program that sees this cluster, not one that this test itself may run in.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let launcher = ["SLURM", "SBATCH", "JOB_COMPLETION", "RANK", "WORLD_SIZE", "VGGX_DATA"];
        for (name, _) in std::env::vars_os() {
            if launcher.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command
            .env("SLURM_CONF", self.file("slurm.conf"))
            .env("PATH", &self.path)
            // What `auto` means must not depend on the machine.
            .env("CUDA_VISIBLE_DEVICES", "-1")
            .current_dir(&self.work)
            .stdin(Stdio::null());
        command
    }

    /// Runs a program that has to succeed, and gives what it printed.
    #[track_caller]
    pub fn run(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> String {
        let output = self.command(program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?} ended with {}: {}", output.status, text(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What Slurm knows of a job, or of a task of an array (`7_3`); empty where it knows none.
    pub fn job(&self, id: &str) -> BTreeMap<String, String> {
        let output = self.command("scontrol").args(["--oneliner", "show", "job", id]).output().unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        shown
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.into(), value.into()))
            .collect()
    }

    pub fn state(&self, id: &str) -> String {
        self.job(id).remove("JobState").unwrap_or_default()
    }

    #[track_caller]
    pub fn wait_for_state(&self, id: &str, state: &str) {
        self.wait(&format!("{state} of job {id}"), |cluster| cluster.state(id) == state);
    }

    /// Waits until a task has been requeued, and has it start soon: Slurm lets it rest for two minutes. Not at once, since within
    /// the second in which it ended, the node refuses to start it again.
    #[track_caller]
    pub fn start_soon(&self, task: &str) {
        self.wait(&format!("requeued task {task}"), |cluster| {
            let job = cluster.job(task);
            job.get("JobState").is_some_and(|state| state == "PENDING")
                && job.get("Restarts").is_some_and(|restarts| restarts != "0")
        });
        self.run("scontrol", &["update", &format!("JobId={task}"), "StartTime=now+2"]);
    }

    /// Waits until something is so.
    #[track_caller]
    pub fn wait(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            assert!(start.elapsed() < PATIENCE, "no {what} after {PATIENCE:?}");
            sleep(Duration::from_millis(20));
        }
    }

    fn show_logs(&self) {
        let _ = self.command("scontrol").args(["show", "jobs"]).status();
        for folder in [self.folder.path(), &self.work] {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.extension().is_some_and(|extension| extension == "log" || extension == "err") {
                    let log = fs::read_to_string(&path).unwrap_or_default();
                    eprintln!("-- {} --\n{log}", path.display());
                }
            }
        }
    }
}

impl Drop for Cluster {
    /// Jobs first, then the daemons, the last one first.
    fn drop(&mut self) {
        if panicking() {
            self.show_logs();
        }
        let _ = self.command("scancel").args(["--signal=KILL", "--full", "--me"]).output();
        let start = Instant::now();
        let busy = |cluster: &Self| {
            let jobs = cluster.command("squeue").args(["--noheader", "--states=R,CG"]).output();
            jobs.is_ok_and(|jobs| !jobs.stdout.is_empty())
        };
        while busy(self) && start.elapsed() < Duration::from_secs(5) {
            sleep(Duration::from_millis(50));
        }
        while let Some((_, mut daemon)) = self.daemons.pop() {
            let _ = Command::new("kill").arg(daemon.id().to_string()).output();
            let start = Instant::now();
            while daemon.try_wait().is_ok_and(|ended| ended.is_none()) {
                if start.elapsed() > Duration::from_secs(5) {
                    let _ = daemon.kill();
                }
                sleep(Duration::from_millis(20));
            }
        }
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}
