//! A folder where `vggx` without options is `vggx` with the tiny network, so that commands run as users read them.

use crate::pattern_file::largest_difference;
use crate::run::{Place, VGGX};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

pub struct Tiny {
    pub place: Place,
}

impl Tiny {
    /// With this many pictures in `images`.
    pub fn new(pictures: u64) -> Self {
        let place = Place::new();
        (0..pictures).for_each(|seed| place.picture(format!("images/{seed}.png"), seed));
        let tiny = Tiny { place };
        let network = "--weights net.safetensors";
        tiny.program(
            "vggx",
            &format!(
                "case $1 in\n    learn) set -- \"$@\" --resize 14 --crop 12 --device cpu ;;\nesac\nexec {VGGX} \"$@\" {network}"
            ),
        );
        tiny
    }

    /// A program of a few lines of shell, for the commands to find.
    pub fn program(&self, name: &str, script: &str) {
        let bin = self.place.file("bin");
        fs::create_dir_all(&bin).unwrap();
        let file = bin.join(name);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// bash in the folder, without what a launcher of this very test would say.
    pub fn bash(&self) -> Command {
        let mut command = Command::new("bash");
        for name in
            ["SLURM_ARRAY_TASK_ID", "SLURM_STEP_NUM_TASKS", "JOB_COMPLETION_INDEX", "RANK", "WORLD_SIZE"]
        {
            command.env_remove(name);
        }
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.place.file("bin").display()));
        command.env_remove("VGGX_DATA").current_dir(self.place.path());
        command
    }

    /// Runs a script that has to succeed.
    #[track_caller]
    pub fn run(&self, script: &str) {
        let output = self.bash().args(["-euo", "pipefail", "-c", script]).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\nended with {}:\n{errors}", output.status);
    }

    /// `patterns.safetensors`, which held others, is now what one run learns.
    #[track_caller]
    pub fn expect_patterns_of_one_run(&self) {
        self.run("vggx learn images --output whole");
        let difference =
            largest_difference(&self.place.read("whole"), &self.place.read("patterns.safetensors"));
        assert!(difference <= 1e-8, "{difference}");
    }
}
