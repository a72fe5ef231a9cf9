//! Progress on standard error: a bar on a terminal, plain lines now and then otherwise, nothing when quiet.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Time between plain lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// The progress of a run over images.
pub struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
    total: usize,
    begun: usize,
    done: usize,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    /// Starts counting `total` images.
    pub fn new(total: usize, quiet: bool) -> Self {
        let bar = (!quiet && io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
            let template = "{bar:32} {pos}/{len} images, {per_sec}, {eta} left";
            bar.set_style(
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        let now = Instant::now();
        Progress { bar, quiet, total, begun: 0, done: 0, started: now, last_line: now }
    }

    /// Images that an earlier run has done: they say nothing about the speed.
    pub fn begin_at(&mut self, images: usize) {
        (self.begun, self.done) = (images, images);
        if let Some(bar) = &self.bar {
            bar.set_position(images as u64);
            bar.reset_eta();
        }
    }

    /// Counts images that are done, kept or failed.
    pub fn advance(&mut self, images: usize) {
        self.done += images;
        if let Some(bar) = &self.bar {
            bar.inc(images as u64);
        } else if !self.quiet && self.last_line.elapsed() >= INTERVAL {
            self.last_line = Instant::now();
            let rate = (self.done - self.begun) as f64 / self.started.elapsed().as_secs_f64();
            self.line(&format!("{}/{} images, {rate:.1} a second", self.done, self.total));
        }
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
