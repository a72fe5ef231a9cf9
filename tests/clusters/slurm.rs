//! `examples/clusters/slurm` on a real Slurm.

use crate::pattern_file::largest_difference;
use crate::run::{Place, VGGX};
use crate::slurm_daemons::Cluster;
use std::fs;
use std::path::Path;

const SUBMIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/clusters/slurm/submit");

const ARRAY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/clusters/slurm/array.sbatch");

const TASKS: usize = 4;

/// The tiny network on enough crops for a task to be caught in the middle.
const LEARN: &str = "in --weights net.safetensors --resize 14 --crop 12 --device cpu --crops 2001 --batch 7";

/// An array of tasks that are learning, and the job that merges.
struct Learning<'a> {
    cluster: &'a Cluster,
    place: &'a Place,
    tasks: Vec<String>,
    merging: String,
}

impl<'a> Learning<'a> {
    fn submit(cluster: &'a Cluster, place: &'a Place) -> Self {
        let tasks = TASKS.to_string();
        let mut arguments = vec![tasks.as_str(), "learnt"];
        arguments.extend(LEARN.split(' '));
        // As soon as there is a checkpoint, the test interferes.
        arguments.extend(["--checkpoint", "0", "--", "--weights", "net.safetensors"]);
        let numbers = cluster.run(SUBMIT, &arguments);
        let (array, merging) = numbers.trim().split_once(' ').unwrap();
        let tasks = (0..TASKS).map(|task| format!("{array}_{task}")).collect();
        Learning { cluster, place, tasks, merging: merging.to_owned() }
    }

    /// Waits until a task is in the middle of its work.
    #[track_caller]
    fn wait_for_checkpoint(&self, task: usize) {
        let checkpoint = self.place.file(format!("learnt/moments-{task}.safetensors.checkpoint"));
        self.cluster.wait(&format!("checkpoint of task {task}"), |_| checkpoint.exists());
    }

    fn log(&self, task: usize) -> String {
        fs::read_to_string(self.place.file(format!("vggx-{}.log", self.tasks[task].replace('_', "-"))))
            .unwrap()
    }

    fn is_done(&self, task: usize) -> bool {
        self.place.file(format!("learnt/moments-{task}.safetensors")).exists()
    }
}

/// The process that learns for a task.
fn process_of(place: &Place, task: usize) -> Option<String> {
    let wanted = format!("learnt/moments-{task}.safetensors");
    let here = fs::canonicalize(place.path()).unwrap();
    let is_it = |process: &Path| {
        fs::read_link(process.join("cwd")).is_ok_and(|folder| folder == here)
            && fs::read_link(process.join("exe"))
                .is_ok_and(|program| program == fs::canonicalize(VGGX).unwrap())
            && fs::read(process.join("cmdline"))
                .is_ok_and(|line| line.split(|&byte| byte == 0).any(|word| word == wanted.as_bytes()))
    };
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    processes
        .filter(|process| is_it(process))
        .map(|process| process.file_name().unwrap().to_str().unwrap().to_owned())
        .next()
}

/// The task that gets the picture that cannot be read: in the order of their names, 0, 1, 10, 2, 3, 4, it is number 5.
const WITH_FAILURE: usize = 1;

fn pictures(place: &Place) {
    (0..11).for_each(|seed| place.picture(format!("in/{seed}.png"), seed));
    // One that cannot be read must not keep the others from being merged.
    place.write("in/4.png", b"no picture");
}

#[test]
fn tasks_that_are_killed_preempted_or_out_of_time_go_on_to_the_same_bits() {
    let place = Place::new();
    let Some(cluster) = Cluster::start(place.path(), VGGX) else { return };
    pictures(&place);
    let learning = Learning::submit(&cluster, &place);
    // As the kernel does when memory is short.
    learning.wait_for_checkpoint(1);
    cluster.run("kill", &["-KILL", &process_of(&place, 1).expect("the process of task 1")]);
    // As Slurm does for a job that matters more.
    learning.wait_for_checkpoint(2);
    cluster.run("scontrol", &["requeue", &learning.tasks[2]]);
    // As Slurm does when time is nearly up.
    learning.wait_for_checkpoint(3);
    cluster.run("scancel", &["--signal=USR1", "--batch", &learning.tasks[3]]);
    assert!((1..TASKS).all(|task| !learning.is_done(task)), "too late to show anything");

    learning.tasks[1..].iter().for_each(|task| cluster.start_soon(task));
    cluster.wait_for_state(&learning.merging, "COMPLETED");
    for task in 1..TASKS {
        let log = learning.log(task);
        assert!(log.contains("going on after"), "task {task}: {log}");
        assert_eq!(cluster.job(&learning.tasks[task])["Restarts"], "1", "task {task}");
    }
    for asked in [2, 3] {
        assert!(
            learning.log(asked).contains("the same call goes on from"),
            "task {asked}: {}",
            learning.log(asked)
        );
    }
    assert_eq!(cluster.job(&learning.tasks[0])["Restarts"], "0");
    let log = learning.log(WITH_FAILURE);
    assert!(log.contains("4.png"), "{log}");

    for task in 0..TASKS {
        let alone = format!("learn {LEARN} --shard {task}/{TASKS} --moments alone-{task}");
        place.vggx(&alone).expect(if task == WITH_FAILURE { 3 } else { 0 }, &[]);
        let moments = place.read(&format!("learnt/moments-{task}.safetensors"));
        assert!(moments == place.read(&format!("alone-{task}")), "moments of task {task}");
    }
    place.vggx(&format!("learn {LEARN} --output whole")).expect(3, &["4.png"]);
    let difference = largest_difference(&place.read("whole"), &place.read("learnt/patterns.safetensors"));
    assert!(difference <= 1e-8, "{difference}");
}

