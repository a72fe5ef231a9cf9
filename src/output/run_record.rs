//! `run.json`: what a finished run was, and how it went.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::OutputError;
use super::atomic::{self, Durability};

/// Name of the run record in an output folder.
pub const FILE_NAME: &str = "run.json";

/// The record of a finished run. An unfinished one has none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Version of vggx.
    pub version: String,
    /// The command line's options by name.
    pub options: serde_json::Map<String, serde_json::Value>,
    /// What the weights and patterns were.
    pub fingerprints: Fingerprints,
    /// The device that computed, such as `cpu` or the name of a GPU.
    pub device: String,
    /// What became of the images.
    pub counts: Counts,
    /// When it ran, and how long.
    pub times: Times,
    /// Where the time went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<PipelineRecord>,
}

/// Where the time of a run went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PipelineRecord {
    /// Seconds from the first look for images to the last output, opening the network not included.
    pub elapsed: f64,
    /// Seconds of each stage, summed over its threads: `read`, `decode`, `resize`, `compute`, `encode`, `write`.
    pub seconds: BTreeMap<String, f64>,
    /// Threads that read, decode and resize.
    pub loading_threads: usize,
    /// Batches that were computed at a time, on all devices.
    pub batches_in_flight: usize,
    /// What everything waited for: `reading`, `loading`, `device` or `output`.
    pub busiest: String,
    /// The share of the time in which it was busy.
    pub busy_share: f64,
}

/// Fingerprints as text, null where there was no such file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprints {
    /// Of the weights.
    pub weights: Option<String>,
    /// Of the patterns.
    pub patterns: Option<String>,
}

/// Numbers of images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All images of the call: `done` + `failed` + `kept`.
    pub images: u64,
    /// Explained by this run.
    pub done: u64,
    /// Not explained: the manifest says why.
    pub failed: u64,
    /// Left as an earlier run had made them.
    pub kept: u64,
}

/// Start and duration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Start in UTC as in RFC 3339, `2026-01-31T23:59:59Z`.
    pub started: String,
    /// Wall-clock seconds.
    pub seconds: f64,
}

impl Times {
    /// The times of a run from its start and duration.
    pub fn new(started: SystemTime, duration: Duration) -> Self {
        Self { started: rfc3339(started), seconds: duration.as_secs_f64() }
    }
}

impl RunRecord {
    /// Writes `run.json` into `folder`, over an earlier one.
    ///
    /// # Errors
    /// [`OutputError::NoSpace`], [`OutputError::Write`].
    pub fn write(&self, folder: &Path) -> Result<(), OutputError> {
        self.write_at(path(folder))
    }

    /// Writes the record of share `index` of `count` of a run into `folder`: `run.2-of-4.json` for the third of four.
    ///
    /// # Errors
    /// As [`RunRecord::write`].
    pub fn write_share(&self, folder: &Path, index: u64, count: u64) -> Result<(), OutputError> {
        self.write_at(folder.join(format!("run.{index}-of-{count}.json")))
    }

    fn write_at(&self, path: PathBuf) -> Result<(), OutputError> {
        let mut text =
            serde_json::to_vec_pretty(self).map_err(|error| OutputError::writing(&path, error.into()))?;
        text.push(b'\n');
        atomic::write(&path, &text, Durability::Power)
    }

    /// Reads `run.json` of `folder`; none means that no run finished there.
    ///
    /// # Errors
    /// [`OutputError::Read`], [`OutputError::Damaged`].
    pub fn read(folder: &Path) -> Result<Option<Self>, OutputError> {
        let path = path(folder);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OutputError::reading(&path, error)),
        };
        match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(error) => Err(OutputError::Damaged { path, reason: error.to_string() }),
        }
    }
}

/// The run record's place in `folder`.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join(FILE_NAME)
}

/// A time in UTC to the second, as in RFC 3339. Times before 1970 are written as 1970's first second.
pub fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar (H. Hinnant, "chrono-compatible
/// low-level date algorithms"): years begin in March, so that the leap day is the last one.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        // From `date -u -d @… +%FT%TZ`.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (1_767_225_600, "2026-01-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut former = civil_from_days(0);
        for days in 1..200_000 {
            let (year, month, day) = civil_from_days(days);
            let follows = if day > 1 {
                (year, month, day - 1) == former
            } else if month > 1 {
                (year, month - 1) == (former.0, former.1) && former.2 >= 28
            } else {
                (year - 1, 12, 31) == former
            };
            assert!(follows, "{former:?} then {year}-{month}-{day}");
            former = (year, month, day);
        }
    }

    #[test]
    fn a_record_is_read_as_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(RunRecord::read(folder.path()).unwrap(), None);
        let record = RunRecord {
            version: "0.1.0".into(),
            options: serde_json::from_str(r#"{"gamma": 0.5, "method": ["patternnet"]}"#).unwrap(),
            fingerprints: Fingerprints { weights: Some("ab".into()), patterns: None },
            device: "cpu".into(),
            counts: Counts { images: 3, done: 1, failed: 1, kept: 1 },
            times: Times::new(SystemTime::UNIX_EPOCH, Duration::from_millis(1500)),
            pipeline: None,
        };
        record.write(folder.path()).unwrap();
        assert_eq!(RunRecord::read(folder.path()).unwrap(), Some(record));
        fs::write(path(folder.path()), b"{").unwrap();
        assert!(matches!(RunRecord::read(folder.path()), Err(OutputError::Damaged { .. })));
    }
}
