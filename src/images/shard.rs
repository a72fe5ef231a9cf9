//! A share of a list of images, for runs on several machines.

mod launcher;

use std::env;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use thiserror::Error;

/// One of `count` shares of a list: the images whose number in the whole list is `index` modulo `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shard {
    index: u64,
    count: u64,
}

/// Why something names no shard.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ShardError {
    /// Neither `I/N` nor `auto`.
    #[error("`{text}` is no shard: write I/N with I from 0 to N - 1, such as 0/4, or auto")]
    Syntax {
        /// As written.
        text: String,
    },
    /// The list cannot be cut into no shares.
    #[error("there is no shard {index} of 0: write I/N with N at least 1")]
    None {
        /// The index asked for.
        index: u64,
    },
    /// Shards are counted from 0.
    #[error("there is no shard {index} of {count}: shards are counted from 0, so the last one is {}/{count}", count - 1)]
    OutOfRange {
        /// The index asked for.
        index: u64,
        /// The number of shards.
        count: u64,
    },
    /// `auto`, where nothing tells the shard.
    #[error(
        "auto finds no shard in the environment: it looks for SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT (a Slurm job array), SLURM_PROCID and SLURM_STEP_NUM_TASKS (srun), JOB_COMPLETION_INDEX and JOB_COMPLETIONS (an indexed Kubernetes job; set the second one to its completions), RANK and WORLD_SIZE (torchrun); write I/N instead"
    )]
    NothingSet,
    /// `auto`, where one variable is set and its companion is not.
    #[error("{set} is set, but {missing}, which tells the number of shards, is not; set it, or write I/N")]
    Missing {
        /// The variable that is there.
        set: &'static str,
        /// The one that is needed too.
        missing: &'static str,
    },
    /// `auto`, where a variable holds something else than a whole number.
    #[error("{name} is `{value}`, not a whole number; correct it, or write I/N")]
    NotANumber {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// `auto` in a job array with gaps, whose tasks cannot be numbered from what Slurm tells them.
    #[error(
        "task {task} of {count} is in a job array that does not run from {first} in steps of {step}; use sbatch --array={first}-{last}:{step}, or write I/N"
    )]
    Irregular {
        /// SLURM_ARRAY_TASK_ID.
        task: u64,
        /// SLURM_ARRAY_TASK_COUNT.
        count: u64,
        /// SLURM_ARRAY_TASK_MIN, or 0.
        first: u64,
        /// SLURM_ARRAY_TASK_STEP, or 1.
        step: u64,
        /// The last task that so many would have.
        last: u64,
    },
    /// `auto`, where two launchers tell different shards.
    #[error(
        "{name} and its companions make this shard {shard}, but {other_name} makes it {other}; unset those that are not meant, or write I/N"
    )]
    Ambiguous {
        /// A variable of the one launcher.
        name: &'static str,
        /// Its shard.
        shard: Shard,
        /// A variable of the other.
        other_name: &'static str,
        /// Its shard.
        other: Shard,
    },
    /// `auto`, where there are more shards than can be counted.
    #[error("a job array of {tasks} tasks with {processes} processes each is too large; write I/N")]
    TooMany {
        /// SLURM_ARRAY_TASK_COUNT.
        tasks: u64,
        /// SLURM_STEP_NUM_TASKS.
        processes: u64,
    },
    /// `auto`, where the variables contradict each other.
    #[error("{name} is {index}, but {count_name} is {count}; correct them, or write I/N")]
    Contradiction {
        /// The variable with the index.
        name: &'static str,
        /// Its value.
        index: u64,
        /// The variable with the number of shards.
        count_name: &'static str,
        /// Its value.
        count: u64,
    },
}

impl Shard {
    /// All images.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Share `index`, counted from 0, of `count`.
    ///
    /// # Errors
    /// When `count` is 0 or `index` not below it.
    pub fn new(index: u64, count: u64) -> Result<Self, ShardError> {
        match count {
            0 => Err(ShardError::None { index }),
            _ if index >= count => Err(ShardError::OutOfRange { index, count }),
            _ => Ok(Self { index, count }),
        }
    }