#[test]
fn a_cancelled_task_takes_the_merging_with_it_until_all_is_submitted_again() {
    let place = Place::new();
    let Some(cluster) = Cluster::start(place.path(), VGGX) else { return };
    pictures(&place);
    let learning = Learning::submit(&cluster, &place);
    learning.wait_for_checkpoint(1);
    cluster.run("scancel", &[&learning.tasks[1]]);
    cluster.wait_for_state(&learning.merging, "CANCELLED");
    for task in [0, 2, 3] {
        cluster.wait_for_state(&learning.tasks[task], "COMPLETED");
    }
    assert_eq!(cluster.state(&learning.tasks[1]), "CANCELLED");
    assert!(!learning.is_done(1) && !place.file("learnt/patterns.safetensors").exists());

    let again = Learning::submit(&cluster, &place);
    cluster.wait_for_state(&again.merging, "COMPLETED");
    assert!(again.log(1).contains("going on after"), "{}", again.log(1));
    assert!(again.log(0).contains("kept from an earlier run"), "{}", again.log(0));
    assert!(place.file("learnt/patterns.safetensors").exists());
}

/// Files of an output folder that a run of the same call makes again to the bit.
fn reproducible(place: &Place, folder: &str) -> Vec<String> {
    let files = place.files(folder);
    files.into_iter().filter(|name| name.ends_with(".npz") || name.ends_with(".jsonl")).collect()
}

#[test]
fn an_array_explains_into_one_folder_and_a_requeued_task_does_what_is_missing() {
    let place = Place::new();
    let Some(cluster) = Cluster::start(place.path(), VGGX) else { return };
    fs::create_dir(place.file("shards")).unwrap();
    for shard in 0..5 {
        let folder = format!("pictures/{shard}");
        (0..3).for_each(|seed| place.picture(format!("{folder}/{seed}.png"), 10 * shard + seed));
        let folder = place.file(folder);
        let archive = place.file(format!("shards/0000{shard}.tar"));
        cluster.run("tar", &["-C", folder.to_str().unwrap(), "-cf", archive.to_str().unwrap(), "."]);
    }
    let explain = "explain shards/{00000..00004}.tar --method gradient --format npz --weights net.safetensors \
                   --resize 14 --crop 12 --device cpu";
    let submit: Vec<&str> = ["--parsable", "--array=1-3", ARRAY]
        .into_iter()
        .chain(explain.split_whitespace())
        .chain(["--output", "explained"])
        .collect();
    let array = cluster.run("sbatch", &submit);
    let tasks = [1, 2, 3].map(|task| format!("{}_{task}", array.trim()));
    tasks.iter().for_each(|task| cluster.wait_for_state(task, "COMPLETED"));

    place.vggx(&format!("{explain} --output whole")).done();
    let files = reproducible(&place, "whole");
    assert!(files.contains(&"00004.npz".to_owned()), "{files:?}");
    let compare = || {
        assert_eq!(reproducible(&place, "explained"), files);
        for file in &files {
            assert!(
                place.read(&format!("explained/{file}")) == place.read(&format!("whole/{file}")),
                "{file}"
            );
        }
    };
    compare();

    // The first of the three tasks has shards 0 and 3.
    let written =
        |file: &str| fs::metadata(place.file(format!("explained/{file}"))).unwrap().modified().unwrap();
    let kept = written("00000.npz");
    fs::remove_file(place.file("explained/00003.npz")).unwrap();
    cluster.run("scontrol", &["requeue", &tasks[0]]);
    cluster.start_soon(&tasks[0]);
    cluster.wait_for_state(&tasks[0], "COMPLETED");
    compare();
    assert_eq!(written("00000.npz"), kept);
}
