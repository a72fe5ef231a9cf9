//! The files that are written.

use super::plot;
use crate::cli::exit::Failure;
use crate::cli::places::{prepare_place, refuse_to_write_over};
use crate::evaluate::quality::QualityReport;
use crate::output::{path_text, write_file};
use std::path::{Path, PathBuf};

/// A JSON file, and plots of its name.
pub struct Files {
    pub json: PathBuf,
    png: PathBuf,
    svg: PathBuf,
}

impl Files {
    pub fn of(output: &Path) -> Result<Self, Failure> {
        let beside = |extension| output.with_extension(extension);
        let files = Files { json: output.to_owned(), png: beside("png"), svg: beside("svg") };
        if [&files.png, &files.svg].contains(&&files.json) {
            return Err(Failure::usage(format!(
                "{} is the name of a plot; name the JSON file, and the plots get its name with .png and .svg",
                path_text(output)
            )));
        }
        Ok(files)
    }

    fn all(&self) -> [(&'static str, &Path); 3] {
        [("--output", &self.json), ("the plot", &self.png), ("the plot", &self.svg)]
    }

    /// Creates the folder, and refuses to lose files.
    pub fn prepare(&self, overwrite: bool) -> Result<(), Failure> {
        for (_, path) in self.all() {
            prepare_place(path)?;
        }
        match self.all().into_iter().find(|(_, path)| path.exists() && !overwrite) {
            None => Ok(()),
            Some((_, path)) => Err(Failure::Run(format!(
                "{} is there already; name another --output, or use --overwrite",
                path_text(path)
            ))),
        }
    }

    /// Refuses to write over what is read, with what each file is called.
    pub fn differ_from<'a>(
        &'a self,
        read: impl IntoIterator<Item = (&'a str, &'a Path)>,
    ) -> Result<(), Failure> {
        refuse_to_write_over(read, self.all())
    }

    /// The plots first: a JSON file says that all is done.
    pub fn write(
        &self,
        json: &str,
        report: &QualityReport,
        titles: &[String],
        fitted: bool,
    ) -> Result<(), Failure> {
        let plot = plot::plot(&report.layers, titles, fitted);
        write_file(&self.svg, plot.svg()?.as_bytes())?;
        write_file(&self.png, &plot.png()?)?;
        write_file(&self.json, format!("{json}\n").as_bytes())?;
        Ok(())
    }
}
