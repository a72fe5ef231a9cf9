//! The shard that whatever started this process means, from the environment.

use super::{Shard, ShardError};

/// Tells the values of environment variables.
pub struct Environment<'a>(pub &'a dyn Fn(&str) -> Option<String>);

/// What a launcher says, and the variable by which it is known.
struct Said {
    name: &'static str,
    shard: Shard,
}

/// As [`Shard::auto`] describes it.
pub fn shard(environment: &Environment) -> Result<Shard, ShardError> {
    let (kubernetes, uncounted) = match environment.share("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS") {
        // Every pod of an indexed job has its index; the count is there only where somebody means shards by it.
        Err(missing @ ShardError::Missing { .. }) => (None, Some(missing)),
        said => (said?, None),
    };
    let launchers = [slurm(environment)?, kubernetes, environment.share("RANK", "WORLD_SIZE")?];
    let mut several = launchers.iter().flatten().filter(|said| said.shard.count > 1);
    let Some(first) = several.next() else {
        let alone = launchers.iter().flatten().next().map(|said| said.shard);
        return uncounted.map_or_else(|| alone.ok_or(ShardError::NothingSet), Err);
    };
    match several.find(|other| other.shard != first.shard) {
        Some(other) => Err(ShardError::Ambiguous {
            name: first.name,
            shard: first.shard,
            other_name: other.name,
            other: other.shard,
        }),
        None => Ok(first.shard),
    }
}

/// The share of a task of a job array, of a process that srun started, or of a process in a task.
fn slurm(environment: &Environment) -> Result<Option<Said>, ShardError> {
    let array = array(environment)?;
    // SLURM_NTASKS would not do: a batch script has it, too, and SLURM_PROCID 0, though it runs once.
    let step = match environment.number("SLURM_STEP_NUM_TASKS")? {
        Some(_) => environment.share("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")?,
        None => None,
    };
    let (Some(task), Some(process)) = (&array, &step) else { return Ok(array.or(step)) };
    let (tasks, processes) = (task.shard.count, process.shard.count);
    let count = tasks.checked_mul(processes).ok_or(ShardError::TooMany { tasks, processes })?;
    let index = task.shard.index * processes + process.shard.index;
    Ok(Some(Said { name: task.name, shard: Shard::new(index, count)? }))
}

fn array(environment: &Environment) -> Result<Option<Said>, ShardError> {
    let name = "SLURM_ARRAY_TASK_ID";
    let Some((task, count)) = environment.pair(name, "SLURM_ARRAY_TASK_COUNT")? else { return Ok(None) };
    let first = environment.number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
    let step = environment.number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
    let last = count
        .checked_sub(1)
        .and_then(|steps| first.checked_add(steps.checked_mul(step)?))
        .ok_or(ShardError::None { index: task })?;
    // Every task of an array with gaps is refused, also those whose own number would fit.
    let regular = environment.number("SLURM_ARRAY_TASK_MAX")?.is_none_or(|highest| highest == last);
    match task.checked_sub(first) {
        Some(offset) if regular && offset % step == 0 && offset / step < count => {
            Ok(Some(Said { name, shard: Shard::new(offset / step, count)? }))
        }
        _ => Err(ShardError::Irregular { task, count, first, step, last }),
    }
}