    /// Counted from 0.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Into how many shares the list is cut.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether the image with this number in the whole list, from 0, belongs to it.
    pub fn holds(&self, number: u64) -> bool {
        number % self.count == self.index
    }

    /// Reads `I/N` or `auto`, which is [`Shard::auto`] in the environment `variable`.
    ///
    /// # Errors
    /// [`ShardError`], with what to write instead.
    pub fn parse(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, ShardError> {
        if text == "auto" {
            return Self::auto(variable);
        }
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let (index, count) = text
            .split_once('/')
            .and_then(|(index, count)| Some((number(index)?, number(count)?)))
            .ok_or_else(|| ShardError::Syntax { text: text.to_owned() })?;
        Self::new(index, count)
    }

    /// The shard that the launcher of this process means:
    ///
    /// | index | count | of |
    /// |---|---|---|
    /// | `SLURM_ARRAY_TASK_ID`, less `SLURM_ARRAY_TASK_MIN`, in steps of `SLURM_ARRAY_TASK_STEP` | `SLURM_ARRAY_TASK_COUNT` | a Slurm job array |
    /// | `SLURM_PROCID` | `SLURM_STEP_NUM_TASKS` | what srun starts; in a job array each task's shard is cut further |
    /// | `JOB_COMPLETION_INDEX` | `JOB_COMPLETIONS`, which the pod's specification has to set | an indexed Kubernetes job |
    /// | `RANK` | `WORLD_SIZE` | torchrun, or what imitates it |
    ///
    /// A launcher of one process has nothing to say where another one started several; two that say different things are
    /// refused, since images would be left out or taken twice. A job array of some tasks of an earlier one is an array of its
    /// own, with other shards: to repeat a task, requeue it, or write `I/N`.
    ///
    /// `variable` gives the value of an environment variable; empty ones count as not set.
    ///
    /// # Errors
    /// When none is set, one lacks its companion, a value is no number, the job array has gaps, or launchers disagree.
    pub fn auto(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ShardError> {
        launcher::shard(&launcher::Environment(&variable))
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self::WHOLE
    }
}

/// As [`Shard::parse`], in the environment of this process.
impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        Self::parse(text, |name| env::var(name).ok())
    }
}

/// As [`Shard::parse`] reads it: `0/4`.
impl Display for Shard {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(index: u64, count: u64) -> Result<Shard, ShardError> {
        Shard::new(index, count)
    }

    #[test]
    fn an_index_and_a_count_are_read_and_written() {
        for (text, index, count) in [
            ("0/1", 0, 1),
            ("3/4", 3, 4),
            (" 0 / 7", 0, 7),
            ("999999999999/1000000000000", 999_999_999_999, 1_000_000_000_000),
        ] {
            let read: Shard = text.parse().unwrap();
            assert_eq!((read.index(), read.count()), (index, count));
            assert_eq!(read.to_string().parse(), Ok(read));
        }
        assert_eq!(Shard::new(2, 5).unwrap().to_string(), "2/5");
        assert_eq!(Shard::default(), "0/1".parse().unwrap());
    }

    #[test]
    fn what_is_no_shard_says_what_to_write() {
        for text in ["", "/", "1", "1/", "/2", "1/2/3", "a/b", "-1/2", "0.5/2", "1\\2", "AUTO"] {
            let error = text.parse::<Shard>().unwrap_err();
            assert_eq!(error, ShardError::Syntax { text: text.to_owned() });
            assert!(error.to_string().contains("0/4"), "{error}");
        }
        let beyond = "4/4".parse::<Shard>().unwrap_err();
        assert_eq!(beyond, ShardError::OutOfRange { index: 4, count: 4 });
        assert!(beyond.to_string().contains("3/4") && beyond.to_string().contains("from 0"), "{beyond}");
        assert_eq!("0/0".parse::<Shard>(), Err(ShardError::None { index: 0 }));
    }

    #[test]
    fn every_image_is_in_one_shard() {
        for count in [1, 2, 3, 7] {
            for number in 0..50 {
                let holding: Vec<u64> =
                    (0..count).filter(|&index| shard(index, count).unwrap().holds(number)).collect();
                assert_eq!(holding, [number % count]);
            }
        }
    }
}
