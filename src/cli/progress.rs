//! Progress on standard error: a bar on a terminal, plain lines now and then otherwise, nothing when quiet.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Time between plain lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// Time between changes of what a bar says.
const BAR_INTERVAL: Duration = Duration::from_secs(1);

/// The progress of a run over images.
pub struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
    /// Images in all, where that is known.
    total: Option<usize>,
    /// The time that is left, where somebody knows better than the number of images does.
    left: Option<Duration>,
    begun: usize,
    done: usize,
    started: Instant,
    last: Instant,
}

/// Where a run is.
pub struct Snapshot {
    /// Images done, kept or failed.
    pub done: usize,
    /// Images in all, where that is known.
    pub total: Option<usize>,
    /// Images a second.
    pub rate: f64,
    /// The time that is left, where that is known.
    pub left: Option<Duration>,
}

impl Snapshot {
    /// In words.
    fn text(&self) -> String {
        let mut text = match self.total {
            Some(total) => format!("{}/{total} images, {:.1} a second", self.done, self.rate),
            None => format!("{} images, {:.1} a second", self.done, self.rate),
        };
        if let Some(left) = self.left {
            let _ = write!(text, ", {} left", duration(left));
        }
        text
    }
}

/// A duration in a unit that fits: seconds do not matter to what takes hours.
fn duration(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{:.1} h", seconds as f64 / 3600.0),
    }
}

/// How a bar looks.
fn style(known: bool) -> ProgressStyle {
    let template = match known {
        true => "{bar:32} {pos}/{len} images, {per_sec}, {eta} left{msg}",
        false => "{spinner} {pos} images, {per_sec}{msg}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress {
    /// Starts counting images, of a number that may be known.
    pub fn new(total: Option<usize>, quiet: bool) -> Self {
        let bar = (!quiet && io::stderr().is_terminal()).then(|| {
            let length = total.map(|total| total as u64);
            let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
            bar.set_style(style(total.is_some()));
            bar
        });
        let now = Instant::now();
        Progress { bar, quiet, total, left: None, begun: 0, done: 0, started: now, last: now }
    }

    /// Images that an earlier run has done: they say nothing about the speed.
    pub fn begin_at(&mut self, images: usize) {
        (self.begun, self.done) = (images, images);
        if let Some(bar) = &self.bar {
            bar.set_position(images as u64);
            bar.reset_eta();
        }
    }

    /// What has come to be known: how many images there are in all, and how much time is left.
    pub fn expect(&mut self, total: Option<usize>, left: Option<Duration>) {
        self.left = left;
        if self.total.is_none()
            && let (Some(total), Some(bar)) = (total, &self.bar)
        {
            bar.set_length(total as u64);
            bar.set_style(style(true));
        }
        self.total = self.total.or(total);
    }

    /// Images of an earlier run that are met on the way.
    pub fn pass(&mut self, images: usize) {
        self.begun += images;
        self.done += images;
        if let Some(bar) = &self.bar {
            bar.inc(images as u64);
        }
    }

    /// Counts images that are done or failed.
    pub fn advance(&mut self, images: usize) {
        self.advance_with(images, String::new);
    }

    /// As [`Progress::advance`], with something about the run after it. Gives where the run is when it is time to tell, also
    /// when quiet.
    pub fn advance_with(&mut self, images: usize, detail: impl Fn() -> String) -> Option<Snapshot> {
        self.done += images;
        if let Some(bar) = &self.bar {
            bar.inc(images as u64);
        }
        let interval = if self.bar.is_some() { BAR_INTERVAL } else { INTERVAL };
        if self.last.elapsed() < interval {
            return None;
        }
        self.last = Instant::now();
        let snapshot = self.snapshot();
        match &self.bar {
            Some(bar) => {
                // A bar of known length knows its own time.
                let left = self.left.filter(|_| self.total.is_none()).map(duration);
                let left = left.map_or_else(String::new, |left| format!(", {left} left"));
                bar.set_message(format!("{left}{}", detail()));
            }
            None => self.notice(&format!("{}{}", snapshot.text(), detail())),
        }
        Some(snapshot)
    }

    /// Where the run is.
    pub fn snapshot(&self) -> Snapshot {
        let seconds = self.started.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
        let rate = (self.done - self.begun) as f64 / seconds;
        let images = self.total.and_then(|total| total.checked_sub(self.done)).filter(|_| rate > 0.0);
        let left = images.map(|images| images as f64 / rate);
        let left = left.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Snapshot { done: self.done, total: self.total, rate, left: self.left.or(left) }
    }

    /// Prints a line that only tells something; nothing when quiet.
    pub fn notice(&self, text: &str) {
        if !self.quiet {
            self.line(text);
        }
    }

    /// Prints a line on standard error without tearing the bar.
    pub fn line(&self, text: &str) {
        let write = || drop(writeln!(io::stderr(), "{text}"));
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Prints on standard output without tearing the bar.
    pub fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Tells something on standard error where there is no progress to tell beside; nothing when quiet.
pub fn say(quiet: bool, text: &str) {
    if !quiet {
        // Nothing can be done when standard error is closed or full.
        let _ = writeln!(io::stderr(), "{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_in_units_that_fit() {
        let text = |total, seconds: Option<u64>| {
            Snapshot { done: 100, total, rate: 2.0, left: seconds.map(Duration::from_secs) }.text()
        };
        assert_eq!(text(None, None), "100 images, 2.0 a second");
        assert_eq!(text(Some(200), Some(50)), "100/200 images, 2.0 a second, 50 s left");
        assert_eq!(text(Some(700), Some(300)), "100/700 images, 2.0 a second, 5 min left");
        assert_eq!(text(None, Some(18_000)), "100 images, 2.0 a second, 5.0 h left");
    }

    #[test]
    fn what_is_left_follows_from_the_rate_unless_it_is_told() {
        let mut progress = Progress::new(None, true);
        progress.pass(50);
        progress.advance(10);
        assert!(progress.snapshot().left.is_none());
        progress.expect(Some(80), None);
        let snapshot = progress.snapshot();
        let left = snapshot.left.unwrap().as_secs_f64();
        assert!((left * snapshot.rate - 20.0).abs() < 0.01, "{left} s at {} a second", snapshot.rate);
        progress.expect(None, Some(Duration::from_secs(7)));
        let snapshot = progress.snapshot();
        assert_eq!((snapshot.total, snapshot.left), (Some(80), Some(Duration::from_secs(7))));
    }
}