impl Environment<'_> {
    /// A variable's value; `None` where it is empty or not set.
    fn number(&self, name: &'static str) -> Result<Option<u64>, ShardError> {
        match (self.0)(name) {
            Some(value) if !value.trim().is_empty() => match value.trim().parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(ShardError::NotANumber { name, value }),
            },
            _ => Ok(None),
        }
    }

    /// An index and its count; `None` where there is no index.
    fn pair(&self, name: &'static str, count_name: &'static str) -> Result<Option<(u64, u64)>, ShardError> {
        let Some(index) = self.number(name)? else { return Ok(None) };
        match self.number(count_name)? {
            Some(count) => Ok(Some((index, count))),
            None => Err(ShardError::Missing { set: name, missing: count_name }),
        }
    }

    /// What an index counted from 0 and its count say.
    fn share(&self, name: &'static str, count_name: &'static str) -> Result<Option<Said>, ShardError> {
        let Some((index, count)) = self.pair(name, count_name)? else { return Ok(None) };
        match Shard::new(index, count) {
            Ok(shard) => Ok(Some(Said { name, shard })),
            Err(_) => Err(ShardError::Contradiction { name, index, count_name, count }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(index: u64, count: u64) -> Result<Shard, ShardError> {
        Shard::new(index, count)
    }

    /// `auto` where these variables are set.
    fn auto(variables: &[(&str, &str)]) -> Result<Shard, ShardError> {
        Shard::parse("auto", |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn slurm(task: &str, count: &str, more: &[(&str, &str)]) -> Result<Shard, ShardError> {
        let mut variables = vec![("SLURM_ARRAY_TASK_ID", task), ("SLURM_ARRAY_TASK_COUNT", count)];
        variables.extend(more);
        auto(&variables)
    }

    #[test]
    fn a_slurm_array_is_numbered_from_its_first_task() {
        assert_eq!(slurm("2", "4", &[]), shard(2, 4));
        let from_one =
            [("SLURM_ARRAY_TASK_MIN", "1"), ("SLURM_ARRAY_TASK_MAX", "4"), ("SLURM_ARRAY_TASK_STEP", "1")];
        assert_eq!(slurm("1", "4", &from_one), shard(0, 4));
        assert_eq!(slurm("4", "4", &from_one), shard(3, 4));
        let by_five =
            [("SLURM_ARRAY_TASK_MIN", "10"), ("SLURM_ARRAY_TASK_MAX", "25"), ("SLURM_ARRAY_TASK_STEP", "5")];
        for index in 0..4 {
            assert_eq!(slurm(&(10 + 5 * index).to_string(), "4", &by_five), shard(index, 4));
        }
        // --array=0-9:4 is 0, 4, 8, and Slurm tells the last task that exists.
        let uneven =
            [("SLURM_ARRAY_TASK_MIN", "0"), ("SLURM_ARRAY_TASK_MAX", "8"), ("SLURM_ARRAY_TASK_STEP", "4")];
        assert_eq!(slurm("8", "3", &uneven), shard(2, 3));
    }

    #[test]
    fn arrays_with_gaps_are_refused_in_every_task() {
        // --array=0,1,5
        let gaps =
            [("SLURM_ARRAY_TASK_MIN", "0"), ("SLURM_ARRAY_TASK_MAX", "5"), ("SLURM_ARRAY_TASK_STEP", "1")];
        for task in ["0", "1", "5"] {
            let error = slurm(task, "3", &gaps).unwrap_err();
            assert!(matches!(error, ShardError::Irregular { last: 2, .. }), "{error}");
            assert!(error.to_string().contains("--array=0-2:1"), "{error}");
        }
        for (task, count, more) in [
            ("4", "4", &[][..]),
            ("0", "4", &[("SLURM_ARRAY_TASK_MIN", "1")]),
            ("11", "4", &[("SLURM_ARRAY_TASK_MIN", "10"), ("SLURM_ARRAY_TASK_STEP", "5")]),
        ] {
            assert!(matches!(slurm(task, count, more), Err(ShardError::Irregular { .. })));
        }
        assert!(slurm("0", "0", &[]).is_err());
        let huge = u64::MAX.to_string();
        assert!(
            slurm(&huge, &huge, &[("SLURM_ARRAY_TASK_MIN", &huge), ("SLURM_ARRAY_TASK_STEP", &huge)])
                .is_err()
        );
    }

    #[test]
    fn what_srun_starts_is_counted_by_its_step() {
        let step = [("SLURM_PROCID", "3"), ("SLURM_STEP_NUM_TASKS", "4"), ("SLURM_NTASKS", "16")];
        assert_eq!(auto(&step), shard(3, 4));
        // A batch script runs once, however many tasks its job has room for.
        let batch = [("SLURM_PROCID", "0"), ("SLURM_NTASKS", "4"), ("SLURM_NPROCS", "4")];
        assert_eq!(auto(&batch), Err(ShardError::NothingSet));
        assert_eq!(slurm("2", "6", &batch), shard(2, 6));
        assert_eq!(auto(&[("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "1")]), Ok(Shard::WHOLE));
        let beyond = auto(&[("SLURM_PROCID", "4"), ("SLURM_STEP_NUM_TASKS", "4")]).unwrap_err();
        assert!(matches!(beyond, ShardError::Contradiction { name: "SLURM_PROCID", .. }), "{beyond}");
        let alone = auto(&[("SLURM_STEP_NUM_TASKS", "four"), ("SLURM_PROCID", "0")]).unwrap_err();
        assert!(alone.to_string().contains("SLURM_STEP_NUM_TASKS is `four`"), "{alone}");
    }

    #[test]
    fn processes_in_the_tasks_of_an_array_share_what_the_task_has() {
        let mut seen = Vec::new();
        for task in ["1", "2", "3"] {
            for process in ["0", "1"] {
                let more =
                    [("SLURM_ARRAY_TASK_MIN", "1"), ("SLURM_PROCID", process), ("SLURM_STEP_NUM_TASKS", "2")];
                let found = slurm(task, "3", &more).unwrap();
                assert_eq!(found.count(), 6);
                seen.push(found.index());
            }
        }
        assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
        let huge = u64::MAX.to_string();
        let more = [("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "2")];
        assert!(matches!(slurm("0", &huge, &more), Err(ShardError::TooMany { processes: 2, .. })));
    }

    #[test]
    fn other_launchers_are_known() {
        assert_eq!(auto(&[("JOB_COMPLETION_INDEX", "0"), ("JOB_COMPLETIONS", "3")]), shard(0, 3));
        assert_eq!(auto(&[("RANK", "7"), ("WORLD_SIZE", "8")]), shard(7, 8));
        assert_eq!(slurm("", "", &[("RANK", "7"), ("WORLD_SIZE", "8")]), shard(7, 8));
    }

    #[test]
    fn launchers_that_disagree_are_refused() {
        let rank = [("RANK", "1"), ("WORLD_SIZE", "2")];
        let error = slurm("3", "6", &rank).unwrap_err();
        assert!(matches!(error, ShardError::Ambiguous { name: "SLURM_ARRAY_TASK_ID", .. }), "{error}");
        for words in ["3/6", "RANK", "1/2", "write I/N"] {
            assert!(error.to_string().contains(words), "{words}: {error}");
        }
        let pods = [("JOB_COMPLETION_INDEX", "2"), ("JOB_COMPLETIONS", "5")];
        assert!(matches!(auto(&[rank, pods].concat()), Err(ShardError::Ambiguous { .. })));
        // The same said twice is no disagreement, and one process alone has nothing to say.
        assert_eq!(slurm("1", "2", &rank), shard(1, 2));
        assert_eq!(slurm("3", "6", &[("RANK", "0"), ("WORLD_SIZE", "1")]), shard(3, 6));
        // What is wrong is refused also where another launcher would do.
        let wrong = slurm("3", "6", &[("RANK", "one"), ("WORLD_SIZE", "2")]);
        assert_eq!(wrong, Err(ShardError::NotANumber { name: "RANK", value: "one".to_owned() }));
    }

    #[test]
    fn a_pod_of_unknown_many_is_an_error_unless_another_launcher_counts() {
        let pod = ("JOB_COMPLETION_INDEX", "1");
        let missing = ShardError::Missing { set: "JOB_COMPLETION_INDEX", missing: "JOB_COMPLETIONS" };
        assert_eq!(auto(&[pod]), Err(missing.clone()));
        assert_eq!(auto(&[pod, ("RANK", "0"), ("WORLD_SIZE", "1")]), Err(missing));
        assert_eq!(auto(&[pod, ("RANK", "5"), ("WORLD_SIZE", "8")]), shard(5, 8));
    }

    #[test]
    fn an_environment_that_tells_no_shard_is_an_error_that_says_so() {
        let nothing = auto(&[]).unwrap_err().to_string();
        for name in [
            "SLURM_ARRAY_TASK_ID",
            "SLURM_ARRAY_TASK_COUNT",
            "SLURM_PROCID",
            "SLURM_STEP_NUM_TASKS",
            "JOB_COMPLETION_INDEX",
            "JOB_COMPLETIONS",
            "RANK",
            "WORLD_SIZE",
        ] {
            assert!(nothing.contains(name), "{name}: {nothing}");
        }
        let missing = auto(&[("RANK", "0")]).unwrap_err();
        assert_eq!(missing, ShardError::Missing { set: "RANK", missing: "WORLD_SIZE" });
        let word = slurm("2", "four", &[]).unwrap_err();
        assert_eq!(word, ShardError::NotANumber { name: "SLURM_ARRAY_TASK_COUNT", value: "four".to_owned() });
        let beyond = auto(&[("RANK", "8"), ("WORLD_SIZE", "8")]).unwrap_err().to_string();
        assert!(beyond.contains("RANK is 8") && beyond.contains("WORLD_SIZE is 8"), "{beyond}");
    }
}
