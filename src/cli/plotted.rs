//! A JSON file with a plot beside it.

use super::exit::Failure;
use super::places::{prepare_place, refuse_to_write_over};
use crate::output::{path_text, write_file};
use std::path::{Path, PathBuf};

/// A JSON file, and plots of its name.
pub struct PlottedFiles {
    pub json: PathBuf,
    png: PathBuf,
    svg: PathBuf,
}

impl PlottedFiles {
    pub fn of(output: &Path) -> Result<Self, Failure> {
        let beside = |extension| output.with_extension(extension);
        let files = PlottedFiles { json: output.to_owned(), png: beside("png"), svg: beside("svg") };
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

    /// Creates the folder, and shows that files can be made in it.
    pub fn prepare_folder(&self) -> Result<(), Failure> {
        self.all().into_iter().try_for_each(|(_, path)| prepare_place(path))
    }

    /// Creates the folder, and refuses to lose files.
    pub fn prepare(&self, overwrite: bool) -> Result<(), Failure> {
        self.prepare_folder()?;
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
    pub fn write(&self, json: &str, svg: &str, png: &[u8]) -> Result<(), Failure> {
        write_file(&self.svg, svg.as_bytes())?;
        write_file(&self.png, png)?;
        write_file(&self.json, format!("{json}\n").as_bytes())?;
        Ok(())
    }
}
